// SPDX-License-Identifier: Apache-2.0
#include "router_request_spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/http1/h1_address.h"
#include "client/router/pools/router_engine_kind.h"
#include "client/router/trace/router_trace.h"
#include "router_answer_facts.h"
#include "router_headers.h"
#include "router_prefill_leg.h"

enum {
    SPANS_ANSWERS_MAX = 16 << 20
}; // bytes of answers that are looked at when they are whole, of all requests

// One call.
struct spans_call {
    struct router_span span;
    int status; // of its answer; 0: there is none
    enum router_failure what;
    const char *error; // instead of that one's name; NULL: there is none
    enum router_engine_outcome outcome;
    bool counted;          // the outcome is known
    uint64_t link;         // the span of the engine whose stream it goes on with; 0: none
    const char *continues; // then, why that one was left
};

struct router_request_spans {
    struct router_span tokenize, select, relay, prefill;
    struct spans_call call, prefill_call;
    int64_t first_us; // from the call to its first chunk; −1: none came
    uint64_t left;    // the span of the engine that the stream has left; 0: none
    const char *why;  // it did
    unsigned n_selects;
    struct router_answer_facts facts;
};

static struct router_trace *trace_of(const struct router_request *r) {
    return r->spans && r->x ? r->x->trace : NULL;
}

// ---- What is asked -------------------------------------------------------------------------------

static const struct {
    const char *member, *attribute;
} asked_reals[] = {
    {"temperature", "gen_ai.request.temperature"},
    {"top_p", "gen_ai.request.top_p"},
    {"frequency_penalty", "gen_ai.request.frequency_penalty"},
    {"presence_penalty", "gen_ai.request.presence_penalty"},
};

void router_spans_asked(struct router_exchange *x, const json_t *body) {
    if (!x->trace) return;
    struct router_trace_text *a = &x->trace->asked;
    static const char *const limits[] = {"max_completion_tokens", "max_tokens",
                                         "max_output_tokens"};
    const json_t *max = NULL;
    for (size_t i = 0; !max && i < sizeof limits / sizeof *limits; i++)
        max = json_object_get(body, limits[i]);
    router_attribute_text(a, "gen_ai.request.model", x->record.model);
    if (json_is_integer(max))
        router_attribute_number(a, "gen_ai.request.max_tokens", json_integer_value(max));
    for (size_t i = 0; i < sizeof asked_reals / sizeof *asked_reals; i++) {
        const json_t *value = json_object_get(body, asked_reals[i].member);
        if (json_is_number(value))
            router_attribute_real(a, asked_reals[i].attribute, json_number_value(value));
    }
    const json_t *n = json_object_get(body, "n"), *seed = json_object_get(body, "seed");
    if (json_integer_value(n) > 1)
        router_attribute_number(a, "gen_ai.request.choice.count", json_integer_value(n));
    if (json_is_integer(seed))
        router_attribute_number(a, "gen_ai.request.seed", json_integer_value(seed));
    if (json_is_true(json_object_get(body, "stream")))
        router_attribute_flag(a, "gen_ai.request.stream", true);
}

// ---- A call's span -------------------------------------------------------------------------------

// What the conventions have no word for is called as in the metrics.
static const char *operation_of(const struct router_request *r) {
    switch (r->kind) {
    case ROUTER_PROMPT_CHAT:
    case ROUTER_PROMPT_MESSAGES:
    case ROUTER_PROMPT_RESPONSES:
    case ROUTER_PROMPT_BATCH:
        return "chat";
    case ROUTER_PROMPT_COMPLETION:
    case ROUTER_PROMPT_GENERATE:
        return "text_completion";
    case ROUTER_PROMPT_EMBEDDING:
        return "embeddings";
    default:
        return r->x->route->name;
    }
}

static const char *provider_of(const struct router_request *r, struct kvr_bytes worker) {
    return router_engine_kind_name(
        router_engine_kind_of(r->pool, router_pool_worker(r->pool, worker)));
}

static void add_place(struct router_trace_text *a, const char *address) {
    struct h1_address at;
    bool wrong;
    if (!h1_address_parse(&at, address, &wrong)) return;
    router_attribute_text(a, "server.address", at.host);
    router_attribute_number(a, "server.port", at.port);
    h1_address_free(&at);
}

