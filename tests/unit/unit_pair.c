// SPDX-License-Identifier: Apache-2.0
// Operations done to pool and model; see unit_pair.h.
#include "unit_pair.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support_alloc.h"
#include "unit_saved.h"

// Notes an operation for unit_pair_differs.
__attribute__((format(printf, 2, 3))) static void log_op(struct unit_pair *p, const char *format,
                                                         ...) {
    char *line = p->log[p->logged++ % UNIT_PAIR_LOG];
    va_list args;
    va_start(args, format);
    vsnprintf(line, UNIT_PAIR_LINE, format, args);
    va_end(args);
    if (getenv("KVROUTE_TRACE")) fprintf(stderr, "%s\n", line);
}

void unit_pair_differs(struct unit_pair *p, const char *format, ...) {
    fprintf(stderr, "\npool and model differ (%s)\n", p->label);
    unsigned first = p->logged > UNIT_PAIR_LOG ? p->logged - UNIT_PAIR_LOG : 0;
    for (unsigned i = first; i < p->logged; i++)
        fprintf(stderr, "  %u %s\n", i, p->log[i % UNIT_PAIR_LOG]);
    fprintf(stderr, "  => ");
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    abort();
}

void unit_pair_init(struct unit_pair *p, const struct kvr_options *o, const char *label) {
    memset(p, 0, sizeof *p);
    snprintf(p->label, sizeof p->label, "%s", label);
    p->now = 1000000;
    p->exact = true;
    struct kvr_alloc a = support_alloc_use(&p->mem);
    p->pool = kvr_pool_new(&a, o, 0x5eed);
    if (!p->pool) unit_pair_differs(p, "no pool");
    unit_model_init(&p->model, o);
}

void unit_pair_free(struct unit_pair *p) {
    kvr_pool_free(p->pool);
    unit_model_free(&p->model);
    support_alloc_check_freed(&p->mem, p->label);
}

// True when the operation ran out of memory, which is then all that is to be said about it.
static bool out_of_memory(struct unit_pair *p, enum kvr_err got, uint64_t failures) {
    if (got != KVR_NOMEM) return false;
    if (p->mem.failures == failures) unit_pair_differs(p, "NOMEM though no allocation failed");
    p->no_memory++;
    return true;
}

static void same_error(struct unit_pair *p, enum kvr_err got, enum kvr_err want) {
    if (got != want)
        unit_pair_differs(p, "%s instead of %s", unit_error_names[got], unit_error_names[want]);
}

void unit_pair_same(struct unit_pair *p, const char *what, uint64_t got, uint64_t want) {
    if (got != want) unit_pair_differs(p, "%s %" PRIu64 " instead of %" PRIu64, what, got, want);
}

static void same_bytes(struct unit_pair *p, const char *what, struct kvr_bytes got,
                       struct kvr_bytes want) {
    if (unit_bytes_compare(got, want) != 0)
        unit_pair_differs(p, "%s '%.*s' instead of '%.*s'", what, (int)got.n, got.p, (int)want.n,
                          want.p);
}

enum kvr_err unit_pair_alter(struct unit_pair *p, const struct kvr_options *o) {
    log_op(p, "alter");
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_pool_alter(p->pool, o);
    if (!out_of_memory(p, err, failures)) same_error(p, err, unit_model_alter(&p->model, o));
    return err;
}

enum kvr_err unit_pair_worker_set(struct unit_pair *p, struct kvr_bytes name,
                                  const struct kvr_worker_settings *w) {
    log_op(p, "worker set %.*s set=%x ranks=%u capacity=%" PRIu64, (int)name.n, name.p, w->set,
           w->ranks, w->capacity);
    int created = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_worker_set(p->pool, p->now, name, w, &created);
    if (out_of_memory(p, err, failures)) return err;
    same_error(p, err, unit_model_worker_set(&p->model, p->now, name, w, &want));
    if (err == KVR_OK) unit_pair_same(p, "created", (uint64_t)created, (uint64_t)want);
    return err;
}

void unit_pair_add_worker(struct unit_pair *p, const char *name, uint32_t ranks) {
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = ranks};
    if (unit_pair_worker_set(p, text(name), &w) != KVR_OK) unit_pair_differs(p, "no worker");
}

