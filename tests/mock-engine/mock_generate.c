// SPDX-License-Identifier: Apache-2.0
// Requests for an answer, by whatever API, as one JSON object or as a stream of server-sent events.
//
// The headers of a stream leave with the first token.
#include "mock_generate.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mock_generation.h"
#include "mock_life.h"
#include "mock_memory.h"
#include "mock_prompt.h"
#include "mock_reply.h"

static void cancel_jobs(struct mock_generation *g) {
    for (size_t i = 0; i < g->n_choices; i++) {
        if (g->choices[i].job) mock_scheduler_cancel(g->engine, g->choices[i].job);
        g->choices[i].job = NULL;
    }
}

static void free_generation(struct mock_generation *g) {
    kvr_list_remove(&g->item);
    kvr_list_remove(&g->background.item);
    mock_leg_free(&g->leg);
    for (size_t i = 0; i < MOCK_MAX_CHOICES; i++)
        mock_choice_free(&g->choices[i]);
    if (g->stall_ends) event_free(g->stall_ends);
    mock_tokens_free(&g->prompt);
    json_decref(g->asked);
    json_decref(g->body);
    free(g->id);
    free(g->model);
    free(g->salt);
    evbuffer_free(g->out);
    free(g);
}

static void drop_background(struct mock_background *b) {
    struct mock_generation *g =
        (struct mock_generation *)((char *)b - offsetof(struct mock_generation, background));
    cancel_jobs(g);
    free_generation(g);
}

static void on_gone(struct h1_exchange *x) {
    struct mock_generation *g = x->arg;
    cancel_jobs(g);
    free_generation(g);
}

// ---- Sending -------------------------------------------------------------------------------------

static void send_whole(struct mock_generation *g) {
    h1_exchange_start(g->x, g->status, "application/json", (int64_t)evbuffer_get_length(g->out));
    h1_exchange_data(g->x, g->out);
}

static void send_stream(struct mock_generation *g) {
    if (!evbuffer_get_length(g->out)) return;
    if (!g->x->started) h1_exchange_start(g->x, 200, "text/event-stream; charset=utf-8", -1);
    h1_exchange_data(g->x, g->out);
}

// Sends what is written, unless something holds it back; a request that is complete is no more after this.
static void deliver(struct mock_generation *g) {
    struct mock_engine *m = g->mock;
    if (g->held || g->stalls) return;
    if (g->stream) send_stream(g);
    if (!g->complete) return;
    if (g->in_background) {
        free_generation(g);
        return;
    }
    if (!g->stream) send_whole(g);
    m->in_step = true;
    h1_exchange_end(g->x);
    m->in_step = false;
    mock_engine_resume(m);
    free_generation(g);
}

static void fail(struct mock_generation *g, int status, const char *message) {
    cancel_jobs(g);
    mock_leg_free(&g->leg);
    g->api->error(g, status, message);
    g->complete = true;
    g->held = false;
    deliver(g);
}

// ---- Held back by a fault ------------------------------------------------------------------------

static void end_stall(struct mock_generation *g) {
    kvr_list_remove(&g->item);
    g->stalls = false;
    g->stall_after = UINT64_MAX;
    deliver(g);
}

static void on_stall_over(evutil_socket_t fd, short what, void *ctx) {
    (void)fd;
    (void)what;
    end_stall(ctx);
}

void mock_generate_unstall(struct mock_engine *m) {
    m->unstalled++; // those that were to stall later don't, either
    for (struct kvr_list_item *i; (i = kvr_list_first(&m->stalled));)
        end_stall((struct mock_generation *)i);
}

static void stall(struct mock_generation *g) {
    struct timeval t = {.tv_sec = (time_t)(g->stall_ms / 1000),
                        .tv_usec = (suseconds_t)(g->stall_ms % 1000 * 1000)};
    g->stalls = true;
    kvr_list_push(&g->mock->stalled, &g->item);
    if (g->stall_ms) event_add(g->stall_ends, &t);
}

// ---- What is for another engine ------------------------------------------------------------------

static const char *load_failed(const struct mock_generation *g) {
    return mock_is_sglang(g->mock) ? "KV transfer failed" : "KV load failure";
}

static void on_loaded(void *ctx, const char *failed) {
    struct mock_generation *g = ctx;
    g->leg.load = NULL;
    bool recompute =
        g->mock->options->load_failure == MOCK_LOAD_RECOMPUTE &&
        (g->mock->options->kv == MOCK_KV_NIXL || g->mock->options->kv == MOCK_KV_MOONCAKE);
    if (!failed || recompute) {
        mock_scheduler_loaded(g->engine, g->choices[0].job, failed ? 0 : g->prompt.n);
        return;
    }
    char message[300];
    snprintf(message, sizeof message, "%s: %s", load_failed(g), failed);
    fail(g, 500, message);
}