static const char *error_of(const struct spans_call *c, char text[12]) {
    static const char *const names[] = {
        [ROUTER_FAILURE_NONE] = NULL,         [ROUTER_FAILURE_STALE] = "stale",
        [ROUTER_FAILURE_CONNECT] = "connect", [ROUTER_FAILURE_BROKEN] = "broken",
        [ROUTER_FAILURE_TIMEOUT] = "timeout", [ROUTER_FAILURE_5XX] = NULL,
        [ROUTER_FAILURE_FULL] = NULL,         [ROUTER_FAILURE_DEAD] = "dead",
        [ROUTER_FAILURE_LOCAL] = "local",
    };
    if (c->error) return c->error;
    if (names[c->what]) return names[c->what];
    if (c->status >= 400) {
        snprintf(text, 12, "%d", c->status);
        return text;
    }
    if (!c->counted || c->outcome == ROUTER_ENGINE_CANCELLED) return "cancelled";
    return c->outcome == ROUTER_ENGINE_OK ? NULL : "engine";
}

static void begin_call(struct router_trace *t, struct spans_call *c, struct router_request *r,
                       uint32_t rank) {
    char line[ROUTER_TRACEPARENT_LINE];
    *c = (struct spans_call){.span = router_span_begin(t)};
    router_span_line(t, &c->span, line);
    router_headers_set_rank(r->headers, r->headers_size, rank, line);
}

// What follows up to its close are more attributes.
static struct router_trace_text *end_call(struct router_trace *t, struct spans_call *c,
                                          const struct router_request *r, struct kvr_bytes worker,
                                          const char *address, struct router_span_form *form) {
    form->kind = ROUTER_SPAN_CLIENT;
    form->name = operation_of(r);
    form->detail = *r->x->record.model ? r->x->record.model : NULL;
    struct router_trace_text *a = router_span_end(t, &c->span, form);
    router_attribute_text(a, "gen_ai.operation.name", form->name);
    router_attribute_text(a, "gen_ai.provider.name", provider_of(r, worker));
    router_attributes(a, &t->asked);
    add_place(a, address);
    router_attribute_bytes(a, "kvroute.worker", worker.p, worker.n);
    if (c->status) router_attribute_number(a, "http.response.status_code", c->status);
    return a;
}

// ---- The engine that answers ---------------------------------------------------------------------

void router_spans_call(struct router_request *r) {
    struct router_trace *t = trace_of(r);
    if (!t) return;
    struct router_request_spans *s = r->spans;
    begin_call(t, &s->call, r, r->rank);
    s->call.link = s->left;
    s->call.continues = s->why;
    s->first_us = -1;
    r->proxy->traced_bytes -= s->facts.room;
    router_answer_free(&s->facts);
    router_answer_begin(&s->facts);
}

void router_spans_head(struct router_request *r) {
    if (r->spans) r->spans->call.status = r->reply->status;
}

void router_spans_first(struct router_request *r, int64_t now) {
    if (r->spans) r->spans->first_us = now - r->spans->call.span.began_us;
}

void router_spans_data(struct router_request *r, struct evbuffer *bytes) {
    struct router_request_spans *s = r->spans;
    if (!s || (!r->stream.events && r->proxy->traced_bytes > SPANS_ANSWERS_MAX)) return;
    r->proxy->traced_bytes -= s->facts.room;
    router_answer_look(&s->facts, bytes, r->stream.events);
    r->proxy->traced_bytes += s->facts.room;
}

void router_spans_failed(struct router_request *r, enum router_failure what) {
    if (r->spans && !r->spans->call.what) r->spans->call.what = what;
}

void router_spans_error(struct router_request *r, const char *error) {
    if (r->spans) r->spans->call.error = error;
}

void router_spans_outcome(struct router_request *r, enum router_engine_outcome how) {
    if (!r->spans) return;
    r->spans->call.outcome = how;
    r->spans->call.counted = true;
}

void router_spans_continues(struct router_request *r, enum router_migration_why why) {
    static const char *const whys[ROUTER_MIGRATION_WHYS] = {
        [ROUTER_MIGRATION_BROKEN] = "broken", [ROUTER_MIGRATION_SILENT] = "silent",
        [ROUTER_MIGRATION_DEAD] = "dead",     [ROUTER_MIGRATION_ABORTED] = "aborted",
        [ROUTER_MIGRATION_ERROR] = "error",   [ROUTER_MIGRATION_DRAIN] = "drain",
    };
    if (!r->spans) return;
    r->spans->why = whys[why];
    r->spans->left = r->spans->call.span.id;
}

