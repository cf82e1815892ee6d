// SPDX-License-Identifier: Apache-2.0
// See ha_history.h.
#include "ha_history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ha_aof.h"
#include "ha_client.h"

// A request, as far as the file has been read.
struct ha_told {
    uint64_t place; // when it began to wait, 0: it doesn't
    bool admitted;  // and its owner hasn't come
    bool came, again, missed, served;
    bool over; // its time was; it may have been asked for before that, and begin anew
};

struct ha_reading {
    const struct ha_queue *queue;
    struct ha_history *out;
    struct ha_told told[HA_QUEUE_CLIENTS][HA_QUEUE_MAX];
};

static void note(struct ha_history *h, uint64_t *count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void note(struct ha_history *h, uint64_t *count, const char *format, ...) {
    va_list ap;
    ++*count;
    if (h->first[0]) return;
    va_start(ap, format);
    vsnprintf(h->first, sizeof h->first, format, ap);
    va_end(ap);
}

// ---- What a command says -------------------------------------------------------------------------

struct ha_subject {
    struct ha_told *told;
    int client;
    uint32_t index;
    uint16_t flow;
};

static bool find(struct ha_reading *r, struct kvr_bytes id, struct ha_subject *s) {
    if (!ha_request_parse(id.p, id.n, &s->client, &s->index) || s->client < 0 ||
        s->client >= HA_QUEUE_CLIENTS || s->index >= r->queue->clients[s->client].n)
        return false;
    s->told = &r->told[s->client][s->index];
    s->flow = r->queue->clients[s->client].waiters[s->index].flow;
    return true;
}

static void owner_came(struct ha_reading *r, struct ha_subject *s) {
    struct ha_told *t = s->told;
    r->out->came++;
    if (t->came && t->again)
        note(r->out, &r->out->twice, "c%d-%" PRIu32 " was served twice", s->client, s->index);
    t->admitted = t->again = false;
    t->came = true;
}

// It begins to wait: those of its handle and flow that were asked for later aren't to be before it.
static void enqueued(struct ha_reading *r, struct ha_subject *s) {
    struct ha_told *t = s->told;
    if (t->place) return; // it only tells another channel
    t->place = ++r->out->enqueued;
    if (t->missed) r->out->missed++;
    if (t->missed || t->over || t->came || s->client == HA_QUEUE_BLOCKERS) return;
    const struct ha_queue_client *c = &r->queue->clients[s->client];
    for (uint32_t k = s->index + 1; k < c->n; k++) {
        const struct ha_told *later = &r->told[s->client][k];
        if (c->waiters[k].flow != s->flow || !(later->place || later->served)) continue;
        note(r->out, &r->out->behind, "c%d-%" PRIu32 " began to wait behind %" PRIu32, s->client,
             s->index, k);
        return;
    }
}

static void admitted(struct ha_reading *r, struct ha_subject *s, bool uncalled) {
    struct ha_told *t = s->told;
    r->out->admitted++;
    for (int c = 0; c < HA_QUEUE_CLIENTS; c++)
        for (uint32_t k = 0; k < r->queue->clients[c].n; k++) {
            const struct ha_told *other = &r->told[c][k];
            if (r->queue->clients[c].waiters[k].flow != s->flow || !other->place ||
                other->place >= t->place)
                continue;
            note(r->out, &r->out->disorder, "c%d-%" PRIu32 " was admitted before c%d-%" PRIu32,
                 s->client, s->index, c, k);
            c = HA_QUEUE_CLIENTS - 1; // one is enough
            break;
        }
    t->again = t->came;
    t->place = 0;
    t->admitted = t->served = true;
    if (!uncalled) owner_came(r, s);
}

static void ended(struct ha_reading *r, struct ha_subject *s, bool lapsed) {
    struct ha_told *t = s->told;
    if (lapsed && t->admitted && !t->again) t->missed = true;
    if (t->again) r->out->for_nobody++;
    if (lapsed && t->place) t->over = true;
    t->place = 0;
    t->admitted = t->again = false;
}

static void take(void *ctx, const struct ha_aof_words *w) {
    struct ha_reading *r = ctx;
    struct ha_subject s;
    r->out->effects++;
    if (w->n < 3) return;
    if (ha_aof_is_word(w->at[0], "KVROUTE.RELEASE")) {
        bool lapsed = ha_aof_has_word(w, 2, "LAPSED");
        for (size_t i = 2; i < w->n; i++)
            if (find(r, w->at[i], &s)) ended(r, &s, lapsed);
        return;
    }
    if (!find(r, w->at[2], &s)) return;
    if (ha_aof_is_word(w->at[0], "KVROUTE.ENQUEUE")) {
        enqueued(r, &s);
    } else if (ha_aof_is_word(w->at[0], "KVROUTE.ADMIT")) {
        admitted(r, &s, ha_aof_has_word(w, 3, "UNCALLED"));
    } else if (ha_aof_is_word(w->at[0], "KVROUTE.UPDATE")) {
        if (s.told->admitted) owner_came(r, &s);
    } else if (ha_aof_is_word(w->at[0], "KVROUTE.CLAIM")) {
        *s.told = (struct ha_told){.came = true, .served = true, .missed = s.told->missed};
    }
}

void ha_history_read(const struct ha_queue *q, struct ha_server *const *servers, size_t n,
                     struct ha_history *out) {
    static struct ha_reading reading;
    memset(out, 0, sizeof *out);
    memset(&reading, 0, sizeof reading);
    reading.queue = q;
    reading.out = out;
    for (size_t i = 0; i < n; i++)
        ha_aof_read(servers[i], take, &reading);
    for (size_t c = 0; c < HA_QUEUE_CLIENTS; c++)
        for (uint32_t i = 0; i < q->clients[c].n; i++)
            out->for_nobody += reading.told[c][i].missed && !reading.told[c][i].came;
}
