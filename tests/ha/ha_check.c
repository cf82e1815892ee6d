// SPDX-License-Identifier: Apache-2.0
// See ha_check.h.
#include "ha_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ha_snapshot.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum {
    HA_AGREE_MS = 10000, // what everybody may take to agree once nobody begins anything
    HA_AGREE_STEP_MS = 100,
};

// ---- What Redis has lost -------------------------------------------------------------------------

void ha_losses_count(const struct ha_load *s, struct ha_server *server, struct ha_losses *out) {
    const struct ha_snapshot *v = ha_snapshot_take(s, server);
    memset(out, 0, sizeof *out);
    for (size_t c = 0; c < s->n_clients; c++) {
        const struct ha_client *client = &s->clients[c];
        for (uint32_t i = 0; i < client->n; i++) {
            const struct ha_request *q = &client->requests[i];
            const struct ha_seen_request *seen = &v->requests[c][i];
            if (q->state == HA_REQUEST_LIVE && !q->degraded && !seen->there) out->bookings++;
            if (q->state == HA_REQUEST_ENDED && seen->there) out->releases++;
            if (q->state == HA_REQUEST_LIVE && seen->there)
                out->updates += seen->output < q->output || seen->prefilled < q->prefilled;
        }
    }
    for (size_t w = 0; w < HA_WORKERS; w++) {
        out->workers += !v->registered[w];
        for (size_t r = 0; r < HA_RANKS; r++) {
            const struct ha_rank_log *log =
                &s->publishers[w / HA_WORKERS_EACH].ranks[w % HA_WORKERS_EACH][r];
            const struct ha_seen_rank *seen = &v->ranks[w][r];
            uint64_t acked = log->acked, has = seen->epoch == log->epoch ? seen->seq : 0;
            out->events += acked > has ? acked - has : 0;
        }
    }
}

uint64_t ha_losses_sum(const struct ha_losses *l) {
    return l->bookings + l->releases + l->updates + l->events + l->workers;
}

// ---- What disagrees at the end -------------------------------------------------------------------

struct ha_faults {
    uint64_t missing; // live for its client, not in the pool
    uint64_t
        misplaced;     // booked on another instance than its client was told, or as another request
    uint64_t left;     // booked although released, or never routed
    uint64_t behind;   // not as far as was acknowledged, or further than was ever said
    uint64_t unknown;  // booked by nobody
    uint64_t loads;    // ranks whose load isn't that of the requests on them
    uint64_t holdings; // (rank, tier, block) that the pool has and shouldn't, or the reverse
    uint64_t workers;  // not registered
    uint64_t open;     // calls that were never answered
};

static uint64_t faults_sum(const struct ha_faults *f) {
    return f->missing + f->misplaced + f->left + f->behind + f->unknown + f->loads + f->holdings +
           f->workers + f->open;
}

static void compare_request(const struct ha_request *q, const struct ha_seen_request *seen,
                            struct ha_faults *f) {
    int state = q->state; // clang takes no atomic in a switch
    switch (state) {
    case HA_REQUEST_LIVE:
        if (!seen->there) {
            f->missing++;
        } else {
            f->misplaced += seen->worker != q->worker || seen->rank != q->rank ||
                            seen->blocks != q->blocks || seen->isl != q->isl;
            f->behind += seen->output < q->output || seen->output > q->output_asked ||
                         seen->prefilled < q->prefilled || seen->prefilled > q->prefilled_asked;
        }
        break;
    case HA_REQUEST_ENDED:
    case HA_REQUEST_FAILED:
        f->left += seen->there;
        break;
    default:
        f->open++;
    }
}

// Clients that were killed have no say: what they left is not compared.
static bool speaks(const struct ha_client *c) {
    return c->process->pid != 0;
}

static void compare(const struct ha_load *s, const struct ha_snapshot *v, struct ha_faults *f) {
    int64_t live[HA_WORKERS][HA_RANKS] = {{0}};
    uint64_t told = 0;
    memset(f, 0, sizeof *f);
    f->unknown = v->unknown;
    for (size_t c = 0; c < s->n_clients; c++)
        for (uint32_t i = 0; i < s->clients[c].n; i++) {
            const struct ha_request *q = &s->clients[c].requests[i];
            const struct ha_seen_request *seen = &v->requests[c][i];
            if (speaks(&s->clients[c])) compare_request(q, seen, f);
            if (seen->there) live[seen->worker][seen->rank < HA_RANKS ? seen->rank : 0]++;
        }
    for (size_t w = 0; w < HA_WORKERS; w++) {
        f->workers += !v->registered[w];
        for (size_t r = 0; r < HA_RANKS; r++) {
            const struct ha_rank_log *log =
                &s->publishers[w / HA_WORKERS_EACH].ranks[w % HA_WORKERS_EACH][r];
            f->loads += v->ranks[w][r].requests != live[w][r];
            for (size_t b = 0; b < HA_BLOCKS; b++) {
                told += (uint64_t)__builtin_popcount(log->tiers[b]);
                f->holdings +=
                    (uint64_t)__builtin_popcount(log->tiers[b] ^ v->ranks[w][r].tiers[b]);
            }
        }
    }
    f->holdings += v->holdings > told ? v->holdings - told : told - v->holdings;
}

void ha_tell(struct ha_result *v, uint64_t n, const char *format, ...) {
    if (!n) return;
    size_t used = strlen(v->faults);
    int more =
        snprintf(v->faults + used, sizeof v->faults - used, "%s%" PRIu64 " ", used ? ", " : "", n);
    if (more > 0 && used + (size_t)more < sizeof v->faults) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(v->faults + used + more, sizeof v->faults - used - (size_t)more, format, ap);
        va_end(ap);
    }
    v->unrepaired += n;
}

