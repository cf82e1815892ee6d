// SPDX-License-Identifier: Apache-2.0
// Loading bytes from anywhere: refused, or a valid pool that can be used, saved and freed.
//
//   input   [u16 length] records … [u16 length] records …     a chunk each, without its check
//
// The checks are made here, so that what the fuzzer invents gets to the records. It begins with pools
// that random traffic has built and saved, made when an input is too short to be one.
#include <stdlib.h>
#include <string.h>

#include "fuzz_target.h"
#include "module/core/decisions/decision_log.h"
#include "tests/support/support_alloc.h"
#include "tests/unit/unit_saved.h"
#include "tests/unit/unit_traffic.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void is_valid(const struct kvr_pool *p) {
    const char *broken = kvr_pool_validate(p);
    must(!broken, broken);
}

static void unframe(const uint8_t *data, size_t size, struct unit_saved *s) {
    while (size >= 2) {
        size_t n = data[0] | (size_t)data[1] << 8;
        data += 2;
        size -= 2;
        if (n > size) n = size;
        uint8_t *chunk = unit_must_alloc(n + UNIT_SAVED_CHECK);
        memcpy(chunk, data, n);
        unit_saved_add(s, chunk, n + UNIT_SAVED_CHECK);
        free(chunk);
        data += n;
        size -= n;
    }
    unit_saved_seal(s);
}

// ---- Using what was loaded -----------------------------------------------------------------------

static void *move_some(void *ctx, void *p) {
    (void)ctx;
    (void)p;
    return NULL;
}

static bool never(void *ctx) {
    (void)ctx;
    return false;
}

static void use_worker(struct kvr_pool *p, size_t i, const uint64_t *hashes, size_t n) {
    struct kvr_worker_info w;
    char name[KVR_MAX_NAME];
    kvr_worker_at(p, 1000, i, &w);
    struct kvr_bytes copy = {memcpy(name, w.name.p, w.name.n), w.name.n};
    struct kvr_rank_info r;
    kvr_worker_rank(p, i, 0, &r);
    struct kvr_pool_op ops[] = {
        {.kind = KVR_REMOVED, .hashes = hashes + n / 3, .n = n / 3},
        {.kind = KVR_STORED, .tier = KVR_HOST, .hashes = hashes, .n = n},
        {.kind = KVR_CLEARED, .tier = KVR_DISK},
    };
    struct kvr_event_result out;
    for (size_t k = 0; k < 3; k++)
        kvr_event(p, copy, 0, r.epoch ? r.epoch : 1, r.seq + 1 + k, &ops[k], 1, k == 1, &out);
    is_valid(p);
    struct kvr_worker_settings set = {.set = KVR_SET_RANKS, .ranks = w.ranks > 1 ? w.ranks - 1 : 2};
    int created;
    kvr_worker_set(p, 1000, copy, &set, &created);
    is_valid(p);
}

static void tell(void *ctx, struct kvr_bytes id) {
    (void)ctx;
    must(id.n > 0 && id.n <= KVR_MAX_ID, "an id");
}

static void tell_waiting(void *ctx, const struct kvr_waiting_info *w) {
    must(kvr_waits(ctx, w->id), "in the queue, and doesn't wait");
}

// Admits some of those who wait, and lets the time of others run out; one more comes.
static void use_queue(struct kvr_pool *p, const struct kvr_query *like) {
    struct kvr_admission a;
    struct kvr_pool_choice c;
    struct kvr_booking b;
    struct kvr_query q = *like;
    size_t looks = 64;
    int64_t estimate;
    for (int i = 0; i < 5 && kvr_admit(p, 1000, &looks, 0.5, NULL, NULL, &a); i++)
        is_valid(p);
    q.wait = 100;
    q.flow = (struct kvr_bytes){"fuzz", 4};
    kvr_select(p, 1000, (struct kvr_bytes){"waits", 5}, &q, 5, 0.5, &c, &b);
    is_valid(p);
    must(kvr_queue(p, 1000, 100, tell_waiting, p, &estimate) == KVR_OK, "no list of who waits");
    kvr_end_waiting(p, 1100, 3, tell, NULL);
    is_valid(p);
}

// What would be chosen, and what then is.
static void explain(struct kvr_pool *p, const struct kvr_query *asked) {
    static struct kvr_pool_candidate candidates[8];
    struct kvr_query q = *asked;
    for (int pair = 0; pair < 2; pair++) {
        struct kvr_pool_explanation e;
        q.pair = pair;
        if (kvr_explain(p, 1000, &q, 8, candidates, &e)) continue;
        must(e.n <= 8 && e.n <= e.instances && e.places <= e.instances, "more than there are");
        must(e.result != KVR_OK || candidates[0].place > 0, "one without a place is chosen");
    }
}

// The last record's line has the room that is said to be enough.
static void read_line(const struct kvr_decision_log *l) {
    struct kvr_decision_stats s;
    kvr_decision_log_stats(l, &s);
    if (!s.records) return;
    const struct kvr_decision_record *r = kvr_decision_log_at(l, s.next - 1);
    size_t room = kvr_decision_line_room(r);
    char *line = malloc(room);
    must(line && kvr_decision_line(r, line, room) < room, "a line is longer than its room");
    free(line);
}

