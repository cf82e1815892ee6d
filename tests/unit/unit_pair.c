// SPDX-License-Identifier: Apache-2.0
// Operations done to pool and model; see unit_pair.h.
#include "unit_pair.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/support_alloc.h"
#include "unit_saved.h"

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
    kvr_pool_free(p->copy);
    unit_model_free(&p->model);
    support_alloc_check_freed(&p->mem, p->label);
    support_alloc_check_freed(&p->copy_mem, p->label);
}

enum kvr_err unit_pair_alter(struct unit_pair *p, const struct kvr_options *o) {
    unit_pair_log(p, "alter");
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_pool_alter(p->pool, o);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_alter(&p->model, o));
    if (p->copy && err == KVR_OK) unit_pair_same_error(p, kvr_pool_alter(p->copy, o), KVR_OK);
    return err;
}

enum kvr_err unit_pair_worker_set(struct unit_pair *p, struct kvr_bytes name,
                                  const struct kvr_worker_settings *w) {
    unit_pair_log(p, "worker set %.*s set=%x ranks=%u capacity=%" PRIu64 " role=%d", (int)name.n,
                  name.p, w->set, w->ranks, w->capacity, w->role);
    int created = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_worker_set(p->pool, p->now, name, w, &created);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_worker_set(&p->model, p->now, name, w, &want));
    if (err == KVR_OK) unit_pair_same(p, "created", (uint64_t)created, (uint64_t)want);
    if (p->copy && err == KVR_OK)
        unit_pair_same_error(p, kvr_worker_set(p->copy, p->now, name, w, &created), KVR_OK);
    return err;
}

void unit_pair_add_worker(struct unit_pair *p, const char *name, uint32_t ranks) {
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = ranks};
    if (unit_pair_worker_set(p, text(name), &w) != KVR_OK) unit_pair_differs(p, "no worker");
}

enum kvr_err unit_pair_worker_del(struct unit_pair *p, struct kvr_bytes name) {
    unit_pair_log(p, "worker del %.*s", (int)name.n, name.p);
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_worker_del(p->pool, name);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_worker_del(&p->model, name));
    if (p->copy && err == KVR_OK) unit_pair_same_error(p, kvr_worker_del(p->copy, name), KVR_OK);
    return err;
}

enum kvr_err unit_pair_report(struct unit_pair *p, struct kvr_bytes name, bool ok) {
    unit_pair_log(p, "report %.*s %s at %" PRId64, (int)name.n, name.p, ok ? "OK" : "FAILED",
                  p->now);
    enum kvr_circuit got, want;
    bool changed, change;
    enum kvr_err err = kvr_report(p->pool, p->now, name, ok, &got, &changed);
    unit_pair_same_error(p, err, unit_model_report(&p->model, p->now, name, ok, &want, &change));
    if (err) return err;
    unit_pair_same(p, "circuit", got, want);
    unit_pair_same(p, "changed", changed, change);
    if (p->copy && changed)
        unit_pair_same_error(p, kvr_report(p->copy, p->now, name, ok, &got, &changed), KVR_OK);
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
    unit_pair_log(p, "event %.*s/%u %" PRIu64 ":%" PRIu64 " %s", (int)worker.n, worker.p, rank,
                  epoch, seq, line);
}

enum kvr_err unit_pair_event(struct unit_pair *p, struct kvr_bytes worker, uint32_t rank,
                             uint64_t epoch, uint64_t seq, const struct kvr_pool_op *ops, size_t n,
                             bool bounded) {
    log_event(p, worker, rank, epoch, seq, ops, n);
    struct kvr_event_result got = {0}, want = {0};
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_event(p->pool, worker, rank, epoch, seq, ops, n, bounded, &got);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    if (err == KVR_BUSY && bounded) {
        p->busy++;
        return err;
    }
    unit_pair_same_error(p, err,
                         unit_model_event(&p->model, worker, rank, epoch, seq, ops, n, &want));
    if (err == KVR_OK) {
        unit_pair_same(p, "seq", got.seq, want.seq);
        unit_pair_same(p, "repeat", got.repeat, want.repeat);
    }
    if (p->copy && err == KVR_OK && !got.repeat)
        unit_pair_same_error(p, kvr_event(p->copy, worker, rank, epoch, seq, ops, n, false, &got),
                             KVR_OK);
    if (err == KVR_GAP) unit_pair_same(p, "expected", got.expected, want.expected);
    if (err == KVR_STALE) unit_pair_same(p, "epoch", got.epoch, want.epoch);
    return err;
}

// ---- Requests and time ---------------------------------------------------------------------------

enum kvr_err unit_pair_claim(struct unit_pair *p, struct kvr_bytes id, struct kvr_bytes worker,
                             uint32_t rank, const struct kvr_booking *b) {
    unit_pair_log(p,
                  "claim %.*s on %.*s/%u n%zu isl=%" PRId64 " cached=%" PRId64
                  " prefilled=%d prefiller=%.*s/%u",
                  (int)id.n, id.p, (int)worker.n, worker.p, rank, b->n, b->isl, b->cached,
                  b->prefilled, (int)b->prefill_worker.n,
                  b->prefill_worker.n ? b->prefill_worker.p : "", b->prefill_rank);
    int booked = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_claim(p->pool, id, worker, rank, b, &booked);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_claim(&p->model, id, worker, rank, b, &want));
    if (err == KVR_OK) unit_pair_same(p, "booked", (uint64_t)booked, (uint64_t)want);
    if (err == KVR_OK && booked) unit_pair_copy_claim(p, id, worker, rank, b);
    return err;
}

