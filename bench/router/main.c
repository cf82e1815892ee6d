// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-router: what the HTTP router costs, beside haproxy's round robin.
//
//   advise   POST /v1/select beside the bare command: one at a time, and as many as a router answers
//   proxy    short answers that aren't streamed, through a router, haproxy and neither
//   streams  1,000 streams at once, how late their pieces are and what memory they take
//
// The engines are mock engines, the redis-server is real, all on this machine with the client that
// measures. Where processors are few, rates are those of all of them together; what remains comparable is
// the CPU that a router itself takes, and a second of a core divided by it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/common/clock.h"
#include "bench/common/measure.h"
#include "bench/common/process.h"
#include "bench/common/random.h"
#include "bench/common/stop.h"
#include "bench/common/usage.h"
#include "load.h"
#include "stage.h"

enum { WORKERS = 64, TOKENS = 1024, PROMPTS = 64, MAX_ROUNDS = 15, RELEASES = 50 };

static struct stage stage;
static int rounds = 5;
static double slice = 2;
static size_t streams = 1000;

static void put_away(void) {
    stage_end(&stage);
}

static void fail(const char *what) {
    if (!stop_asked()) fprintf(stderr, "kvroute-bench-router: %s\n", what);
    exit(1);
}

static size_t post(char *out, const char *path, const char *body, size_t n) {
    int head = snprintf(out, MAX_REQUEST,
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, n);
    memcpy(out + head, body, n);
    return (size_t)head + n;
}

static void run(const struct load_plan *plan, struct load_result *r) {
    if (load_run(plan, r)) fail("the load can't be run");
    if (r->failures)
        fprintf(stderr, "kvroute-bench-router: %llu failures, the first: %s\n",
                (unsigned long long)r->failures, r->why);
}

// ---- Advise --------------------------------------------------------------------------------------

// What is asked for again and again, as numbers and as the body has them.
static uint32_t tokens[PROMPTS][TOKENS];
static char token_texts[PROMPTS][TOKENS * 6 + 1];

static void make_prompts(void) {
    for (size_t p = 0; p < PROMPTS; p++) {
        uint64_t state = p;
        size_t n = 0;
        for (int i = 0; i < TOKENS; i++) {
            tokens[p][i] = (uint32_t)(random_next(&state) % 100000);
            n += (size_t)snprintf(token_texts[p] + n, sizeof token_texts[p] - n, "%s%u",
                                  i ? "," : "", tokens[p][i]);
        }
    }
}

// Ids are numbers in order. Every so many requests one releases as many that are long answered.
static size_t release_body(uint64_t serial, char *out, size_t room) {
    enum { BEHIND = 5 * (RELEASES + 1) };
    uint64_t end = serial > BEHIND ? serial - BEHIND : 0,
             first = end > RELEASES ? end - RELEASES : 0;
    size_t n = (size_t)snprintf(out, room, "{\"pool\":\"advise\",\"requests\":[\"r%llu\"",
                                (unsigned long long)first);
    while (++first < end)
        n += (size_t)snprintf(out + n, room - n, ",\"r%llu\"", (unsigned long long)first);
    return n + (size_t)snprintf(out + n, room - n, "]}");
}

static size_t select_request(void *ctx, uint64_t serial, char *out) {
    static char body[MAX_REQUEST - 256];
    size_t n;
    (void)ctx;
    if (serial % (RELEASES + 1) == RELEASES) {
        n = release_body(serial, body, sizeof body);
        return post(out, "/v1/release", body, n);
    }
    n = (size_t)snprintf(body, sizeof body,
                         "{\"pool\":\"advise\",\"request\":\"r%llu\",\"tokens\":[%s]}",
                         (unsigned long long)serial, token_texts[serial % PROMPTS]);
    return post(out, "/v1/select", body, n);
}

static void fill_advise(void) {
    redisReply *r = server_command(&stage.server, "KVROUTE.CREATE advise POLICY delay");
    for (int i = 0; i < WORKERS && r; i++) {
        freeReplyObject(r);
        r = server_command(&stage.server, "KVROUTE.WORKER SET advise w%d ADDR http://127.0.0.1:%d",
                           i, 20000 + i);
    }
    if (!r) fail("the pool can't be made");
    freeReplyObject(r);
}

