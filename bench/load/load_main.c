// SPDX-License-Identifier: Apache-2.0
// kvroute-load: plays chats or a trace to mock engines, by the advice of routers or in turn, and says how
// it went, in lines of a name and a value. The demo starts it beside the servers; see bench/demo.
//
// Engines may run so many times faster than they would (--scale, their --time-scale): the load is then as
// much faster, and times to the first token are given in the engines' time. How long a router takes for a
// choice is real time.
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_compare.h"
#include "bench/common/bench_memory.h"
#include "bench/common/bench_progress.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_usage.h"
#include "bench/common/trace.h"
#include "client/common/clock.h"
#include "load_client.h"
#include "tests/support/support_home.h"

enum {
    LOAD_MAX_ROUTERS = 64,
    LOAD_FIRST_READ = 256,
    LOAD_MAX_TRACE = 1 << 20,
    LOAD_COMPARE_S = 20
};

// What a frontend of a large model sees: long system prompts, questions that come back after a while.
static const struct bench_script_chats chats = {.system_prompts = 48,
                                                .system_min = 512,
                                                .system_max = 3072,
                                                .question = 200,
                                                .answer = 80,
                                                .turns = 5,
                                                .think = 15};

struct load_options {
    struct bench_engine engines[BENCH_MAX_ENGINES];
    int engine_ports[BENCH_MAX_ENGINES], routers[LOAD_MAX_ROUTERS];
    size_t n_engines, n_routers;
    const char *label, *trace, *pool;
    double rate, seconds, scale, work, longest, answer;
    uint64_t seed, block_size, redis;
};

static const char usage[] =
    "usage: kvroute-load --engine NAME=PORT … [--router PORT …] [options]\n"
    "\n"
    "Plays chats or a trace to mock engines on 127.0.0.1. Without routers engines take turns; with "
    "them each\n"
    "request asks a router for an engine (POST /v1/select), and reads its stream from that "
    "engine.\n"
    "Prints lines of a name and a value.\n"
    "\n"
    "  --seconds S      how long, in real time (10)\n"
    "  --scale X        engines are so many times faster, and so is the load (1)\n"
    "  --rate R         chats: requests a second, in the engines' time (10)\n"
    "  --seed N         chats: (1)\n"
    "  --trace FILE     a trace in Mooncake's form, without requests that wait for others\n"
    "  --work N         of it the first requests with so many tokens of prompts in all\n"
    "  --longest N      of it no requests with more tokens of prompt and output\n"
    "  --answer N       of it no outputs of more tokens: longer ones are cut\n"
    "  --block-size N   (16)\n"
    "  --label TEXT     what the progress line calls it\n"
    "  --redis PORT --pool KEY  afterwards: compare, block by block, what the pool says of the "
    "engines with\n"
    "                   what they hold\n"
    "  --help, --version\n";

// ---- Options -------------------------------------------------------------------------------------

static bool add_engine(void *options, const struct bench_arg *a, const char *text) {
    struct load_options *o = options;
    const char *equals = strchr(text, '=');
    if (!equals || o->n_engines == BENCH_MAX_ENGINES)
        return bench_arg_wrong(a->name, "takes NAME=PORT, 32 times at most");
    struct bench_engine *e = &o->engines[o->n_engines];
    *e = (struct bench_engine){.ranks = 1, .http = atoi(equals + 1)};
    snprintf(e->name, sizeof e->name, "%.*s", (int)(equals - text), text);
    o->engine_ports[o->n_engines++] = e->http;
    return true;
}

static bool add_router(void *options, const struct bench_arg *a, const char *text) {
    struct load_options *o = options;
    if (o->n_routers == LOAD_MAX_ROUTERS) return bench_arg_wrong(a->name, "too many");
    o->routers[o->n_routers++] = atoi(text);
    return true;
}