static void on_stored_is_here(evutil_socket_t fd, short what, void *ctx) {
    struct mock_generation *g = ctx;
    (void)fd;
    (void)what;
    mock_scheduler_loaded(g->engine, g->choices[0].job,
                          g->leg.stored * g->mock->options->engine.block_size);
}

// There is room for the prompt: now it can come.
static void on_began(void *ctx, struct mock_job *job, size_t cached) {
    struct mock_choice *c = ctx;
    struct mock_generation *g = c->of;
    c->job = job;
    if (g->leg.load) {
        mock_load_pull(g->leg.load, g->prompt.n - cached);
    } else if (g->leg.stored) {
        size_t there = g->leg.stored * g->mock->options->engine.block_size;
        double s = there > cached ? mock_transfer_seconds(g->mock->options, there - cached) : 0;
        struct timeval t = {.tv_sec = (time_t)s};
        t.tv_usec = (suseconds_t)((s - (double)t.tv_sec) * 1e6);
        g->leg.timer = evtimer_new(g->mock->base, on_stored_is_here, g);
        event_add(g->leg.timer, &t);
    }
}

// Whether what was computed is for another engine: not if the request was aborted. Mooncake and
// TensorRT-LLM have nothing to hand on either if the answer has ended by its first token.
static bool is_for_others(const struct mock_choice *c) {
    enum mock_kv_kind kv = (enum mock_kv_kind)c->of->mock->options->kv;
    bool by_length = strcmp(c->finish, "length") == 0 || strcmp(c->finish, "not_finished") == 0;
    if (kv == MOCK_KV_MOONCAKE || kv == MOCK_KV_TRTLLM) return by_length;
    return strcmp(c->finish, "abort") != 0;
}

// The job has made its last token; `last`: the scheduler knows.
static void hand_over(struct mock_choice *c, bool last) {
    struct mock_generation *g = c->of;
    struct mock_engine *m = g->mock;
    struct mock_job *job = c->job;
    c->job = NULL;
    if (g->leg.side != MOCK_LEG_PREFILL) {
        if (!last) mock_scheduler_cancel(g->engine, job);
        return;
    }
    if (!is_for_others(c)) {
        mock_scheduler_cancel(g->engine, job);
        if (g->leg.offer) mock_offer_drop(g->leg.offer);
        g->leg.offer = NULL;
        g->held = false;
        return;
    }
    mock_scheduler_keep(g->engine, job);
    if (!g->leg.offer)
        g->leg.offer = mock_offer_new(&m->transfers, g->leg.key, g->rank, NULL, NULL);
    // Before it can come back: it is the request's own only if that waits for its end.
    struct mock_offer *offer = g->leg.offer;
    if (!g->leg.waits_for_peer) g->leg.offer = NULL;
    mock_offer_ready(offer, g->engine, job, g->prompt.n);
}

static void submit_jobs(struct mock_generation *g);

static void on_peer(void *ctx) {
    submit_jobs(ctx);
}

static void on_offer_over(void *ctx, const char *failed) {
    struct mock_generation *g = ctx;
    g->leg.offer = NULL;
    g->held = false;
    if (failed)
        fail(g, 500, failed);
    else
        deliver(g);
}

static const struct mock_offer_calls offer_calls = {.peer = on_peer, .over = on_offer_over};

// False: nothing is to be computed yet.
static bool open_leg(struct mock_generation *g) {
    struct mock_engine *m = g->mock;
    if (g->leg.side == MOCK_LEG_DECODE)
        g->leg.load = mock_load_new(&m->transfers, &g->leg.source, on_loaded, g);
    if (g->leg.side != MOCK_LEG_PREFILL) return true;
    if (m->options->kv == MOCK_KV_MOONCAKE)
        g->leg.offer = mock_offer_new(&m->transfers, g->leg.key, g->rank, NULL, NULL);
    if (!g->leg.waits_for_peer) return true;
    g->held = true;
    g->leg.offer = mock_offer_new(&m->transfers, g->leg.key, g->rank, &offer_calls, g);
    return mock_offer_has_peer(g->leg.offer);
}

// ---- Tokens --------------------------------------------------------------------------------------

