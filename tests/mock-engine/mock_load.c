// SPDX-License-Identifier: Apache-2.0
// What an engine pulls from others; see mock_transfer.h.
#include <stdio.h>
#include <string.h>

#include "mock_engine.h"
#include "mock_memory.h"
#include "mock_transfer.h"

// A pull has no deadline but those of its engine.
enum { LOAD_CONNECT_MS = 5000, ANSWER_MS = 100000000, FAILURE_SIZE = 200 };

struct mock_load {
    struct kvr_list_item item; // first: of the engine's loads
    struct mock_transfers *all;
    struct mock_source source;
    mock_loaded_callback *done;
    void *ctx;
    struct h1_call *call;
    struct evbuffer *answer;
    int status;
    size_t tokens;
    bool pulls, asking;
    struct event *timer; // to renew the lease; once it pulls: to give up
    char failure[FAILURE_SIZE];
};

// ---- Calls ---------------------------------------------------------------------------------------

static struct h1_client *client_of(struct mock_transfers *t) {
    struct h1_client_options o = {
        .connect_ms = LOAD_CONNECT_MS, .head_ms = ANSWER_MS, .idle_ms = ANSWER_MS};
    if (!t->client) t->client = h1_client_new(t->mock->base, &o);
    if (!t->client) abort();
    return t->client;
}

static struct h1_call *post(struct mock_transfers *t, const char *address, const char *path,
                            json_t *body, const struct h1_callbacks *calls, void *ctx) {
    struct evbuffer *bytes = NULL;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    bool wrong;
    if (text) {
        bytes = evbuffer_new();
        evbuffer_add(bytes, text, strlen(text));
    }
    struct h1_request r = {.address = address,
                           .method = body ? "POST" : "GET",
                           .path = path,
                           .body = bytes,
                           .fresh = true};
    struct h1_call *c = h1_call_start(client_of(t), &r, calls, ctx, &wrong);
    if (bytes) evbuffer_free(bytes);
    free(text);
    json_decref(body);
    return c;
}

static void ignore_head(void *ctx, const struct h1_head *head) {
    (void)ctx;
    (void)head;
}

static void ignore_data(void *ctx, struct evbuffer *bytes) {
    (void)ctx;
    evbuffer_drain(bytes, evbuffer_get_length(bytes));
}

static void ignore_end(void *ctx) {
    (void)ctx;
}

static void ignore_failure(void *ctx, enum h1_failure why) {
    (void)ctx;
    (void)why;
}

static const struct h1_callbacks ignoring = {ignore_head, ignore_data, ignore_end, ignore_failure};

static json_t *pull_body(const struct mock_transfers *t, const struct mock_source *s,
                         size_t tokens) {
    return json_pack("{s:s,s:s,s:i,s:I,s:I,s:b}", "key", s->key, "engine_id", s->engine_id, "rank",
                     s->rank, "tokens", (json_int_t)tokens, "block_size",
                     (json_int_t)t->mock->options->engine.block_size, "waits", s->waits);
}

// ---- A load --------------------------------------------------------------------------------------

static void wait_ms(struct mock_load *l, int64_t ms) {
    struct timeval t = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(l->timer, &t);
}

static void free_load(struct mock_load *l) {
    kvr_list_remove(&l->item);
    event_free(l->timer);
    evbuffer_free(l->answer);
    free(l);
}

static void finish(struct mock_load *l, const char *failed) {
    mock_loaded_callback *done = l->done;
    void *ctx = l->ctx;
    char why[FAILURE_SIZE];
    snprintf(why, sizeof why, "%s", failed ? failed : "");
    if (failed) {
        l->all->failed++;
    } else {
        l->all->received++;
        l->all->received_tokens += l->tokens;
    }
    h1_call_cancel(l->call);
    free_load(l);
    done(ctx, failed ? why : NULL);
}

static void fail_at(struct mock_load *l, const char *why, int64_t ms) {
    snprintf(l->failure, sizeof l->failure, "%s", why);
    wait_ms(l, ms);
}

static void start_pull(struct mock_load *l, const char *address);

// {"0": {"engine_id": …, "worker_addr": {"0": {"0": "host:port"}}}, …}
static bool find_worker(const json_t *table, const char *engine_id, char *out, size_t size) {
    const char *rank;
    json_t *row;
    json_object_foreach((json_t *)table, rank, row) {
        const char *id = json_string_value(json_object_get(row, "engine_id"));
        const json_t *workers = json_object_get(row, "worker_addr");
        const char *where = json_string_value(json_object_get(json_object_get(workers, "0"), "0"));
        if (!id || !where || strcmp(id, engine_id) != 0) continue;
        snprintf(out, size, "http://%s", where);
        return true;
    }
    return false;
}

static void on_head(void *ctx, const struct h1_head *head) {
    ((struct mock_load *)ctx)->status = head->status;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    evbuffer_add_buffer(((struct mock_load *)ctx)->answer, bytes);
}

