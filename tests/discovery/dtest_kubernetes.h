// SPDX-License-Identifier: Apache-2.0
// The EndpointSlices of one service, llm in the namespace ai, as the API of Kubernetes has them: over TLS, with
// bearer tokens, lists in pages, watches from a version on. No real cluster was asked.
#ifndef DTEST_KUBERNETES_H
#define DTEST_KUBERNETES_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

enum { DTEST_MAX_SLICES = 64, DTEST_MAX_EVENTS = 256, DTEST_MAX_WATCHES = 8 };

struct h1_exchange;

struct dtest_kubernetes {
    char token[60]; // that is accepted
    int refuse;     // with this status, whatever it is; 0: nothing
    bool endless;   // no page of a list is the last one
    int oldest;     // version that a watch may begin with; those before get 410
    // What happened.
    unsigned lists, watches, unauthorized;
    // Its own.
    struct h1_server *server;
    int port, version;
    struct {
        char name[60], *object; // JSON
    } slices[DTEST_MAX_SLICES];
    size_t n_slices;
    struct {
        int version;
        char *line;
    } events[DTEST_MAX_EVENTS];
    size_t n_events;
    struct h1_exchange *open[DTEST_MAX_WATCHES];
    char cert[200], key[200], token_file[200]; // files
};

void dtest_kubernetes_start(struct dtest_kubernetes *k, struct event_base *base);
void dtest_kubernetes_stop(struct dtest_kubernetes *k);
// The token that the file has from now on.
void dtest_kubernetes_token(struct dtest_kubernetes *k, const char *token);
// Another certificate in the file than the server has.
void dtest_kubernetes_other_ca(struct dtest_kubernetes *k);

// endpoints: JSON, an array. Whoever watches is told.
void dtest_kubernetes_put(struct dtest_kubernetes *k, const char *name, const char *endpoints);
void dtest_kubernetes_delete(struct dtest_kubernetes *k, const char *name);
// The same without anybody being told; it counts for lists only.
void dtest_kubernetes_put_unseen(struct dtest_kubernetes *k, const char *name,
                                 const char *endpoints);
void dtest_kubernetes_say(struct dtest_kubernetes *k, const char *line); // to whoever watches
void dtest_kubernetes_bookmark(struct dtest_kubernetes *k);
void dtest_kubernetes_end_watches(struct dtest_kubernetes *k, bool orderly);
size_t dtest_kubernetes_watchers(const struct dtest_kubernetes *k);

#endif