// SELECT with a log of it, and its end.
static void choose_logged(struct kvr_pool *p, const struct kvr_query *q) {
    struct support_alloc mem = {.fail_at = 0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_bytes id = {"fuzz", 4};
    struct kvr_pool_choice c;
    struct kvr_booking b;
    struct kvr_decision_log *l =
        kvr_decision_log_new(&alloc, &(struct kvr_decision_limits){3, 1 << 20, true}, 1);
    must(l, "no log");
    struct kvr_decision_record *r = kvr_decision_log_begin(l, p, 1000, id, q);
    kvr_decision_log_end(l, r, kvr_select(p, 1000, id, q, 5, 0.5, &c, &b), &c);
    read_line(l);
    kvr_decision_log_ended(l, p, 1001, id, false);
    read_line(l);
    must(!kvr_decision_log_validate(l), "a log is broken");
    kvr_decision_log_free(l);
    support_alloc_check_freed(&mem, "a log");
}

static void use(struct kvr_pool *p) {
    uint64_t hashes[64] = {1, 2, 3, 4};
    size_t n = 4;
    uint32_t run = kvr_tree_first(p, 0);
    if (run) {
        struct kvr_run_view v;
        kvr_tree_view(p, run, &v);
        n = v.n < 64 ? v.n : 64;
        memcpy(hashes, v.hashes, n * sizeof *hashes);
    }
    struct kvr_query q = {.hashes = hashes, .n = n, .isl = -1};
    q.rule = kvr_pool_options(p)->rule;
    const struct kvr_pool_score *scores;
    size_t count;
    kvr_scores(p, 1000, &q, &scores, &count);
    explain(p, &q);
    q.osl = 1;
    q.session = (struct kvr_bytes){"s", 1};
    choose_logged(p, &q);
    is_valid(p);
    use_queue(p, &q);
    for (size_t i = 0; i < kvr_worker_count(p) && i < 3; i++)
        use_worker(p, i, hashes, n);
    struct kvr_bytes due;
    for (int i = 0; i < 20 && kvr_due_request(p, INT64_MAX / 4, &due); i++) {
        char id[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(id, due.p, due.n), due.n};
        int live;
        kvr_update(p, 2000, copy, i % 2, i % 3, -1, &live);
        must(kvr_release(p, 3000, &copy, 1, KVR_RELEASED) == 1, "a due request isn't live");
    }
    is_valid(p);
    for (int i = 0; i < 20 && kvr_due_session(p, INT64_MAX / 4, &due); i++) {
        char name[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(name, due.p, due.n), due.n};
        must(kvr_session_del(p, &copy, 1) == 1, "a due session isn't remembered");
    }
    kvr_renew_all(p, 2000);
    kvr_due_worker(p, INT64_MAX / 4, &due);
    kvr_forget(p, INT64_MAX / 4, 3);
    uint64_t cursor = 0;
    kvr_pool_defrag(p, &cursor, move_some, never, NULL);
    is_valid(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct support_alloc memory = {0};
    struct kvr_alloc a = support_alloc_use(&memory);
    struct unit_saved s = {0}, again = {0};
    enum kvr_err err;
    unframe(data, size, &s);
    struct kvr_pool *p = unit_saved_load(&s, &a, &err);
    must(p || err == KVR_CORRUPT, "refused for another reason");
    if (p) {
        uint8_t first[2][KVR_DIGEST_BYTES], second[2][KVR_DIGEST_BYTES];
        is_valid(p);
        use(p);
        must(unit_saved_write(p, &again) == KVR_OK, "it can't be saved");
        struct kvr_pool *copy = unit_saved_load(&again, &a, &err);
        must(copy != NULL, "what was saved isn't loaded");
        is_valid(copy);
        kvr_pool_digest(p, first[0]);
        kvr_pool_digest_learnt(p, first[1]);
        kvr_pool_digest(copy, second[0]);
        kvr_pool_digest_learnt(copy, second[1]);
        must(!memcmp(first, second, sizeof first), "another digest");
        kvr_pool_free(copy);
        kvr_pool_free(p);
    }
    unit_saved_free(&s);
    unit_saved_free(&again);
    support_alloc_check_freed(&memory, "fuzz_load");
    return 0;
}

// ---- Where it begins -----------------------------------------------------------------------------

static size_t grow_pool(uint8_t *data, size_t max_size, unsigned seed) {
    static const struct unit_profile f = {.name = "seed",
                                          .nodes = 30,
                                          .straight = 70,
                                          .workers = 3,
                                          .ranks = 2,
                                          .requests = 6,
                                          .events = 60,
                                          .selects = 30,
                                          .requests_ops = 20,
                                          .workers_ops = 10,
                                          .holes = 50,
                                          .tiers = 3,
                                          .predict = 60,
                                          .capacity = 40,
                                          .queue = 30,
                                          .pairs = 30};
    static struct unit_pair pair;
    struct unit_traffic t;
    struct unit_saved s = {0};
    unit_traffic_init(&t, &f, (struct unit_source){.state = seed}, &pair, "a pool to begin with");
    for (unsigned i = 0; i < 10 + seed % 50; i++)
        unit_traffic_step(&t);
    must(unit_saved_write(pair.pool, &s) == KVR_OK, "it can't be saved");
    size_t n = s.ends[0] - UNIT_SAVED_CHECK;
    bool fits = s.n_ends == 1 && n + 2 <= max_size && n < 1 << 16;
    if (fits) {
        data[0] = n & 0xff;
        data[1] = (uint8_t)(n >> 8);
        memcpy(data + 2, s.bytes, n);
    }
    unit_saved_free(&s);
    unit_traffic_free(&t);
    return fits ? n + 2 : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    if (size < 100 || seed % 500 == 0) {
        size_t n = grow_pool(data, max_size, seed);
        if (n) return n;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
