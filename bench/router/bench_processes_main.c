// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-processes: a router of several processes beside one of one, in turns.
//
//   workers  GET /kvroute/workers, 64 of them: the router has all of it, nobody else does anything
//   select   POST /kvroute/select: Redis chooses
//   chat     short answers that aren't streamed, through mock engines
//
// Client, engines and Redis are on the same machine, and need their part of it. So the rates' ratio is what processes
// bring where all share these processors. What they bring where the router has processors of its own is told by the
// CPU of a request: it is the same, or the processes hold each other up.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_usage.h"
#include "bench_load.h"
#include "bench_router_setup.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { PROCESSES_MAX = 64, PROCESSES_ROUNDS = 15, PROCESSES_START_MS = 10000 };

static struct bench_router_setup setup;

static struct bench_processes_options {
    bool quick;
    uint64_t rounds, processes, connections;
    double slice;
} o;

struct bench_family {
    const char *name;
    char processes[8];
    pid_t pid;
    int port;
    double rate[PROCESSES_ROUNDS], cpu[PROCESSES_ROUNDS], share[PROCESSES_ROUNDS],
        p99[PROCESSES_ROUNDS];
};

static struct bench_family families[2] = {{.name = "1 process"}, {.name = "several"}};

// ---- Requests ------------------------------------------------------------------------------------

static char prompt[1024 * 6 + 1];

