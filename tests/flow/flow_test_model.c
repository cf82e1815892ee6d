// SPDX-License-Identifier: Apache-2.0
// A long random stream of commands over the socket, each answer compared with the naive model's, that of
// the unit tests. It has no time: leases and expiry are tested elsewhere.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_model.h"
#include "module/core/rule/policy.h"

TestSuite(model, .fini = flow_harness_end, .timeout = 300);

static struct flow_rng rng;

static const double weights[] = {0, 0.5, 1, 2};

static int below(int n) {
    return (int)flow_rng_below(&rng, (uint64_t)n);
}

static struct kvr_bytes add_worker(int worker) {
    return flow_model_add(flow_model_name("w", worker));
}

static struct kvr_bytes add_request(void) {
    return flow_model_add(flow_model_name("request-", below(FLOW_MODEL_REQUESTS)));
}

static int64_t add_int(const char *word, int64_t value) {
    flow_args_str(&flow_model_args, word);
    flow_args_int(&flow_model_args, value);
    return value;
}

static double add_real(const char *word, double value) {
    char text[16];
    snprintf(text, sizeof text, "%g", value);
    flow_args_str(&flow_model_args, word);
    flow_args_str(&flow_model_args, text);
    return value;
}

static void expect_integer(const struct flow_reply *r, int64_t want, const char *what) {
    flow_model_check(r->kind == FLOW_REPLY_INTEGER && r->integer == want, what);
}

// The answer to what the model refuses; else false.
static bool expect_refusal(const struct flow_reply *r, enum kvr_err err) {
    char what[64];
    snprintf(what, sizeof what, "%s instead of %.30s", unit_error_names[err],
             r->bytes ? r->bytes : "none");
    if (err != KVR_OK) flow_model_check(flow_is_error(r, unit_error_names[err]), what);
    return err != KVR_OK;
}

// ---- Commands ------------------------------------------------------------------------------------

