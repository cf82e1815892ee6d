// SPDX-License-Identifier: Apache-2.0
// Saved pools of every version of the form, as the build of the time wrote them.
//
// KVROUTE_WRITE_FIXTURES=1 writes the newest anew, with its digests beside it: only for a form that
// hasn't been released. A new form's files stand beside the old ones.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/rule/policy.h"
#include "module/core/state/pool_state.h"
#include "tests/support/support_alloc.h"
#include "unit_pair.h"
#include "unit_saved.h"

static void path_of(const char *name, char *to, size_t n) {
    snprintf(to, n, KVROUTE_FIXTURES "/%s", name);
}

static size_t read_file(const char *name, char *to, size_t room) {
    char path[4096];
    path_of(name, path, sizeof path);
    FILE *in = fopen(path, "rb");
    cr_assert(in, "no %s", path);
    size_t n = fread(to, 1, room, in);
    fclose(in);
    return n;
}

static void write_file(const char *name, const void *bytes, size_t n) {
    char path[4096];
    path_of(name, path, sizeof path);
    FILE *out = fopen(path, "wb");
    cr_assert(out && fwrite(bytes, 1, n, out) == n && fclose(out) == 0, "%s isn't written", path);
}

// Both digests, a line each.
enum { UNIT_FIXTURES_DIGESTS = 2 * (2 * KVR_DIGEST_BYTES + 1) };
static void digests(const struct kvr_pool *p, char out[UNIT_FIXTURES_DIGESTS + 1]) {
    uint8_t d[2][KVR_DIGEST_BYTES];
    kvr_pool_digest(p, d[0]);
    kvr_pool_digest_learnt(p, d[1]);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < KVR_DIGEST_BYTES; i++)
            out += sprintf(out, "%02x", d[k][i]);
        out += sprintf(out, "\n");
    }
}

static struct kvr_pool *load(const char *name, struct support_alloc *mem) {
    static char bytes[1 << 16];
    struct unit_saved s = {0};
    unit_saved_add(&s, bytes, read_file(name, bytes, sizeof bytes));
    struct kvr_alloc a = support_alloc_use(mem);
    enum kvr_err err;
    struct kvr_pool *p = unit_saved_load(&s, &a, &err);
    unit_saved_free(&s);
    cr_assert(p, "%s isn't loaded", name);
    const char *broken = kvr_pool_validate(p);
    cr_assert(!broken, "%s: %s", name, broken);
    return p;
}

// Written and read again, it is the same.
static struct kvr_pool *reload(struct kvr_pool *p, struct support_alloc *mem) {
    char before[UNIT_FIXTURES_DIGESTS + 1], after[UNIT_FIXTURES_DIGESTS + 1];
    struct kvr_alloc a = support_alloc_use(mem);
    enum kvr_err err;
    digests(p, before);
    struct kvr_pool *copy = unit_saved_copy(p, &a, &err);
    kvr_pool_free(p);
    cr_assert(copy && !kvr_pool_validate(copy));
    digests(copy, after);
    cr_assert_str_eq(before, after);
    return copy;
}

// What forms 1 and 2 were made of: see what their writers saved. The rule stays what it was then,
// whatever is the default now; what they didn't know has its default; nothing was learnt.
static void check_old(struct kvr_pool *p, bool with_circuits) {
    const struct kvr_options *o = kvr_pool_options(p);
    struct kvr_options usual;
    kvr_options_default(&usual);
    cr_assert(o->rule.policy == KVR_LINEAR && usual.rule.policy == KVR_DELAY);
    cr_assert(o->block_size == 4 && o->predict == 1000 && o->worker_ttl == 60000 &&
              o->rule.requests == 0.5);
    cr_assert(o->session_ttl == usual.session_ttl && o->slo_ttft == usual.slo_ttft &&
              o->slo_tbt == usual.slo_tbt && o->stick == 0);
    struct kvr_worker_info w;
    kvr_worker_at(p, 1000020, 0, &w);
    cr_assert(unit_bytes_compare(w.name, text("alpha")) == 0 && w.ranks == 2 && w.capacity == 99);
    cr_assert(w.speed == 0 && w.n_labels == 0 && w.failures == with_circuits);
    kvr_worker_at(p, 1000020, 1, &w);
    cr_assert(w.circuit == (with_circuits ? KVR_OPEN : KVR_CLOSED));
    struct kvr_request_info r;
    cr_assert(kvr_request_get(p, 1000020, text("one"), &r));
    cr_assert(r.isl == 17 && r.osl == 5 && r.session.n == 0 && r.blocks == 4);
    struct core_learnt fresh;
    core_learn_start(&fresh);
    double got[CORE_LEARNT_NUMBERS], want[CORE_LEARNT_NUMBERS];
    core_learnt_numbers(&p->learnt, got);
    core_learnt_numbers(&fresh, want);
    cr_assert(memcmp(got, want, sizeof got) == 0);
    // Its live requests can be gone on with, and teach what they can.
    int live;
    struct kvr_bytes id = text("one");
    cr_assert(kvr_update(p, 1000300, id, true, 20, -1, &live) == KVR_OK && live);
    cr_assert(kvr_release(p, 1000900, &id, 1, KVR_RELEASED) == 1);
    cr_assert(!kvr_pool_validate(p));
    struct kvr_rank_info rank;
    kvr_worker_rank(p, 0, r.rank, &rank);
    cr_assert(rank.tpot > 0 && rank.ttft == -1, "%g %g", rank.tpot, rank.ttft);
}