enum kvr_err unit_pair_worker_del(struct unit_pair *p, struct kvr_bytes name) {
    log_op(p, "worker del %.*s", (int)name.n, name.p);
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_worker_del(p->pool, name);
    if (!out_of_memory(p, err, failures))
        same_error(p, err, unit_model_worker_del(&p->model, name));
    return err;
}

enum kvr_err unit_pair_report(struct unit_pair *p, struct kvr_bytes name, bool ok) {
    log_op(p, "report %.*s %s at %" PRId64, (int)name.n, name.p, ok ? "OK" : "FAILED", p->now);
    enum kvr_circuit got, want;
    bool changed, change;
    enum kvr_err err = kvr_report(p->pool, p->now, name, ok, &got, &changed);
    same_error(p, err, unit_model_report(&p->model, p->now, name, ok, &want, &change));
    if (err) return err;
    unit_pair_same(p, "circuit", got, want);
    unit_pair_same(p, "changed", changed, change);
    return err;
}

static void log_event(struct unit_pair *p, struct kvr_bytes worker, uint32_t rank, uint64_t epoch,
                      uint64_t seq, const struct kvr_pool_op *ops, size_t n) {
    char line[UNIT_PAIR_LINE] = "";
    size_t at = 0;
    for (size_t i = 0; i < n && at < sizeof line; i++) {
        const struct kvr_pool_op *op = &ops[i];
        uint64_t first = op->n ? op->hashes[0] : 0, last = op->n ? op->hashes[op->n - 1] : 0;
        at += (size_t)snprintf(line + at, sizeof line - at,
                               "; %c t%d p%d:%" PRIx64 " n%zu %" PRIx64 "..%" PRIx64,
                               "SRC"[op->kind], op -> tier, op -> has_parent,
                               op -> has_parent ? op -> parent : 0, op -> n, first, last);
    }
    log_op(p, "event %.*s/%u %" PRIu64 ":%" PRIu64 " %s", (int)worker.n, worker.p, rank, epoch, seq,
           line);
}

enum kvr_err unit_pair_event(struct unit_pair *p, struct kvr_bytes worker, uint32_t rank,
                             uint64_t epoch, uint64_t seq, const struct kvr_pool_op *ops, size_t n,
                             bool bounded) {
    log_event(p, worker, rank, epoch, seq, ops, n);
    struct kvr_event_result got = {0}, want = {0};
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_event(p->pool, worker, rank, epoch, seq, ops, n, bounded, &got);
    if (out_of_memory(p, err, failures)) return err;
    if (err == KVR_BUSY && bounded) {
        p->busy++;
        return err;
    }
    same_error(p, err, unit_model_event(&p->model, worker, rank, epoch, seq, ops, n, &want));
    if (err == KVR_OK) {
        unit_pair_same(p, "seq", got.seq, want.seq);
        unit_pair_same(p, "repeat", got.repeat, want.repeat);
    }
    if (err == KVR_GAP) unit_pair_same(p, "expected", got.expected, want.expected);
    if (err == KVR_STALE) unit_pair_same(p, "epoch", got.epoch, want.epoch);
    return err;
}

// ---- Choices -------------------------------------------------------------------------------------

static bool near(const struct unit_pair *p, double a, double b) {
    if (p->exact) return a == b;
    return fabs(a - b) <= 1e-9 * (1 + fabs(a) + fabs(b));
}

static void same_score(struct unit_pair *p, const struct kvr_pool_score *got,
                       const struct kvr_pool_score *want) {
    same_bytes(p, "worker", got->worker, want->worker);
    unit_pair_same(p, "rank", got->rank, want->rank);
    same_bytes(p, "addr", got->addr, want->addr);
    unit_pair_same(p, "overlap", got->overlap, want->overlap);
    for (int t = 0; t < KVR_TIERS; t++)
        unit_pair_same(p, kvr_tier_names[t], got->by_tier[t], want->by_tier[t]);
    unit_pair_same(p, "expected", got->expected, want->expected);
    unit_pair_same(p, "cached", (uint64_t)got->cached, (uint64_t)want->cached);
    if (got->ttft != want->ttft || got->tpot != want->tpot)
        unit_pair_differs(p, "ttft %g, tpot %g instead of %g, %g", got->ttft, got->tpot, want->ttft,
                          want->tpot);
    unit_pair_same(p, "prefill_tokens", got->prefill_tokens, want->prefill_tokens);
    unit_pair_same(p, "decode_blocks", got->decode_blocks, want->decode_blocks);
    unit_pair_same(p, "requests", got->requests, want->requests);
    if (!near(p, got->cost, want->cost))
        unit_pair_differs(p, "cost %.17g instead of %.17g", got->cost, want->cost);
}

