// SPDX-License-Identifier: Apache-2.0
// One discovery on a loop, and what it has said.
#ifndef DTEST_WATCH_H
#define DTEST_WATCH_H

#include "client/discovery/discovery.h"

enum { DTEST_MAX_SEEN = 2048 };

struct dtest_seen {
    char url[200], name[200], pool[40], labels[200]; // labels with spaces between them
    bool leaving, gone;
    enum kvr_role role;
    uint32_t ranks;
    int64_t capacity;
};

struct dtest_watch {
    struct event_base *base;
    struct discovery *discovery;
    struct dtest_seen seen[DTEST_MAX_SEEN]; // in the order of their coming
    size_t n, there;                        // all that came; of these, the ones that haven't gone
    unsigned found, changed, lost;
};

extern struct dtest_watch dtest_watch; // of the test

// Begins with an event base.
void dtest_watch_open(void);
// As the command line has it: "SOURCE WORD=VALUE …".
void dtest_watch_look(const char *format, ...) __attribute__((format(printf, 1, 2)));
void dtest_watch_close_discovery(void);
void dtest_watch_close(void); // and the base
// Runs the loop until it holds; fails if it doesn't come to that.
void dtest_watch_until(bool (*holds)(void));
void dtest_watch_run(int64_t ms);
// The one with that URL, gone or not, the last of several; NULL: none.
const struct dtest_seen *dtest_watch_at(const char *url);
struct discovery_stats dtest_watch_stats(void);

#endif
