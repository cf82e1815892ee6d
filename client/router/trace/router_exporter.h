// SPDX-License-Identifier: Apache-2.0
// Spans on their way to a collector, by OTLP over HTTP as JSON.
//
//   add ──> waiting ──> under way ──> sent
//             │ ^           │
//     no room v └── again ──┤  429, 502, 503, 504, nobody there: later. 413: a smaller body
//          dropped          v
//                        refused (another status), or given up
//
// Nobody waits for it: what there is no room for is dropped and counted. There is one connection and one body under way
// at a time, and after a failure a pause that doubles: a collector that is dead costs one attempt in 30 s.
#ifndef ROUTER_EXPORTER_H
#define ROUTER_EXPORTER_H

#include <event2/event.h>
#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ROUTER_EXPORTER_SPANS = 20000,    // that wait at most, those under way among them
    ROUTER_EXPORTER_BYTES = 16 << 20, // of them
};

struct router_exporter;
struct router_trace_settings;

struct router_exporter_stats {
    size_t spans, bytes; // that wait, or are under way
    uint64_t sent;
    uint64_t dropped;  // no room, or no memory
    uint64_t refused;  // the collector doesn't take them
    uint64_t given_up; // it wasn't reached, or was busy, for too long
    uint64_t requests; // bodies sent, those again among them
};

// allocator: of what waits. NULL: no memory.
struct router_exporter *router_exporter_new(struct event_base *base,
                                            const struct kvr_alloc *allocator);
void router_exporter_free(struct router_exporter *e); // with what waits
// Where to, from the next body on. They stay the caller's, up to the next call; NULL: nowhere, and what waits is dropped.
// False with a reason, and all is as it was: a file with authorities that can't be read, or no memory.
bool router_exporter_configure(struct router_exporter *e, const struct router_trace_settings *s,
                               char *error, size_t error_size);
// n bytes with so many spans, with commas between them; they are copied. False: they are dropped.
bool router_exporter_add(struct router_exporter *e, const char *text, size_t n, unsigned spans);
// They are lost already, as far as the caller is concerned.
void router_exporter_lost(struct router_exporter *e, unsigned spans);
// The end is near: all is sent now, and what fails isn't tried again.
void router_exporter_flush(struct router_exporter *e);
// Whether nothing waits any more, or nothing of it will be sent.
bool router_exporter_is_done(const struct router_exporter *e);
void router_exporter_stats(const struct router_exporter *e, struct router_exporter_stats *out);

#endif