// The model's score of the instance that the pool names.
static const struct kvr_pool_score *find_score(struct unit_pair *p, const struct kvr_pool_score *in,
                                               size_t n, const struct kvr_pool_score *named) {
    for (size_t i = 0; i < n; i++)
        if (in[i].rank == named->rank && unit_bytes_compare(in[i].worker, named->worker) == 0)
            return &in[i];
    unit_pair_differs(p, "'%.*s'/%u isn't eligible", (int)named->worker.n, named->worker.p,
                      named->rank);
}

static void log_query(struct unit_pair *p, const char *what, struct kvr_bytes id,
                      const struct kvr_query *q) {
    log_op(p,
           "%s %.*s n%zu %" PRIx64 "..%" PRIx64 " isl=%" PRId64
           " among=%ld exclude=%zu T=%g with=%zu without=%zu session=%.*s",
           what, (int)id.n, id.p, q->n, q->n ? q->hashes[0] : 0, q->n ? q->hashes[q->n - 1] : 0,
           q->isl, q->has_among ? (long)q->n_among : -1L, q->n_exclude, q->rule.temperature,
           q->n_with, q->n_without, (int)q->session.n, q->session.n ? q->session.p : "");
}

enum kvr_err unit_pair_scores(struct unit_pair *p, const struct kvr_query *q) {
    log_query(p, "scores", (struct kvr_bytes){"", 0}, q);
    const struct kvr_pool_score *got = NULL;
    size_t n = 0, n_want;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_scores(p->pool, p->now, q, &got, &n);
    if (out_of_memory(p, err, failures)) return err;
    same_error(p, err, KVR_OK);
    struct kvr_pool_score *want;
    unit_model_scores(&p->model, p->now, q, &want, &n_want);
    unit_pair_same(p, "scores", n, n_want);
    for (size_t i = 0; i < n; i++) {
        same_score(p, &got[i], p->exact ? &want[i] : find_score(p, want, n, &got[i]));
        if (i && got[i].cost < got[i - 1].cost) unit_pair_differs(p, "scores out of order");
    }
    free(want);
    return err;
}

static void check_repeat(struct unit_pair *p, const struct unit_model_request *r,
                         const struct kvr_pool_choice *got) {
    uint32_t rank;
    const struct unit_model_worker *w = unit_model_owner(&p->model, r->instance, &rank);
    unit_pair_same(p, "repeat", got->repeat, 1);
    same_bytes(p, "worker", got->score.worker, model_name(w));
    same_bytes(p, "addr", got->score.addr, (struct kvr_bytes){w->addr, w->addr_len});
    unit_pair_same(p, "rank", got->score.rank, rank);
    unit_pair_same(p, "overlap", got->score.overlap, r->overlap);
    unit_pair_same(p, "expected", got->score.expected, r->expected);
    if (got->score.ttft != r->ttft || got->score.tpot != r->tpot)
        unit_pair_differs(p, "ttft %g, tpot %g of a repeat", got->score.ttft, got->score.tpot);
    unit_pair_same(p, "cached", (uint64_t)got->score.cached, (uint64_t)r->cached);
    unit_pair_same(p, "blocks", got->blocks, r->n);
    if (got->score.cost != r->cost)
        unit_pair_differs(p, "cost %g of a repeat instead of %g", got->score.cost, r->cost);
}

