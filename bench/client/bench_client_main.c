// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-client: what the library costs over bare hiredis.
//
// SELECT and RELEASE of the same requests, on the same server, over the same kind of socket, in four
// ways that take turns: hiredis pipelined, the library's asynchronous form with as many under way,
// hiredis one at a time, the library's blocking form. The pool has 64 workers and 64 prompts, each of
// which 4 workers hold. Bare hiredis reads of an answer what a router needs of it, the worker and its
// address; the library also remembers the request.
//
// Rates are pairs a second, medians over the rounds; a ratio is the median of the rounds' own ratios,
// because whatever else the machine does meets the neighbours in one round alike. CPU is the client's.
//
// And what a publisher of a million holdings takes, see bench_publisher.h.
#include <hiredis/hiredis.h>
#include <kvroute/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_usage.h"
#include "bench_publisher.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

enum {
    CLIENT_WORKERS = 64,
    CLIENT_PROMPTS = 64,
    CLIENT_HOLDERS = 4,
    CLIENT_MAX_BLOCKS = 512,
    CLIENT_MAX_ROUNDS = 99,
    CLIENT_FORMS = 4
};

static const char pool[] = "bench";

static struct support_redis redis = {.unopened = true};

// ---- The requests --------------------------------------------------------------------------------

struct bench_client {
    redisContext *bare;
    struct kvr_client *client;
    uint64_t prompts[CLIENT_PROMPTS][CLIENT_MAX_BLOCKS];
    size_t blocks, window;
    uint64_t serial; // makes ids
    size_t left;     // of the library's answers, in its asynchronous form
};

struct bench_client_request {
    char id[24];
    size_t n;
    const uint64_t *hashes;
};

static struct bench_client_request next_request(struct bench_client *b) {
    struct bench_client_request q;
    uint64_t n = ++b->serial;
    q.n = (size_t)snprintf(q.id, sizeof q.id, "request-%014llu", (unsigned long long)n);
    q.hashes = b->prompts[n * 7 % CLIENT_PROMPTS];
    return q;
}

static void check(const redisContext *c, const redisReply *r, int type) {
    if (!r) support_fail("%s", c->errstr);
    if (r->type != type)
        support_fail("%s", r->type == REDIS_REPLY_ERROR ? r->str : "an answer of another kind");
}

// ---- Bare hiredis --------------------------------------------------------------------------------

static int select_words(const struct bench_client *b, const struct bench_client_request *q,
                        const char **argv, size_t *lens) {
    const char *words[] = {"KVROUTE.SELECT", pool, q->id, "HASHES", (const char *)q->hashes};
    const size_t n[] = {14, sizeof pool - 1, q->n, 6, b->blocks * 8};
    memcpy(argv, words, sizeof words);
    memcpy(lens, n, sizeof n);
    return 5;
}

static int release_words(const struct bench_client_request *q, const char **argv, size_t *lens) {
    const char *words[] = {"KVROUTE.RELEASE", pool, q->id};
    const size_t n[] = {15, sizeof pool - 1, q->n};
    memcpy(argv, words, sizeof words);
    memcpy(lens, n, sizeof n);
    return 3;
}

static void take_choice(const redisContext *c, redisReply *r) {
    check(c, r, REDIS_REPLY_ARRAY);
    if (!support_redis_field(r, "worker") || !support_redis_field(r, "addr"))
        support_fail("an answer without a worker");
    freeReplyObject(r);
}

static void take_count(const redisContext *c, redisReply *r) {
    check(c, r, REDIS_REPLY_INTEGER);
    if (r->integer != 1) support_fail("a request wasn't live");
    freeReplyObject(r);
}

static void bare_pipelined(struct bench_client *b, size_t pairs) {
    const char *argv[8];
    size_t lens[8];
    void *r;
    for (size_t done = 0; done < pairs; done += b->window) {
        for (size_t i = 0; i < b->window; i++) {
            struct bench_client_request q = next_request(b);
            redisAppendCommandArgv(b->bare, select_words(b, &q, argv, lens), argv, lens);
            redisAppendCommandArgv(b->bare, release_words(&q, argv, lens), argv, lens);
        }
        for (size_t i = 0; i < b->window; i++) {
            if (redisGetReply(b->bare, &r) != REDIS_OK) support_fail("%s", b->bare->errstr);
            take_choice(b->bare, r);
            if (redisGetReply(b->bare, &r) != REDIS_OK) support_fail("%s", b->bare->errstr);
            take_count(b->bare, r);
        }
    }
}

