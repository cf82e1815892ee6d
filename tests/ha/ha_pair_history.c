// SPDX-License-Identifier: Apache-2.0
// See ha_pair_history.h.
#include "ha_pair_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ha_aof.h"
#include "ha_client.h"

// A request, as far as the file has been read.
struct ha_pair_past {
    bool booked, ever, released;
    bool
        uncalled; // its client hasn't been told: who ends his wait in that moment gives it back, and asks once more
    uint16_t worker;
};

struct ha_pair_reading {
    const struct ha_pair *pair;
    struct ha_pair_history *out;
    struct ha_pair_past past[HA_PAIR_CLIENTS][HA_PAIR_MAX];
};

static struct ha_pair_past *find(struct ha_pair_reading *r, struct kvr_bytes id) {
    int client;
    uint32_t index;
    bool ours = ha_request_parse(id.p, id.n, &client, &index) && client >= 0 &&
                client < HA_PAIR_CLIENTS && index < r->pair->clients[client].n;
    return ours ? &r->past[client][index] : NULL;
}

static void booked(struct ha_pair_reading *r, struct ha_pair_past *q,
                   const struct ha_aof_words *w) {
    r->out->bookings++;
    if (q->booked || q->released) {
        r->out->twice++;
        snprintf(r->out->first, sizeof r->out->first, "%.*s was booked %s", (int)w->at[2].n,
                 w->at[2].p, q->booked ? "while it was" : "after its release");
    }
    q->booked = q->ever = true;
    q->uncalled = ha_aof_has_word(w, 4, "UNCALLED");
    ha_pair_engine_find(w->at[3].p, w->at[3].n, &q->worker);
}

static void released(struct ha_pair_reading *r, const struct ha_aof_words *w) {
    bool lapsed = ha_aof_has_word(w, 2, "LAPSED"); // nobody has said so
    for (size_t i = 2; i < w->n; i++) {
        struct ha_pair_past *q = find(r, w->at[i]);
        if (!q) continue;
        q->released |= q->booked && !lapsed && !q->uncalled;
        q->booked = false;
    }
}

// With all that is booked there; the prompts of the others weigh on nobody from now on.
static void worker_deleted(struct ha_pair_reading *r, struct kvr_bytes name) {
    uint16_t engine;
    ha_pair_engine_find(name.p, name.n, &engine);
    for (size_t c = 0; c < HA_PAIR_CLIENTS; c++)
        for (uint32_t i = 0; i < r->pair->clients[c].n; i++)
            if (r->past[c][i].worker == engine) r->past[c][i].booked = false;
}

static void take(void *ctx, const struct ha_aof_words *w) {
    struct ha_pair_reading *r = ctx;
    if (w->n < 4 && !(w->n > 2 && ha_aof_is_word(w->at[0], "KVROUTE.RELEASE"))) return;
    if (ha_aof_is_word(w->at[0], "KVROUTE.RELEASE")) {
        released(r, w);
    } else if (ha_aof_is_word(w->at[0], "KVROUTE.WORKER")) {
        if (ha_aof_is_word(w->at[1], "DEL")) worker_deleted(r, w->at[3]);
    } else if (ha_aof_is_word(w->at[0], "KVROUTE.UPDATE")) {
        struct ha_pair_past *q = find(r, w->at[2]);
        if (q) q->uncalled = false;
    } else if (ha_aof_is_word(w->at[0], "KVROUTE.CLAIM") ||
               ha_aof_is_word(w->at[0], "KVROUTE.ADMIT")) {
        struct ha_pair_past *q = find(r, w->at[2]);
        if (q) booked(r, q, w);
    }
}

void ha_pair_history_read(const struct ha_pair *p, struct ha_server *s,
                          struct ha_pair_history *out) {
    struct ha_pair_reading *r = calloc(1, sizeof *r);
    if (!r) ha_give_up("no memory for a history");
    memset(out, 0, sizeof *out);
    r->pair = p;
    r->out = out;
    ha_aof_read(s, take, r);
    for (size_t c = 0; c < HA_PAIR_CLIENTS; c++)
        for (uint32_t i = 0; i < p->clients[c].n; i++) {
            int state = p->clients[c].requests[i].state;
            out->never +=
                (state == HA_PAIR_ENDED || state == HA_PAIR_ORPHAN) && !r->past[c][i].ever;
            out->left += r->past[c][i].booked;
        }
    free(r);
}