// The usage of a stream that went on is that of all of it, which no engine's call was.
static void say_answer(struct router_request *r, struct router_trace_text *a) {
    struct router_request_spans *s = r->spans;
    router_answer_end(&s->facts);
    if (r->broken_us) *s->facts.id = 0;
    router_answer_say(&s->facts, a);
    if (s->call.status && !r->broken_us) {
        router_attribute_number(a, "gen_ai.usage.input_tokens", r->stream.input);
        router_attribute_number(a, "gen_ai.usage.output_tokens", r->stream.tokens);
        router_attribute_number(a, "gen_ai.usage.cache_read.input_tokens", r->stream.cached);
    }
    if (s->first_us >= 0)
        router_attribute_real(a, "gen_ai.response.time_to_first_chunk", (double)s->first_us / 1e6);
}

static void end_engine_call(struct router_trace *t, struct router_request *r) {
    struct router_request_spans *s = r->spans;
    char status[12];
    if (!s->call.span.id) return;
    bool leaves = s->left == s->call.span.id; // it is this one that is left
    struct router_span_form form = {.link = s->call.link};
    struct router_trace_text *a =
        end_call(t, &s->call, r, kvr_text(r->x->record.worker), r->address, &form);
    router_attribute_number(a, "kvroute.rank", r->rank);
    router_attribute_number(a, "kvroute.try", r->x->record.tries);
    router_attribute_text(a, "kvroute.continues", s->call.continues);
    if (leaves) router_attribute_text(a, "kvroute.left", s->why);
    say_answer(r, a);
    router_span_close(t, error_of(&s->call, status));
}

// ---- The engine that computes the prompt ---------------------------------------------------------

static void end_prefill_call(struct router_trace *t, struct router_request *r) {
    struct router_request_spans *s = r->spans;
    const struct router_prefill *leg = r->prefill;
    char status[12];
    if (!s->prefill_call.span.id || !leg) return;
    struct router_span_form form = {.parent = s->prefill.id};
    struct router_trace_text *a =
        end_call(t, &s->prefill_call, r, router_name_bytes(&leg->worker), leg->address, &form);
    router_attribute_number(a, "kvroute.rank", leg->pair.prefill_rank);
    router_span_close(t, error_of(&s->prefill_call, status));
}

void router_spans_prefill_call(struct router_request *r) {
    struct router_trace *t = trace_of(r);
    if (!t) return;
    struct router_request_spans *s = r->spans;
    end_prefill_call(t, r);
    if (!s->prefill.id) s->prefill = router_span_begin(t);
    begin_call(t, &s->prefill_call, r, r->prefill->pair.prefill_rank);
}

void router_spans_prefill_failed(struct router_request *r, enum router_failure what) {
    if (!r->spans) return;
    r->spans->prefill_call.what = what;
    if (r->prefill->reply) r->spans->prefill_call.status = r->prefill->reply->status;
}

void router_spans_prefill_over(struct router_request *r, enum router_engine_outcome how) {
    struct router_trace *t = trace_of(r);
    struct router_request_spans *s = r->spans;
    if (!t || !s->prefill.id) return;
    bool good = how == ROUTER_ENGINE_OK;
    s->prefill_call.outcome = how;
    s->prefill_call.counted = true;
    if (good) s->prefill_call.status = 200;
    end_prefill_call(t, r);
    struct router_span_form form = {.kind = ROUTER_SPAN_INTERNAL, .name = "prefill"};
    struct router_trace_text *a = router_span_end(t, &s->prefill, &form);
    router_attribute_text(a, "kvroute.worker", r->x->record.prefill_worker);
    router_span_close(t, good ? NULL : how == ROUTER_ENGINE_CANCELLED ? "cancelled" : "engine");
}

// ---- The choice ----------------------------------------------------------------------------------

// It has waited up to now.
static void add_wait(struct router_trace *t, uint64_t parent, int64_t began_us, int64_t waited) {
    int64_t now = kvr_clock_us();
    struct router_span wait = router_span_begin(t);
    struct router_span_form form = {
        .kind = ROUTER_SPAN_INTERNAL, .name = "wait", .parent = parent, .end_us = now};
    wait.began_us = now - waited * 1000 > began_us ? now - waited * 1000 : began_us;
    router_attribute_number(router_span_end(t, &wait, &form), "kvroute.waited_ms", waited);
    router_span_close(t, NULL);
}