// Against their order.
static size_t add_labels(const char *word, struct kvr_bytes list[FLOW_MODEL_LABELS]) {
    size_t n = 0;
    for (int i = FLOW_MODEL_LABELS; i-- > 0;)
        if (below(2)) list[n++] = flow_model_labels[i];
    add_int(word, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        flow_model_add(list[i]);
    return n;
}

static struct kvr_bytes name_session(void) {
    return flow_model_name("session-", below(FLOW_MODEL_SESSIONS));
}

static struct kvr_bytes add_session(void) {
    if (below(2)) return (struct kvr_bytes){"", 0};
    flow_args_str(&flow_model_args, "SESSION");
    return flow_model_add(name_session());
}

static void set_worker(int worker, int capacity) {
    struct kvr_worker_settings set = {0};
    struct kvr_bytes list[FLOW_MODEL_LABELS];
    flow_args_words(&flow_model_args, "KVROUTE.WORKER SET p");
    struct kvr_bytes name = add_worker(worker);
    if (below(2)) {
        set.set |= KVR_SET_ADDR;
        flow_args_str(&flow_model_args, "ADDR");
        set.addr = flow_model_add(flow_model_name("", 1 + below(100)));
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_RANKS;
        set.ranks = (uint32_t)add_int("RANKS", 1 + below(FLOW_MODEL_RANKS));
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_STATE;
        set.state = below(4) ? KVR_READY : KVR_DRAINING;
        flow_args_str(&flow_model_args, "STATE");
        flow_args_str(&flow_model_args, kvr_state_names[set.state]);
    }
    if (capacity >= 0) {
        set.set |= KVR_SET_CAPACITY;
        set.capacity = (uint64_t)add_int("CAPACITY", capacity);
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_SPEED;
        set.speed = add_real("SPEED", below(4) * 0.25);
    }
    if (below(3) == 0) {
        set.set |= KVR_SET_ROLE;
        set.role = (enum kvr_role)below(3);
        flow_args_str(&flow_model_args, "ROLE");
        flow_args_str(&flow_model_args, kvr_role_names[set.role]);
    }
    if (below(2)) {
        set.set |= KVR_SET_LABELS;
        set.labels = list;
        set.n_labels = add_labels("LABELS", list);
    }
    int created;
    flow_model_check(
        unit_model_worker_set(&flow_model, FLOW_MODEL_NOW, name, &set, &created) == KVR_OK, "set");
    expect_integer(flow_model_send(), created, "created");
}

static void del_worker(void) {
    flow_args_words(&flow_model_args, "KVROUTE.WORKER DEL p");
    struct kvr_bytes name = add_worker(below(FLOW_MODEL_WORKERS));
    enum kvr_err err = unit_model_worker_del(&flow_model, name);
    expect_integer(flow_model_send(), err == KVR_OK, "deleted");
}

struct flow_blocks {
    int n;
    int blocks[FLOW_UNIVERSE_DEPTH];
    uint64_t hashes[FLOW_UNIVERSE_DEPTH];
};

static void name_blocks(struct flow_blocks *list) {
    for (int i = 0; i < list->n; i++)
        list->hashes[i] = flow_model_universe.blocks[list->blocks[i]].hash;
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
    int n = flow_universe_path(&flow_model_universe, below(FLOW_UNIVERSE_BLOCKS), path);
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
           flow_model_universe.blocks[op->list.blocks[0]].parent == op->parent;
}

static struct kvr_pool_op for_model(struct flow_op *op) {
    name_blocks(&op->list);
    bool has_parent = op->kind == KVR_STORED && op->parent >= 0;
    return (struct kvr_pool_op){.kind = op->kind,
                                .tier = op->tier,
                                .has_parent = has_parent,
                                .parent =
                                    has_parent ? flow_model_universe.blocks[op->parent].hash : 0,
                                .hashes = op->list.hashes,
                                .n = (size_t)op->list.n};
}

static void add_op(const struct flow_op *op) {
    static const char *const kinds[] = {"STORED", "REMOVED", "CLEARED"};
    if (op->kind == KVR_CLEARED ? op->tier >= 0 : op->tier > 0 || below(2)) {
        flow_args_str(&flow_model_args, "TIER");
        flow_args_str(&flow_model_args, kvr_tier_names[op->tier]);
    }
    flow_args_str(&flow_model_args, kinds[op->kind]);
    if (op->kind == KVR_STORED)
        flow_add_parent(&flow_model_args, &flow_model_universe, &rng, op->parent);
    if (op->kind != KVR_CLEARED)
        flow_add_blocks(&flow_model_args, &flow_model_universe, &rng, op->list.blocks, op->list.n,
                        op->kind == KVR_STORED && is_true_chain(op));
}

static void send_event(void) {
    enum { FLOW_MODEL_OPS = 4 };
    struct flow_op ops[FLOW_MODEL_OPS];
    struct kvr_pool_op told[FLOW_MODEL_OPS + 1];
    struct kvr_event_result want;
    flow_args_words(&flow_model_args, "KVROUTE.EVENT p");
    struct kvr_bytes worker = add_worker(below(FLOW_MODEL_WORKERS));
    uint32_t rank = (uint32_t)below(FLOW_MODEL_RANKS);
    const struct unit_model_rank *r = unit_model_find_rank(&flow_model, worker, rank);
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
        err = unit_model_event(&flow_model, worker, rank, epoch, seq, told,
                               (size_t)(n_ops + !honest), &want);
        if (honest || (err != KVR_OK && err != KVR_RANGE)) break;
    }
    flow_args_int(&flow_model_args, rank);
    flow_args_int(&flow_model_args, (int64_t)epoch);
    flow_args_int(&flow_model_args, (int64_t)seq);
    for (int i = 0; i < n_ops; i++)
        add_op(&ops[i]);
    const struct flow_reply *reply = flow_model_send();
    if (!expect_refusal(reply, err)) {
        expect_integer(reply, (int64_t)want.seq, "an event's seq");
    } else if (err == KVR_GAP || err == KVR_STALE) {
        const char *named = strrchr(reply->bytes, ' ');
        uint64_t number = err == KVR_GAP ? want.expected : want.epoch;
        flow_model_check(named && strtoull(named + 1, NULL, 10) == number,
                         "the number that is named");
    }
}