#define AT(field) offsetof(struct load_options, field)
static const struct bench_arg args[] = {
    {"engine", add_engine, 0, 0, 0},
    {"router", add_router, 0, 0, 0},
    {"label", bench_arg_text, AT(label), 0, 0},
    {"trace", bench_arg_text, AT(trace), 0, 0},
    {"pool", bench_arg_text, AT(pool), 0, 0},
    {"rate", bench_arg_real, AT(rate), 1e-6, 1000},
    {"scale", bench_arg_real, AT(scale), 1e-6, 1e6},
    {"seconds", bench_arg_real, AT(seconds), 1e-6, 3600},
    {"work", bench_arg_real, AT(work), 0, 1e12},
    {"longest", bench_arg_real, AT(longest), 0, 1e9},
    {"answer", bench_arg_real, AT(answer), 0, 1e9},
    {"seed", bench_arg_whole, AT(seed), 0, 9e15},
    {"redis", bench_arg_whole, AT(redis), 0, 65535},
    {"block-size", bench_arg_whole, AT(block_size), 1, 4096},
};
#undef AT

// ---- The load ------------------------------------------------------------------------------------

// Leaves out what no engine has room for, and cuts outputs that would last longer than all the rest.
// Returns the tokens of all prompts that are left.
static double shorten(struct bench_workload *w, const struct load_options *o) {
    double tokens = 0;
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct bench_request r = w->requests[i];
        if (o->answer > 0 && r.osl > o->answer) r.osl = (uint32_t)o->answer;
        if (o->longest > 0 && r.isl + r.osl > o->longest) continue;
        tokens += r.isl;
        w->requests[n++] = r;
    }
    w->n = n;
    return tokens;
}

// Reads no more of the file than is played, or twice that: a long trace takes its time.
static void read_trace(struct bench_workload *w, const struct load_options *o) {
    for (size_t want = LOAD_FIRST_READ;; want *= 2) {
        bench_trace_read(w, o->trace, (unsigned)o->block_size, want);
        bool all = w->n < want || want == LOAD_MAX_TRACE;
        if (w->closed) support_fail("a trace whose requests wait for others can't be played");
        if (shorten(w, o) >= o->work && o->work > 0) break;
        if (all) break;
        bench_workload_free(w);
    }
    if (!w->n) support_fail("all of the trace's requests are too long");
    double tokens = 0, first = w->requests[0].at;
    size_t n = 0;
    for (; n < w->n && (tokens < o->work || !(o->work > 0)); n++) {
        w->requests[n].at -= first;
        tokens += w->requests[n].isl;
    }
    w->n = n;
}

// Returns the speed at which it takes the time.
static double make_script(struct bench_script *s, const struct load_options *o) {
    if (!o->trace) {
        bench_script_chat(s, &(struct bench_script_plan){.block_size = (unsigned)o->block_size,
                                                         .rate = o->rate,
                                                         .seconds = o->seconds * o->scale,
                                                         .seed = o->seed,
                                                         .chats = chats});
        return o->scale;
    }
    struct bench_workload w;
    const char *name = strrchr(o->trace, '/');
    read_trace(&w, o);
    double last = w.requests[w.n - 1].at;
    bench_script_trace(s, &w);
    bench_workload_free(&w);
    snprintf(s->load.what, sizeof s->load.what, "the first %.1f minutes of %.80s", last / 60,
             name ? name + 1 : o->trace);
    return last > 0 ? last / o->seconds : 1;
}

static void show(void *ctx, const struct bench_play_count *c) {
    bench_progress_show(ctx, c->done,
                        c->prompt ? 100.0 * (double)c->cached / (double)c->prompt : 0);
}

// ---- What came of it -----------------------------------------------------------------------------

static void say_times(const char *name, const double *v, size_t n) {
    double *sorted = bench_sorted(v, n);
    printf("%s_p50 %.6f\n%s_p99 %.6f\n%s_max %.6f\n", name, bench_quantile(sorted, n, 0.5), name,
           bench_quantile(sorted, n, 0.99), name, bench_quantile(sorted, n, 1));
    free(sorted);
}