static void try_old(const char *name, const char *digest, bool with_circuits) {
    struct support_alloc mem = {0};
    struct kvr_pool *p = load(name, &mem);
    char got[UNIT_FIXTURES_DIGESTS + 1];
    digests(p, got);
    got[2 * KVR_DIGEST_BYTES] = '\0';
    cr_assert_str_eq(got, digest);
    p = reload(p, &mem);
    check_old(p, with_circuits);
    p = reload(p, &mem);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, name);
}

// The digests are those that the servers of the time gave.
Test(fixtures, version_1) {
    try_old("pool-v1.bin", "230c8e56bb7905dc7bcb1ece1c528ea91f668464", false);
}

Test(fixtures, version_2) {
    try_old("pool-v2.bin", "58d8ac14b366d2a558aa703d272249b28ef8063a", true);
}

// ---- Version 3 -----------------------------------------------------------------------------------

// Something of everything, placed by hand so that no rule has a say.
static void build(struct unit_pair *p) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = 4;
    o.predict = 1000;
    o.stick = 64;
    o.session_ttl = 5000;
    o.slo_ttft = 1500;
    unit_pair_init(p, &o, "a fixture");
    static const uint64_t hashes[] = {0x9e3779b97f4a7c15, 0, UINT64_MAX, 4, 5, 6};
    struct kvr_bytes labels[] = {text("zone=b"), text("gpu=a")};
    struct kvr_worker_settings w = {.set = 127,
                                    .addr = {"10.0.0.7:8000", 13},
                                    .ranks = 2,
                                    .capacity = 99,
                                    .speed = 1.625,
                                    .labels = labels,
                                    .n_labels = 2};
    unit_pair_worker_set(p, text("alpha"), &w);
    w.set = KVR_SET_STATE;
    w.state = KVR_DRAINING;
    unit_pair_worker_set(p, (struct kvr_bytes){"b\0\xff", 3}, &w);
    struct kvr_pool_op ops[] = {{.kind = KVR_STORED, .hashes = hashes, .n = 6},
                                {.kind = KVR_REMOVED, .hashes = hashes + 2, .n = 1}};
    unit_pair_event(p, text("alpha"), 1, 3, 1, ops, 2, false);
    static const char *const sessions[] = {"a chat", "forgotten", "", "\xff"};
    for (uint32_t i = 0; i < 8; i++) {
        char id[] = {'r', (char)('0' + i), '\0'};
        struct kvr_booking b = {.hashes = hashes,
                                .n = 1 + i % 6,
                                .isl = 40 + i,
                                .osl = i,
                                .cached = 4,
                                .lease = -1,
                                .created = p->now,
                                .renewed = p->now,
                                .predict_until = i % 2 ? p->now + 1000 : 0,
                                .expected = 1 + i % 2,
                                .overlap = i % 2,
                                .cost = i * 0.75,
                                .session = text(sessions[i % 4])};
        unit_pair_claim(p, text(id), text("alpha"), i % 2, &b);
        p->now += 30;
        if (i % 4) unit_pair_update(p, text(id), true, 1, -1);
        p->now += 900;
        if (i % 4 < 3) unit_pair_update(p, text(id), false, 40 + i, -1);
        struct kvr_bytes name = text(id);
        if (i < 4) unit_pair_release(p, &name, 1);
    }
    struct kvr_bytes gone = text("forgotten");
    unit_pair_session_del(p, &gone, 1);
    for (int i = 0; i < 4; i++)
        unit_pair_report(p, (struct kvr_bytes){"b\0\xff", 3}, false);
    unit_pair_check_all(p);
}

Test(fixtures, version_3) {
    static struct unit_pair p;
    build(&p);
    char made[UNIT_FIXTURES_DIGESTS + 1],
        kept[UNIT_FIXTURES_DIGESTS + 1] = "", got[UNIT_FIXTURES_DIGESTS + 1];
    digests(p.pool, made);
    if (getenv("KVROUTE_WRITE_FIXTURES")) {
        struct unit_saved s = {0};
        cr_assert(unit_saved_write(p.pool, &s) == KVR_OK && s.n_ends == 1);
        write_file("pool-v3.bin", s.bytes, s.n);
        write_file("pool-v3.digests", made, strlen(made));
        unit_saved_free(&s);
    }
    read_file("pool-v3.digests", kept, UNIT_FIXTURES_DIGESTS);
    struct kvr_pool *loaded = load("pool-v3.bin", &p.mem);
    digests(loaded, got);
    cr_assert_str_eq(got, kept);
    // What build makes today has the same state; what it teaches may change with the estimators.
    made[2 * KVR_DIGEST_BYTES] = got[2 * KVR_DIGEST_BYTES] = '\0';
    cr_assert_str_eq(made, got);
    loaded = reload(loaded, &p.mem);
    struct kvr_worker_info w;
    kvr_worker_at(loaded, p.now, 0, &w);
    cr_assert(w.speed == 1.625 && w.n_labels == 2);
    cr_assert(unit_bytes_compare(kvr_worker_label(loaded, 0, 0), text("gpu=a")) == 0);
    struct kvr_session_info s;
    cr_assert(kvr_session_get(loaded, p.now, text("a chat"), &s) && s.rank == 0 && s.requests == 1);
    cr_assert(!kvr_session_get(loaded, p.now, text("forgotten"), &s));
    struct kvr_request_info r;
    cr_assert(kvr_request_get(loaded, p.now, text("r5"), &r));
    cr_assert(unit_bytes_compare(r.session, text("forgotten")) == 0);
    cr_assert(kvr_pool_options(loaded)->stick == 64 && kvr_pool_options(loaded)->slo_ttft == 1500);
    kvr_pool_free(loaded);
    unit_pair_free(&p);
}
