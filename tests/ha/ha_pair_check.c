// SPDX-License-Identifier: Apache-2.0
// See ha_pair_check.h.
#include "ha_pair_check.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "ha_check.h"
#include "ha_pair_history.h"
#include "ha_pair_load.h"
#include "ha_pair_watch.h"
#include "tests/support/support_process.h"

enum { HA_PAIR_AGREE_MS = 30000 };

// ---- Quiet ---------------------------------------------------------------------------------------

struct ha_pair_quietness {
    struct ha_pair *pair;
    struct ha_fleet *fleet;
    uint64_t missing, misplaced, behind, left, open, half, above;
    int64_t over;
    char first[160], half_first[160];
};

static void judge(struct ha_pair_quietness *t, const struct ha_pair_view *v, int client,
                  uint32_t index) {
    const struct ha_pair_request *q = &t->pair->clients[client].requests[index];
    const struct ha_pair_seen *seen = ha_pair_find(v, client, index);
    const struct ha_pair_told told = ha_pair_told_now(q);
    uint64_t before = t->missing + t->misplaced + t->behind + t->left + t->open;
    enum ha_pair_verdict verdict = HA_PAIR_AGREES;
    if (told.state == HA_PAIR_LIVE) verdict = ha_pair_judge(t->pair, q, &told, seen);
    t->missing += verdict == HA_PAIR_MISSING;
    t->misplaced += verdict == HA_PAIR_MISPLACED;
    t->behind += verdict == HA_PAIR_BEHIND;
    t->open += told.state == HA_PAIR_ASKING || told.state == HA_PAIR_ENDING;
    t->left += seen && (told.state == HA_PAIR_ENDED || told.state == HA_PAIR_REFUSED ||
                        told.state == HA_PAIR_FAILED || told.state == HA_PAIR_UNBORN);
    if (!t->first[0] && before != t->missing + t->misplaced + t->behind + t->left + t->open)
        snprintf(
            t->first, sizeof t->first, "%s: state %d at %s:%d, prompt at %s:%d; %s %s:%d, %s:%d",
            ha_request_name(client, index).text, told.state, ha_pair_engine_name(q->worker).text,
            q->rank, ha_pair_engine_name(q->prefill).text, q->prefill_rank,
            seen ? "in the pool" : "not there", seen ? ha_pair_engine_name(seen->worker).text : "",
            seen ? seen->rank : 0, seen ? ha_pair_engine_name(seen->prefill).text : "",
            seen ? seen->prefill_rank : 0);
}

static bool agrees(void *ctx) {
    struct ha_pair_quietness *t = ctx;
    struct ha_server *primary = ha_fleet_settle(t->fleet);
    redisContext *c = support_redis_control(&primary->redis);
    const struct ha_pair_view *v;
    *t = (struct ha_pair_quietness){.pair = t->pair, .fleet = t->fleet};
    t->missing = !c || !ha_pair_look(c, &v);
    if (t->missing) return false;
    for (int i = 0; i < HA_PAIR_CLIENTS; i++)
        for (uint32_t k = 0; k < t->pair->clients[i].n; k++)
            judge(t, v, i, k);
    t->left += v->unknown;
    t->half = ha_pair_half_booked(t->pair, v, t->half_first, sizeof t->half_first);
    t->above = ha_pair_above(t->pair, v, &t->over, t->half_first, sizeof t->half_first);
    return !t->missing && !t->misplaced && !t->behind && !t->left && !t->open && !t->half &&
           !t->above;
}

static void hold(struct ha_result *v, struct ha_pair *p, struct ha_fleet *f) {
    struct ha_pair_quietness t = {.pair = p, .fleet = f};
    ha_pair_order(p, HA_ORDER_HOLD);
    v->pairs.quiet++;
    if (!support_wait(agrees, &t, HA_PAIR_AGREE_MS)) {
        ha_tell(v, t.missing, "bookings missing (%s)", t.first);
        ha_tell(v, t.misplaced, "booked elsewhere than told (%s)", t.first);
        ha_tell(v, t.behind, "not as far as told (%s)", t.first);
        ha_tell(v, t.left, "booked although over (%s)", t.first);
        ha_tell(v, t.open, "calls never answered (%s)", t.first);
        ha_tell(v, t.half, "legs half-booked (%s)", t.half_first);
        ha_tell(v, t.above, "above limits (%s)", t.half_first);
        v->pairs.half += t.half;
        v->pairs.above += t.above;
        v->pairs.never += t.missing;
    }
    v->digests_equal = ha_digests_agree(f);
    if (!v->digests_equal) ha_tell(v, 1, "digest of a replica differs");
}

