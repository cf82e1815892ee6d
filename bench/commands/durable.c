// SPDX-License-Identifier: Apache-2.0
// What it costs to keep what is written: the append-only file, a replica, both.
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/clock.h"
#include "bench/common/stop.h"
#include "scenes.h"

enum { WORKERS = 64, BLOCKS = 200000, COUNTED = 1000, PATIENCE_MS = 60000 };

static void command(struct stage *s, const char *words) {
    redisReply *r = server_words(&s->server, words);
    if (!r) exit(1);
    freeReplyObject(r);
}

static void wait_for(struct stage *s, const char *section, const char *field, double value) {
    for (int ms = 0; info_number(&s->server, section, field) != value; ms += 20) {
        if (ms > PATIENCE_MS || stop_asked()) scene_fail("the server doesn't get ready");
        clock_sleep_ms(20);
    }
}

static void keep_file(struct stage *s, bool on) {
    command(s, on ? "CONFIG SET appendonly yes" : "CONFIG SET appendonly no");
    wait_for(s, "persistence", "aof_rewrite_in_progress", 0);
    wait_for(s, "persistence", "aof_rewrite_scheduled", 0);
}

static void follow(struct stage *replica, struct stage *primary) {
    char words[80];
    if (!primary->server.port && !server_open(&primary->server)) exit(1);
    snprintf(words, sizeof words, "REPLICAOF 127.0.0.1 %d", primary->server.port);
    command(replica, words);
    wait_for(primary, "replication", "connected_slaves", 1);
    for (int ms = 0; info_number(&replica->server, "replication", "master_sync_in_progress") != 0 ||
                     info_number(&replica->server, "replication", "slave_repl_offset") <= 0;
         ms += 20) {
        if (ms > PATIENCE_MS || stop_asked()) scene_fail("the replica doesn't follow");
        clock_sleep_ms(20);
    }
}

static void caught_up(struct stage *primary, struct stage *replica) {
    wait_for(replica, "replication", "slave_repl_offset",
             info_number(&primary->server, "replication", "master_repl_offset"));
}

// What COUNTED steps of a way add to the stream and to the file, bytes each.
static void count_bytes(struct stage *s, const struct way *w, size_t step, double *wire,
                        double *file) {
    server_settle(&s->server);
    double stream = info_number(&s->server, "replication", "master_repl_offset");
    double size = info_number(&s->server, "persistence", "aof_current_size");
    for (uint64_t i = 0; i < COUNTED; i++)
        w->put(&s->caller, SCENE_LENGTH, i, step);
    wire_send(&s->caller.wire);
    for (uint64_t i = 0; i < COUNTED; i++)
        wire_skip(&s->caller.wire);
    server_settle(&s->server);
    *wire = (info_number(&s->server, "replication", "master_repl_offset") - stream) / COUNTED;
    *file = (info_number(&s->server, "persistence", "aof_current_size") - size) / COUNTED;
}

static void measure(struct stage *s, const struct options *o, size_t kept, struct durable *out) {
    struct cell cells[2] = {
        {.way = &ways[WAY_SET], .length = SCENE_LENGTH, .pipelined = true},
        {.way = &ways[WAY_SELECT], .length = SCENE_LENGTH, .pipelined = true},
    };
    struct plan longer = o->plan;
    longer.slice *= 2;
    measure_cells(&s->server, &s->caller, &longer, cells, 2);
    out->set[kept] = cells[0];
    out->select[kept] = cells[1];
}

void scene_durable(const struct options *o, struct durable *out) {
    static const char *const names[KEPT] = {"nothing", "AOF everysec", "AOF everysec and a replica",
                                            "a replica"};
    struct stage primary, replica;
    *out = (struct durable){.wire_set = 0};
    for (size_t i = 0; i < KEPT; i++)
        out->names[i] = names[i];
    stage_begin(&primary, o, WORKERS, BLOCKS);
    command(&primary, "CONFIG SET auto-aof-rewrite-percentage 0"); // sizes are to grow only
    fill_pool(&primary.caller.wire, &primary.held);
    measure(&primary, o, 0, out);
    keep_file(&primary, true);
    measure(&primary, o, 1, out);
    stage_begin(&replica, o, WORKERS, BLOCKS);
    follow(&replica, &primary);
    measure(&primary, o, 2, out);
    caught_up(&primary, &replica);
    const struct way *select = &ways[WAY_SELECT];
    count_bytes(&primary, select, 0, &out->wire_select, &out->file_select);
    count_bytes(&primary, select, 1, &out->wire_release, &out->file_release);
    count_bytes(&primary, &ways[WAY_SET], 0, &out->wire_set, &out->file_set);
    keep_file(&primary, false);
    measure(&primary, o, 3, out);
    caught_up(&primary, &replica);
    stage_end(&replica);
    stage_end(&primary);
}
