// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-router: what the HTTP router costs, beside haproxy's round robin.
//
//   advise   POST /v1/select beside the bare command: one at a time, and as many as a router answers
//   proxy    short answers that aren't streamed, through a router, one that calls engines over TLS, haproxy and none
//   streams  1,000 streams at once, how late their pieces are and what memory they take
//
// The engines are mock engines, the redis-server is real, all on this machine with the client that
// measures. Where processors are few, rates are those of all of them together; what remains comparable is
// the CPU that a router itself takes, and a second of a core divided by it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_usage.h"
#include "bench_load.h"
#include "bench_router_setup.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

enum {
    ROUTER_TOKENS = 1024,
    ROUTER_PROMPTS = 64,
    ROUTER_MAX_ROUNDS = 15,
    ROUTER_RELEASES = 50,
    ROUTER_PIECES = 100, // of a stream
    ROUTER_TARGETS = 5
};

static struct bench_router_setup setup;

static struct bench_router_options {
    bool quick;
    uint64_t rounds, streams; // 0: as many as usual
    double slice;
    const char *only; // NULL: all parts
} o;

static size_t post(char *out, const char *path, const char *body, size_t n) {
    int head = snprintf(out, BENCH_MAX_REQUEST,
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, n);
    memcpy(out + head, body, n);
    return (size_t)head + n;
}

static void run(const struct bench_load_plan *plan, struct bench_load_result *r) {
    if (bench_load_run(plan, r)) support_fail("the load can't be run");
    if (r->failures)
        fprintf(stderr, "kvroute-bench-router: %llu failures, the first: %s\n",
                (unsigned long long)r->failures, r->why);
}

// ---- Advise --------------------------------------------------------------------------------------

// What is asked for again and again, as numbers and as the body has them.
static uint32_t tokens[ROUTER_PROMPTS][ROUTER_TOKENS];
static char token_texts[ROUTER_PROMPTS][ROUTER_TOKENS * 6 + 1];

static void make_prompts(void) {
    for (size_t p = 0; p < ROUTER_PROMPTS; p++) {
        uint64_t state = p;
        size_t n = 0;
        for (int i = 0; i < ROUTER_TOKENS; i++) {
            tokens[p][i] = (uint32_t)(kvr_random(&state) % 100000);
            n += (size_t)snprintf(token_texts[p] + n, sizeof token_texts[p] - n, "%s%u",
                                  i ? "," : "", tokens[p][i]);
        }
    }
}

// Ids are numbers in order. Every so many requests one releases as many that are long answered.
static size_t release_body(uint64_t serial, char *out, size_t room) {
    enum { ROUTER_BEHIND = 5 * (ROUTER_RELEASES + 1) };
    uint64_t end = serial > ROUTER_BEHIND ? serial - ROUTER_BEHIND : 0,
             first = end > ROUTER_RELEASES ? end - ROUTER_RELEASES : 0;
    size_t n = (size_t)snprintf(out, room, "{\"pool\":\"advise\",\"requests\":[\"r%llu\"",
                                (unsigned long long)first);
    while (++first < end)
        n += (size_t)snprintf(out + n, room - n, ",\"r%llu\"", (unsigned long long)first);
    return n + (size_t)snprintf(out + n, room - n, "]}");
}

static size_t select_request(void *ctx, uint64_t serial, char *out) {
    static char body[BENCH_MAX_REQUEST - 256];
    size_t n;
    (void)ctx;
    if (serial % (ROUTER_RELEASES + 1) == ROUTER_RELEASES) {
        n = release_body(serial, body, sizeof body);
        return post(out, "/v1/release", body, n);
    }
    n = (size_t)snprintf(body, sizeof body,
                         "{\"pool\":\"advise\",\"request\":\"r%llu\",\"tokens\":[%s]}",
                         (unsigned long long)serial, token_texts[serial % ROUTER_PROMPTS]);
    return post(out, "/v1/select", body, n);
}