enum kvr_err unit_pair_update(struct unit_pair *p, struct kvr_bytes id, bool prefilled,
                              int64_t output, int64_t lease) {
    unit_pair_log(p, "update %.*s prefilled=%d output=%" PRId64 " lease=%" PRId64, (int)id.n, id.p,
                  prefilled, output, lease);
    int live = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_update(p->pool, p->now, id, prefilled, output, lease, &live);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err,
                         unit_model_update(&p->model, p->now, id, prefilled, output, lease, &want));
    if (err == KVR_OK) unit_pair_same(p, "live", (uint64_t)live, (uint64_t)want);
    if (p->copy && err == KVR_OK && live)
        unit_pair_same_error(p, kvr_update(p->copy, p->now, id, prefilled, output, lease, &live),
                             KVR_OK);
    return err;
}

void unit_pair_release_as(struct unit_pair *p, const struct kvr_bytes *ids, size_t n,
                          enum kvr_end how) {
    unit_pair_log(p, "release %zu: %.*s ... as %d", n, n ? (int)ids[0].n : 0, n ? ids[0].p : "",
                  how);
    size_t ended = unit_model_release(&p->model, p->now, ids, n, how);
    unit_pair_same(p, "released", kvr_release(p->pool, p->now, ids, n, how), ended);
    unit_pair_copy_release(p, ids, n, how, ended);
}

void unit_pair_release(struct unit_pair *p, const struct kvr_bytes *ids, size_t n) {
    unit_pair_release_as(p, ids, n, KVR_RELEASED);
}

void unit_pair_end(struct unit_pair *p, const char *id) {
    struct kvr_bytes b = text(id);
    unit_pair_release(p, &b, 1);
}

void unit_pair_session_del(struct unit_pair *p, const struct kvr_bytes *names, size_t n) {
    unit_pair_log(p, "session del %zu: %.*s ...", n, n ? (int)names[0].n : 0, n ? names[0].p : "");
    size_t gone = unit_model_session_del(&p->model, names, n);
    unit_pair_same(p, "sessions", kvr_session_del(p->pool, names, n), gone);
    if (p->copy && gone) unit_pair_same(p, "copied", kvr_session_del(p->copy, names, n), gone);
}

// What was told to have been ended, by copies: the bytes are the pool's.
struct unit_ended {
    char room[8][KVR_MAX_ID];
    struct kvr_bytes at[8];
    size_t n;
};

static void note_ended(void *ctx, struct kvr_bytes name) {
    struct unit_ended *e = ctx;
    memcpy(e->room[e->n], name.p, name.n);
    e->at[e->n] = (struct kvr_bytes){e->room[e->n], name.n};
    e->n++;
}

void unit_pair_end_due(struct unit_pair *p) {
    static struct unit_ended e;
    unit_pair_log(p, "end what is due at %" PRId64, p->now);
    e.n = 0;
    size_t n = kvr_end_requests(p->pool, p->now, 3, note_ended, &e);
    unit_pair_same(p, "ended", n, e.n);
    for (size_t i = 0; i < e.n; i++) {
        const struct unit_model_request *r = unit_model_find_request(&p->model, e.at[i]);
        if (!r || unit_model_deadline(&p->model, r) > p->now)
            unit_pair_differs(p, "the wrong request was ended");
    }
    unit_pair_same(p, "released", e.n,
                   unit_model_release(&p->model, p->now, e.at, e.n, KVR_LAPSED));
    unit_pair_copy_release(p, e.at, e.n, KVR_LAPSED, e.n);
    e.n = 0;
    n = kvr_end_sessions(p->pool, p->now, 3, note_ended, &e);
    unit_pair_same(p, "ended sessions", n, e.n);
    unit_pair_same(p, "sessions", e.n, unit_model_session_del(&p->model, e.at, e.n));
    if (p->copy && n) unit_pair_same(p, "copied", kvr_session_del(p->copy, e.at, e.n), e.n);
}

void unit_pair_forget(struct unit_pair *p, size_t max) {
    unit_pair_log(p, "forget at most %zu at %" PRId64, max, p->now);
    size_t n = unit_model_forget(&p->model, p->now, max);
    unit_pair_same(p, "forgotten", kvr_forget(p->pool, p->now, max), n);
    if (p->copy && n) unit_pair_same(p, "copied", kvr_forget(p->copy, INT64_MAX, n), n);
}

void unit_pair_sweep(struct unit_pair *p, size_t max) {
    unit_pair_log(p, "sweep %zu", max);
    kvr_pool_sweep(p->pool, max);
}

void unit_pair_reload(struct unit_pair *p) {
    unit_pair_log(p, "reload");
    uint64_t failures = p->mem.failures;
    uint8_t before[KVR_DIGEST_BYTES], after[KVR_DIGEST_BYTES];
    uint8_t learnt[KVR_DIGEST_BYTES], learnt_after[KVR_DIGEST_BYTES];
    kvr_pool_digest(p->pool, before);
    kvr_pool_digest_learnt(p->pool, learnt);
    struct kvr_alloc a = support_alloc_use(&p->mem);
    enum kvr_err err;
    struct kvr_pool *loaded = unit_saved_copy(p->pool, &a, &err);
    if (unit_pair_out_of_memory(p, err, failures)) return;
    unit_pair_same_error(p, err, KVR_OK);
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
    unit_model_forget_renewal(&p->model); // not saved: whoever loads renews
}
