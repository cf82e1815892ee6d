// SPDX-License-Identifier: Apache-2.0
// A long random stream of commands over the socket, each answer compared with the naive model's, that of
// the unit tests. It has no time: leases and expiry are tested elsewhere.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_universe.h"
#include "module/core/rule/policy.h"
#include "tests/unit/unit_model.h"

TestSuite(model, .fini = flow_harness_end, .timeout = 300);

enum {
    FLOW_MODEL_WORKERS = 6,
    FLOW_MODEL_RANKS = 3,
    FLOW_MODEL_REQUESTS = 40,
    FLOW_MODEL_LABELS = 3,
    FLOW_MODEL_SESSIONS = 8,
    FLOW_MODEL_NOW = 1,
};

static struct unit_model model;
static struct flow_universe universe;
static struct flow_rng rng;
static struct flow_conn *conn;
static struct flow_args args;
static int step;
static char last[2000]; // the latest command of the stream

static const double weights[] = {0, 0.5, 1, 2};
static const struct kvr_bytes labels[FLOW_MODEL_LABELS] = {{"gpu", 3}, {"gpu=a", 5}, {"zone=1", 6}};

static int below(int n) {
    return (int)flow_rng_below(&rng, (uint64_t)n);
}

// The command being built, in a form that can be read.
static void spell(char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < args.n && n + 80 < size; i++) {
        bool plain = true;
        for (size_t k = 0; k < args.len[i]; k++)
            plain &= args.v[i][k] > 31 && args.v[i][k] < 127;
        if (plain)
            n += (size_t)snprintf(text + n, 60, "%.58s ", args.v[i]);
        else
            n += (size_t)snprintf(text + n, 60, "(%zu bytes) ", args.len[i]);
    }
}

static void check(bool holds, const char *what) {
    if (holds) return;
    char text[2000];
    spell(text, sizeof text);
    cr_assert_fail("seed %" PRIu64 ", step %d: %s, in %s\n after %s", flow_test_seed(), step, what,
                   text, last);
}

// Names of one command are valid together.
static struct kvr_bytes name_of(const char *kind, int number) {
    static char names[64][16];
    static unsigned next;
    char *name = names[next++ % 64];
    return (struct kvr_bytes){name, (size_t)snprintf(name, sizeof names[0], "%s%d", kind, number)};
}

static struct kvr_bytes add_bytes(struct kvr_bytes bytes) {
    flow_args_add(&args, bytes.p, bytes.n);
    return bytes;
}

static struct kvr_bytes add_worker(int worker) {
    return add_bytes(name_of("w", worker));
}

static struct kvr_bytes add_request(void) {
    return add_bytes(name_of("request-", below(FLOW_MODEL_REQUESTS)));
}

static int64_t add_int(const char *word, int64_t value) {
    flow_args_str(&args, word);
    flow_args_int(&args, value);
    return value;
}

static double add_real(const char *word, double value) {
    char text[16];
    snprintf(text, sizeof text, "%g", value);
    flow_args_str(&args, word);
    flow_args_str(&args, text);
    return value;
}

static const struct flow_reply *send_args(void) {
    return flow_call_args(conn, &args);
}

static void expect_integer(const struct flow_reply *r, int64_t want, const char *what) {
    check(r->kind == FLOW_REPLY_INTEGER && r->integer == want, what);
}

// The answer to what the model refuses; else false.
static bool expect_refusal(const struct flow_reply *r, enum kvr_err err) {
    char what[64];
    snprintf(what, sizeof what, "%s instead of %.30s", unit_error_names[err],
             r->bytes ? r->bytes : "none");
    if (err != KVR_OK) check(flow_is_error(r, unit_error_names[err]), what);
    return err != KVR_OK;
}

static void expect_bytes(const struct flow_reply *map, const char *field, struct kvr_bytes want) {
    const struct flow_reply *r = flow_map_get(map, field);
    check(r->bytes && unit_bytes_compare((struct kvr_bytes){r->bytes, r->n}, want) == 0, field);
}

static void expect_field(const struct flow_reply *map, const char *field, uint64_t want) {
    char what[100];
    uint64_t got = (uint64_t)flow_map_int(map, field);
    snprintf(what, sizeof what, "%s is %" PRIu64 " instead of %" PRIu64, field, got, want);
    check(got == want, what);
}

// ---- Commands ------------------------------------------------------------------------------------