// Time of the bare command with the same tokens, one at a time over the same kind of socket, in us.
static double bare_p50(size_t n) {
    redisContext *c = redisConnect("127.0.0.1", setup.redis.port);
    double *took = calloc(n, sizeof *took);
    if (!c || c->err || !took) support_fail("no connection to the server");
    for (size_t i = 0; i < n; i++) {
        const uint32_t *prompt = tokens[i % ROUTER_PROMPTS];
        int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
        redisReply *r = redisCommand(c, "KVROUTE.SELECT advise bare%lu TOKENS %b", (unsigned long)i,
                                     prompt, sizeof *tokens);
        took[i] = (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e3;
        if (!r || r->type == REDIS_REPLY_ERROR) support_fail("%s", r ? r->str : c->errstr);
        freeReplyObject(r);
        if (!(r = redisCommand(c, "KVROUTE.RELEASE advise bare%lu", (unsigned long)i)))
            support_fail("%s", c->errstr);
        freeReplyObject(r);
    }
    redisFree(c);
    double p50 = bench_median(took, n);
    free(took);
    return p50;
}

static void advise(void) {
    double bare[ROUTER_MAX_ROUNDS], one[ROUTER_MAX_ROUNDS], p99[ROUTER_MAX_ROUNDS],
        rate[ROUTER_MAX_ROUNDS], cpu[ROUTER_MAX_ROUNDS];
    struct bench_load_plan plan = {
        .port = setup.router_port, .request = select_request, .seconds = o.slice};
    struct bench_load_result r;
    make_prompts();
    bench_router_fill_advise(&setup.redis);
    for (size_t i = 0; i < o.rounds; i++) {
        bare[i] = bare_p50(2000);
        plan.connections = 1;
        run(&plan, &r);
        one[i] = r.p50_us;
        plan.connections = 64;
        double before = bench_cpu_s(setup.router);
        run(&plan, &r);
        rate[i] = r.rate * ROUTER_RELEASES / (ROUTER_RELEASES + 1);
        cpu[i] = (bench_cpu_s(setup.router) - before) * 1e6 /
                 ((double)r.answers * ROUTER_RELEASES / (ROUTER_RELEASES + 1));
        p99[i] = r.p99_us;
    }
    double added = bench_median(one, o.rounds) - bench_median(bare, o.rounds);
    double each = bench_median(cpu, o.rounds);
    printf("== Advise: %d tokens, %d workers; released %d at a time ==\n", ROUTER_TOKENS,
           BENCH_ADVISE_WORKERS, ROUTER_RELEASES);
    printf("  bare command, one at a time                  p50 %8.0f us\n",
           bench_median(bare, o.rounds));
    printf("  POST /v1/select, one at a time               p50 %8.0f us\n",
           bench_median(one, o.rounds));
    printf("  added                                            %8.0f us   goal <= 300\n", added);
    printf("  64 at once                                       %8.0f selects/s, p99 %.0f us\n",
           bench_median(rate, o.rounds), bench_median(p99, o.rounds));
    printf("  the router's CPU                                 %8.1f us a select: %.0f a second of "
           "a core   goal >= 20000\n\n",
           each, 1e6 / each);
}

// ---- Proxy ---------------------------------------------------------------------------------------

static size_t chat_request(void *ctx, uint64_t serial, char *out) {
    const char *more = ctx;
    char body[512];
    int n = snprintf(
        body, sizeof body,
        "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":"
        "\"Question %llu: what is the answer to this, in few words, if you please?\"}],%s}",
        (unsigned long long)serial, more);
    return post(out, "/v1/chat/completions", body, (size_t)n);
}

struct bench_target {
    const char *name;
    pid_t *pid; // whose CPU counts; NULL: nobody's
    struct bench_load_plan plan;
    double rate[ROUTER_MAX_ROUNDS], p50[ROUTER_MAX_ROUNDS], p99[ROUTER_MAX_ROUNDS],
        cpu[ROUTER_MAX_ROUNDS];
};

static size_t make_targets(struct bench_target *targets, const struct bench_load_plan *plan,
                           bool streams) {
    static int engine_ports[BENCH_ENGINES];
    size_t n = 0;
    targets[n] = (struct bench_target){.name = "engines, no proxy", .plan = *plan};
    for (int i = 0; i < BENCH_ENGINES; i++)
        engine_ports[i] = setup.engines[i].http;
    targets[n].plan.ports = engine_ports;
    targets[n++].plan.n_ports = BENCH_ENGINES;
    targets[n] =
        (struct bench_target){.name = "kvroute-router", .pid = &setup.router, .plan = *plan};
    targets[n++].plan.port = setup.router_port;
    if (setup.tls_router_port) {
        targets[n] = (struct bench_target){
            .name = "the same, https", .pid = &setup.tls_router, .plan = *plan};
        targets[n++].plan.port = setup.tls_router_port;
    }
    if (setup.haproxy_port) {
        targets[n] = (struct bench_target){.name = "haproxy", .pid = &setup.haproxy, .plan = *plan};
        targets[n++].plan.port = setup.haproxy_port;
    }
    // As it is, haproxy gathers pieces for up to 0.3 s. With this setting it passes each on, as routers do.
    if (setup.haproxy_port && streams) {
        targets[n] = (struct bench_target){
            .name = "haproxy, no delay", .pid = &setup.haproxy, .plan = *plan};
        targets[n++].plan.port = setup.haproxy_at_once_port;
    }
    return n;
}

static void proxy(void) {
    static struct bench_target targets[ROUTER_TARGETS];
    struct bench_load_plan plan = {
        .connections = 64, .request = chat_request, .ctx = "\"max_tokens\":4", .seconds = o.slice};
    struct bench_load_result r;
    size_t n = make_targets(targets, &plan, false);
    for (size_t i = 0; i < o.rounds; i++)
        for (size_t w = 0; w < n; w++) {
            double before = targets[w].pid ? bench_cpu_s(*targets[w].pid) : 0;
            run(&targets[w].plan, &r);
            double cpu = targets[w].pid ? bench_cpu_s(*targets[w].pid) - before : 0;
            targets[w].rate[i] = r.rate;
            targets[w].p50[i] = r.p50_us;
            targets[w].p99[i] = r.p99_us;
            targets[w].cpu[i] = r.answers ? cpu * 1e6 / (double)r.answers : 0;
        }
    printf("== Proxy: answers of 4 tokens, not streamed, 64 at once, %d engines ==\n",
           BENCH_ENGINES);
    printf("  %-20s %12s %10s %10s %12s %18s\n", "", "requests/s", "p50 us", "p99 us", "its CPU us",
           "a second of a core");
    for (size_t w = 0; w < n; w++) {
        double cpu = bench_median(targets[w].cpu, o.rounds);
        printf("  %-20s %12.0f %10.0f %10.0f", targets[w].name,
               bench_median(targets[w].rate, o.rounds), bench_median(targets[w].p50, o.rounds),
               bench_median(targets[w].p99, o.rounds));
        if (targets[w].pid)
            printf(" %12.1f %18.0f%s", cpu, 1e6 / cpu,
                   targets[w].pid == &setup.router ? "   goal >= 5000" : "");
        printf("\n");
    }
    printf("\n");
}

// ---- Streams -------------------------------------------------------------------------------------

static double rss;

static void take_rss(void *ctx) {
    pid_t *pid = ctx;
    rss = pid ? bench_rss_bytes(*pid) : 0;
}

struct bench_streams {
    const char *more;
    pid_t *pid;
};

static size_t stream_request(void *ctx, uint64_t serial, char *out) {
    const struct bench_streams *c = ctx;
    return chat_request((void *)c->more, serial, out);
}

static void begun(void *ctx) {
    const struct bench_streams *c = ctx;
    take_rss(c->pid);
}

static void show_streams(void) {
    static struct bench_target targets[ROUTER_TARGETS];
    struct bench_streams ctx = {.more = "\"stream\":true,\"max_tokens\":100"};
    struct bench_load_plan plan = {
        .connections = o.streams, .request = stream_request, .ctx = &ctx, .all_begun = begun};
    size_t n = make_targets(targets, &plan, true);
    printf("== Streams: %zu at once, 100 tokens at 10 a second ==\n", (size_t)o.streams);
    printf("  %-20s %8s %9s %14s %14s %12s %16s %10s %14s\n", "", "whole", "failures",
           "first p99 ms", "gap p99 ms", "its CPU s", "CPU us a piece", "RSS MB", "kB a stream");
    for (size_t w = 0; w < n; w++) {
        struct bench_load_result r;
        ctx.pid = targets[w].pid;
        double idle = ctx.pid ? bench_rss_bytes(*ctx.pid) : 0,
               before = ctx.pid ? bench_cpu_s(*ctx.pid) : 0;
        rss = 0;
        run(&targets[w].plan, &r);
        printf("  %-20s %8llu %9llu %14.0f %14.0f", targets[w].name, (unsigned long long)r.answers,
               (unsigned long long)r.failures, r.first_p99_us / 1e3, r.gap_p99_ms);
        double cpu = ctx.pid ? bench_cpu_s(*ctx.pid) - before : 0;
        if (ctx.pid)
            printf(" %12.2f %16.1f %10.1f %14.1f", cpu,
                   cpu * 1e6 / ROUTER_PIECES / (double)o.streams, rss / 1e6,
                   (rss - idle) / 1e3 / (double)o.streams);
        printf("\n");
    }
    printf("  goal: RSS <= 64 MB + 32 kB a stream = %.0f MB\n", 64 + 0.032 * (double)o.streams);
}

// ---- All of it -----------------------------------------------------------------------------------

static const char usage[] = "usage: kvroute-bench-router [options]\n"
                            "\n"
                            "What the HTTP router costs, beside haproxy (if it is installed) and "
                            "no proxy at all: choosing for\n"
                            "others, short answers, 1,000 streams. About two minutes.\n"
                            "\n"
                            "  --quick        two rounds of half a second, 200 streams\n"
                            "  --rounds N     1 to 15 (5)\n"
                            "  --slice S      seconds of each turn (2)\n"
                            "  --streams N    streams at once (1000)\n"
                            "  --only PART    advise, proxy or streams\n"
                            "  --help, --version\n";

#define AT(field) offsetof(struct bench_router_options, field)
static const struct bench_arg args[] = {
    {"quick", bench_arg_flag, AT(quick), 0, 0},
    {"rounds", bench_arg_whole, AT(rounds), 1, ROUTER_MAX_ROUNDS},
    {"slice", bench_arg_real, AT(slice), 1e-3, 3600},
    {"streams", bench_arg_whole, AT(streams), 1, 20000},
    {"only", bench_arg_text, AT(only), 0, 0},
};
#undef AT

static void restart(const char *time_scale, const char *decode_speed) {
    bench_router_end_engines(&setup);
    if (!bench_router_engines(&setup, time_scale, decode_speed) || !bench_router_routers(&setup) ||
        !bench_router_haproxy(&setup))
        support_fail("the processes don't start");
}

static bool wants(const char *part) {
    return !o.only || !strcmp(o.only, part);
}

int main(int argc, char **argv) {
    int status = bench_args_read(&o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    if (!o.rounds) o.rounds = o.quick ? 2 : 5;
    if (!o.streams) o.streams = o.quick ? 200 : 1000;
    if (o.slice <= 0) o.slice = o.quick ? 0.5 : 2;
    bench_raise_files();
    if (!support_redis_start(&setup.redis)) return 1;
    bench_router_certificate(&setup);
    restart("0", "50");
    if (wants("advise")) advise();
    if (wants("proxy")) proxy();
    if (!wants("streams")) return 0;
    restart("1", "10");
    show_streams();
    return 0;
}
