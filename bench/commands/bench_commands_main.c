// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-commands: the module's commands over sockets, beside plain Redis.
//
// For each pool (so many workers, so many blocks held) a fresh server gets the same holdings three
// times: as a pool, as hashes, as strings. Then groups of bench_ops are measured in turns: choosing for
// requests of each length, and the commands that don't depend on it; pipelined and one at a time; over a
// unix socket and, for the middle pool, over TCP. At last what takes a server of its own: memory, a
// prompt that many hold, mixed load, replication and the append-only file.
//
// A unit of SELECT + RELEASE carries its blocks in SELECT and the request's id in RELEASE; SET + SET
// writes the same bytes under two keys. CPU is the server's, by the scheduler's account, and is what
// remains comparable when the machine has other work.
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench_commands_report.h"
#include "bench_plain_redis.h"
#include "bench_setup.h"
#include "client/common/clock.h"
#include "tests/support/support_redis.h"

static void say(const char *what) {
    static int64_t start;
    if (!start) start = kvr_clock_ns(CLOCK_MONOTONIC);
    fprintf(stderr, "[%4.0f s] %s\n", (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9, what);
}

// Without what the connection's buffers have grown to.
static double used(struct bench_setup *s) {
    bench_wire_close(&s->caller.wire);
    bench_setup_connect(s, &s->caller.wire, false);
    return support_redis_number(&s->redis, "memory", "used_memory");
}

// What KVROUTE.INFO says of the pool's memory.
static double own_count(struct bench_setup *s) {
    redisReply *r = support_redis_command(&s->redis, "KVROUTE.INFO %s", bench_pool_key);
    const redisReply *field = support_redis_field(r, "memory_bytes");
    double bytes = field ? (double)field->integer : 0;
    if (r) freeReplyObject(r);
    return bytes;
}

static struct bench_footprint fill(struct bench_setup *s, const struct bench_pool *pool) {
    struct bench_footprint m = {.workers = pool->workers, .blocks = s->held.blocks};
    double n = (double)s->held.blocks, before = used(s), after;
    bench_fill_pool(&s->caller.wire, &s->held);
    after = used(s);
    m.pool = (after - before) / n;
    m.own = own_count(s) / n;
    bench_fill_hashes(&s->caller.wire, &s->held);
    before = after, after = used(s);
    m.hashes = (after - before) / n;
    bench_fill_strings(&s->caller.wire, &s->held);
    before = after, after = used(s);
    m.strings = (after - before) / n;
    bench_load_scripts(&s->caller);
    return m;
}

static void measure_group(struct bench_report *r, const struct bench_options *o,
                          struct bench_setup *s, const struct bench_result *like, const int *which,
                          size_t n) {
    r->cells = bench_grow(r->cells, &r->room, r->n + n, sizeof *r->cells);
    struct bench_result *cells = r->cells + r->n;
    for (size_t i = 0; i < n; i++) {
        cells[i] = *like;
        cells[i].op = &bench_ops[which[i]];
    }
    bench_measure(&s->redis, &s->caller, &o->plan, cells, n);
    bench_report_results(cells, n);
    r->n += n;
}

static void measure_pool(struct bench_report *r, const struct bench_options *o, size_t number) {
    static const int choosing[] = {BENCH_OP_SET,   BENCH_OP_SELECT, BENCH_OP_LOGGED,
                                   BENCH_OP_SCORE, BENCH_OP_HASHES, BENCH_OP_STRINGS,
                                   BENCH_OP_SCRIPT};
    static const int others[] = {BENCH_OP_STORED, BENCH_OP_REMOVED, BENCH_OP_UPDATE};
    const struct bench_pool *pool = &o->pools[number];
    struct bench_setup s;
    char line[80];
    snprintf(line, sizeof line, "%zu workers, %zu blocks", pool->workers, pool->blocks);
    say(line);
    bench_setup_begin(&s, o, pool->workers, pool->blocks);
    r->memory[number] = fill(&s, pool);
    bench_report_pool(pool, &r->memory[number]);
    for (int tcp = 0; tcp <= pool->tcp; tcp++) {
        bench_wire_close(&s.caller.wire);
        bench_setup_connect(&s, &s.caller.wire, tcp);
        for (int pipelined = 1; pipelined >= 0; pipelined--) {
            struct bench_result like = {
                .workers = pool->workers, .held = pool->blocks, .tcp = tcp, .pipelined = pipelined};
            for (like.length = 0; like.length < BENCH_LENGTHS; like.length++)
                if (o->length[like.length])
                    measure_group(r, o, &s, &like, choosing, sizeof choosing / sizeof *choosing);
            like.length = 0;
            measure_group(r, o, &s, &like, others, sizeof others / sizeof *others);
        }
    }
    bench_setup_end(&s);
}

int main(int argc, char **argv) {
    static struct bench_options o;
    static struct bench_report r;
    int status = bench_options_parse(&o, argc, argv);
    if (status >= 0) return status;
    printf("Units: a choice (SELECT + RELEASE, SCORE, a, b, c), a pair (SET + SET), or a command.\n"
           "p50 to p99.9: until the answer to the first command of a unit. CPU: the server's, a "
           "unit.\n"
           "Pipelined: %d units at once. Medians of %zu rounds of %.0f ms.\n",
           BENCH_DEPTH, o.plan.rounds, o.plan.slice * 1e3);
    for (size_t i = 0; i < o.n_pools; i++)
        measure_pool(&r, &o, i);
    say("a crowd of holders");
    bench_measure_many_holders(&o, &r.many_holders);
    say("mixed load");
    bench_measure_mixed(&o, &r.mixed);
    bench_measure_fleet_load(&o, &r.fleet_load);
    say("replication and the append-only file");
    bench_measure_durability(&o, &r.durable);
    bench_report_experiments(&r);
    bench_report_goals(&r, &o);
    say("done");
    bool ok = !o.out || bench_report_files(&r, &o);
    free(r.cells);
    return ok ? 0 : 1;
}