static void bare_blocking(struct bench_client *b, size_t pairs) {
    const char *argv[8];
    size_t lens[8];
    for (size_t i = 0; i < pairs; i++) {
        struct bench_client_request q = next_request(b);
        int n = select_words(b, &q, argv, lens);
        take_choice(b->bare, redisCommandArgv(b->bare, n, argv, lens));
        n = release_words(&q, argv, lens);
        take_count(b->bare, redisCommandArgv(b->bare, n, argv, lens));
    }
}

// ---- The library ---------------------------------------------------------------------------------

static struct kvr_select_call select_call(const struct bench_client *b,
                                          const struct bench_client_request *q) {
    return (struct kvr_select_call){.request = {q->id, q->n},
                                    .blocks = {.hashes = q->hashes, .n = b->blocks}};
}

static void good_choice(const struct kvr_result *r) {
    if (r->code != KVR_CODE_OK) support_fail("%s", r->message);
    if (!r->choice.worker.n || !r->choice.addr.n) support_fail("an answer without a worker");
}

static void good_count(const struct kvr_result *r) {
    if (r->code != KVR_CODE_OK) support_fail("%s", r->message);
    if (r->number != 1) support_fail("a request wasn't live");
}

static void selected(void *ctx, const struct kvr_result *r) {
    good_choice(r);
    ((struct bench_client *)ctx)->left--;
}

static void released(void *ctx, const struct kvr_result *r) {
    good_count(r);
    ((struct bench_client *)ctx)->left--;
}

static void library_pipelined(struct bench_client *b, size_t pairs) {
    for (size_t done = 0; done < pairs; done += b->window) {
        for (size_t i = 0; i < b->window; i++) {
            struct bench_client_request q = next_request(b);
            struct kvr_select_call call = select_call(b, &q);
            struct kvr_bytes id = call.request;
            b->left += 2;
            if (kvr_client_select_async(b->client, &call, selected, b) != KVR_CODE_OK ||
                kvr_client_release_async(b->client, &id, 1, released, b) != KVR_CODE_OK)
                support_fail("a call is refused");
        }
        while (b->left)
            kvr_client_run(b->client, 1000);
    }
}

static void library_blocking(struct bench_client *b, size_t pairs) {
    for (size_t i = 0; i < pairs; i++) {
        struct bench_client_request q = next_request(b);
        struct kvr_select_call call = select_call(b, &q);
        good_choice(kvr_client_select(b->client, &call));
        good_count(kvr_client_release(b->client, &call.request, 1));
    }
}

// ---- Measuring -----------------------------------------------------------------------------------

static const struct bench_form {
    const char *name;
    void (*run)(struct bench_client *b, size_t pairs);
    bool pipelined;
} bench_forms[CLIENT_FORMS] = {
    {"hiredis, pipelined", bare_pipelined, true},
    {"library, asynchronous", library_pipelined, true},
    {"hiredis, one at a time", bare_blocking, false},
    {"library, blocking", library_blocking, false},
};

struct bench_rates {
    double rate[CLIENT_FORMS][CLIENT_MAX_ROUNDS],
        cpu[CLIENT_FORMS][CLIENT_MAX_ROUNDS]; // pairs/s, µs a pair
};

static void measure(struct bench_client *b, size_t rounds, size_t pairs, struct bench_rates *f) {
    for (size_t r = 0; r < rounds; r++)
        for (size_t i = 0; i < CLIENT_FORMS; i++) {
            // Every other round goes backwards, so that no way always follows the same other.
            size_t w = r % 2 ? CLIENT_FORMS - 1 - i : i;
            size_t n = bench_forms[w].pipelined ? pairs : pairs / 2;
            n -= n % b->window;
            bench_forms[w].run(b, b->window); // what a first call needs
            double cpu = bench_own_cpu_s();
            int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
            bench_forms[w].run(b, n);
            f->rate[w][r] = (double)n * 1e9 / (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start);
            f->cpu[w][r] = (bench_own_cpu_s() - cpu) * 1e6 / (double)n;
        }
}

static void print_ratio(const struct bench_rates *f, size_t rounds, size_t library, size_t bare) {
    double ratios[CLIENT_MAX_ROUNDS];
    for (size_t r = 0; r < rounds; r++)
        ratios[r] = f->rate[library][r] / f->rate[bare][r];
    printf("  %-24s %10.2f %12s %s\n",
           bench_forms[library].pipelined ? "asynchronous by pipelined"
                                          : "blocking by one at a time",
           bench_median(ratios, rounds), "", ">= 0.90");
}

