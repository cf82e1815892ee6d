// SPDX-License-Identifier: Apache-2.0
// See ha_pair_watch.h.
#include "ha_pair_watch.h"

#include <stdio.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "ha_client.h"
#include "ha_server.h"
#include "tests/support/support_home.h"

enum { HA_WATCH_PAUSE_MS = 15, HA_WATCH_REPLY_S = 5 };

static struct ha_pair_told before[HA_PAIR_CLIENTS][HA_PAIR_MAX];
static uint32_t begun[HA_PAIR_CLIENTS];
static redisContext *contexts[HA_MAX_SERVERS];

// ---- One request ---------------------------------------------------------------------------------

struct ha_pair_told ha_pair_told_now(const struct ha_pair_request *q) {
    // The state last: what was acknowledged then has been by now.
    struct ha_pair_told t = {.prefilled = q->prefilled, .output = q->output};
    t.state = q->state;
    return t;
}

enum ha_pair_verdict ha_pair_judge(const struct ha_pair *p, const struct ha_pair_request *q,
                                   const struct ha_pair_told *was,
                                   const struct ha_pair_seen *seen) {
    if (!seen) return HA_PAIR_MISSING;
    bool unpaired = seen->prefill == HA_PAIR_NOBODY && ha_pair_in_doubt(p, q->prefill, q->began);
    bool same_prefill = seen->prefill == q->prefill &&
                        (seen->prefill == HA_PAIR_NOBODY || seen->prefill_rank == q->prefill_rank);
    if (seen->worker != q->worker || seen->rank != q->rank || !(same_prefill || unpaired))
        return HA_PAIR_MISPLACED;
    bool behind = seen->prefilled < was->prefilled || seen->output < was->output;
    bool ahead = seen->prefilled > q->prefilled_asked || seen->output > q->output_asked;
    return behind || ahead ? HA_PAIR_BEHIND : HA_PAIR_AGREES;
}

// ---- All of them ---------------------------------------------------------------------------------

static void note(struct ha_pair_watch *w, const char *what, int client, uint32_t index) {
    if (!w->first[0])
        snprintf(w->first, sizeof w->first, "%s %s", ha_request_name(client, index).text, what);
}

static void remember(const struct ha_pair *p) {
    for (size_t c = 0; c < HA_PAIR_CLIENTS; c++) {
        begun[c] = p->clients[c].n;
        for (uint32_t i = 0; i < begun[c]; i++)
            before[c][i] = ha_pair_told_now(&p->clients[c].requests[i]);
    }
}

// Nobody may wonder that it isn't there, or isn't there any more.
static bool is_excused(const struct ha_pair *p, const struct ha_pair_request *q) {
    return q->late || ha_pair_in_doubt(p, q->worker, q->began) ||
           kvr_clock_ms() - q->said > p->lease / 2;
}

// One that waited until its time was over may still be on its way out.
static bool is_over(int state, uint32_t index) {
    return state == HA_PAIR_ENDED || state == HA_PAIR_FAILED ||
           (state == HA_PAIR_REFUSED && !ha_pair_may_wait(index));
}

static void compare(struct ha_pair *p, const struct ha_pair_view *v) {
    static const char *const words[] = {"", "isn't booked", "is booked elsewhere than told",
                                        "isn't as far as told"};
    for (int c = 0; c < HA_PAIR_CLIENTS; c++)
        for (uint32_t i = 0; i < begun[c]; i++) {
            const struct ha_pair_request *q = &p->clients[c].requests[i];
            const struct ha_pair_seen *seen = ha_pair_find(v, c, i);
            int was = before[c][i].state;
            if (seen && is_over(was, i)) {
                p->watch.ghosts++;
                note(&p->watch, "is booked although it is over", c, i);
            }
            if (was != HA_PAIR_LIVE || q->state != HA_PAIR_LIVE) continue;
            enum ha_pair_verdict verdict = ha_pair_judge(p, q, &before[c][i], seen);
            if (verdict == HA_PAIR_AGREES || is_excused(p, q)) continue;
            p->watch.missing++;
            note(&p->watch, words[verdict], c, i);
        }
    p->watch.ghosts += v->unknown;
    if (v->unknown) note(&p->watch, "and others: booked by nobody", 0, 0);
}

// ---- Servers -------------------------------------------------------------------------------------

static redisContext *connected(size_t i) {
    redisContext *c = contexts[i];
    if (c && !c->err) return c;
    if (c) redisFree(c);
    c = redisConnectUnixWithTimeout(ha_server_at(i)->redis.socket,
                                    (struct timeval){HA_WATCH_REPLY_S, 0});
    if (c) redisSetTimeout(c, (struct timeval){HA_WATCH_REPLY_S, 0});
    contexts[i] = c;
    return c && !c->err ? c : NULL;
}

static void look_at(struct ha_pair *p, size_t i) {
    struct ha_pair_watch *w = &p->watch;
    const struct ha_pair_view *v;
    bool comparing = !p->lossy && p->primary == (int)i;
    char first[160];
    redisContext *c = connected(i);
    if (!c) return;
    if (comparing) remember(p);
    if (!ha_pair_look(c, &v)) return;
    w->looks++;
    int64_t over = w->over;
    uint64_t half = ha_pair_half_booked(p, v, first, sizeof first);
    uint64_t above = half ? 0 : ha_pair_above(p, v, &over, first, sizeof first);
    if ((half || above) && !w->first[0])
        snprintf(w->first, sizeof w->first, "%s: %.130s", ha_server_at(i)->name, first);
    w->half += half;
    w->above += above;
    w->over = over;
    if (!comparing || p->primary != (int)i) return;
    w->compared++;
    compare(p, v);
}

static void watch(struct ha_pair *p) {
    while (!p->watch.end) {
        for (size_t i = 0; i < ha_server_count() && !p->watch.end; i++)
            if (!ha_server_at(i)->redis.sentinel) look_at(p, i);
        support_sleep_ms(HA_WATCH_PAUSE_MS);
    }
}

void ha_pair_watch_start(struct ha_pair *p) {
    p->watch.process = ha_process_add(0);
    if (ha_process_fork(p->watch.process)) return;
    watch(p);
    _exit(0);
}

static bool has_ended(void *ctx) {
    int status;
    struct ha_process *process = ctx;
    if (!ha_process_ended(process, &status)) return false;
    if (status) ha_give_up("the watcher ended badly (%d)", status);
    return true;
}

void ha_pair_watch_stop(struct ha_pair *p) {
    p->watch.end = true;
    ha_wait(has_ended, p->watch.process, "the watcher has ended");
}
