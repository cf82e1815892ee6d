// SPDX-License-Identifier: Apache-2.0
// A collector of spans, in a thread of its own, so that it answers whatever the test waits for.
#ifndef RTEST_COLLECTOR_H
#define RTEST_COLLECTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

void rtest_collector_open(void);
void rtest_collector_open_tls(const char *cert, const char *key); // PEM files
void rtest_collector_close(void);                                 // nothing, if there is none
const char *rtest_collector_url(void);
// What the next bodies are answered with, NULL at the end; then all are answered well. STATUS, STATUS:SECONDS (for
// Retry-After), or STATUS{… (a body). They stay the caller's.
void rtest_collector_script(const char *const *answers);
void rtest_collector_hold(bool hold);  // answers wait
size_t rtest_collector_requests(void); // bodies that came
size_t rtest_collector_largest(void);  // bytes of the largest one that was answered well
char *
rtest_collector_header(const char *name); // of the latest body; to be freed, NULL: it hadn't it
// Spans of the bodies that were answered well, with those of each in their order; to be freed. Waits for so many.
json_t *rtest_spans(size_t at_least);
json_t *rtest_resource(void); // attributes of the latest body's resource; to be freed

// Of spans: number n (from 0) of those with this name, or that begin so; NULL: there is none.
const json_t *rtest_span(const json_t *spans, const char *name, size_t n);
const json_t *rtest_span_of_id(const json_t *spans, const char *id);
const char *rtest_span_text(const json_t *span, const char *member); // "": it isn't there
// Of a span or a resource, as text whatever it is; "": it isn't there. Static, until the eighth call from then.
const char *rtest_attribute(const json_t *attributes, const char *key);
const char *rtest_span_attribute(const json_t *span, const char *key);

#endif
