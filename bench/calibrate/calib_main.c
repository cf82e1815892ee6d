// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-calibrate: the fleet simulator beside real processes.
//
// One load is sent, in real time, to routers with mock engines behind them: ours with a
// real redis-server, and those of others that are installed. The same load goes through the simulator,
// whose engines have the mock engines' figures; once with the simulator's routers, once with the choices
// that the real routers made. The first says how far the simulator can be trusted as a whole, the second
// how much of a difference is the engines'.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_memory.h"
#include "bench/common/bench_usage.h"
#include "bench/load/load_client.h"
#include "bench/sim/routers/routers.h"
#include "calib_figures.h"
#include "calib_routers.h"
#include "calib_simulate.h"
#include "client/common/clock.h"
#include "processes.h"
#include "tests/support/support_home.h"

enum { CALIB_BLOCK_SIZE = 16, CALIB_MAX_CANDIDATES = 16, CALIB_TIMES = 9 };
static const struct bench_script_chats chats = {.system_prompts = 8,
                                                .system_min = 200,
                                                .system_max = 800,
                                                .question = 40,
                                                .answer = 200,
                                                .turns = 4,
                                                .think = 4};
static const double hop = 0.25e-3, events_delay = 3e-3;

struct calib_level {
    const char *name;
    double rate, seconds; // requests a second; how long
};
static const struct calib_level levels[] = {{"below", 11, 30}, {"near", 20, 40}};
enum { CALIB_LEVELS = sizeof levels / sizeof *levels };

struct calib_program {
    const char *ours, *with, *level, *only, *each, *logs;
    double seconds, rate, late; // late: of engines that are only simulated, a share
    uint64_t seed, slots, blocks;
    struct sim_model model;
    struct bench_script script;
    FILE *file; // of --each
};

// ---- The table -----------------------------------------------------------------------------------

static void show_head(const struct calib_program *p, const struct calib_level *level) {
    const struct bench_script *s = &p->script;
    double isl = 0, osl = 0;
    for (size_t i = 0; i < s->load.n; i++) {
        isl += s->load.requests[i].isl;
        osl += s->load.requests[i].osl;
    }
    printf(
        "\n== %s: %zu requests in %.0f s, %s; %.0f tokens of prompt and %.0f of answer each ==\n\n",
        level->name, s->load.n, level->seconds, s->load.what, isl / (double)s->load.n,
        osl / (double)s->load.n);
    printf(
        "| %-14s | %-12s |  hits | TTFT mean |   p50 |   p99 |  TBT ms | failed | late | apart |\n"
        "|----------------|--------------|------:|----------:|------:|------:|--------:|-------:|"
        "-----:|-------|\n",
        "router", "");
}

static void show_row(const char *name, const char *kind, const struct calib_figures *t,
                     const char *rest) {
    printf("| %-14s | %-12s | %4.1f%% | %9.3f | %5.3f | %5.2f | %7.2f | %s |\n", name, kind,
           t->hits * 100, t->ttft_mean, t->ttft_p50, t->ttft_p99, t->tbt * 1e3, rest);
    fflush(stdout);
}

static void write_each(const struct calib_program *p, const char *level, const char *router,
                       const struct bench_outcome *played, const struct sim_outcome *given,
                       const struct sim_outcome *chosen) {
    for (size_t i = 0; p->file && i < p->script.load.n; i++) {
        const struct bench_request *r = &p->script.load.requests[i];
        const struct bench_outcome *x = &played[i];
        fprintf(p->file, "%s\t%s\t%zu\t%.6f\t%u\t%u\t%s\t%lld\t%.6f\t%.6f\t%.6f", level, router, i,
                r->at, r->isl, r->osl, *x->engine ? x->engine : "-", (long long)x->cached, x->sent,
                x->first, x->last);
        const struct sim_outcome *outcomes[] = {given, chosen};
        for (int k = 0; k < 2; k++)
            if (outcomes[k])
                fprintf(p->file, "\t%u\t%u\t%.6f\t%.6f", outcomes[k][i].worker,
                        outcomes[k][i].hits * CALIB_BLOCK_SIZE, outcomes[k][i].first,
                        outcomes[k][i].done);
            else
                fprintf(p->file, "\t-\t-\t-\t-");
        fprintf(p->file, "\n");
    }
}