static uint32_t on_next(void *ctx, uint64_t i, bool *ends) {
    struct mock_choice *c = ctx;
    (void)i;
    uint32_t id = mock_model_next(&c->model, !c->of->ignore_eos && c->n >= c->of->min_tokens);
    *ends = id == MOCK_END_OF_MESSAGE;
    if (*ends) c->finish = c->called ? "tool_calls" : "stop";
    return id;
}

static void break_off(struct mock_generation *g) {
    struct h1_exchange *x = g->x;
    bool gently = g->gently;
    cancel_jobs(g);
    free_generation(g);
    (gently ? h1_exchange_abort : h1_exchange_reset)(x);
}

// What the choice has to tell by now goes out, if it is time for a chunk.
static void tell(struct mock_choice *c, bool last) {
    struct mock_generation *g = c->of;
    bool due = last || c->n == 1 || c->n_pending >= g->mock->options->stream_interval;
    if (g->stream && due) g->api->chunk(c, last);
}

static void end_choice(struct mock_choice *c, bool last) {
    struct mock_generation *g = c->of;
    c->over = true;
    hand_over(c, last);
    if (++g->n_over < g->n_choices) return;
    g->complete = true;
    if (g->stream)
        g->api->end(g);
    else
        g->api->whole(g);
}

static void on_token(void *ctx, uint64_t i, uint32_t id, bool last) {
    struct mock_choice *c = ctx;
    struct mock_generation *g = c->of;
    bool over = mock_choice_token(c, i, id) || last;
    bool cut = g->cut_after && ++g->n >= g->cut_after;
    if (!g->cut_after) g->n++;
    if (!i && !c->index) {
        g->cached = mock_job_cached(c->job);
        mock_leg_save(&g->leg, g->mock);
    }
    if (g->abort_after && g->n >= g->abort_after) {
        c->finish = "abort";
        over = true;
    }
    bool stalls = g->n > g->stall_after && g->stall_after && g->unstalled == g->mock->unstalled;
    if (stalls && !g->stalls) stall(g);
    if (over) mock_choice_flush(c);
    tell(c, over && !cut);
    if (cut) {
        if (last && g->leg.side != MOCK_LEG_PREFILL) c->job = NULL; // else it is kept
        if (g->stream) send_stream(g);
        break_off(g);
        return;
    }
    if (over) end_choice(c, last);
    deliver(g);
}

// ---- Beginning -----------------------------------------------------------------------------------

// The rank the header names, or -1: it names none; -2: there is no such rank.
static int wished_rank(const struct mock_engine *m, struct h1_exchange *x) {
    const char *wish = h1_find_header(&x->head, "X-data-parallel-rank");
    char *end;
    if (!wish) return -1;
    long rank = strtol(wish, &end, 10);
    // vLLM passes over what isn't a number, SGLang refuses it.
    if (!*wish || *end) return mock_is_sglang(m) ? -2 : -1;
    return rank >= 0 && (size_t)rank < m->options->ranks ? (int)rank : -2;
}

static size_t idlest_rank(const struct mock_engine *m) {
    size_t best = 0, fewest = SIZE_MAX;
    for (size_t i = 0; i < m->options->ranks; i++) {
        struct mock_scheduler_count c = mock_scheduler_counts(m->engines[i]);
        if (c.running + c.waiting >= fewest) continue;
        fewest = c.running + c.waiting;
        best = i;
    }
    return best;
}

static void take_faults(struct mock_engine *m, struct mock_generation *g) {
    if (m->faults.cut) {
        m->faults.cut--;
        g->cut_after = m->faults.cut_after;
        g->gently = m->faults.gently;
    }
    if (m->faults.abort) {
        m->faults.abort--;
        g->abort_after = m->faults.abort_after;
    }
    if (m->faults.stall) {
        m->faults.stall--;
        g->stall_after = m->faults.stall_after;
        g->stall_ms = m->faults.stall_ms;
        g->unstalled = m->unstalled;
        if (!g->stall_after) stall(g);
    }
}

static void submit_jobs(struct mock_generation *g) {
    for (size_t i = 0; i < g->n_choices; i++) {
        struct mock_choice *c = &g->choices[i];
        struct mock_request r = {.prompt = &g->prompt,
                                 .max_tokens = g->max_tokens,
                                 .names = g->names,
                                 .token = on_token,
                                 .ctx = c};
        if (g->mock->options->answers == MOCK_ANSWERS_IDS) r.next = on_next;
        r.loading = g->leg.load || g->leg.stored;
        if (r.loading) r.began = on_began;
        r.keep = g->leg.side == MOCK_LEG_PREFILL;
        c->job = mock_scheduler_submit(g->engine, &r);
    }
}

