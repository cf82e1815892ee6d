// SPDX-License-Identifier: Apache-2.0
// Finds engines at one place (discovery_config.h) and says when they come, change and go.
//
//        found ──> changed … ──> lost
//
// Nothing is ever lost because of a failure: a source that can't be read, or says something that isn't
// understood, leaves what was known, and that is logged and counted. What a DNS answer lacks is lost when so many
// answers in a row lacked it as the setting `misses` says; an answer without any address is one of these.
// Files and Kubernetes are believed at once.
//
// Everything happens on the loop, none of it blocks. Callbacks come from the loop, never from discovery_new; they
// must not free the discovery.
#ifndef DISCOVERY_H
#define DISCOVERY_H

#include <event2/event.h>
#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery_config.h"

// What is known of an engine. Texts are never NULL; they last until the next callback about it.
struct discovery_engine {
    const char *url; // http://host:port[/prefix]; no two of a source have the same
    const char *
        name; // host:port, so that all who find it call it the same, unless its line says otherwise
    const char *pool; // "": the program's first
    enum kvr_role role;
    uint32_t ranks;
    int64_t capacity;               // blocks a rank has; 0: unknown
    const struct kvr_bytes *labels; // zone=…, node=…, pod=…, or what its line says
    size_t n_labels;
    bool leaving; // it ends what it has and is to get nothing new
};

struct discovery_port {
    void *ctx;
    void (*found)(void *ctx, const struct discovery_engine *e);
    void (*changed)(void *ctx, const struct discovery_engine *e); // anything but its URL
    void (*lost)(void *ctx, const struct discovery_engine *e);
};

struct discovery_stats {
    size_t engines, leaving;  // that are known
    size_t left_out;          // that the last answer had beyond `max`
    uint64_t reads, failures; // answers that were understood, and what wasn't one
    uint64_t found, lost;
    int64_t read_us;    // when the last was understood, on the monotonic clock; 0: never
    bool failing;       // the last one wasn't
    int64_t failing_us; // since when; 0: it isn't
};

struct discovery;

// Begins to look. `config` and `port` are copied. NULL: no memory, or with a reason.
struct discovery *discovery_new(struct event_base *base, const struct discovery_config *config,
                                const struct discovery_port *port, char *error, size_t error_size);
// Nothing is said any more, not even of engines that are known. NULL: nothing.
void discovery_free(struct discovery *d);
const struct discovery_config *discovery_config_of(const struct discovery *d);
// The engine of that name that is known, until the next callback; NULL: none.
const struct discovery_engine *discovery_named(const struct discovery *d, const char *name);
void discovery_look(const struct discovery *d, struct discovery_stats *out);
const char *discovery_trouble(const struct discovery *d); // why it is failing; "": it isn't

#endif
