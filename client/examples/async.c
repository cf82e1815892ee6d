// SPDX-License-Identifier: Apache-2.0
// The asynchronous form on a libevent loop: routes 100 requests at once, each of which goes its own
// way from SELECT over UPDATE to RELEASE. Nothing waits; commands and replies share one connection.
//
//     kvroute-example-async redis://127.0.0.1:6379 pool
#include <kvroute/adapters/libevent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { EXAMPLE_REQUESTS = 100, EXAMPLE_TOKENS = 64 };

struct example_state;

struct example_request { // what the program itself keeps of a request under way
    struct example_state *state;
    char id[32], worker[KVR_MAX_NAME + 1];
    uint32_t prompt[EXAMPLE_TOKENS];
};

struct example_state {
    struct event_base *base;
    struct kvr_client *client;
    struct example_request requests[EXAMPLE_REQUESTS];
    int left, failed, cached;
};

// One request less. The loop is left with the last: the handle itself always waits for something.
static void over(struct example_request *q, const struct kvr_result *failure) {
    struct example_state *s = q->state;
    if (failure) {
        s->failed++;
        fprintf(stderr, "%s: %s %s\n", q->id, kvr_code_name(failure->code), failure->message);
    }
    if (--s->left == 0) event_base_loopbreak(s->base);
}

static void on_released(void *ctx, const struct kvr_result *r) {
    over(ctx, r->code == KVR_CODE_OK ? NULL : r);
}

static void on_updated(void *ctx, const struct kvr_result *r) {
    struct example_request *q = ctx;
    struct kvr_bytes id = kvr_text(q->id);
    if (r->code != KVR_CODE_OK ||
        kvr_client_release_async(q->state->client, &id, 1, on_released, q) != KVR_CODE_OK)
        over(q, r);
}

static void on_selected(void *ctx, const struct kvr_result *r) {
    struct example_request *q = ctx;
    if (r->code != KVR_CODE_OK) {
        over(q, r);
        return;
    }
    // The result's strings are gone when this returns, so what is needed later is copied.
    snprintf(q->worker, sizeof q->worker, "%.*s", (int)r->choice.worker.n, r->choice.worker.p);
    q->state->cached += r->choice.overlap > 0; // `expected` also counts what others compute there
    // Here the prompt would be sent to the worker; this happens when its first token comes.
    struct kvr_update_call first = {.request = kvr_text(q->id), .prefilled = true, .output = 1};
    if (kvr_client_update_async(q->state->client, &first, on_updated, q) != KVR_CODE_OK) over(q, r);
}

static void start(struct example_state *s, int i) {
    struct example_request *q = &s->requests[i];
    q->state = s;
    snprintf(q->id, sizeof q->id, "async-%d-%d", (int)getpid(), i);
    for (uint32_t t = 0; t < EXAMPLE_TOKENS; t++) // the first half is the same for all
        q->prompt[t] = t < EXAMPLE_TOKENS / 2 ? t : t + (uint32_t)i * EXAMPLE_TOKENS;
    struct kvr_select_call call = {
        .request = kvr_text(q->id),
        .blocks = {.tokens = q->prompt, .n = EXAMPLE_TOKENS}, // the server hashes them
    };
    s->left++;
    enum kvr_code code = kvr_client_select_async(s->client, &call, on_selected, q);
    if (code != KVR_CODE_OK)
        over(q, &(struct kvr_result){.code = code, .message = "not even begun"});
}

int main(int argc, char **argv) {
    static struct example_state s;
    const char *url = argc > 1 ? argv[1] : "redis://127.0.0.1:6379";
    char why[160];
    signal(SIGPIPE, SIG_IGN);
    s.base = event_base_new();
    if (!s.base) return 1;
    struct kvr_loop loop = kvr_libevent(s.base);
    struct kvr_client_options options = {.create = "BLOCKSIZE 16", .loop = &loop};
    s.client = kvr_client_open(url, argc > 2 ? argv[2] : "pool", &options, why, sizeof why);
    if (!s.client) {
        fprintf(stderr, "%s: %s\n", url, why);
        event_base_free(s.base);
        return 1;
    }
    // Commands are sent in the order of the calls, so the worker is there before it is needed.
    struct kvr_worker_call worker = {
        .worker = kvr_text("engine-1"), .set = KVR_WORKER_ADDR, .addr = kvr_text("10.0.0.1:8000")};
    kvr_client_worker_set_async(s.client, &worker, NULL, NULL);
    for (int i = 0; i < EXAMPLE_REQUESTS; i++)
        start(&s, i);
    if (s.left) event_base_dispatch(s.base);

    struct kvr_client_stats stats;
    kvr_client_stats(s.client, &stats);
    printf("%d requests routed, %d failed, %d found something cached; %zu still live\n",
           EXAMPLE_REQUESTS, s.failed, s.cached, stats.live);
    kvr_client_close(s.client);
    event_base_free(s.base);
    return s.failed != 0;
}