// Who waits for the answer; or nobody does, and faults are for those who do.
static void attach(struct mock_generation *g, struct h1_exchange *x) {
    if (g->in_background) {
        g->background.id = g->id;
        g->background.drop = drop_background;
        kvr_list_push(&g->mock->background, &g->background.item);
        return;
    }
    g->x = x;
    x->arg = g;
    x->on_gone = on_gone;
    mock_engine_answering(g->mock, x);
    take_faults(g->mock, g);
}

static void submit(struct mock_generation *g, struct h1_exchange *x) {
    g->status = 200;
    for (size_t i = 0; i < g->n_choices; i++) {
        g->choices[i].of = g;
        g->choices[i].index = i;
        mock_choice_start(&g->choices[i]);
    }
    mock_leg_name(&g->leg, g->mock, g->id, g->rank);
    mock_leg_look(&g->leg, g->mock, &g->prompt, g->names);
    attach(g, x);
    if (open_leg(g)) submit_jobs(g);
    // Last: what comes next on its connection may end everything.
    if (g->in_background) g->api->accept(g, x);
}

// What an engine fails of as a whole, and not by an answer.
static void die_of(const char *deadly, struct evbuffer *body) {
    struct evbuffer_ptr at = {.pos = -1};
    if (deadly) at = evbuffer_search(body, deadly, strlen(deadly), NULL);
    if (at.pos >= 0) _exit(1);
}

// NULL, or why the request can't be taken, and *status.
static const char *place(struct mock_generation *g, int wish, int *status) {
    const struct mock_options *o = g->mock->options;
    *status = 400;
    if (wish < -1) return "no such rank";
    g->rank = wish < 0 ? idlest_rank(g->mock) : (size_t)wish;
    g->engine = g->mock->engines[g->rank];
    if (!mock_scheduler_fits(g->engine, g->prompt.n, g->max_tokens))
        return "prompt and answer need more blocks than there are";
    *status = 503;
    if (o->max_queued && mock_scheduler_counts(g->engine).waiting >= o->max_queued)
        return "the queue is full, try again or at a different instance";
    return NULL;
}

static struct mock_generation *new_generation(struct mock_engine *m, json_t *asked,
                                              const struct mock_api *api) {
    struct mock_generation *g = mock_take(1, sizeof *g);
    *g = (struct mock_generation){.mock = m,
                                  .api = api,
                                  .chat = api->chat,
                                  .asked = asked,
                                  .out = evbuffer_new(),
                                  .n_choices = 1};
    kvr_list_init(&g->item);
    kvr_list_init(&g->background.item);
    g->stall_ends = evtimer_new(m->base, on_stall_over, g);
    m->n_requests++;
    return g;
}

// NULL, or why the request can't be taken, and *status.
static const char *read_request(struct mock_generation *g, struct h1_exchange *x, int *status) {
    struct mock_engine *m = g->mock;
    int rank = wished_rank(m, x);
    bool known;
    const char *wrong = g->api->read ? g->api->read(g, status) : NULL;
    if (!g->api->read) g->body = json_incref(g->asked);
    if (wrong) return wrong;
    g->names.lora =
        mock_prompt_lora(m, json_object_get(g->body, "model"), &g->names.lora_id, &known);
    *status = 404;
    if (!known) return "no such model";
    wrong = mock_request_read(g, x, &rank, status);
    return wrong ? wrong : place(g, rank, status);
}

static void serve(struct mock_engine *m, struct h1_exchange *x, const struct mock_api *api) {
    die_of(m->options->deadly, x->body);
    json_t *asked = api->take ? api->take(x) : mock_body_object(x);
    if (!asked) return;
    struct mock_generation *g = new_generation(m, asked, api);
    int status = 400;
    const char *wrong = read_request(g, x, &status);
    if (wrong) {
        api->refuse(x, status, wrong);
        free_generation(g);
        return;
    }
    json_t *name = json_string(mock_model_name(g));
    char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    g->model = text ? text : mock_copy_text("\"\"");
    json_decref(name);
    g->names.salt = g->salt;
    submit(g, x);
}

void mock_serve_completion(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_completion);
}

void mock_serve_chat(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_chat);
}

void mock_serve_responses(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_responses);
}

void mock_serve_messages(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_messages);
}

void mock_serve_native(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_native);
}

void mock_serve_transcription(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_transcription);
}

void mock_serve_translation(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, &mock_api_translation);
}