// What a choice has to be booked as.
static void check_booking(struct unit_pair *p, const struct kvr_query *q, int64_t lease,
                          const struct kvr_pool_score *chosen, const struct kvr_booking *b) {
    const struct kvr_options *o = &p->model.options;
    unit_pair_same(p, "booked blocks", b->n, q->n);
    if (q->n && memcmp(b->hashes, q->hashes, q->n * sizeof *q->hashes) != 0)
        unit_pair_differs(p, "other blocks booked");
    int64_t isl = q->isl < 0 ? (int64_t)q->n * o->block_size : q->isl;
    unit_pair_same(p, "booked isl", (uint64_t)b->isl, (uint64_t)isl);
    unit_pair_same(p, "booked osl", (uint64_t)b->osl, (uint64_t)q->osl);
    unit_pair_same(p, "booked cached", (uint64_t)b->cached, (uint64_t)chosen->cached);
    unit_pair_same(p, "booked output", (uint64_t)b->output, 0);
    unit_pair_same(p, "booked prefilled", b->prefilled, 0);
    unit_pair_same(p, "booked lease", (uint64_t)b->lease, (uint64_t)(lease < 0 ? o->lease : lease));
    unit_pair_same(p, "booked created", (uint64_t)b->created, (uint64_t)p->now);
    unit_pair_same(p, "booked renewed", (uint64_t)b->renewed, (uint64_t)p->now);
    unit_pair_same(p, "booked overlap", b->overlap, chosen->overlap);
    unit_pair_same(p, "booked expected", b->expected, chosen->expected);
    same_bytes(p, "booked session", b->session, q->session);
    if (!near(p, b->cost, chosen->cost)) unit_pair_differs(p, "booked cost %g", b->cost);
    unit_pair_same(p, "predict_until", (uint64_t)b->predict_until,
                   (uint64_t)(o->predict ? p->now + o->predict : 0));
}

// The instance that the pool must choose where nothing is drawn; of the scores, least first. Of costs
// that are compared loosely, either side of a limit will do.
static const struct kvr_pool_score *choice_of(struct unit_pair *p, const struct kvr_query *q,
                                              const struct kvr_pool_score *all, size_t n,
                                              const struct kvr_pool_score *got) {
    const struct kvr_pool_score *chosen = find_score(p, all, n, got);
    double limit = 0;
    const struct kvr_pool_score *held = unit_model_held(&p->model, p->now, q, all, n, &limit);
    if (held && held->cost <= limit && (p->exact || !near(p, held->cost, limit))) return held;
    if (held == chosen && near(p, held->cost, limit)) return held;
    if (q->rule.temperature > 0) return chosen;
    if (p->exact) return &all[0];
    if (!near(p, chosen->cost, all[0].cost))
        unit_pair_differs(p, "chose cost %.17g, least is %.17g", chosen->cost, all[0].cost);
    return chosen;
}

enum kvr_err unit_pair_select(struct unit_pair *p, struct kvr_bytes id, const struct kvr_query *q,
                              int64_t lease, double random) {
    log_query(p, "select", id, q);
    struct kvr_pool_choice got;
    struct kvr_booking booking;
    memset(&got, 0, sizeof got);
    memset(&booking, 0, sizeof booking);
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_select(p->pool, p->now, id, q, lease, random, &got, &booking);
    if (out_of_memory(p, err, failures)) return err;
    const struct unit_model_request *live = unit_model_find_request(&p->model, id);
    if (live) {
        same_error(p, err, KVR_OK);
        check_repeat(p, live, &got);
        unit_model_selected(&p->model, NULL, 0, true);
        unit_pair_same(p, "version", got.version, p->model.stats.version);
        return err;
    }
    struct kvr_pool_score *all;
    size_t n;
    unit_model_scores(&p->model, p->now, q, &all, &n);
    same_error(p, err, n ? KVR_OK : KVR_NOWORKER);
    if (err == KVR_OK) {
        const struct kvr_pool_score *chosen = choice_of(p, q, all, n, &got.score);
        same_score(p, &got.score, chosen);
        unit_pair_same(p, "repeat", got.repeat, 0);
        unit_pair_same(p, "blocks", got.blocks, q->n);
        check_booking(p, q, lease, chosen, &booking);
        unit_model_selected(&p->model, chosen, q->n, false);
        int booked;
        booking.hashes = q->hashes;
        same_error(
            p, KVR_OK,
            unit_model_claim(&p->model, id, chosen->worker, chosen->rank, &booking, &booked));
        unit_pair_same(p, "version", got.version, p->model.stats.version);
    }
    free(all);
    return err;
}

// ---- Requests and time ---------------------------------------------------------------------------

enum kvr_err unit_pair_claim(struct unit_pair *p, struct kvr_bytes id, struct kvr_bytes worker,
                             uint32_t rank, const struct kvr_booking *b) {
    log_op(p, "claim %.*s on %.*s/%u n%zu isl=%" PRId64 " cached=%" PRId64, (int)id.n, id.p,
           (int)worker.n, worker.p, rank, b->n, b->isl, b->cached);
    int booked = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_claim(p->pool, id, worker, rank, b, &booked);
    if (out_of_memory(p, err, failures)) return err;
    same_error(p, err, unit_model_claim(&p->model, id, worker, rank, b, &want));
    if (err == KVR_OK) unit_pair_same(p, "booked", (uint64_t)booked, (uint64_t)want);
    return err;
}