bool ha_pair_quiet(struct ha_result *v, struct ha_pair *p, struct ha_fleet *f) {
    hold(v, p, f);
    ha_pair_order(p, HA_ORDER_WORK);
    return !v->unrepaired;
}

// ---- The end -------------------------------------------------------------------------------------

struct ha_pair_remains {
    struct ha_fleet *fleet;
    uint64_t left;
};

static bool nothing_left(void *ctx) {
    struct ha_pair_remains *e = ctx;
    redisContext *c = support_redis_control(&ha_fleet_settle(e->fleet)->redis);
    const struct ha_pair_view *view;
    e->left = 1;
    if (!c || !ha_pair_look(c, &view)) return false;
    e->left = ha_pair_left(view);
    return !e->left;
}

// Where one server was the primary from the beginning to the end, and lost nothing: what it did.
static void add_history(struct ha_result *v, const struct ha_pair *p, struct ha_server *s) {
    struct ha_pair_history h;
    if (p->lossy) return;
    ha_pair_history_read(p, s, &h);
    v->pairs.twice += h.twice;
    v->pairs.never += h.never;
    ha_tell(v, h.twice, "booked twice (%s)", h.first);
    ha_tell(v, h.never, "acknowledged, and never booked");
    ha_tell(v, h.left, "booked at the end, by the file");
}

static void add_client(struct ha_result *v, const struct ha_pair *p,
                       const struct ha_pair_client *c) {
    v->requests += c->n;
    v->pairs.released += c->released;
    v->pairs.with_worker += c->with_worker;
    v->pairs.by_lease += c->by_time;
    v->pairs.resent += c->resent;
    v->pairs.undone += c->undone;
    v->lost += c->lost + c->stats.lost;
    v->repaired += c->repaired + c->stats.repaired;
    v->errors += c->errors;
    v->pairs.never += p->lossy ? 0 : c->unbooked;
    if (c->longest_gap > v->ms_without) v->ms_without = c->longest_gap;
    if (c->first_error[0] && !v->first_error[0])
        snprintf(v->first_error, sizeof v->first_error, "%s", c->first_error);
    for (uint32_t i = 0; i < c->n; i++)
        v->pairs.twice += c->requests[i].answers > 1;
}

static void add_up(struct ha_result *v, const struct ha_pair *p) {
    uint64_t lapses = 0;
    for (size_t i = 0; i < HA_PAIR_CLIENTS; i++)
        add_client(v, p, &p->clients[i]);
    for (size_t i = 0; i < HA_PAIR_ENGINES; i++) {
        const struct ha_pair_engine *e = &p->engines[i];
        lapses += e->lapses;
        v->errors += e->errors;
        if (e->errors && !v->first_error[0])
            snprintf(v->first_error, sizeof v->first_error, "%s", e->first_error);
    }
    const struct ha_pair_watch *w = &p->watch;
    size_t orphans = ha_pair_count(p, HA_PAIR_ORPHAN);
    v->pairs.faults = p->faults;
    v->pairs.by_lease += orphans;
    v->pairs.bookings = ha_pair_count(p, HA_PAIR_ENDED) + orphans;
    v->pairs.looks = w->looks;
    v->pairs.half += w->half;
    v->pairs.above += w->above;
    v->pairs.over = w->over;
    ha_tell(v, w->half, "legs half-booked at work (%s)", w->first);
    ha_tell(v, w->above, "instances above limits (%s)", w->first);
    ha_tell(v, v->pairs.twice, "answered twice");
    if (lapses) return; // an engine was too late for its own time: it took what it had with it
    v->pairs.never += w->missing;
    v->pairs.twice += w->ghosts;
    ha_tell(v, w->missing, "not booked as told, at work (%s)", w->first);
    ha_tell(v, w->ghosts, "booked although over, at work (%s)", w->first);
    ha_tell(v, v->pairs.never - w->missing, "gone before their release");
}

void ha_pair_finish(struct ha_result *v, struct ha_pair *p, struct ha_fleet *f) {
    struct ha_pair_remains e = {.fleet = f};
    hold(v, p, f);
    ha_pair_order(p, HA_ORDER_FINISH);
    bool empty = support_wait(nothing_left, &e, HA_PATIENCE_MS);
    if (!empty) ha_tell(v, e.left, "left after all was released");
    v->digests_equal &= ha_digests_agree(f);
    if (!v->digests_equal) ha_tell(v, 1, "digest of a replica differs");
    ha_pair_watch_stop(p);
    add_up(v, p);
    add_history(v, p, f->primary);
    ha_pair_end(p);
    const char *broken = ha_servers_broken();
    if (broken) ha_tell(v, 1, "server broken: %s", broken);
}
