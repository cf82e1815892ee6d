// SPDX-License-Identifier: Apache-2.0
// The log of decisions: a ring against a list that is kept by hand, with memory that fails; what a record says; and
// that a choice is the same with it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/core/decisions/decision_log.h"
#include "tests/support/support_alloc.h"
#include "unit_source.h"

enum { DECISIONS_STEPS = 4000, DECISIONS_WORKERS = 80 };

// A pool with a log, and which records the log must have: the sizes of those from `first` on.
struct logged_pool {
    struct support_alloc mem, pool_mem;
    struct kvr_pool *pool;
    struct kvr_decision_log *log;
    struct kvr_decision_limits limits;
    size_t sizes[2 * DECISIONS_STEPS];
    uint64_t first, next, dropped;
};

static struct kvr_bytes name_of(char room[16], char letter, unsigned n) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, 16, "%c%u", letter, n)};
}

static void open_pool(struct logged_pool *p, struct kvr_decision_limits limits, unsigned workers) {
    struct kvr_options o;
    char room[16];
    *p = (struct logged_pool){.limits = limits, .first = 1, .next = 1};
    kvr_options_default(&o);
    o.block_size = 4;
    struct kvr_alloc pool_alloc = support_alloc_use(&p->pool_mem),
                     alloc = support_alloc_use(&p->mem);
    p->pool = kvr_pool_new(&pool_alloc, &o, 1);
    p->log = kvr_decision_log_new(&alloc, &limits, 1);
    cr_assert(p->pool && p->log);
    for (unsigned i = 0; i < workers; i++) {
        int created;
        const struct kvr_worker_settings w = {.set = 0};
        cr_assert(kvr_worker_set(p->pool, 1, name_of(room, 'w', i), &w, &created) == KVR_OK);
    }
}

static void close_pool(struct logged_pool *p) {
    kvr_decision_log_free(p->log);
    kvr_pool_free(p->pool);
    support_alloc_check_freed(&p->mem, "a log");
    support_alloc_check_freed(&p->pool_mem, "a pool with a log");
}

static struct kvr_query ask(const struct logged_pool *p, const uint64_t *hashes, size_t n) {
    return (struct kvr_query){
        .hashes = hashes, .n = n, .isl = -1, .rule = kvr_pool_options(p->pool)->rule};
}

static enum kvr_err choose(struct logged_pool *p, int64_t now, struct kvr_bytes id,
                           const struct kvr_query *q, struct kvr_pool_choice *out) {
    struct kvr_booking booked;
    struct kvr_decision_record *r = kvr_decision_log_begin(p->log, p->pool, now, id, q);
    enum kvr_err err = kvr_select(p->pool, now, id, q, -1, 0, out, &booked);
    kvr_decision_log_end(p->log, r, err, out);
    return err;
}

// What the log has that it hadn't before, and what had to go for it.
static void follow(struct logged_pool *p) {
    struct kvr_decision_stats s;
    kvr_decision_log_stats(p->log, &s);
    for (; p->next < s.next; p->next++)
        p->sizes[p->next] = kvr_decision_log_at(p->log, p->next)->bytes;
    uint64_t bytes = 0;
    for (uint64_t i = p->next; i-- > s.first;)
        bytes += p->sizes[i];
    cr_assert(!kvr_decision_log_validate(p->log), "%s", kvr_decision_log_validate(p->log));
    cr_assert(s.bytes == bytes && s.records == s.next - s.first);
    cr_assert(s.records <= p->limits.records && bytes <= p->limits.bytes);
    cr_assert(s.first >= p->first && s.dropped >= p->dropped);
    p->first = s.first;
    p->dropped = s.dropped;
}

