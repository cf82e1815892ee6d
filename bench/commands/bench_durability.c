// SPDX-License-Identifier: Apache-2.0
// What it costs to keep what is written: the append-only file, a replica, both.
#include <stdio.h>
#include <stdlib.h>

#include "bench_experiments.h"
#include "bench_setup.h"
#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

enum {
    DURABILITY_WORKERS = 64,
    DURABILITY_BLOCKS = 200000,
    DURABILITY_COUNTED = 1000,
    DURABILITY_SERVER_PATIENCE_MS = 60000
};

static void command(struct bench_setup *s, const char *words) {
    redisReply *r = support_redis_words(&s->redis, words);
    if (!r) exit(1);
    freeReplyObject(r);
}

static void wait_for(struct bench_setup *s, const char *section, const char *field, double value) {
    for (int ms = 0; support_redis_number(&s->redis, section, field) != value; ms += 20) {
        if (ms > DURABILITY_SERVER_PATIENCE_MS) support_fail("the server doesn't get ready");
        support_sleep_ms(20);
    }
}

static void keep_file(struct bench_setup *s, bool on) {
    command(s, on ? "CONFIG SET appendonly yes" : "CONFIG SET appendonly no");
    wait_for(s, "persistence", "aof_rewrite_in_progress", 0);
    wait_for(s, "persistence", "aof_rewrite_scheduled", 0);
}

static void follow(struct bench_setup *replica, struct bench_setup *primary) {
    char words[80];
    if (!primary->redis.port && !support_redis_open(&primary->redis)) exit(1);
    snprintf(words, sizeof words, "REPLICAOF 127.0.0.1 %d", primary->redis.port);
    command(replica, words);
    wait_for(primary, "replication", "connected_slaves", 1);
    for (int ms = 0;
         support_redis_number(&replica->redis, "replication", "master_sync_in_progress") != 0 ||
         support_redis_number(&replica->redis, "replication", "slave_repl_offset") <= 0;
         ms += 20) {
        if (ms > DURABILITY_SERVER_PATIENCE_MS) support_fail("the replica doesn't follow");
        support_sleep_ms(20);
    }
}

static void caught_up(struct bench_setup *primary, struct bench_setup *replica) {
    wait_for(replica, "replication", "slave_repl_offset",
             support_redis_number(&primary->redis, "replication", "master_repl_offset"));
}

// What so many steps of an operation add to the stream and to the file, bytes each.
static void count_bytes(struct bench_setup *s, const struct bench_op *w, size_t step, double *wire,
                        double *file) {
    support_redis_settle(&s->redis);
    double stream = support_redis_number(&s->redis, "replication", "master_repl_offset");
    double size = support_redis_number(&s->redis, "persistence", "aof_current_size");
    for (uint64_t i = 0; i < DURABILITY_COUNTED; i++)
        w->put(&s->caller, BENCH_LENGTH_512, i, step);
    bench_wire_send(&s->caller.wire);
    for (uint64_t i = 0; i < DURABILITY_COUNTED; i++)
        bench_wire_skip(&s->caller.wire);
    support_redis_settle(&s->redis);
    *wire = (support_redis_number(&s->redis, "replication", "master_repl_offset") - stream) /
            DURABILITY_COUNTED;
    *file = (support_redis_number(&s->redis, "persistence", "aof_current_size") - size) /
            DURABILITY_COUNTED;
}

static void measure(struct bench_setup *s, const struct bench_options *o, size_t kept,
                    struct bench_durability *out) {
    struct bench_result cells[2] = {
        {.op = &bench_ops[BENCH_OP_SET], .length = BENCH_LENGTH_512, .pipelined = true},
        {.op = &bench_ops[BENCH_OP_SELECT], .length = BENCH_LENGTH_512, .pipelined = true},
    };
    struct bench_rounds longer = o->plan;
    longer.slice *= 2;
    bench_measure(&s->redis, &s->caller, &longer, cells, 2);
    out->set[kept] = cells[0];
    out->select[kept] = cells[1];
}

void bench_measure_durability(const struct bench_options *o, struct bench_durability *out) {
    static const char *const names[BENCH_DURABILITIES] = {
        "nothing", "AOF everysec", "AOF everysec and a replica", "a replica"};
    struct bench_setup primary, replica;
    *out = (struct bench_durability){.wire_set = 0};
    for (size_t i = 0; i < BENCH_DURABILITIES; i++)
        out->names[i] = names[i];
    bench_setup_begin(&primary, o, DURABILITY_WORKERS, DURABILITY_BLOCKS);
    command(&primary, "CONFIG SET auto-aof-rewrite-percentage 0"); // sizes are to grow only
    bench_fill_pool(&primary.caller.wire, &primary.held);
    measure(&primary, o, 0, out);
    keep_file(&primary, true);
    measure(&primary, o, 1, out);
    bench_setup_begin(&replica, o, DURABILITY_WORKERS, DURABILITY_BLOCKS);
    follow(&replica, &primary);
    measure(&primary, o, 2, out);
    caught_up(&primary, &replica);
    const struct bench_op *select = &bench_ops[BENCH_OP_SELECT];
    count_bytes(&primary, select, 0, &out->wire_select, &out->file_select);
    count_bytes(&primary, select, 1, &out->wire_release, &out->file_release);
    count_bytes(&primary, &bench_ops[BENCH_OP_SET], 0, &out->wire_set, &out->file_set);
    keep_file(&primary, false);
    measure(&primary, o, 3, out);
    caught_up(&primary, &replica);
    bench_setup_end(&replica);
    bench_setup_end(&primary);
}
