// SPDX-License-Identifier: Apache-2.0
// The engines of one source that are known. A source tells each of its answers as a whole, in one go:
//
//     discovery_known_begin(k);
//     discovery_known_see(k, engine);        each that the answer has
//     discovery_known_end(k, complete);
//
// What differs from what was known becomes the calls of discovery.h.
#ifndef DISCOVERY_KNOWN_H
#define DISCOVERY_KNOWN_H

#include "client/common/list.h"
#include "client/common/table.h"
#include "discovery.h"

enum { DISCOVERY_TROUBLE_SIZE = 200 };

// Between two calls: `table` and `engines` have the same, stats.engines of them, stats.leaving of which are leaving; no
// two have a URL; each has been missed fewer than `misses` times in a row.
struct discovery_known {
    struct discovery_config config;
    struct discovery_port port;
    struct kvr_table table; // by URL
    struct kvr_list_item engines;
    struct discovery_stats stats;
    uint64_t round;
    size_t said_left_out;                 // how many the last whole answer had beyond `max`
    uint32_t misses;                      // in a row, after which an engine is lost
    char trouble[DISCOVERY_TROUBLE_SIZE]; // what was last said to be wrong; "": nothing is
};

// −1: no memory.
int discovery_known_init(struct discovery_known *k, const struct discovery_config *config,
                         const struct discovery_port *port);
void discovery_known_free(struct discovery_known *k);

void discovery_known_begin(struct discovery_known *k);
// Of one that was seen in this round the first counts. One that isn't known and is leaving isn't found.
void discovery_known_see(struct discovery_known *k, const struct discovery_engine *e);
// An engine as the settings have it, at host:port. host: a name, or an address without brackets.
void discovery_known_see_at(struct discovery_known *k, const char *host, uint16_t port,
                            const struct kvr_bytes *labels, size_t n_labels, bool leaving);
// complete: it was all of an answer, so what wasn't in it may have gone.
void discovery_known_end(struct discovery_known *k, bool complete);
// The source answers, with or without news.
void discovery_known_well(struct discovery_known *k);
// NULL: none has that name.
const struct discovery_engine *discovery_known_named(const struct discovery_known *k,
                                                     const char *name);
// There was no answer, or none that could be understood: nothing is lost. Said in the log when it is news.
void discovery_known_failed(struct discovery_known *k, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