static void compare(struct bench_client *b, size_t blocks, size_t window, size_t rounds,
                    size_t pairs) {
    static struct bench_rates f;
    b->blocks = blocks;
    b->window = window;
    measure(b, rounds, pairs, &f);
    printf("%zu blocks, %zu pairs under way\n", blocks, window);
    for (size_t w = 0; w < CLIENT_FORMS; w++)
        printf("  %-24s %10.0f %12.1f\n", bench_forms[w].name, bench_median(f.rate[w], rounds),
               bench_median(f.cpu[w], rounds));
    print_ratio(&f, rounds, 1, 0);
    print_ratio(&f, rounds, 3, 2);
    fflush(stdout);
}

// ---- The pool ------------------------------------------------------------------------------------

static void prepare(struct bench_client *b) {
    char url[300], why[160], name[32], addr[48];
    snprintf(url, sizeof url, "unix://%s?deadline=60000&timeout=30000", redis.socket);
    struct kvr_client_options options = {.create = "BLOCKSIZE 16"};
    b->client = kvr_client_open(url, pool, &options, why, sizeof why);
    if (!b->client) support_fail("%s", why);
    b->bare = redisConnectUnix(redis.socket);
    if (!b->bare || b->bare->err) support_fail("no connection");
    uint64_t state = 1;
    for (size_t i = 0; i < CLIENT_PROMPTS; i++)
        for (size_t k = 0; k < CLIENT_MAX_BLOCKS; k++)
            b->prompts[i][k] = kvr_random(&state);
    for (size_t w = 0; w < CLIENT_WORKERS; w++) {
        struct kvr_worker_call worker = {.set = KVR_WORKER_ADDR};
        snprintf(name, sizeof name, "worker-%02zu", w);
        snprintf(addr, sizeof addr, "http://10.0.0.%zu:8000", w);
        worker.worker = kvr_text(name);
        worker.addr = kvr_text(addr);
        if (kvr_client_worker_set(b->client, &worker)->code != KVR_CODE_OK)
            support_fail("a worker is refused");
        for (size_t i = 0, seq = 0; i < CLIENT_PROMPTS; i++) {
            if ((w + CLIENT_WORKERS - i * 5 % CLIENT_WORKERS) % CLIENT_WORKERS >= CLIENT_HOLDERS)
                continue;
            struct kvr_op op = {
                .kind = KVR_OP_STORED, .hashes = b->prompts[i], .n = CLIENT_MAX_BLOCKS};
            struct kvr_event_call event = {
                .worker = worker.worker, .epoch = 1, .seq = ++seq, .ops = &op, .n_ops = 1};
            if (kvr_client_event(b->client, &event)->code != KVR_CODE_OK)
                support_fail("an event is refused");
        }
    }
}

struct bench_client_options {
    bool quick;
    uint64_t rounds;
};

static const char usage[] = "usage: kvroute-bench-client [--quick] [--rounds N]\n"
                            "N rounds of all forms, 1 to 99 (45; --quick: 5)\n";

int main(int argc, char **argv) {
    static struct bench_client b;
    static const struct bench_arg args[] = {
        {"quick", bench_arg_flag, offsetof(struct bench_client_options, quick), 0, 0},
        {"rounds", bench_arg_whole, offsetof(struct bench_client_options, rounds), 1,
         CLIENT_MAX_ROUNDS},
    };
    struct bench_client_options o = {0};
    int status = bench_args_read(&o, args, 2, usage, argc, argv);
    if (status >= 0) return status;
    size_t rounds = o.rounds ? o.rounds : o.quick ? 5 : 45;
    size_t pairs = 4000; // short ones, so that neighbours in time are compared
    if (!support_redis_start(&redis)) return 1;
    prepare(&b);
    printf("%s\nSELECT + RELEASE over a unix socket, %d workers, medians of %zu rounds\n\n",
           kvr_client_library(), CLIENT_WORKERS, rounds);
    printf("%-26s %10s %12s %s\n", "", "pairs/s", "client us", "goal");
    compare(&b, 512, 32, rounds, pairs);
    compare(&b, 512, 64, rounds, pairs);
    compare(&b, 16, 32, rounds, 2 * pairs);
    const char *wrong = bench_publisher(b.client, 1000000, rounds < 5 ? rounds : 5);
    if (wrong) support_fail("%s", wrong);
    kvr_client_close(b.client);
    redisFree(b.bare);
    return 0;
}
