// SPDX-License-Identifier: Apache-2.0
// Clients that die, and clients that are left alone.
#include "ha_steps.h"

#include <stdio.h>

#include "tests/support/support_home.h"

enum { HA_LEASE_MS = 3000, HA_ALONE_MS = 4000 };

struct ha_dead_clients {
    const struct ha_load *load;
    struct ha_server *server;
};

static bool leases_of_the_dead_ended(void *ctx) {
    const struct ha_dead_clients *d = ctx;
    char id[32];
    for (size_t i = 0; i < d->load->n_clients; i++) {
        const struct ha_client *c = &d->load->clients[i];
        if (c->process->pid) continue;
        for (uint32_t k = 0; k < c->n; k++) {
            snprintf(id, sizeof id, "%s", ha_request_name((int)i, k).text);
            if (c->requests[k].state == HA_REQUEST_ENDED) continue;
            redisReply *r = ha_call(d->server, "KVROUTE.REQUEST GET pool %s", id);
            bool there = r->type == REDIS_REPLY_ARRAY;
            freeReplyObject(r);
            if (there) return false;
        }
    }
    return true;
}

void ha_clients_die(struct ha_result *v) {
    struct ha_fleet f;
    char pool[80];
    ha_fleet_start(&f, &(struct ha_fleet_plan){.replicas = 1});
    snprintf(pool, sizeof pool, "BLOCKSIZE 16 LEASE %d WORKERTTL 300000", HA_LEASE_MS);
    struct ha_load *s = ha_load_start(
        &(struct ha_load_plan){.url = f.url, .pool = pool, .renew = HA_LEASE_MS / 6}, f.primary);
    support_sleep_ms(HA_BEFORE_MS);
    ha_note_fault(v, s, "three clients of six");
    for (size_t i = 0; i < s->n_clients / 2; i++)
        ha_process_kill(s->clients[i].process);
    struct ha_dead_clients d = {s, f.primary};
    ha_wait(leases_of_the_dead_ended, &d, "the leases of dead clients have ended");
    ha_check(s, &f, v);
}

void ha_no_primary(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f, &(struct ha_fleet_plan){.replicas = 1});
    struct ha_load *s = ha_load_start(
        &(struct ha_load_plan){.url = f.url, .degrade = true, .deadline = 300}, f.primary);
    support_sleep_ms(HA_BEFORE_MS);
    ha_note_fault(v, s, "the server, away for 4 s");
    ha_server_kill(f.primary);
    support_sleep_ms(HA_ALONE_MS);
    ha_server_restart(f.primary);
    ha_finish(v, s, &f);
}
