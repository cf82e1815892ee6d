// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-commands: the module's commands over sockets, beside plain Redis.
//
// For each pool (so many workers, so many blocks held) a fresh server gets the same holdings three
// times: as a pool, as hashes, as strings. Then groups of ways are measured in turns: choosing for
// requests of each length, and the commands that don't depend on it; pipelined and one at a time; over a
// unix socket and, for the middle pool, over TCP. At last what takes a server of its own: memory, a
// crowd of holders, mixed load, replication and the append-only file.
//
// A unit of SELECT + RELEASE carries its blocks in SELECT and the request's id in RELEASE; SET + SET
// writes the same bytes under two keys. CPU is the server's, by the scheduler's account, and is what
// remains comparable when the machine has other work.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/memory.h"
#include "bench/common/stop.h"
#include "report.h"

static void say(const char *what) {
    static int64_t start;
    if (!start) start = clock_ns();
    fprintf(stderr, "[%4.0f s] %s\n", (double)(clock_ns() - start) / 1e9, what);
}

// Without what the connection's buffers have grown to.
static double used(struct stage *s) {
    wire_close(&s->caller.wire);
    stage_connect(s, &s->caller.wire, false);
    return info_number(&s->server, "memory", "used_memory");
}

// What KVROUTE.INFO says of the pool's memory.
static double own_count(struct stage *s) {
    redisReply *r = server_command(&s->server, "KVROUTE.INFO %s", pool_key);
    double v = 0;
    for (size_t i = 0; r && i + 1 < r->elements; i += 2)
        if (strcmp(r->element[i]->str, "memory_bytes") == 0) v = (double)r->element[i + 1]->integer;
    if (r) freeReplyObject(r);
    return v;
}

static struct footprint fill(struct stage *s, const struct setting *setting) {
    struct footprint m = {.workers = setting->workers, .blocks = s->held.blocks};
    double n = (double)s->held.blocks, before = used(s), after;
    fill_pool(&s->caller.wire, &s->held);
    after = used(s);
    m.pool = (after - before) / n;
    m.own = own_count(s) / n;
    fill_hashes(&s->caller.wire, &s->held);
    before = after, after = used(s);
    m.hashes = (after - before) / n;
    fill_strings(&s->caller.wire, &s->held);
    before = after, after = used(s);
    m.strings = (after - before) / n;
    plain_load_scripts(&s->caller);
    return m;
}

static void measure_group(struct report *r, const struct options *o, struct stage *s,
                          const struct cell *like, const enum way_number *which, size_t n) {
    r->cells = memory_grow(r->cells, &r->room, r->n + n, sizeof *r->cells);
    struct cell *cells = r->cells + r->n;
    for (size_t i = 0; i < n; i++) {
        cells[i] = *like;
        cells[i].way = &ways[which[i]];
    }
    measure_cells(&s->server, &s->caller, &o->plan, cells, n);
    report_cells(cells, n);
    r->n += n;
}

static void measure_setting(struct report *r, const struct options *o, size_t number) {
    static const enum way_number choosing[] = {WAY_SET,    WAY_SELECT,  WAY_SCORE,
                                               WAY_HASHES, WAY_STRINGS, WAY_SCRIPT};
    static const enum way_number others[] = {WAY_STORED, WAY_REMOVED, WAY_UPDATE};
    const struct setting *setting = &o->settings[number];
    struct stage s;
    char line[80];
    snprintf(line, sizeof line, "%zu workers, %zu blocks", setting->workers, setting->blocks);
    say(line);
    stage_begin(&s, o, setting->workers, setting->blocks);
    r->memory[number] = fill(&s, setting);
    report_setting(setting, &r->memory[number]);
    for (int tcp = 0; tcp <= setting->tcp; tcp++) {
        wire_close(&s.caller.wire);
        stage_connect(&s, &s.caller.wire, tcp);
        for (int pipelined = 1; pipelined >= 0; pipelined--) {
            struct cell like = {.workers = setting->workers,
                                .held = setting->blocks,
                                .tcp = tcp,
                                .pipelined = pipelined};
            for (like.length = 0; like.length < LENGTHS; like.length++)
                if (o->length[like.length])
                    measure_group(r, o, &s, &like, choosing, sizeof choosing / sizeof *choosing);
            like.length = 0;
            measure_group(r, o, &s, &like, others, sizeof others / sizeof *others);
        }
    }
    stage_end(&s);
}

int main(int argc, char **argv) {
    static struct options o;
    static struct report r;
    int status = options_parse(&o, argc, argv);
    if (status >= 0) return status;
    stop_watch();
    printf("Units: a choice (SELECT + RELEASE, SCORE, a, b, c), a pair (SET + SET), or a command.\n"
           "p50 to p99.9: until the answer to the first command of a unit. CPU: the server's, a "
           "unit.\n"
           "Pipelined: %d units at once. Medians of %zu rounds of %.0f ms.\n",
           DEPTH, o.plan.rounds, o.plan.slice * 1e3);
    for (size_t i = 0; i < o.n_settings; i++)
        measure_setting(&r, &o, i);
    say("a crowd of holders");
    scene_crowd(&o, &r.crowd);
    say("mixed load");
    scene_mixed(&o, &r.mixed);
    say("replication and the append-only file");
    scene_durable(&o, &r.durable);
    report_scenes(&r);
    report_goals(&r, &o);
    say("done");
    bool ok = !o.out || report_files(&r, &o);
    free(r.cells);
    return ok ? 0 : 1;
}
