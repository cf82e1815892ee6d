// SPDX-License-Identifier: Apache-2.0
// Clients that die, and clients that are left alone.
#include "play.h"

#include <stdio.h>

enum { LEASE_MS = 3000, ALONE_MS = 4000 };

struct dead {
    const struct stage *stage;
    struct server *server;
};

static bool leases_of_the_dead_ended(void *ctx) {
    const struct dead *d = ctx;
    char id[32];
    for (size_t i = 0; i < d->stage->n_clients; i++) {
        const struct client *c = &d->stage->clients[i];
        if (c->process->pid) continue;
        for (uint32_t k = 0; k < c->n; k++) {
            snprintf(id, sizeof id, "%s", request_id((int)i, k).text);
            if (c->requests[k].state == REQUEST_ENDED) continue;
            redisReply *r = call(d->server, "KVROUTE.REQUEST GET pool %s", id);
            bool there = r->type == REDIS_REPLY_ARRAY;
            freeReplyObject(r);
            if (there) return false;
        }
    }
    return true;
}

void play_clients_die(struct verdict *v) {
    struct fleet f;
    char pool[80];
    fleet_start(&f, &(struct fleet_plan){.replicas = 1});
    snprintf(pool, sizeof pool, "BLOCKSIZE 16 LEASE %d WORKERTTL 300000", LEASE_MS);
    struct stage *s = stage_begin(
        &(struct stage_plan){.url = f.url, .pool = pool, .renew = LEASE_MS / 6}, f.primary);
    sleep_ms(BEFORE_MS);
    strike(v, s, "three clients of six");
    for (size_t i = 0; i < s->n_clients / 2; i++)
        process_kill(s->clients[i].process);
    struct dead d = {s, f.primary};
    wait_until(leases_of_the_dead_ended, &d, "the leases of dead clients have ended");
    judge(s, &f, v);
}

void play_no_primary(struct verdict *v) {
    struct fleet f;
    fleet_start(&f, &(struct fleet_plan){.replicas = 1});
    struct stage *s = stage_begin(
        &(struct stage_plan){.url = f.url, .degrade = true, .deadline = 300}, f.primary);
    sleep_ms(BEFORE_MS);
    strike(v, s, "the server, away for 4 s");
    server_kill(f.primary);
    sleep_ms(ALONE_MS);
    server_restart(f.primary);
    conclude(v, s, &f);
}