// Against their order.
static size_t add_labels(const char *word, struct kvr_bytes list[FLOW_MODEL_LABELS]) {
    size_t n = 0;
    for (int i = FLOW_MODEL_LABELS; i-- > 0;)
        if (below(2)) list[n++] = labels[i];
    add_int(word, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        add_bytes(list[i]);
    return n;
}

static struct kvr_bytes name_session(void) {
    return name_of("session-", below(FLOW_MODEL_SESSIONS));
}

static struct kvr_bytes add_session(void) {
    if (below(2)) return (struct kvr_bytes){"", 0};
    flow_args_str(&args, "SESSION");
    return add_bytes(name_session());
}

static void set_worker(int worker, int capacity) {
    struct kvr_worker_settings set = {0};
    struct kvr_bytes list[FLOW_MODEL_LABELS];
    flow_args_words(&args, "KVROUTE.WORKER SET p");
    struct kvr_bytes name = add_worker(worker);
    if (below(2)) {
        set.set |= KVR_SET_ADDR;
        flow_args_str(&args, "ADDR");
        set.addr = add_bytes(name_of("", 1 + below(100)));
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_RANKS;
        set.ranks = (uint32_t)add_int("RANKS", 1 + below(FLOW_MODEL_RANKS));
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_STATE;
        set.state = below(4) ? KVR_READY : KVR_DRAINING;
        flow_args_str(&args, "STATE");
        flow_args_str(&args, kvr_state_names[set.state]);
    }
    if (capacity >= 0) {
        set.set |= KVR_SET_CAPACITY;
        set.capacity = (uint64_t)add_int("CAPACITY", capacity);
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_SPEED;
        set.speed = add_real("SPEED", below(4) * 0.25);
    }
    if (below(2)) {
        set.set |= KVR_SET_LABELS;
        set.labels = list;
        set.n_labels = add_labels("LABELS", list);
    }
    int created;
    check(unit_model_worker_set(&model, FLOW_MODEL_NOW, name, &set, &created) == KVR_OK, "set");
    expect_integer(send_args(), created, "created");
}

static void del_worker(void) {
    flow_args_words(&args, "KVROUTE.WORKER DEL p");
    struct kvr_bytes name = add_worker(below(FLOW_MODEL_WORKERS));
    enum kvr_err err = unit_model_worker_del(&model, name);
    expect_integer(send_args(), err == KVR_OK, "deleted");
}

struct flow_blocks {
    int n;
    int blocks[FLOW_UNIVERSE_DEPTH];
    uint64_t hashes[FLOW_UNIVERSE_DEPTH];
};

static void name_blocks(struct flow_blocks *list) {
    for (int i = 0; i < list->n; i++)
        list->hashes[i] = universe.blocks[list->blocks[i]].hash;
}

struct flow_op {
    enum kvr_pool_op_kind kind;
    int tier;   // CLEARED: -1 for every tier
    int parent; // STORED: -1 for none
    struct flow_blocks list;
};

// A piece of a path: from its start, or going on from a parent.
static void make_op(struct flow_op *op) {
    int path[FLOW_UNIVERSE_DEPTH];
    int n = flow_universe_path(&universe, below(FLOW_UNIVERSE_BLOCKS), path);
    int from = below(2) ? 0 : below(n);
    *op = (struct flow_op){.tier = below(3) ? 0 : below(KVR_TIERS), .parent = -1};
    switch (below(8)) {
    case 0:
        op->kind = KVR_REMOVED; // scattered blocks
        op->list.n = below(6);
        for (int i = 0; i < op->list.n; i++)
            op->list.blocks[i] = below(FLOW_UNIVERSE_BLOCKS);
        return;
    case 1:
    case 2:
        op->kind = KVR_REMOVED; // the end of a path
        break;
    case 3:
        if (below(4) == 0) {
            op->kind = KVR_CLEARED;
            if (below(2)) op->tier = -1;
            return;
        }
        break;
    default:
        break;
    }
    if (op->kind == KVR_STORED && from > 0) op->parent = path[from - 1];
    op->list.n = n - from;
    memcpy(op->list.blocks, path + from, sizeof path[0] * (size_t)op->list.n);
    // Now and then under a parent that isn't its own.
    if (op->kind == KVR_STORED && below(12) == 0) op->parent = below(FLOW_UNIVERSE_BLOCKS);
}

static bool is_true_chain(const struct flow_op *op) {
    return op->kind != KVR_STORED || op->list.n == 0 ||
           universe.blocks[op->list.blocks[0]].parent == op->parent;
}

static struct kvr_pool_op for_model(struct flow_op *op) {
    name_blocks(&op->list);
    bool has_parent = op->kind == KVR_STORED && op->parent >= 0;
    return (struct kvr_pool_op){.kind = op->kind,
                                .tier = op->tier,
                                .has_parent = has_parent,
                                .parent = has_parent ? universe.blocks[op->parent].hash : 0,
                                .hashes = op->list.hashes,
                                .n = (size_t)op->list.n};
}

static void add_op(const struct flow_op *op) {
    static const char *const kinds[] = {"STORED", "REMOVED", "CLEARED"};
    if (op->kind == KVR_CLEARED ? op->tier >= 0 : op->tier > 0 || below(2)) {
        flow_args_str(&args, "TIER");
        flow_args_str(&args, kvr_tier_names[op->tier]);
    }
    flow_args_str(&args, kinds[op->kind]);
    if (op->kind == KVR_STORED) flow_add_parent(&args, &universe, &rng, op->parent);
    if (op->kind != KVR_CLEARED)
        flow_add_blocks(&args, &universe, &rng, op->list.blocks, op->list.n,
                        op->kind == KVR_STORED && is_true_chain(op));
}

static void send_event(void) {
    enum { FLOW_MODEL_OPS = 4 };
    struct flow_op ops[FLOW_MODEL_OPS];
    struct kvr_pool_op told[FLOW_MODEL_OPS + 1];
    struct kvr_event_result want;
    flow_args_words(&args, "KVROUTE.EVENT p");
    struct kvr_bytes worker = add_worker(below(FLOW_MODEL_WORKERS));
    uint32_t rank = (uint32_t)below(FLOW_MODEL_RANKS);
    const struct unit_model_rank *r = unit_model_find_rank(&model, worker, rank);
    uint64_t epoch = r && r->epoch ? r->epoch : 1, seq = r ? r->seq + 1 : 1;
    switch (below(16)) {
    case 0:
        epoch += 1 + flow_rng_below(&rng, 3);
        seq = 1 + (below(4) == 0);
        break;
    case 1:
        seq += flow_rng_below(&rng, 3);
        break;
    case 2:
        seq = 1 + flow_rng_below(&rng, seq);
        break;
    case 3:
        epoch = 1 + flow_rng_below(&rng, epoch);
        break;
    default:
        break;
    }
    int n_ops = below(3) ? 1 : 1 + below(FLOW_MODEL_OPS);
    enum kvr_err err;
    for (;;) {
        bool honest = true;
        for (int i = 0; i < n_ops; i++) {
            make_op(&ops[i]);
            told[i] = for_model(&ops[i]);
            honest &= is_true_chain(&ops[i]);
        }
        // A lie that would be believed isn't told, so that chains stay true: behind it comes what no
        // event can say, and the model undoes all of it when it gets there.
        told[n_ops] = (struct kvr_pool_op){.kind = KVR_CLEARED + 1};
        err = unit_model_event(&model, worker, rank, epoch, seq, told, (size_t)(n_ops + !honest),
                               &want);
        if (honest || (err != KVR_OK && err != KVR_RANGE)) break;
    }
    flow_args_int(&args, rank);
    flow_args_int(&args, (int64_t)epoch);
    flow_args_int(&args, (int64_t)seq);
    for (int i = 0; i < n_ops; i++)
        add_op(&ops[i]);
    const struct flow_reply *reply = send_args();
    if (!expect_refusal(reply, err)) {
        expect_integer(reply, (int64_t)want.seq, "an event's seq");
    } else if (err == KVR_GAP || err == KVR_STALE) {
        const char *named = strrchr(reply->bytes, ' ');
        uint64_t number = err == KVR_GAP ? want.expected : want.epoch;
        check(named && strtoull(named + 1, NULL, 10) == number, "the number that is named");
    }
}

static void make_list(struct flow_blocks *list) {
    list->n =
        below(20) ? flow_universe_path(&universe, below(FLOW_UNIVERSE_BLOCKS), list->blocks) : 0;
    name_blocks(list);
    flow_add_blocks(&args, &universe, &rng, list->blocks, list->n, true);
}

static size_t add_worker_list(const char *word, struct kvr_bytes list[FLOW_MODEL_WORKERS]) {
    size_t n = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        if (below(3) == 0) list[n++] = name_of("w", w);
    add_int(word, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        add_bytes(list[i]);
    return n;
}

static void add_weight(const char *word, double *weight) {
    if (below(4) == 0) *weight = add_real(word, weights[below(4)]);
}

// What a query names is valid until the next one is made.
static struct kvr_query add_query(void) {
    static struct flow_blocks list;
    static struct kvr_bytes among[FLOW_MODEL_WORKERS], exclude[FLOW_MODEL_WORKERS],
        with[FLOW_MODEL_LABELS], without[FLOW_MODEL_LABELS];
    make_list(&list);
    struct kvr_query q = {.hashes = list.hashes,
                          .n = (size_t)list.n,
                          .isl = -1,
                          .rule = model.options.rule,
                          .among = among,
                          .exclude = exclude,
                          .with = with,
                          .without = without};
    if (below(3) == 0) q.isl = add_int("ISL", below(150));
    add_weight("OVERLAP", &q.rule.overlap);
    add_weight("PREFILL", &q.rule.prefill);
    add_weight("REQUESTS", &q.rule.requests);
    q.has_among = below(6) == 0;
    if (q.has_among) q.n_among = add_worker_list("AMONG", among);
    if (below(6) == 0) q.n_exclude = add_worker_list("EXCLUDE", exclude);
    if (below(6) == 0) q.n_with = add_labels("WITH", with);
    if (below(6) == 0) q.n_without = add_labels("WITHOUT", without);
    q.session = add_session();
    return q;
}

static void check_place(const struct flow_reply *map, const struct kvr_pool_score *want) {
    expect_bytes(map, "worker", want->worker);
    expect_bytes(map, "addr", want->addr);
    expect_field(map, "rank", want->rank);
    expect_field(map, "overlap", want->overlap);
    expect_field(map, "expected", want->expected);
    expect_field(map, "cached", (uint64_t)want->cached);
    check(flow_map_real(map, "cost") == want->cost, "the cost");
}

// What the pool must answer, and in the model the booking of it.
static enum kvr_err model_select(struct kvr_bytes id, const struct kvr_query *q,
                                 struct kvr_pool_choice *out) {
    const struct unit_model_request *live = unit_model_find_request(&model, id);
    *out = (struct kvr_pool_choice){.repeat = live != NULL, .blocks = live ? live->n : q->n};
    if (live) {
        const struct unit_model_worker *w =
            unit_model_owner(&model, live->instance, &out->score.rank);
        out->score.worker = model_name(w);
        out->score.addr = (struct kvr_bytes){w->addr, w->addr_len};
        out->score.overlap = (uint32_t)live->overlap;
        out->score.expected = (uint32_t)live->expected;
        out->score.cached = live->cached;
        out->score.cost = live->cost;
        unit_model_selected(&model, NULL, 0, true);
        return KVR_OK;
    }
    struct kvr_pool_score *all;
    size_t n;
    double limit;
    unit_model_scores(&model, FLOW_MODEL_NOW, q, &all, &n);
    if (n) {
        const struct kvr_pool_score *held =
            unit_model_held(&model, FLOW_MODEL_NOW, q, all, n, &limit);
        out->score = held && held->cost <= limit ? *held : all[0];
        const struct kvr_booking as = {
            .hashes = q->hashes,
            .n = q->n,
            .isl = q->isl,
            .cached = out->score.cached,
            .lease = -1,
            .predict_until = model.options.predict,
            .overlap = out->score.overlap,
            .expected = out->score.expected,
            .cost = out->score.cost,
            .session = q->session,
        };
        int booked;
        unit_model_selected(&model, &out->score, q->n, false);
        unit_model_claim(&model, id, out->score.worker, out->score.rank, &as, &booked);
    }
    free(all);
    return n ? KVR_OK : KVR_NOWORKER;
}

static void send_select(void) {
    struct kvr_pool_choice want;
    flow_args_words(&args, "KVROUTE.SELECT p");
    struct kvr_bytes id = add_request();
    struct kvr_query q = add_query();
    enum kvr_err err = model_select(id, &q, &want);
    const struct flow_reply *r = send_args();
    if (expect_refusal(r, err)) return;
    check(r->kind == FLOW_REPLY_MAP || r->kind == FLOW_REPLY_ARRAY, "a choice");
    check_place(r, &want.score);
    expect_field(r, "repeat", want.repeat);
    expect_field(r, "blocks", want.blocks);
    expect_field(r, "version", model.stats.version);
}

static void send_score(void) {
    flow_args_words(&args, "KVROUTE.SCORE p");
    struct kvr_query q = add_query();
    struct kvr_pool_score *want;
    size_t n;
    unit_model_scores(&model, FLOW_MODEL_NOW, &q, &want, &n);
    const struct flow_reply *r = send_args();
    check(r->kind == FLOW_REPLY_ARRAY && r->count == n, "as many rows");
    for (size_t i = 0; i < n; i++) {
        const struct flow_reply *map = &r->items[i];
        check_place(map, &want[i]);
        for (int t = 0; t < KVR_TIERS; t++)
            expect_field(map, kvr_tier_names[t], want[i].by_tier[t]);
        expect_field(map, "prefill_tokens", want[i].prefill_tokens);
        expect_field(map, "decode_blocks", want[i].decode_blocks);
        expect_field(map, "requests", want[i].requests);
    }
    free(want);
}

static void send_claim(void) {
    flow_args_words(&args, "KVROUTE.CLAIM p");
    struct kvr_bytes id = add_request(), worker = add_worker(below(FLOW_MODEL_WORKERS));
    uint32_t rank = (uint32_t)below(FLOW_MODEL_RANKS);
    struct flow_blocks list;
    flow_args_int(&args, rank);
    make_list(&list);
    struct kvr_booking as = {.hashes = list.hashes,
                             .n = (size_t)list.n,
                             .isl = list.n * FLOW_UNIVERSE_BLOCK_SIZE,
                             .lease = -1,
                             .predict_until = model.options.predict};
    if (below(2)) as.isl = add_int("ISL", as.isl + below(20));
    if (below(2)) // whole blocks, so that a repeat can say which
        as.cached = add_int("CACHED", below(list.n + 1) * FLOW_UNIVERSE_BLOCK_SIZE);
    if (below(2)) as.output = add_int("OUTPUT", below(30));
    as.prefilled = below(2);
    if (as.prefilled) flow_args_str(&args, "PREFILLED");
    as.session = add_session();
    int booked;
    enum kvr_err err = unit_model_claim(&model, id, worker, rank, &as, &booked);
    const struct flow_reply *r = send_args();
    if (!expect_refusal(r, err)) expect_integer(r, booked, "booked");
}

static void send_update(void) {
    flow_args_words(&args, "KVROUTE.UPDATE p");
    struct kvr_bytes id = add_request();
    bool prefilled = below(2);
    if (prefilled) flow_args_str(&args, "PREFILLED");
    int64_t output = below(3) ? add_int("OUTPUT", below(60)) : -1;
    int live;
    unit_model_update(&model, FLOW_MODEL_NOW, id, prefilled, output, -1, &live);
    expect_integer(send_args(), live, "updated");
}

static void send_release(void) {
    struct kvr_bytes ids[4];
    size_t n = 1 + (size_t)below(4);
    flow_args_words(&args, "KVROUTE.RELEASE p");
    for (size_t i = 0; i < n; i++)
        ids[i] = add_request();
    size_t live = unit_model_release(&model, FLOW_MODEL_NOW, ids, n, KVR_RELEASED);
    expect_integer(send_args(), (int64_t)live, "released");
}

static void send_session_del(void) {
    struct kvr_bytes names[3];
    size_t n = 1 + (size_t)below(3);
    flow_args_words(&args, "KVROUTE.SESSION DEL p");
    for (size_t i = 0; i < n; i++)
        names[i] = add_bytes(name_session());
    size_t gone = unit_model_session_del(&model, names, n);
    expect_integer(send_args(), (int64_t)gone, "sessions forgotten");
}

static void send_alter(void) {
    struct kvr_options o = model.options;
    static const double sticks[] = {0, 4, 32, 1000};
    flow_args_words(&args, "KVROUTE.ALTER p");
    if (below(2)) o.stick = add_real("STICK", sticks[below(4)]);
    double *const options[] = {&o.rule.overlap, &o.rule.requests, &o.host, &o.disk};
    static const char *const names[] = {"OVERLAP", "REQUESTS", "HOST", "DISK"};
    int i = below(4);
    *options[i] = add_real(names[i], weights[below(3)]);
    check(unit_model_alter(&model, &o) == KVR_OK, "options");
    check(send_args()->kind == FLOW_REPLY_STATUS, "altered");
}

// ---- The whole state -----------------------------------------------------------------------------

static void compare_labels(const struct flow_reply *list, const struct unit_model_worker *w) {
    size_t at = 0;
    for (int i = 0; i < FLOW_MODEL_LABELS; i++) {
        if (!unit_model_labelled(w, labels[i])) continue;
        check(at < list->count && !strcmp(list->items[at].bytes, labels[i].p), "a label");
        at++;
    }
    check(list->count == at, "as many labels");
}

// Where an instance is, as a session or a request says.
static void compare_instance(const struct flow_reply *map, uint64_t instance) {
    uint32_t rank;
    expect_bytes(map, "worker", model_name(unit_model_owner(&model, instance, &rank)));
    expect_field(map, "rank", rank);
}

static void compare_sessions(void) {
    for (int i = 0; i < FLOW_MODEL_SESSIONS; i++) {
        flow_args_words(&args, "KVROUTE.SESSION GET p");
        struct kvr_bytes name = add_bytes(name_of("session-", i));
        const struct unit_model_session *want = unit_model_find_session(&model, name);
        const struct flow_reply *r = send_args();
        check((r->kind != FLOW_REPLY_NULL) == (want != NULL), "a session");
        if (want) {
            compare_instance(r, want->instance);
            expect_field(r, "requests", unit_model_session_live(&model, name));
        }
        flow_args_clear(&args);
    }
}

static void compare_rank(const struct flow_reply *map, const struct unit_model_rank *want) {
    static const char *const held[] = {"device_blocks", "host_blocks", "disk_blocks"};
    expect_field(map, "epoch", want->epoch);
    expect_field(map, "seq", want->seq);
    for (int t = 0; t < KVR_TIERS; t++) {
        uint64_t n = 0;
        for (int b = 0; b < FLOW_UNIVERSE_BLOCKS; b++)
            n += unit_model_holds(&model, want->id, t, universe.blocks[b].hash);
        expect_field(map, held[t], n);
    }
    struct kvr_rank_info load;
    unit_model_load(&model, want->id, &load);
    expect_field(map, "requests", load.requests);
    expect_field(map, "prefill_tokens", load.prefill_tokens);
    expect_field(map, "decode_blocks", load.decode_blocks);
}

static void compare_workers(void) {
    flow_args_words(&args, "KVROUTE.WORKER LIST p");
    const struct flow_reply *list = send_args();
    size_t at = 0;
    for (int i = 0; i < FLOW_MODEL_WORKERS; i++) {
        const struct unit_model_worker *want = unit_model_find_worker(&model, name_of("w", i));
        if (!want) continue;
        check(at < list->count, "as many workers");
        const struct flow_reply *map = &list->items[at++];
        expect_bytes(map, "worker", model_name(want)); // in order
        check(strcmp(flow_map_str(map, "state"), kvr_state_names[want->state]) == 0, "state");
        expect_field(map, "capacity", want->capacity);
        check(flow_map_real(map, "speed") == want->speed, "speed");
        compare_labels(flow_map_get(map, "labels"), want);
        const struct flow_reply *ranks = flow_map_get(map, "ranks");
        check(ranks->count == want->ranks, "as many ranks");
        for (uint32_t k = 0; k < want->ranks; k++)
            compare_rank(&ranks->items[k], &want->rank[k]);
    }
    check(at == list->count, "no more workers");
    flow_args_clear(&args);
}

static void compare_requests(void) {
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++) {
        flow_args_words(&args, "KVROUTE.REQUEST GET p");
        const struct unit_model_request *want =
            unit_model_find_request(&model, add_bytes(name_of("request-", i)));
        const struct flow_reply *r = send_args();
        check((r->kind != FLOW_REPLY_NULL) == (want != NULL), "live");
        if (want) {
            compare_instance(r, want->instance);
            expect_field(r, "isl", (uint64_t)want->isl);
            expect_field(r, "cached", (uint64_t)want->cached);
            expect_field(r, "output", (uint64_t)want->output);
            expect_field(r, "blocks", want->n);
            expect_field(r, "prefilled", want->prefilled);
            expect_bytes(r, "session", (struct kvr_bytes){want->session, want->session_len});
        }
        flow_args_clear(&args);
    }
}

static void compare_info(void) {
    struct kvr_stats want;
    unit_model_counts(&model, FLOW_MODEL_NOW, &want);
    flow_args_words(&args, "KVROUTE.INFO p");
    const struct flow_reply *r = send_args();
    for (int i = 0; i < UNIT_MODEL_STATS; i++)
        expect_field(r, unit_model_stats[i].name, *stat_of(&want, &unit_model_stats[i]));
    flow_args_clear(&args);
}

static void compare_all(void) {
    compare_workers();
    compare_requests();
    compare_sessions();
    compare_info();
}

// ---- Streams -------------------------------------------------------------------------------------

static void random_step(void) {
    int kind = below(100);
    if (kind < 3)
        set_worker(below(FLOW_MODEL_WORKERS), -1);
    else if (kind == 3 && below(3) == 0)
        del_worker();
    else if (kind < 45)
        send_event();
    else if (kind < 65)
        send_select();
    else if (kind < 75)
        send_score();
    else if (kind < 80)
        send_claim();
    else if (kind < 88)
        send_update();
    else if (kind < 97)
        send_release();
    else if (kind < 98)
        send_session_del();
    else
        send_alter();
    spell(last, sizeof last);
    flow_args_clear(&args);
}

static int steps(int by_default) {
    const char *given = getenv("KVROUTE_STEPS");
    return given ? atoi(given) : by_default;
}

// Compares everything after every so many steps; 1 finds the step that broke it.
static bool is_time_to_compare(void) {
    const char *given = getenv("KVROUTE_COMPARE");
    return step % (given ? atoi(given) : 20) == 0;
}

static void start_stream(struct flow_server *s, int protocol, int64_t predict) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = FLOW_UNIVERSE_BLOCK_SIZE;
    o.lease = 0;
    o.rule.policy = KVR_LINEAR;
    o.predict = predict;
    rng.state = flow_test_seed();
    flow_universe_grow(&universe, &rng);
    unit_model_init(&model, &o);
    conn = flow_server_connect(s, protocol);
    flow_args_words(&args, "KVROUTE.CREATE p BLOCKSIZE 4 LEASE 0 POLICY linear PREDICT");
    flow_args_int(&args, predict);
    check(send_args()->kind == FLOW_REPLY_STATUS, "created");
    flow_args_clear(&args);
}