static void on_end(void *ctx) {
    struct mock_load *l = ctx;
    char address[300];
    l->call = NULL;
    if (!l->asking) {
        finish(l, l->status == 200 ? NULL : "the other engine has no such blocks, or gave up");
        return;
    }
    size_t n = evbuffer_get_length(l->answer);
    json_t *table = json_loadb(n ? (char *)evbuffer_pullup(l->answer, -1) : "", n, 0, NULL);
    bool found = find_worker(table, l->source.engine_id, address, sizeof address);
    json_decref(table);
    evbuffer_drain(l->answer, n);
    l->asking = false;
    if (found)
        start_pull(l, address);
    else
        finish(l, "no such engine there: it may have been started again");
}

// Whoever had begun to wait for the other side doesn't notice its end at once.
static void on_failed(void *ctx, enum h1_failure why) {
    struct mock_load *l = ctx;
    l->call = NULL;
    if (why == H1_CONNECT || why == H1_LOCAL || l->asking || !l->source.deaf_ms)
        finish(l, "the other engine can't be reached");
    else if (!evtimer_pending(l->timer, NULL) ||
             l->source.deaf_ms < l->all->mock->options->kv_timeout_ms)
        fail_at(l, "the other engine is gone", l->source.deaf_ms);
}

static const struct h1_callbacks pulling = {on_head, on_data, on_end, on_failed};

static void start_pull(struct mock_load *l, const char *address) {
    l->call = post(l->all, address, "/mock/kv/pull", pull_body(l->all, &l->source, l->tokens),
                   &pulling, l);
    if (!l->call) fail_at(l, "no address of an engine", 0);
}

static void renew(struct mock_load *l) {
    const struct mock_options *o = l->all->mock->options;
    post(l->all, l->source.address, "/mock/kv/renew", json_pack("{s:s}", "key", l->source.key),
         &ignoring, NULL);
    wait_ms(l, o->kv_lease_ms / 6 + 1);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx) {
    struct mock_load *l = ctx;
    (void)fd;
    (void)what;
    if (!l->pulls)
        renew(l);
    else
        finish(l, l->failure[0] ? l->failure : "transfer failed: not in time");
}

struct mock_load *mock_load_new(struct mock_transfers *t, const struct mock_source *source,
                                mock_loaded_callback *done, void *ctx) {
    struct mock_load *l = mock_take(1, sizeof *l);
    *l = (struct mock_load){
        .all = t, .source = *source, .done = done, .ctx = ctx, .answer = evbuffer_new()};
    l->timer = evtimer_new(t->mock->base, on_timer, l);
    kvr_list_push(&t->loads, &l->item);
    if (source->renews) renew(l);
    return l;
}

void mock_load_pull(struct mock_load *l, size_t tokens) {
    l->pulls = true;
    l->tokens = tokens;
    event_del(l->timer);
    if (l->source.waits) wait_ms(l, l->all->mock->options->kv_timeout_ms);
    l->asking = l->source.asks;
    if (!l->asking) {
        start_pull(l, l->source.address);
        return;
    }
    l->call = post(l->all, l->source.address, "/query", NULL, &pulling, l);
    if (!l->call) fail_at(l, "no address of an engine", 0);
}

void mock_load_cancel(struct mock_load *l) {
    if (!l) return;
    h1_call_cancel(l->call);
    free_load(l);
}

void mock_load_refuse(struct mock_transfers *t, const struct mock_source *source) {
    post(t, source->address, "/mock/kv/pull", pull_body(t, source, 0), &ignoring, NULL);
}

// ---- All of them ---------------------------------------------------------------------------------

void mock_transfers_init(struct mock_transfers *t, struct mock_engine *m) {
    *t = (struct mock_transfers){.mock = m};
    kvr_list_init(&t->offers);
    kvr_list_init(&t->loads);
}

void mock_transfers_free(struct mock_transfers *t) {
    mock_offers_free(t);
    for (struct kvr_list_item *i; (i = kvr_list_first(&t->loads));)
        mock_load_cancel((struct mock_load *)i);
    if (t->client) h1_client_free(t->client);
}

json_t *mock_transfers_describe(const struct mock_transfers *t) {
    json_t *open = mock_offers_describe(t);
    json_int_t half_open = 0, waiting = 0, loading = 0;
    const char *name;
    json_t *n;
    for (struct kvr_list_item *i = t->loads.next; i != &t->loads; i = i->next)
        (((struct mock_load *)i)->pulls) ? loading++ : waiting++;
    json_object_set_new(open, "queued", json_integer(waiting));
    json_object_set_new(open, "loading", json_integer(loading));
    json_object_foreach(open, name, n) half_open += json_integer_value(n);
    return json_pack("{s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "half_open", half_open, "open",
                     open, "sent", (json_int_t)t->sent, "sent_tokens", (json_int_t)t->sent_tokens,
                     "received", (json_int_t)t->received, "received_tokens",
                     (json_int_t)t->received_tokens, "expired", (json_int_t)t->expired, "dropped",
                     (json_int_t)t->dropped, "failed", (json_int_t)t->failed, "renewed",
                     (json_int_t)t->renewed);
}