static void random_step(struct logged_pool *p, struct unit_source *s, int64_t now) {
    uint64_t hashes[64];
    char room[16];
    size_t n = unit_source_below(s, 64);
    for (size_t i = 0; i < n; i++)
        hashes[i] = i + 1;
    struct kvr_query q = ask(p, hashes, n);
    struct kvr_pool_choice choice;
    struct kvr_bytes id = name_of(room, 'r', unit_source_below(s, 50));
    struct kvr_decision_stats was, is;
    kvr_decision_log_stats(p->log, &was);
    if (unit_source_chance(s, 60)) {
        struct kvr_request_info live;
        bool known = kvr_request_get(p->pool, now, id, &live);
        choose(p, now, id, &q, &choice);
        kvr_decision_log_stats(p->log, &is);
        cr_assert(is.next - was.next + is.dropped - was.dropped >= !known);
        cr_assert(is.next - was.next <= !known);
    } else {
        kvr_decision_log_ended(p->log, p->pool, now, id, unit_source_chance(s, 10));
        kvr_release(p->pool, now, &id, 1, KVR_RELEASED);
    }
    if (unit_source_chance(s, 1)) {
        follow(p);
        cr_assert(kvr_decision_log_clear(p->log) <= was.records + 1);
        kvr_decision_log_stats(p->log, &is);
        cr_assert(is.records == 0 && is.bytes == 0);
    }
}

static void random_log(struct kvr_decision_limits limits, unsigned fails) {
    static struct logged_pool p;
    struct unit_source s = {.state = limits.records * 31 + limits.bytes + fails};
    open_pool(&p, limits, 5);
    p.mem.one_in = fails;
    p.mem.random = 7;
    for (int64_t i = 0; i < DECISIONS_STEPS; i++) {
        random_step(&p, &s, 1000 + i);
        follow(&p);
    }
    cr_expect(p.next > DECISIONS_STEPS / 20);
    close_pool(&p);
}

Test(decisions, a_ring_of_so_many) {
    for (uint64_t n = 1; n <= 200; n = n * 2 + 1)
        random_log((struct kvr_decision_limits){n, 1 << 20, n % 3 == 0}, 0);
}

Test(decisions, a_ring_of_so_many_bytes) {
    for (uint64_t bytes = 4096; bytes <= 65536; bytes *= 4)
        random_log((struct kvr_decision_limits){1000, bytes, true}, 0);
}

Test(decisions, without_memory) {
    random_log((struct kvr_decision_limits){100, 1 << 20, true}, 3);
    random_log((struct kvr_decision_limits){100, 8192, true}, 2);
}

static const struct kvr_decision_record *last(const struct logged_pool *p) {
    struct kvr_decision_stats s;
    kvr_decision_log_stats(p->log, &s);
    cr_assert(s.records > 0);
    return kvr_decision_log_at(p->log, s.next - 1);
}

static bool is_chosen(const struct kvr_decision_record *r, const struct kvr_pool_choice *choice) {
    cr_assert(r->chosen >= 0 && (uint32_t)r->chosen < r->n);
    const struct kvr_decision_candidate *c = &r->candidates[r->chosen];
    return c->rank == choice->score.rank && c->worker.n == choice->score.worker.n &&
           !memcmp(c->worker.p, choice->score.worker.p, c->worker.n) && r->cost == c->cost &&
           c->cost == choice->score.cost;
}

// More instances than are kept, and fewer.
Test(decisions, who_is_kept) {
    static struct logged_pool p;
    static const uint64_t hashes[] = {5, 6, 7};
    for (unsigned workers = 1; workers <= DECISIONS_WORKERS; workers = workers * 4 + 1) {
        struct kvr_pool_choice choice;
        open_pool(&p, (struct kvr_decision_limits){10, 1 << 20, false}, workers);
        struct kvr_query q = ask(&p, hashes, 3);
        cr_assert(choose(&p, 50, (struct kvr_bytes){"r", 1}, &q, &choice) == KVR_OK);
        const struct kvr_decision_record *r = last(&p);
        cr_expect(r->n == (workers > KVR_DECISION_ALL ? KVR_DECISION_FIRST : workers));
        cr_expect(r->left_out == workers - r->n);
        cr_expect(is_chosen(r, &choice));
        cr_expect(r->kind == KVR_DECISION_SELECT && r->at == 50 && r->blocks == 3 && r->isl == 12);
        cr_expect(r->n_hashes == 0 && r->block_size == 4 && r->result == KVR_OK && !r->waits);
        // A repeat chooses nothing.
        cr_assert(choose(&p, 60, (struct kvr_bytes){"r", 1}, &q, &choice) == KVR_OK);
        cr_expect(choice.repeat && last(&p) == r);
        close_pool(&p);
    }
}