enum kvr_err unit_pair_update(struct unit_pair *p, struct kvr_bytes id, bool prefilled,
                              int64_t output, int64_t lease) {
    log_op(p, "update %.*s prefilled=%d output=%" PRId64 " lease=%" PRId64, (int)id.n, id.p,
           prefilled, output, lease);
    int live = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_update(p->pool, p->now, id, prefilled, output, lease, &live);
    if (out_of_memory(p, err, failures)) return err;
    same_error(p, err, unit_model_update(&p->model, p->now, id, prefilled, output, lease, &want));
    if (err == KVR_OK) unit_pair_same(p, "live", (uint64_t)live, (uint64_t)want);
    return err;
}

void unit_pair_release_as(struct unit_pair *p, const struct kvr_bytes *ids, size_t n,
                          enum kvr_end how) {
    log_op(p, "release %zu: %.*s ... as %d", n, n ? (int)ids[0].n : 0, n ? ids[0].p : "", how);
    unit_pair_same(p, "released", kvr_release(p->pool, p->now, ids, n, how),
                   unit_model_release(&p->model, p->now, ids, n, how));
}

void unit_pair_release(struct unit_pair *p, const struct kvr_bytes *ids, size_t n) {
    unit_pair_release_as(p, ids, n, KVR_RELEASED);
}

void unit_pair_end(struct unit_pair *p, const char *id) {
    struct kvr_bytes b = text(id);
    unit_pair_release(p, &b, 1);
}

void unit_pair_session_del(struct unit_pair *p, const struct kvr_bytes *names, size_t n) {
    log_op(p, "session del %zu: %.*s ...", n, n ? (int)names[0].n : 0, n ? names[0].p : "");
    unit_pair_same(p, "sessions", kvr_session_del(p->pool, names, n),
                   unit_model_session_del(&p->model, names, n));
}

void unit_pair_forget(struct unit_pair *p, size_t max) {
    log_op(p, "forget at most %zu at %" PRId64, max, p->now);
    bool cut;
    size_t want = unit_model_forget(&p->model, p->now, max, &cut);
    if (cut) want = unit_model_forget(&p->model, p->now, max = SIZE_MAX, &cut);
    unit_pair_same(p, "forgotten", kvr_forget(p->pool, p->now, max), want);
}

void unit_pair_renew_all(struct unit_pair *p) {
    log_op(p, "renew all at %" PRId64, p->now);
    kvr_renew_all(p->pool, p->now);
    unit_model_renew_all(&p->model, p->now);
}

void unit_pair_sweep(struct unit_pair *p, size_t max) {
    log_op(p, "sweep %zu", max);
    kvr_pool_sweep(p->pool, max);
}

void unit_pair_reload(struct unit_pair *p) {
    log_op(p, "reload");
    uint64_t failures = p->mem.failures;
    uint8_t before[KVR_DIGEST_BYTES], after[KVR_DIGEST_BYTES];
    uint8_t learnt[KVR_DIGEST_BYTES], learnt_after[KVR_DIGEST_BYTES];
    kvr_pool_digest(p->pool, before);
    kvr_pool_digest_learnt(p->pool, learnt);
    struct kvr_alloc a = support_alloc_use(&p->mem);
    enum kvr_err err;
    struct kvr_pool *loaded = unit_saved_copy(p->pool, &a, &err);
    if (out_of_memory(p, err, failures)) return;
    same_error(p, err, KVR_OK);
    kvr_pool_digest(p->pool, after);
    if (memcmp(before, after, sizeof before) != 0)
        unit_pair_differs(p, "saving changed the digest");
    kvr_pool_digest(loaded, after);
    if (memcmp(before, after, sizeof before) != 0)
        unit_pair_differs(p, "loaded with another digest");
    kvr_pool_digest_learnt(loaded, learnt_after);
    if (memcmp(learnt, learnt_after, sizeof learnt) != 0)
        unit_pair_differs(p, "loading lost what was learnt");
    unit_pair_same(p, "loaded version", kvr_pool_version(loaded), p->model.stats.version);
    kvr_pool_free(p->pool);
    p->pool = loaded;
    p->model.renewed_floor = 0; // not saved: whoever loads renews
}
