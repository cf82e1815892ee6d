// SPDX-License-Identifier: Apache-2.0
// Traces of requests: one span of kind SERVER for each, and below it what its handlers add.
//
//     struct router_span s = router_span_begin(x->trace);
//     …
//     struct router_span_form form = {.kind = ROUTER_SPAN_INTERNAL, .name = "select"};
//     struct router_trace_text *a = router_span_end(x->trace, &s, &form);
//     router_attribute_text(a, "kvroute.worker", "w1");
//     router_span_close(x->trace, NULL);
//
// A request that isn't sampled has no trace, x->trace is NULL, and costs no more than that look. Nothing of a prompt or of
// an answer is ever in a span.
#ifndef ROUTER_TRACE_H
#define ROUTER_TRACE_H

#include "client/router/router_exchange.h"
#include "router_exporter.h"
#include "router_trace_text.h"
#include "router_traceparent.h"

struct router;
struct router_tracer;

enum router_span_kind { ROUTER_SPAN_INTERNAL = 1, ROUTER_SPAN_SERVER = 2, ROUTER_SPAN_CLIENT = 3 };

struct router_span {
    uint64_t id;      // 0: it isn't open
    int64_t began_us; // by kvr_clock_us
};

struct router_span_form {
    enum router_span_kind kind;
    const char *name, *detail; // together the name; detail NULL: none
    uint64_t parent;           // 0: the request's span
    int64_t end_us;            // 0: now
    uint64_t link;             // another span of this trace; 0: none
};

struct router_trace {
    struct router_tracer *tracer;
    struct router_trace_context context; // span: the request's own
    uint64_t parent;                     // 0: it is the root
    bool remote_state;                   // the client's tracestate goes on
    int64_t date_us;                     // what a time is more by the calendar
    char id[33];
    struct router_trace_text spans; // that have ended
    struct router_trace_text asked; // attributes of what is asked, for every engine's span
    unsigned n_spans;
    size_t before; // of the text, where the present span began
};

// NULL with a reason; the router's settings may say that there are no traces.
struct router_tracer *router_tracer_new(struct router *r, const struct kvr_alloc *allocator,
                                        char *error, size_t error_size);
void router_tracer_free(struct router_tracer *t); // NULL: nothing
// The settings are other ones. False with a reason: all is as it was.
bool router_tracer_reload(struct router_tracer *t, char *error, size_t error_size);
struct router_exporter *router_tracer_exporter(const struct router_tracer *t);

// ---- A request -----------------------------------------------------------------------------------

// Its head has come: x->trace, if it is sampled.
void router_trace_begin(struct router_exchange *x);
// It is over: its spans go to the exporter, and the trace is freed.
void router_trace_end(struct router_exchange *x);
// "": it has none.
const char *router_trace_id(const struct router_exchange *x);
// Whether an engine gets other headers than the client's traceparent and tracestate. *line: what it gets instead; "" if
// each span says that anew (router_span_line). *state: the client's tracestate goes on all the same.
bool router_trace_renews(const struct router_exchange *x, char line[ROUTER_TRACEPARENT_LINE],
                         bool *state);

// ---- Spans ---------------------------------------------------------------------------------------

struct router_span router_span_begin(struct router_trace *t);
// The line that makes what an engine does a part of it.
void router_span_line(const struct router_trace *t, const struct router_span *s,
                      char out[ROUTER_TRACEPARENT_LINE]);
// It ends, and isn't open any more. Attributes are added to what is returned, up to router_span_close.
struct router_trace_text *router_span_end(struct router_trace *t, struct router_span *s,
                                          const struct router_span_form *form);
// error: of which kind; NULL or "": it ended well.
void router_span_close(struct router_trace *t, const char *error);

#endif