// Time of the bare command with the same tokens, one at a time over the same kind of socket, in us.
static double bare_p50(size_t n) {
    redisContext *c = redisConnect("127.0.0.1", stage.server.port);
    double *took = calloc(n, sizeof *took);
    if (!c || c->err || !took) fail("no connection to the server");
    for (size_t i = 0; i < n; i++) {
        const uint32_t *prompt = tokens[i % PROMPTS];
        int64_t start = clock_ns();
        redisReply *r = redisCommand(c, "KVROUTE.SELECT advise bare%lu TOKENS %b", (unsigned long)i,
                                     prompt, sizeof *tokens);
        took[i] = (double)(clock_ns() - start) / 1e3;
        if (!r || r->type == REDIS_REPLY_ERROR) fail(r ? r->str : c->errstr);
        freeReplyObject(r);
        if (!(r = redisCommand(c, "KVROUTE.RELEASE advise bare%lu", (unsigned long)i)))
            fail(c->errstr);
        freeReplyObject(r);
    }
    redisFree(c);
    double p50 = measure_median(took, n);
    free(took);
    return p50;
}

static void advise(void) {
    double bare[MAX_ROUNDS], one[MAX_ROUNDS], p99[MAX_ROUNDS], rate[MAX_ROUNDS], cpu[MAX_ROUNDS];
    struct load_plan plan = {
        .port = stage.router_port, .request = select_request, .seconds = slice};
    struct load_result r;
    make_prompts();
    fill_advise();
    for (int i = 0; i < rounds; i++) {
        bare[i] = bare_p50(2000);
        plan.connections = 1;
        run(&plan, &r);
        one[i] = r.p50_us;
        plan.connections = 64;
        double before = usage_cpu_s(stage.router);
        run(&plan, &r);
        rate[i] = r.rate * RELEASES / (RELEASES + 1);
        cpu[i] = (usage_cpu_s(stage.router) - before) * 1e6 /
                 ((double)r.answers * RELEASES / (RELEASES + 1));
        p99[i] = r.p99_us;
    }
    double added = measure_median(one, (size_t)rounds) - measure_median(bare, (size_t)rounds);
    double each = measure_median(cpu, (size_t)rounds);
    printf("== Advise: %d tokens, %d workers; released %d at a time ==\n", TOKENS, WORKERS,
           RELEASES);
    printf("  bare command, one at a time                  p50 %8.0f us\n",
           measure_median(bare, (size_t)rounds));
    printf("  POST /v1/select, one at a time               p50 %8.0f us\n",
           measure_median(one, (size_t)rounds));
    printf("  added                                            %8.0f us   goal <= 300\n", added);
    printf("  64 at once                                       %8.0f selects/s, p99 %.0f us\n",
           measure_median(rate, (size_t)rounds), measure_median(p99, (size_t)rounds));
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

struct way {
    const char *name;
    pid_t *pid; // whose CPU counts; NULL: nobody's
    struct load_plan plan;
    double rate[MAX_ROUNDS], p50[MAX_ROUNDS], p99[MAX_ROUNDS], cpu[MAX_ROUNDS];
};

static size_t make_ways(struct way *ways, const struct load_plan *plan) {
    static int engine_ports[ENGINES];
    size_t n = 0;
    ways[n] = (struct way){.name = "engines, no proxy", .plan = *plan};
    for (int i = 0; i < ENGINES; i++)
        engine_ports[i] = stage.engines[i].http;
    ways[n].plan.ports = engine_ports;
    ways[n++].plan.n_ports = ENGINES;
    ways[n] = (struct way){.name = "kvroute-router", .pid = &stage.router, .plan = *plan};
    ways[n++].plan.port = stage.router_port;
    if (stage.haproxy_port) {
        ways[n] = (struct way){.name = "haproxy", .pid = &stage.haproxy, .plan = *plan};
        ways[n++].plan.port = stage.haproxy_port;
    }
    return n;
}

static void proxy(void) {
    static struct way ways[3];
    struct load_plan plan = {
        .connections = 64, .request = chat_request, .ctx = "\"max_tokens\":4", .seconds = slice};
    struct load_result r;
    size_t n = make_ways(ways, &plan);
    for (int i = 0; i < rounds; i++)
        for (size_t w = 0; w < n; w++) {
            double before = ways[w].pid ? usage_cpu_s(*ways[w].pid) : 0;
            run(&ways[w].plan, &r);
            double cpu = ways[w].pid ? usage_cpu_s(*ways[w].pid) - before : 0;
            ways[w].rate[i] = r.rate;
            ways[w].p50[i] = r.p50_us;
            ways[w].p99[i] = r.p99_us;
            ways[w].cpu[i] = r.answers ? cpu * 1e6 / (double)r.answers : 0;
        }
    printf("== Proxy: answers of 4 tokens, not streamed, 64 at once, %d engines ==\n", ENGINES);
    printf("  %-20s %12s %10s %10s %12s %18s\n", "", "requests/s", "p50 us", "p99 us", "its CPU us",
           "a second of a core");
    for (size_t w = 0; w < n; w++) {
        double cpu = measure_median(ways[w].cpu, (size_t)rounds);
        printf("  %-20s %12.0f %10.0f %10.0f", ways[w].name,
               measure_median(ways[w].rate, (size_t)rounds),
               measure_median(ways[w].p50, (size_t)rounds),
               measure_median(ways[w].p99, (size_t)rounds));
        if (ways[w].pid)
            printf(" %12.1f %18.0f%s", cpu, 1e6 / cpu,
                   ways[w].pid == &stage.router ? "   goal >= 5000" : "");
        printf("\n");
    }
    printf("\n");
}

// ---- Streams -------------------------------------------------------------------------------------

static double rss;

static void take_rss(void *ctx) {
    pid_t *pid = ctx;
    rss = pid ? usage_rss_bytes(*pid) : 0;
}

struct stream_ctx {
    const char *more;
    pid_t *pid;
};

static size_t stream_request(void *ctx, uint64_t serial, char *out) {
    const struct stream_ctx *c = ctx;
    return chat_request((void *)c->more, serial, out);
}

static void begun(void *ctx) {
    const struct stream_ctx *c = ctx;
    take_rss(c->pid);
}

static void show_streams(void) {
    static struct way ways[3];
    struct stream_ctx ctx = {.more = "\"stream\":true,\"max_tokens\":100"};
    struct load_plan plan = {
        .connections = streams, .request = stream_request, .ctx = &ctx, .all_begun = begun};
    size_t n = make_ways(ways, &plan);
    printf("== Streams: %zu at once, 100 tokens at 10 a second ==\n", streams);
    printf("  %-20s %8s %9s %14s %14s %12s %10s %14s\n", "", "whole", "failures", "first p99 ms",
           "gap p99 ms", "its CPU s", "RSS MB", "kB a stream");
    for (size_t w = 0; w < n; w++) {
        struct load_result r;
        ctx.pid = ways[w].pid;
        double idle = ctx.pid ? usage_rss_bytes(*ctx.pid) : 0,
               before = ctx.pid ? usage_cpu_s(*ctx.pid) : 0;
        rss = 0;
        run(&ways[w].plan, &r);
        printf("  %-20s %8llu %9llu %14.0f %14.0f", ways[w].name, (unsigned long long)r.answers,
               (unsigned long long)r.failures, r.first_p99_us / 1e3, r.gap_p99_ms);
        if (ctx.pid)
            printf(" %12.2f %10.1f %14.1f", usage_cpu_s(*ctx.pid) - before, rss / 1e6,
                   (rss - idle) / 1e3 / (double)streams);
        printf("\n");
    }
    printf("  goal: RSS <= 64 MB + 32 kB a stream = %.0f MB\n", 64 + 0.032 * (double)streams);
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
                            "  --help\n";

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (strcmp(argv[i], "--quick") == 0) {
            rounds = 2;
            slice = 0.5;
            streams = 200;
            continue;
        }
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = atoi(value);
        else if (strcmp(argv[i], "--slice") == 0)
            slice = atof(value);
        else if (strcmp(argv[i], "--streams") == 0)
            streams = (size_t)atoi(value);
        else
            fail("an option that isn't known; see --help");
        i++;
    }
    if (rounds < 1 || rounds > MAX_ROUNDS || slice <= 0 || !streams || streams > 20000)
        fail("a value out of range; see --help");
}

// Two descriptors a stream are the router's, one ours; they inherit what may be opened.
static void raise_files(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r)) return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void restart(const char *time_scale, const char *decode_speed) {
    stage_end_engines(&stage);
    if (!stage_engines(&stage, time_scale, decode_speed) || !stage_router(&stage) ||
        !stage_haproxy(&stage))
        fail("the processes don't start");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    stop_watch();
    atexit(put_away);
    raise_files();
    stage.server.plan =
        (struct server_plan){.module = process_setting("KVROUTE_MODULE", KVROUTE_MODULE),
                             .server = process_setting("REDIS_SERVER", REDIS_SERVER)};
    if (!server_start(&stage.server) || !server_open(&stage.server)) fail("no server");
    restart("0", "50");
    advise();
    proxy();
    restart("1", "10");
    show_streams();
    return 0;
}