Test(decisions, refusals_and_ends) {
    static struct logged_pool p;
    static const uint64_t hashes[] = {5, 6, 7};
    struct kvr_pool_choice choice;
    struct kvr_bytes id = {"r", 1}, other = {"s", 1}, worker = {"w0", 2};
    int live;
    open_pool(&p, (struct kvr_decision_limits){10, 1 << 20, true}, 1);
    struct kvr_query q = ask(&p, hashes, 3);
    cr_assert(choose(&p, 100, id, &q, &choice) == KVR_OK);
    const uint64_t request = last(&p)->request;
    cr_expect(last(&p)->n_hashes == 3 && last(&p)->hashes[2] == 7);
    cr_assert(kvr_update(p.pool, 130, id, true, 9, -1, &live) == KVR_OK && live);
    kvr_decision_log_ended(p.log, p.pool, 170, id, false);
    const struct kvr_decision_record *r = last(&p);
    cr_expect(r->kind == KVR_DECISION_END && r->request == request && r->ttft == 30);
    cr_expect(r->duration == 70 && r->output_tokens == 9 && !r->lapsed);
    kvr_decision_log_ended(p.log, p.pool, 170, other, false); // not live
    cr_expect(last(&p) == r);
    q.exclude = &worker;
    q.n_exclude = 1;
    cr_assert(choose(&p, 180, other, &q, &choice) == KVR_NOWORKER);
    r = last(&p);
    cr_expect(r->result == KVR_NOWORKER && r->chosen == -1 && r->n == 1);
    cr_expect(r->candidates[0].reason == KVR_REASON_EXCLUDED);
    q.wait = 100;
    cr_assert(choose(&p, 190, other, &q, &choice) == KVR_OK && choice.waiting);
    r = last(&p);
    cr_expect(r->waits && r->chosen == -1);
    cr_assert(choose(&p, 195, other, &q, &choice) == KVR_OK && choice.waiting);
    cr_expect(last(&p) == r); // it waits already
    q.service_class = (struct kvr_bytes){"none such", 9};
    cr_assert(choose(&p, 200, (struct kvr_bytes){"t", 1}, &q, &choice) == KVR_NOCLASS);
    cr_expect(last(&p) == r);
    close_pool(&p);
}

// The line of a record: whole in the room that is said to be enough, and the same, cut off, in less.
Test(decisions, a_line_fits_its_room) {
    static struct logged_pool p;
    static const uint64_t hashes[] = {UINT64_MAX, 0, 0x0123456789abcdef};
    struct kvr_worker_settings w = {.set = KVR_SET_CAPACITY, .capacity = (uint64_t)1 << 53};
    struct kvr_pool_choice choice;
    char strange[KVR_MAX_NAME];
    int created;
    for (size_t i = 0; i < sizeof strange; i++)
        strange[i] = (char)i;
    open_pool(&p, (struct kvr_decision_limits){10, 1 << 20, true}, 3);
    cr_assert(
        !kvr_worker_set(p.pool, 1, (struct kvr_bytes){strange, sizeof strange}, &w, &created));
    struct kvr_query q = ask(&p, hashes, 3);
    q.rule.overlap = 1e9 / 3;
    q.rule.requests = 1.0 / 3;
    cr_assert(choose(&p, INT64_C(1) << 50, (struct kvr_bytes){"r", 1}, &q, &choice) == KVR_OK);
    const struct kvr_decision_record *r = last(&p);
    size_t room = kvr_decision_line_room(r), n = kvr_decision_line(r, NULL, 0);
    char *whole = malloc(room), *cut = malloc(room);
    cr_assert(whole && cut && n < room);
    cr_expect(kvr_decision_line(r, whole, room) == n && strlen(whole) == n);
    cr_expect(strstr(whole, "\\u0000\\u0001") && strstr(whole, "\"rank\":0"));
    cr_expect(strstr(whole, "\"hashes\":\"ffffffffffffffff00000000000000000123456789abcdef\"}"));
    for (size_t k = 1; k < n; k += 37) {
        memset(cut, '#', room);
        cr_expect(kvr_decision_line(r, cut, k) == n);
        cr_expect(!memcmp(cut, whole, k - 1) && cut[k] == '#');
    }
    free(whole);
    free(cut);
    close_pool(&p);
}