// ---- A candidate ---------------------------------------------------------------------------------

// False: an engine isn't known for each request.
static bool read_choices(const struct calib_program *p, const struct bench_outcome *played,
                         uint32_t *engines) {
    for (size_t i = 0; i < p->script.load.n; i++) {
        unsigned n;
        if (*played[i].why || sscanf(played[i].engine, "e%u", &n) != 1 || n >= CALIB_ENGINES)
            return false;
        engines[i] = n;
    }
    return true;
}

static void simulate(const struct calib_program *p, const struct calib_router *c,
                     const uint32_t *engines, double late, struct sim_stats *stats,
                     struct calib_figures *figures) {
    // Real engines' steps are a little longer than planned, and near saturation that adds up.
    struct sim_model model = p->model;
    sim_model_speed(&model, 1 / (1 + late));
    struct calib_simulation plan = {.kind = engines ? NULL : sim_router_find(c->simulated),
                                    .text = c->text,
                                    .unknown_blocks = c->unknown_blocks,
                                    .engines = engines,
                                    .model = &model,
                                    .workers = CALIB_ENGINES,
                                    .hop = hop,
                                    .delay = events_delay,
                                    .seed = p->seed};
    if (!calib_simulate(&p->script, &plan, stats)) support_fail("the simulator breaks");
    calib_figures_simulated(&p->script, stats->outcomes, figures);
}

// Sends the requests to real processes. *failed: how many requests did; *late: by how much engines were late.
// False: they don't come up.
static bool play(const struct calib_program *p, const struct calib_router *c, const char *program,
                 struct bench_outcome *played, size_t *failed, double *late) {
    struct calib_processes processes = {
        .model = &p->model, .block_size = CALIB_BLOCK_SIZE, .logs = p->logs, .name = c->name};
    bool up = c->ours ? calib_start_ours(&processes, c->ours)
                      : calib_start_theirs(&processes, program, c->verb);
    struct bench_play_plan plan = {
        .script = &p->script, .speed = 1, .targets = &processes.port, .n_targets = 1};
    if (up) bench_play(&plan, played);
    if (up) *late = calib_processes_lateness(&processes);
    calib_processes_end(&processes);
    if (!up) return false;
    *failed = 0;
    for (size_t i = 0; i < p->script.load.n; i++)
        if (*played[i].why && !(*failed)++) fprintf(stderr, "%s: %s\n", c->name, played[i].why);
    return true;
}

// The simulator's choices are one way that things may go: near saturation engines that are slower by a
// thousandth lead to others. So it is asked several times, and medians count; *stats is of the first.
static void simulate_often(const struct calib_program *p, const struct calib_router *c, double late,
                           struct sim_stats *stats, struct calib_figures *figures) {
    struct calib_figures all[CALIB_TIMES];
    for (int i = 0; i < CALIB_TIMES; i++) {
        struct sim_stats more;
        simulate(p, c, NULL, late + i * 1e-4, i ? &more : stats, &all[i]);
        if (i) sim_stats_close(&more);
    }
    calib_figures_medians(all, CALIB_TIMES, figures);
}

// real: NULL if nothing is.
static void show_simulated(const char *name, const char *kind, const struct calib_figures *t,
                           const struct calib_figures *real) {
    char rest[80], what[4] = "";
    if (real) calib_figures_agree(real, t, what);
    snprintf(rest, sizeof rest, "       |      | %-5s", what);
    show_row(name, kind, t, rest);
}