static void tell_all(struct ha_result *v, const struct ha_faults *f) {
    ha_tell(v, f->missing, "live requests missing");
    ha_tell(v, f->misplaced, "booked elsewhere than told");
    ha_tell(v, f->left, "booked although over");
    ha_tell(v, f->behind, "not as far as told");
    ha_tell(v, f->unknown, "booked by nobody");
    ha_tell(v, f->loads, "loads wrong");
    ha_tell(v, f->holdings, "holdings wrong");
    ha_tell(v, f->workers, "workers missing");
    ha_tell(v, f->open, "calls never answered");
}

struct ha_comparison {
    const struct ha_load *load;
    struct ha_fleet *fleet;
    struct ha_faults faults;
    uint64_t left;
};

static bool agrees(void *ctx) {
    struct ha_comparison *c = ctx;
    struct ha_server *primary = ha_fleet_settle(c->fleet);
    compare(c->load, ha_snapshot_take(c->load, primary), &c->faults);
    if (!faults_sum(&c->faults)) return true;
    support_sleep_ms(HA_AGREE_STEP_MS);
    return false;
}

// ---- Digests -------------------------------------------------------------------------------------

static void digest(struct ha_server *s, char out[64]) {
    if (s->bus) ha_call_ok(s, "READONLY"); // or a replica in a Cluster names its primary instead
    redisReply *r = ha_call(s, "KVROUTE.DIGEST pool");
    snprintf(out, 64, "%s", r->str ? r->str : "");
    freeReplyObject(r);
}

// Heartbeats go on; they change no digest.
static bool same_digests(void *ctx) {
    struct ha_fleet *f = ctx;
    struct ha_server *primary = ha_fleet_settle(f), *others[HA_FLEET];
    char ours[64], theirs[64];
    size_t n = ha_fleet_others(f, primary, others);
    for (size_t i = 0; i < n; i++) {
        if (!ha_server_synced(others[i], primary)) return false;
        digest(primary, ours);
        digest(others[i], theirs);
        if (strlen(ours) != 40 || strcmp(ours, theirs) != 0) return false;
    }
    return true;
}

bool ha_digests_agree(struct ha_fleet *f) {
    return support_wait(same_digests, f, HA_AGREE_MS);
}

// ---- Nothing left --------------------------------------------------------------------------------

static uint64_t load_left(const struct ha_snapshot *v) {
    uint64_t left = v->unknown;
    for (size_t w = 0; w < HA_WORKERS; w++)
        for (size_t r = 0; r < HA_RANKS; r++) {
            const struct ha_seen_rank *seen = &v->ranks[w][r];
            left += (uint64_t)(seen->requests + (seen->prefill_tokens != 0) +
                               (seen->decode_blocks != 0));
        }
    return left;
}

static bool is_empty(void *ctx) {
    struct ha_comparison *c = ctx;
    c->left = load_left(ha_snapshot_take(c->load, ha_fleet_settle(c->fleet)));
    return c->left == 0;
}

// ---- All of it -----------------------------------------------------------------------------------

static void sum_up(struct ha_load *s, struct ha_result *v) {
    uint64_t noticed = 0, repaired = 0;
    for (size_t i = 0; i < s->n_clients; i++) {
        const struct ha_client *c = &s->clients[i];
        if (c->longest_gap > v->ms_without) v->ms_without = c->longest_gap;
        if (ha_client_errors(c) && !v->first_error[0])
            snprintf(v->first_error, sizeof v->first_error, "%s", c->first_error);
        v->errors += ha_client_errors(c);
        v->degraded += c->degraded;
        v->timeouts += c->timeouts;
        v->requests += c->n;
        noticed += c->stats.lost;
        repaired += c->stats.repaired;
        ha_tell(v, c->undrained, "client (%zu) never at rest", i);
    }
    for (size_t i = 0; i < HA_PUBLISHERS; i++) {
        struct ha_publisher *p = &s->publishers[i];
        if (ha_publisher_errors(p) && !v->first_error[0])
            snprintf(v->first_error, sizeof v->first_error, "%s", p->first_error);
        v->errors += ha_publisher_errors(p);
        ha_tell(v, p->unsettled, "publisher (%zu) never settled", i);
        ha_tell(v, p->untrue, "blocks that a publisher has wrong");
        for (int w = 0; w < HA_WORKERS_EACH; w++)
            for (int r = 0; r < HA_RANKS; r++) {
                noticed += p->ranks[w][r].stats.gaps;
                repaired += p->ranks[w][r].stats.gaps;
            }
    }
    if (!v->counted) {
        v->lost = noticed;
        v->repaired = repaired;
    } else {
        v->repaired = v->lost > v->unrepaired ? v->lost - v->unrepaired : 0;
    }
}

void ha_check(struct ha_load *s, struct ha_fleet *f, struct ha_result *v) {
    struct ha_comparison c = {s, f, {0}, 0};
    ha_load_order(s, HA_ORDER_HOLD);
    if (!support_wait(agrees, &c, HA_AGREE_MS)) tell_all(v, &c.faults);
    v->digests_equal = ha_digests_agree(f);
    if (!v->digests_equal) ha_tell(v, 1, "digest of a replica differs");
    ha_load_order(s, HA_ORDER_FINISH);
    if (!support_wait(is_empty, &c, HA_AGREE_MS)) ha_tell(v, c.left, "left after all was released");
    sum_up(s, v);
    ha_tell(v, ha_load_end(s), "processes ended badly");
    const char *broken = ha_servers_broken();
    if (broken) ha_tell(v, 1, "server broken: %s", broken);
}