static size_t post_json(char *out, const char *path, const char *body) {
    return (size_t)snprintf(out, BENCH_MAX_REQUEST,
                            "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: "
                            "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                            path, strlen(body), body);
}

static size_t workers_request(void *ctx, uint64_t serial, char *out) {
    (void)ctx;
    (void)serial;
    return (size_t)snprintf(out, BENCH_MAX_REQUEST,
                            "GET /kvroute/workers HTTP/1.1\r\nHost: bench\r\n\r\n");
}

// What was chosen ends with its lease, after a second.
static size_t choice_request(void *ctx, uint64_t serial, char *out) {
    char body[sizeof prompt + 200];
    (void)serial;
    snprintf(body, sizeof body, "{\"pool\":\"advise\",\"lease\":1000,\"tokens\":[%s]}",
             (const char *)ctx);
    return post_json(out, "/kvroute/select", body);
}

static size_t answer_request(void *ctx, uint64_t serial, char *out) {
    char body[300];
    (void)ctx;
    snprintf(body, sizeof body,
             "{\"model\":\"mock\",\"max_tokens\":4,\"messages\":[{\"role\":\"user\",\"content\":"
             "\"Question %llu: what is the answer to this, in few words?\"}]}",
             (unsigned long long)serial);
    return post_json(out, "/v1/chat/completions", body);
}

// ---- Routers -------------------------------------------------------------------------------------

static bool answers(void *ctx) {
    const struct bench_family *f = ctx;
    struct support_response r = support_http(f->port, "GET", "/readyz", NULL, NULL, 1000);
    bool good = r.status == 200;
    support_response_free(&r);
    return good;
}

static void start_family(struct bench_family *f, uint64_t processes) {
    char path[256], log[256], redis[60];
    snprintf(f->processes, sizeof f->processes, "%u", (unsigned)processes);
    support_path(path, sizeof path, "processes-%s.conf", f->processes);
    support_path(log, sizeof log, "processes-%s.log", f->processes);
    f->port = support_port();
    snprintf(redis, sizeof redis, "redis://127.0.0.1:%d", setup.redis.port);
    FILE *out = fopen(path, "w");
    if (!out) support_fail("%s can't be written", path);
    fprintf(out,
            "[router]\nredis = %s\nlisten = 127.0.0.1:%d\nprocesses = %s\n"
            "[pool proxy]\nmodels = mock\ncreate = BLOCKSIZE 16 POLICY delay PREDICT 60000\n"
            "[pool advise]\nmodels = none\n",
            redis, f->port, f->processes);
    for (int i = 0; i < BENCH_ENGINES; i++)
        fprintf(out, "[engine http://127.0.0.1:%d]\npool = proxy\n", setup.engines[i].http);
    if (fclose(out)) support_fail("%s can't be written", path);
    const char *argv[] = {support_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    f->pid = support_start(argv, log);
    if (!support_wait(answers, f, PROCESSES_START_MS)) support_fail("the router doesn't start");
}

// ---- Turns ---------------------------------------------------------------------------------------

// Of the router itself and its processes: all of them, and the one that has most of it.
struct bench_family_cpu {
    pid_t pids[PROCESSES_MAX + 1];
    double s[PROCESSES_MAX + 1];
    size_t n;
};

static void look(const struct bench_family *f, struct bench_family_cpu *u) {
    u->pids[0] = f->pid;
    u->n = 1 + bench_children(f->pid, u->pids + 1, PROCESSES_MAX);
    for (size_t i = 0; i < u->n; i++)
        u->s[i] = bench_cpu_s(u->pids[i]);
}

static void measure(struct bench_family *f, const struct bench_load_plan *plan, size_t round) {
    struct bench_load_plan mine = *plan;
    struct bench_load_result r;
    struct bench_family_cpu before, after;
    mine.port = f->port;
    look(f, &before);
    if (bench_load_run(&mine, &r)) support_fail("the load can't be run");
    if (r.failures)
        fprintf(stderr, "kvroute-bench-processes: %llu failures, the first: %s\n",
                (unsigned long long)r.failures, r.why);
    look(f, &after);
    double all = 0, most = 0;
    for (size_t i = 0; i < after.n && i < before.n; i++) {
        double s = after.s[i] - before.s[i];
        all += s;
        if (s > most) most = s;
    }
    f->rate[round] = r.rate;
    f->p99[round] = r.p99_us;
    f->cpu[round] = r.answers ? all * 1e6 / (double)r.answers : 0;
    f->share[round] = all > 0 ? most / all : 0;
}

static void compare(const char *name, size_t (*request)(void *ctx, uint64_t serial, char *out),
                    void *ctx) {
    struct bench_load_plan plan = {
        .connections = o.connections, .request = request, .ctx = ctx, .seconds = o.slice};
    double ratio[PROCESSES_ROUNDS], each[PROCESSES_ROUNDS];
    for (size_t i = 0; i < o.rounds; i++) {
        for (int k = 0; k < 2; k++)
            measure(&families[k], &plan, i);
        ratio[i] = families[1].rate[i] / families[0].rate[i];
        each[i] = families[1].cpu[i] / families[0].cpu[i];
    }
    printf("== %s, %zu connections ==\n", name, (size_t)o.connections);
    for (int k = 0; k < 2; k++) {
        struct bench_family *f = &families[k];
        printf("  %-12s %8.0f requests/s, p99 %7.0f us, %7.1f us of CPU each", f->name,
               bench_median(f->rate, o.rounds), bench_median(f->p99, o.rounds),
               bench_median(f->cpu, o.rounds));
        if (k) printf(", %.0f %% of it in one", 100 * bench_median(f->share, o.rounds));
        printf("\n");
    }
    double more = bench_median(each, o.rounds);
    printf("  ratio of rates, all on this machine          %6.2f\n", bench_median(ratio, o.rounds));
    printf("  ratio of the CPU of a request                %6.2f\n", more);
    printf("  with a processor for each process, times     %6.2f   goal >= %.2f\n\n",
           (double)o.processes / more, 0.95 * (double)o.processes);
}

// ---- All of it -----------------------------------------------------------------------------------

static const char usage[] =
    "usage: kvroute-bench-processes [options]\n"
    "\n"
    "A router of several processes beside one of one: rates where client, engines and Redis share\n"
    "the machine with it, and the CPU of a request. About a minute.\n"
    "\n"
    "  --quick          two rounds of half a second\n"
    "  --rounds N       1 to 15 (5)\n"
    "  --slice S        seconds of each turn (2)\n"
    "  --processes N    2 to 64 (2)\n"
    "  --connections N  of clients (64)\n"
    "  --help, --version\n";

#define AT(field) offsetof(struct bench_processes_options, field)
static const struct bench_arg args[] = {
    {"quick", bench_arg_flag, AT(quick), 0, 0},
    {"rounds", bench_arg_whole, AT(rounds), 1, PROCESSES_ROUNDS},
    {"slice", bench_arg_real, AT(slice), 1e-3, 3600},
    {"processes", bench_arg_whole, AT(processes), 2, PROCESSES_MAX},
    {"connections", bench_arg_whole, AT(connections), 1, 10000},
};
#undef AT

int main(int argc, char **argv) {
    static char several[24];
    uint64_t state = 1;
    size_t n = 0;
    int status = bench_args_read(&o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    if (!o.rounds) o.rounds = o.quick ? 2 : 5;
    if (!o.processes) o.processes = 2;
    if (!o.connections) o.connections = 64;
    if (o.slice <= 0) o.slice = o.quick ? 0.5 : 2;
    for (int i = 0; i < 1024; i++)
        n += (size_t)snprintf(prompt + n, sizeof prompt - n, "%s%u", i ? "," : "",
                              (unsigned)(kvr_random(&state) % 100000));
    snprintf(several, sizeof several, "%u processes", (unsigned)o.processes);
    families[1].name = several;
    bench_raise_files();
    if (!support_redis_start(&setup.redis)) return 1;
    if (!bench_router_engines(&setup, "0", "50")) support_fail("the engines don't start");
    bench_router_fill_advise(&setup.redis);
    start_family(&families[0], 1);
    start_family(&families[1], o.processes);
    compare("Workers: 64 of them, told by the router alone", workers_request, NULL);
    compare("Select: 1024 tokens", choice_request, prompt);
    compare("Chat: answers of 4 tokens, not streamed", answer_request, NULL);
    for (int k = 0; k < 2; k++)
        support_end(&families[k].pid, SIGTERM);
    return 0;
}