static void only_simulate(const struct calib_program *p, const struct calib_router *c) {
    struct calib_figures simulated;
    struct sim_stats stats;
    simulate_often(p, c, p->late, &stats, &simulated);
    show_simulated(c->name, "simulated", &simulated, NULL);
    sim_stats_close(&stats);
}

static void compare(const struct calib_program *p, const char *level, const struct calib_router *c,
                    const struct bench_outcome *played, size_t failed, double late) {
    uint32_t *engines = bench_calloc(p->script.load.n, sizeof *engines);
    struct calib_figures real, simulated, given;
    struct sim_stats stats, replayed;
    char rest[80];
    bool known = read_choices(p, played, engines);
    calib_figures_played(&p->script, played, &real);
    snprintf(rest, sizeof rest, "%6zu | %3.1f%% |      ", failed, late * 100);
    show_row(c->name, "real", &real, rest);
    simulate_often(p, c, late, &stats, &simulated);
    show_simulated("", "simulated", &simulated, &real);
    if (known) {
        simulate(p, c, engines, late, &replayed, &given);
        show_simulated("", "same choices", &given, &real);
    }
    write_each(p, level, c->name, played, known ? replayed.outcomes : NULL, stats.outcomes);
    if (known) sim_stats_close(&replayed);
    sim_stats_close(&stats);
    free(engines);
}

static void run_candidate(const struct calib_program *p, const char *level,
                          const struct calib_router *c, const char *program) {
    struct bench_outcome *played = bench_calloc(p->script.load.n, sizeof *played);
    size_t failed = 0;
    double late = 0;
    if (p->only)
        only_simulate(p, c);
    else if (play(p, c, program, played, &failed, &late))
        compare(p, level, c, played, failed, late);
    else
        printf("%s: doesn't come up, left out\n", c->name);
    free(played);
}

// ---- Which ---------------------------------------------------------------------------------------

// Whether a comma-separated list has the name. *value: what stands behind its '=', or NULL.
static bool listed(const char *list, const char *name, char value[PATH_MAX]) {
    size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at += at != NULL) {
        size_t len = strcspn(at, ",");
        *value = 0;
        if (len == n && !memcmp(at, name, n)) return true;
        if (len <= n + 1 || memcmp(at, name, n) != 0 || at[n] != '=') continue;
        snprintf(value, PATH_MAX, "%.*s", (int)(len - n - 1), at + n + 1);
        return true;
    }
    return false;
}

static bool on_path(const char *name, char out[PATH_MAX]) {
    const char *at = getenv("PATH");
    for (size_t len; at && *at; at += len, at += *at == ':') {
        len = strcspn(at, ":");
        snprintf(out, PATH_MAX, "%.*s/%s", (int)len, at, name);
        if (access(out, X_OK) == 0) return true;
    }
    return false;
}

// The program of a candidate of others; "" none. Says its version, or that it isn't there.
static void find_program(const struct calib_program *p, const struct calib_router *c,
                         char out[PATH_MAX]) {
    char command[PATH_MAX + 40];
    if (!(p->with && listed(p->with, c->name, out) && *out) && !on_path(c->program, out)) *out = 0;
    if (!*out || access(out, X_OK)) {
        printf("%s: not there, left out\n", c->name);
        *out = 0;
        return;
    }
    snprintf(command, sizeof command, "'%.*s' --version 2>/dev/null | head -n 1", PATH_MAX - 1,
             out);
    FILE *f = strchr(out, '\'') ? NULL : popen(command, "r");
    char line[120] = "";
    if (f && !fgets(line, sizeof line, f)) *line = 0;
    if (f) pclose(f);
    line[strcspn(line, "\n")] = 0;
    printf("%s: %s, %s\n", c->name, *line ? line : "says no version", out);
}

static bool is_wanted(const struct calib_program *p, const struct calib_router *c) {
    char value[PATH_MAX];
    const char *list = c->ours ? p->ours : p->with;
    return !list || listed(list, c->name, value);
}