// Reloading must change nothing, the turns of equal instances included; statistics start anew.
static void reload(const char *command) {
    struct flow_digest before = flow_pool_digest(conn, "p");
    flow_args_words(&args, command);
    check(send_args()->kind == FLOW_REPLY_STATUS, "reloaded");
    flow_args_clear(&args);
    check(flow_same_digest(before, flow_pool_digest(conn, "p")), "the digest after a reload");
    const struct flow_reply *info = flow_call(conn, "KVROUTE.INFO p");
    for (const struct unit_stat *at = unit_model_stats; at < unit_model_stats + UNIT_MODEL_STATS;
         at++)
        if (at->counted) *stat_of(&model.stats, at) = (uint64_t)flow_map_int(info, at->name);
    compare_all();
}

// Random steps, each compared at once and now and then with everything, and a reload after every so many.
static void run_stream(int n, int between, const char *command) {
    for (step = 0; step < n; step++) {
        random_step();
        if (is_time_to_compare()) compare_all();
        if (step % between == between - 1) reload(command);
    }
    compare_all();
}

Test(model, long_stream) {
    struct flow_server *s = flow_server_start(NULL);
    start_stream(s, 3, 0);
    for (int w = 0; w < FLOW_MODEL_WORKERS - 1; w++) {
        set_worker(w, -1);
        flow_args_clear(&args);
    }
    run_stream(steps(12000), 1500, "DEBUG RELOAD");
    // Undone command by command, nothing of it is left.
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        flow_call(conn, "KVROUTE.WORKER DEL p w%d", w);
    cr_assert(flow_pool_info(conn, "p", "blocks") == 0);
    cr_assert(flow_pool_info(conn, "p", "requests") == 0);
    unit_model_free(&model);
}

Test(model, stream_with_predictions_and_an_aof) {
    struct flow_server *s = flow_server_start(flow_with_aof);
    start_stream(s, 2, 1000000000);
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        set_worker(w, w == 0 ? 0 : 10 * w);
        flow_args_clear(&args);
    }
    run_stream(steps(5000), 1000, "DEBUG LOADAOF");
    unit_model_free(&model);
}