static void add_choice(struct router_trace_text *a, const struct router_request *r,
                       const struct kvr_choice *c) {
    router_attribute_bytes(a, "kvroute.worker", c->worker.p, c->worker.n);
    router_attribute_number(a, "kvroute.rank", c->rank);
    router_attribute_bytes(a, "kvroute.prefill_worker", c->prefill_worker.p, c->prefill_worker.n);
    router_attribute_number(a, "kvroute.blocks", (int64_t)r->prompt.n);
    router_attribute_number(a, "kvroute.overlap", c->overlap);
    router_attribute_number(a, "kvroute.expected", c->expected);
    router_attribute_number(a, "kvroute.waited_ms", c->waited);
    if (c->ttft >= 0) router_attribute_real(a, "kvroute.ttft_predicted", c->ttft / 1000);
    router_attribute_flag(a, "kvroute.repeat", c->repeat);
}

void router_spans_selected(struct router_request *r, const struct kvr_result *result) {
    struct router_trace *t = trace_of(r);
    if (!t || !r->spans->select.id) return;
    struct router_span *s = &r->spans->select;
    bool good = result->code == KVR_CODE_OK;
    if (good && result->choice.waited > 0) add_wait(t, s->id, s->began_us, result->choice.waited);
    struct router_span_form form = {.kind = ROUTER_SPAN_INTERNAL, .name = "select"};
    struct router_trace_text *a = router_span_end(t, s, &form);
    router_attribute_text(a, "kvroute.pool", r->pool->options.name);
    router_attribute_text(a, "kvroute.policy", result->degraded ? "degraded" : r->pool->policy);
    router_attribute_number(a, "kvroute.question", ++r->spans->n_selects);
    if (good) add_choice(a, r, &result->choice);
    if (!good) router_attribute_text(a, "kvroute.code", kvr_code_name(result->code));
    // That nobody is left but suspects is an answer: they are asked for next.
    bool wrong = !good && result->code != KVR_CODE_NOWORKER;
    router_span_close(t, wrong ? kvr_code_name(result->code) : NULL);
}

// ---- States --------------------------------------------------------------------------------------

static void end_plain(struct router_trace *t, struct router_span *s, const char *name,
                      const char *error) {
    struct router_span_form form = {.kind = ROUTER_SPAN_INTERNAL, .name = name};
    if (!s->id) return;
    router_span_end(t, s, &form);
    router_span_close(t, error);
}

static bool is_over(enum router_state s) {
    return s == ROUTER_ABANDONED || s == ROUTER_DONE;
}

static void end_what_ends(struct router_trace *t, struct router_request *r, enum router_state to) {
    struct router_request_spans *s = r->spans;
    bool over = is_over(to);
    end_plain(t, &s->tokenize, "tokenize", over ? "cancelled" : NULL);
    if (over) end_plain(t, &s->select, "select", "cancelled");
    if (over && r->prefill) router_spans_prefill_over(r, ROUTER_ENGINE_CANCELLED);
    if (to == ROUTER_HEAD || to == ROUTER_RELAY) return;
    if (to != ROUTER_PREFILL) end_engine_call(t, r);
    if (r->state == ROUTER_RELAY) end_plain(t, &s->relay, "relay", NULL);
}

void router_spans_move(struct router_request *r, enum router_state to) {
    struct router_trace *t = trace_of(r);
    if (!t) return;
    struct router_request_spans *s = r->spans;
    end_what_ends(t, r, to);
    if (to == ROUTER_TOKENIZE) s->tokenize = router_span_begin(t);
    if (to == ROUTER_RELAY) s->relay = router_span_begin(t);
    // One that rests asks later, and moves to CHOOSE again then.
    if (to == ROUTER_CHOOSE && !s->select.id) s->select = router_span_begin(t);
}

// ---- All of them ---------------------------------------------------------------------------------

void router_spans_begin(struct router_request *r) {
    if (!r->x->trace) return;
    r->spans = calloc(1, sizeof *r->spans);
    if (r->spans) router_answer_begin(&r->spans->facts);
}

void router_spans_free(struct router_request *r) {
    if (!r->spans) return;
    r->proxy->traced_bytes -= r->spans->facts.room;
    router_answer_free(&r->spans->facts);
    free(r->spans);
    r->spans = NULL;
}