static void tell(const struct load_options *o, const struct bench_script *s, double speed,
                 const struct bench_outcome *played) {
    size_t n = s->load.n, whole = 0, repeats = 0, degraded = 0;
    uint64_t work[BENCH_MAX_ENGINES] = {0}, prompt = 0, cached = 0;
    double *choices = bench_calloc(n + 1, sizeof *choices);
    double *firsts = bench_calloc(n + 1, sizeof *firsts);
    const char *why = "";
    for (size_t i = 0; i < n; i++) {
        const struct bench_outcome *p = &played[i];
        const struct bench_request *r = &s->load.requests[i];
        uint32_t found = p->cached > 0 ? (uint32_t)p->cached : 0;
        repeats += p->repeat;
        degraded += p->degraded;
        if (*p->why) {
            why = p->why;
            continue;
        }
        choices[whole] = (p->chosen - p->sent) * 1e3;
        firsts[whole++] = (p->first - r->at / speed) * o->scale;
        prompt += r->isl;
        cached += found;
        for (size_t e = 0; e < o->n_engines; e++)
            if (o->engine_ports[e] == p->port) work[e] += r->isl - found + r->osl;
    }
    printf("requests %zu\nwhole %zu\nhit %.4f\nimbalance %.3f\n", n, whole,
           prompt ? (double)cached / (double)prompt : 0, bench_imbalance(work, o->n_engines));
    printf("repeats %zu\ndegraded %zu\n", repeats, degraded);
    say_times("choice_ms", choices, whole);
    say_times("first_s", firsts, whole);
    if (*why) printf("why %s\n", why);
    free(choices);
    free(firsts);
}

// Bridges may be a little behind, so it is asked until it is so.
static bool compare(const struct load_options *o) {
    redisContext *c = redisConnect("127.0.0.1", (int)o->redis);
    struct bench_difference d = {.blocks = -1};
    bool read = false;
    for (int64_t end = kvr_clock_ns(CLOCK_MONOTONIC) + LOAD_COMPARE_S * INT64_C(1000000000);
         c && !c->err && kvr_clock_ns(CLOCK_MONOTONIC) < end; support_sleep_ms(50)) {
        read = bench_compare(c, o->pool, o->engines, o->n_engines, &d);
        if (read && !d.blocks) break;
    }
    if (c) redisFree(c);
    if (read) printf("held %zu\ndifferent %ld\n", d.held, d.blocks);
    if (read && d.blocks) fprintf(stderr, "kvroute-load: %s\n", d.first);
    return read;
}

int main(int argc, char **argv) {
    struct load_options o = {
        .label = "", .rate = 10, .seconds = 10, .scale = 1, .seed = 1, .block_size = 16};
    struct bench_script script;
    struct bench_progress progress;
    int status = bench_args_read(&o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    if (!o.n_engines) support_fail("--engine is needed; see --help");
    bench_raise_files();
    double speed = make_script(&script, &o), isl = 0;
    for (size_t i = 0; i < script.load.n; i++)
        isl += script.load.requests[i].isl;
    printf("load %zu requests of %.0f tokens on average, %.1f times as fast: %s\n", script.load.n,
           isl / (double)script.load.n, speed, script.load.what);
    fflush(stdout);
    struct bench_outcome *played = bench_calloc(script.load.n + 1, sizeof *played);
    struct bench_play_plan plan = {
        .script = &script,
        .speed = speed,
        .targets = o.engine_ports,
        .n_targets = o.n_engines,
        .routers = o.routers,
        .n_routers = o.n_routers,
        .watch = show,
        .ctx = &progress,
    };
    bench_progress_begin(&progress, o.label, script.load.n);
    bench_play(&plan, played);
    bench_progress_end();
    tell(&o, &script, speed, played);
    bool ok = !o.redis || compare(&o);
    free(played);
    bench_script_free(&script);
    return ok ? 0 : 1;
}