static void run_level(struct calib_program *p, struct calib_level level,
                      char programs[][PATH_MAX]) {
    if (p->rate > 0) level.rate = p->rate;
    if (p->seconds > 0) level.seconds = p->seconds;
    bench_script_chat(&p->script, &(struct bench_script_plan){CALIB_BLOCK_SIZE, level.rate,
                                                              level.seconds, p->seed, chats});
    show_head(p, &level);
    for (size_t i = 0; i < calib_router_count; i++) {
        const struct calib_router *c = &calib_routers[i];
        if (is_wanted(p, c) && (c->ours || *programs[i] || p->only))
            run_candidate(p, level.name, c, programs[i]);
    }
    bench_script_free(&p->script);
}

// ---- All of it -----------------------------------------------------------------------------------

static const char usage[] =
    "usage: kvroute-bench-calibrate [options]\n"
    "\n"
    "Plays one load to real routers with mock engines behind them, and to the simulator, and "
    "compares what\n"
    "comes out. Two loads, below and near saturation; ten minutes. Wants a quiet machine.\n"
    "docs/simulator.md explains the table.\n"
    "\n"
    "  --ours LIST     predict, events, both, told, ids, or none (predict,events,both)\n"
    "  --with LIST     smg, sglang-router, vllm-router, or none: found on PATH, or where NAME=FILE "
    "says\n"
    "                  (all that are there)\n"
    "  --level NAME    below or near (both)\n"
    "  --rate X        requests a second (11 below, 20 near)\n"
    "  --seconds S     of each run (30 below, 40 near)\n"
    "  --slots N       requests that an engine works on at a time (32)\n"
    "  --blocks N      of an engine's cache (4096)\n"
    "  --seed N        (1)\n"
    "  --only simulated  without the real processes\n"
    "  --late X        then: engines whose steps take longer than planned, by a share (0)\n"
    "  --each FILE     what became of each request, as text with tabs\n"
    "  --logs DIR      what routers and bridges say\n"
    "  --help, --version\n";

#define AT(field) offsetof(struct calib_program, field)
static const struct bench_arg args[] = {
    {"ours", bench_arg_text, AT(ours), 0, 0},
    {"with", bench_arg_text, AT(with), 0, 0},
    {"level", bench_arg_text, AT(level), 0, 0},
    {"only", bench_arg_text, AT(only), 0, 0},
    {"late", bench_arg_real, AT(late), -0.9, 100},
    {"rate", bench_arg_real, AT(rate), 0, 1000},
    {"seconds", bench_arg_real, AT(seconds), 0, 3600},
    {"slots", bench_arg_whole, AT(slots), 1, 100000},
    {"blocks", bench_arg_whole, AT(blocks), 1024, 1 << 24},
    {"seed", bench_arg_whole, AT(seed), 0, 9e15},
    {"each", bench_arg_text, AT(each), 0, 0},
    {"logs", bench_arg_text, AT(logs), 0, 0},
};
#undef AT

int main(int argc, char **argv) {
    static char programs[CALIB_MAX_CANDIDATES][PATH_MAX];
    struct calib_program p = {
        .ours = "predict,events,both", .seed = 1, .slots = 32, .blocks = 4096};
    int status = bench_args_read(&p, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    p.model = *sim_model_find("mock");
    p.model.running = (uint32_t)p.slots;
    p.model.capacity = p.blocks * CALIB_BLOCK_SIZE;
    bench_raise_files();
    if (p.each && !(p.file = fopen(p.each, "w"))) support_fail("%s: %s", p.each, strerror(errno));
    for (size_t i = 0; i < calib_router_count; i++)
        if (calib_routers[i].program && !p.only && is_wanted(&p, &calib_routers[i]))
            find_program(&p, &calib_routers[i], programs[i]);
    for (size_t i = 0; i < CALIB_LEVELS; i++)
        if (!p.level || !strcmp(p.level, levels[i].name)) run_level(&p, levels[i], programs);
    if (p.file) fclose(p.file);
    return 0;
}