static void make_list(struct flow_blocks *list) {
    list->n = below(20) ? flow_universe_path(&flow_model_universe, below(FLOW_UNIVERSE_BLOCKS),
                                             list->blocks)
                        : 0;
    name_blocks(list);
    flow_add_blocks(&flow_model_args, &flow_model_universe, &rng, list->blocks, list->n, true);
}

static size_t add_worker_list(const char *word, struct kvr_bytes list[FLOW_MODEL_WORKERS]) {
    size_t n = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        if (below(3) == 0) list[n++] = flow_model_name("w", w);
    add_int(word, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        flow_model_add(list[i]);
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
                          .rule = flow_model.options.rule,
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

// Where the prompt of a pair is computed, as a choice says.
static void check_prefill(const struct flow_reply *map, const struct kvr_pool_choice *want) {
    if (!want->pair) return;
    flow_model_expect_bytes(map, "prefill_worker", want->prefill_worker);
    flow_model_expect_field(map, "prefill_rank",
                            want->prefill_worker.n ? want->prefill_rank : UINT64_MAX);
    flow_model_expect_bytes(map, "prefill_addr", want->prefill_addr);
    flow_model_expect_field(map, "prefill_overlap", want->prefill_overlap);
}

static void check_place(const struct flow_reply *map, const struct kvr_pool_score *want) {
    flow_model_expect_bytes(map, "worker", want->worker);
    flow_model_expect_bytes(map, "addr", want->addr);
    flow_model_expect_field(map, "rank", want->rank);
    flow_model_expect_field(map, "overlap", want->overlap);
    flow_model_expect_field(map, "expected", want->expected);
    flow_model_expect_field(map, "cached", (uint64_t)want->cached);
    flow_model_check(flow_map_real(map, "cost") == want->cost, "the cost");
}

static void name_prefill(struct kvr_pool_choice *out, struct kvr_bytes worker, uint32_t rank,
                         uint32_t overlap) {
    const struct unit_model_worker *w = unit_model_find_worker(&flow_model, worker);
    out->prefill_worker = worker;
    out->prefill_rank = rank;
    out->prefill_overlap = overlap;
    if (w) out->prefill_addr = (struct kvr_bytes){w->addr, w->addr_len};
}

// What the pool must answer, and in the model the booking of it.
static enum kvr_err model_select(struct kvr_bytes id, const struct kvr_query *q,
                                 struct kvr_pool_choice *out) {
    const struct unit_model_request *live = unit_model_find_request(&flow_model, id);
    *out = (struct kvr_pool_choice){
        .repeat = live != NULL, .pair = q->pair, .blocks = live ? live->n : q->n};
    if (live) {
        const struct unit_model_worker *w =
            unit_model_owner(&flow_model, live->instance, &out->score.rank);
        out->score.worker = model_name(w);
        out->score.addr = (struct kvr_bytes){w->addr, w->addr_len};
        out->score.overlap = (uint32_t)live->overlap;
        out->score.expected = (uint32_t)live->expected;
        out->score.cached = live->cached;
        out->score.cost = live->cost;
        out->pair |= live->prefill_worker.n > 0;
        name_prefill(out, model_bytes(&live->prefill_worker), live->prefill_rank,
                     live->prefill_overlap);
        unit_model_selected(&flow_model, NULL, 0, true);
        return KVR_OK;
    }
    struct unit_model_choice *all;
    size_t n;
    double limit;
    unit_model_scores(&flow_model, FLOW_MODEL_NOW, q, NULL, &all, &n);
    if (n) {
        const struct unit_model_choice *held =
            unit_model_held(&flow_model, FLOW_MODEL_NOW, q, all, n, &limit);
        const struct unit_model_choice *best = held && held->score.cost <= limit ? held : all;
        out->score = best->score;
        name_prefill(out, best->prefill_worker, best->prefill_rank, best->prefill_overlap);
        const struct kvr_booking as = {
            .hashes = q->hashes,
            .n = q->n,
            .isl = q->isl,
            .cached = out->score.cached,
            .lease = -1,
            .predict_until = flow_model.options.predict,
            .overlap = out->score.overlap,
            .expected = out->score.expected,
            .cost = out->score.cost,
            .session = q->session,
            .prefill_worker = best->prefill_worker,
            .prefill_rank = best->prefill_rank,
            .prefill_overlap = best->prefill_overlap,
            .prefill_cached = best->prefill_cached,
        };
        int booked;
        unit_model_selected(&flow_model, &out->score, q->n, false);
        unit_model_claim(&flow_model, id, out->score.worker, out->score.rank, &as, &booked);
    }
    free(all);
    return n ? KVR_OK : KVR_NOWORKER;
}

static void send_select(void) {
    struct kvr_pool_choice want;
    flow_args_words(&flow_model_args, "KVROUTE.SELECT p");
    struct kvr_bytes id = add_request();
    struct kvr_query q = add_query();
    q.pair = below(3) == 0;
    if (q.pair) flow_args_str(&flow_model_args, "PAIR");
    enum kvr_err err = model_select(id, &q, &want);
    const struct flow_reply *r = flow_model_send();
    if (expect_refusal(r, err)) return;
    flow_model_check(r->kind == FLOW_REPLY_MAP || r->kind == FLOW_REPLY_ARRAY, "a choice");
    check_place(r, &want.score);
    flow_model_check(r->count == 2u * (want.pair ? 17 : 13), "fields");
    check_prefill(r, &want);
    flow_model_expect_field(r, "repeat", want.repeat);
    flow_model_expect_field(r, "blocks", want.blocks);
    flow_model_expect_field(r, "version", flow_model.stats.version);
}

static void send_score(void) {
    flow_args_words(&flow_model_args, "KVROUTE.SCORE p");
    struct kvr_query q = add_query();
    struct unit_model_choice *want;
    size_t n;
    unit_model_scores(&flow_model, FLOW_MODEL_NOW, &q, NULL, &want, &n);
    const struct flow_reply *r = flow_model_send();
    flow_model_check(r->kind == FLOW_REPLY_ARRAY && r->count == n, "as many rows");
    for (size_t i = 0; i < n; i++) {
        const struct flow_reply *map = &r->items[i];
        const struct kvr_pool_score *score = &want[i].score;
        check_place(map, score);
        for (int t = 0; t < KVR_TIERS; t++)
            flow_model_expect_field(map, kvr_tier_names[t], score->by_tier[t]);
        flow_model_expect_field(map, "prefill_tokens", score->prefill_tokens);
        flow_model_expect_field(map, "decode_blocks", score->decode_blocks);
        flow_model_expect_field(map, "requests", score->requests);
    }
    free(want);
}

// What that instance has of the prompt is for the pool to find.
static void claim_prefiller(struct kvr_booking *as) {
    flow_args_str(&flow_model_args, "PREFILLER");
    as->prefill_worker = add_worker(below(FLOW_MODEL_WORKERS));
    as->prefill_rank = (uint32_t)below(FLOW_MODEL_RANKS);
    flow_args_int(&flow_model_args, as->prefill_rank);
    if (as->prefilled) return;
    const struct kvr_query q = {
        .hashes = as->hashes, .n = as->n, .isl = as->isl, .rule = flow_model.options.rule};
    struct unit_model_worker *w = unit_model_find_worker(&flow_model, as->prefill_worker);
    if (!w || as->prefill_rank >= w->ranks) return;
    // Whatever its state: the model answers for those that are eligible.
    enum kvr_state state = w->state;
    struct unit_model_choice *all;
    size_t n;
    w->state = KVR_READY;
    enum kvr_role role = w->role;
    w->role = KVR_ROLE_BOTH;
    unit_model_scores(&flow_model, FLOW_MODEL_NOW, &q, NULL, &all, &n);
    w->state = state;
    w->role = role;
    for (size_t i = 0; i < n; i++)
        if (all[i].score.rank == as->prefill_rank &&
            unit_bytes_compare(all[i].score.worker, as->prefill_worker) == 0) {
            as->prefill_cached = all[i].score.cached;
            as->prefill_overlap = all[i].score.overlap;
        }
    free(all);
}

static void send_claim(void) {
    flow_args_words(&flow_model_args, "KVROUTE.CLAIM p");
    struct kvr_bytes id = add_request(), worker = add_worker(below(FLOW_MODEL_WORKERS));
    uint32_t rank = (uint32_t)below(FLOW_MODEL_RANKS);
    struct flow_blocks list;
    flow_args_int(&flow_model_args, rank);
    make_list(&list);
    struct kvr_booking as = {.hashes = list.hashes,
                             .n = (size_t)list.n,
                             .isl = list.n * FLOW_UNIVERSE_BLOCK_SIZE,
                             .lease = -1,
                             .predict_until = flow_model.options.predict};
    if (below(2)) as.isl = add_int("ISL", as.isl + below(20));
    if (below(2)) // whole blocks, so that a repeat can say which
        as.cached = add_int("CACHED", below(list.n + 1) * FLOW_UNIVERSE_BLOCK_SIZE);
    if (below(2)) as.output = add_int("OUTPUT", below(30));
    as.prefilled = below(2);
    if (as.prefilled) flow_args_str(&flow_model_args, "PREFILLED");
    as.session = add_session();
    if (below(3) == 0) claim_prefiller(&as);
    int booked;
    enum kvr_err err = unit_model_claim(&flow_model, id, worker, rank, &as, &booked);
    const struct flow_reply *r = flow_model_send();
    if (!expect_refusal(r, err)) expect_integer(r, booked, "booked");
}

static void send_update(void) {
    flow_args_words(&flow_model_args, "KVROUTE.UPDATE p");
    struct kvr_bytes id = add_request();
    bool prefilled = below(2);
    if (prefilled) flow_args_str(&flow_model_args, "PREFILLED");
    int64_t output = below(3) ? add_int("OUTPUT", below(60)) : -1;
    int live;
    unit_model_update(&flow_model, FLOW_MODEL_NOW, id, prefilled, output, -1, &live);
    expect_integer(flow_model_send(), live, "updated");
}

static void send_release(void) {
    struct kvr_bytes ids[4];
    size_t n = 1 + (size_t)below(4);
    flow_args_words(&flow_model_args, "KVROUTE.RELEASE p");
    for (size_t i = 0; i < n; i++)
        ids[i] = add_request();
    size_t live = unit_model_release(&flow_model, FLOW_MODEL_NOW, ids, n, KVR_RELEASED);
    expect_integer(flow_model_send(), (int64_t)live, "released");
}

static void send_session_del(void) {
    struct kvr_bytes names[3];
    size_t n = 1 + (size_t)below(3);
    flow_args_words(&flow_model_args, "KVROUTE.SESSION DEL p");
    for (size_t i = 0; i < n; i++)
        names[i] = flow_model_add(name_session());
    size_t gone = unit_model_session_del(&flow_model, names, n);
    expect_integer(flow_model_send(), (int64_t)gone, "sessions forgotten");
}

static void send_alter(void) {
    struct kvr_options o = flow_model.options;
    static const double sticks[] = {0, 4, 32, 1000}, moves[] = {0, 0.25, 1, 4};
    flow_args_words(&flow_model_args, "KVROUTE.ALTER p");
    if (below(2)) o.stick = add_real("STICK", sticks[below(4)]);
    if (below(2)) o.transfer = add_real("TRANSFER", moves[below(4)]);
    if (below(3) == 0) o.local_prefill = (uint64_t)add_int("LOCALPREFILL", below(30));
    double *const options[] = {&o.rule.overlap, &o.rule.requests, &o.host, &o.disk};
    static const char *const names[] = {"OVERLAP", "REQUESTS", "HOST", "DISK"};
    int i = below(4);
    *options[i] = add_real(names[i], weights[below(3)]);
    flow_model_check(unit_model_alter(&flow_model, &o) == KVR_OK, "options");
    flow_model_check(flow_model_send()->kind == FLOW_REPLY_STATUS, "altered");
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
    flow_model_spell(flow_model_last, sizeof flow_model_last);
    flow_args_clear(&flow_model_args);
}

static int steps(int by_default) {
    const char *given = getenv("KVROUTE_STEPS");
    return given ? atoi(given) : by_default;
}

// Compares everything after every so many steps; 1 finds the step that broke it.
static bool is_time_to_compare(void) {
    const char *given = getenv("KVROUTE_COMPARE");
    return flow_model_step % (given ? atoi(given) : 20) == 0;
}

static void start_stream(struct flow_server *s, int protocol, int64_t predict) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = FLOW_UNIVERSE_BLOCK_SIZE;
    o.lease = 0;
    o.rule.policy = KVR_LINEAR;
    o.predict = predict;
    rng.state = flow_test_seed();
    flow_universe_grow(&flow_model_universe, &rng);
    unit_model_init(&flow_model, &o);
    flow_model_conn = flow_server_connect(s, protocol);
    flow_args_words(&flow_model_args, "KVROUTE.CREATE p BLOCKSIZE 4 LEASE 0 POLICY linear PREDICT");
    flow_args_int(&flow_model_args, predict);
    flow_model_check(flow_model_send()->kind == FLOW_REPLY_STATUS, "created");
    flow_args_clear(&flow_model_args);
}

// Reloading must change nothing, the turns of equal instances included; statistics start anew.
static void reload(const char *command) {
    struct flow_digest before = flow_pool_digest(flow_model_conn, "p");
    flow_args_words(&flow_model_args, command);
    flow_model_check(flow_model_send()->kind == FLOW_REPLY_STATUS, "reloaded");
    flow_args_clear(&flow_model_args);
    flow_model_check(flow_same_digest(before, flow_pool_digest(flow_model_conn, "p")),
                     "the digest after a reload");
    const struct flow_reply *info = flow_call(flow_model_conn, "KVROUTE.INFO p");
    for (const struct unit_stat *at = unit_model_stats; at < unit_model_stats + UNIT_MODEL_STATS;
         at++)
        if (at->counted) *stat_of(&flow_model.stats, at) = (uint64_t)flow_map_int(info, at->name);
    flow_model_compare();
}

// Random steps, each compared at once and now and then with everything, and a reload after every so many.
static void run_stream(int n, int between, const char *command) {
    for (flow_model_step = 0; flow_model_step < n; flow_model_step++) {
        random_step();
        if (is_time_to_compare()) flow_model_compare();
        if (flow_model_step % between == between - 1) reload(command);
    }
    flow_model_compare();
}

Test(model, long_stream) {
    struct flow_server *s = flow_server_start(NULL);
    start_stream(s, 3, 0);
    for (int w = 0; w < FLOW_MODEL_WORKERS - 1; w++) {
        set_worker(w, -1);
        flow_args_clear(&flow_model_args);
    }
    run_stream(steps(12000), 1500, "DEBUG RELOAD");
    // Undone command by command, nothing of it is left.
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        flow_call(flow_model_conn, "KVROUTE.WORKER DEL p w%d", w);
    cr_assert(flow_pool_info(flow_model_conn, "p", "blocks") == 0);
    cr_assert(flow_pool_info(flow_model_conn, "p", "requests") == 0);
    unit_model_free(&flow_model);
}

Test(model, stream_with_predictions_and_an_aof) {
    struct flow_server *s = flow_server_start(flow_with_aof);
    start_stream(s, 2, 1000000000);
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        set_worker(w, w == 0 ? 0 : 10 * w);
        flow_args_clear(&flow_model_args);
    }
    run_stream(steps(5000), 1000, "DEBUG LOADAOF");
    unit_model_free(&flow_model);
}
