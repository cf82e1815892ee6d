// SPDX-License-Identifier: Apache-2.0
// A long random stream of commands over the socket, each answer compared with the naive model's.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_model.h"
#include "flow_universe.h"

TestSuite(model, .fini = flow_harness_end, .timeout = 300);

static struct flow_model model;
static struct flow_universe universe;
static struct flow_rng rng;
static struct flow_conn *conn;
static struct flow_args args;
static int step;
static char last[2000]; // the latest command of the stream

static const char *const tiers[] = {"device", "host", "disk"};
static const double weights[] = {0, 0.5, 1, 2};
static const char *const labels[FLOW_MODEL_LABELS] = {"gpu=a", "gpu", "zone=1"}; // 1, 0, 2 in order

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

static void name_worker(int worker) {
    char name[16];
    flow_args_add(&args, name, (size_t)snprintf(name, sizeof name, "w%d", worker));
}

static void name_request(int id) {
    char name[16];
    flow_args_add(&args, name, (size_t)snprintf(name, sizeof name, "request-%d", id));
}

static const struct flow_reply *send_args(void) {
    return flow_call_args(conn, &args);
}

static void expect_integer(const struct flow_reply *r, int64_t want, const char *what) {
    check(r->kind == FLOW_REPLY_INTEGER && r->integer == want, what);
}

// ---- Commands ------------------------------------------------------------------------------------

static void add_labels(const char *word, unsigned which) {
    int n = 0;
    for (int i = 0; i < FLOW_MODEL_LABELS; i++)
        n += (which & 1u << i) != 0;
    flow_args_str(&args, word);
    flow_args_int(&args, n);
    for (int i = FLOW_MODEL_LABELS; i-- > 0;)
        if (which & 1u << i) flow_args_str(&args, labels[i]);
}

static void name_session(int session) {
    char name[16];
    flow_args_add(&args, name, (size_t)snprintf(name, sizeof name, "session-%d", session));
}

static int add_session(void) {
    int session = below(2) ? below(FLOW_MODEL_SESSIONS) : -1;
    if (session < 0) return session;
    flow_args_str(&args, "SESSION");
    name_session(session);
    return session;
}

static void set_worker(int worker, int capacity) {
    struct flow_model_worker_settings set = {-1, -1, capacity, -1, -1, -1};
    flow_args_words(&args, "KVROUTE.WORKER SET p");
    name_worker(worker);
    if (below(2)) {
        set.addr = 1 + below(100);
        flow_args_str(&args, "ADDR");
        flow_args_int(&args, set.addr);
    }
    if (below(3) == 0) {
        set.ranks = 1 + below(FLOW_MODEL_RANKS);
        flow_args_str(&args, "RANKS");
        flow_args_int(&args, set.ranks);
    }
    if (below(3) == 0) {
        set.draining = below(4) == 0;
        flow_args_words(&args, set.draining ? "STATE draining" : "STATE ready");
    }
    if (capacity >= 0) {
        flow_args_str(&args, "CAPACITY");
        flow_args_int(&args, capacity);
    }
    if (below(3) == 0) {
        static const char *const speeds[] = {"0", "0.25", "0.5", "0.75"};
        set.speed = below(4);
        flow_args_str(&args, "SPEED");
        flow_args_str(&args, speeds[set.speed]);
    }
    if (below(2)) {
        set.labels = below(1 << FLOW_MODEL_LABELS);
        add_labels("LABELS", (unsigned)set.labels);
    }
    expect_integer(send_args(), flow_model_worker_set(&model, worker, &set), "created");
}

static void del_worker(void) {
    int worker = below(FLOW_MODEL_WORKERS);
    flow_args_words(&args, "KVROUTE.WORKER DEL p");
    name_worker(worker);
    expect_integer(send_args(), flow_model_worker_del(&model, worker), "deleted");
}

// A piece of a path: from its start, or going on from a parent.
static void make_op(struct flow_model_op *op) {
    int path[FLOW_UNIVERSE_DEPTH];
    int n = flow_universe_path(&universe, below(FLOW_UNIVERSE_BLOCKS), path);
    int from = below(2) ? 0 : below(n);
    *op = (struct flow_model_op){.tier = below(3) ? 0 : below(FLOW_MODEL_TIERS), .parent = -1};
    switch (below(8)) {
    case 0:
        op->kind = FLOW_MODEL_REMOVED; // scattered blocks
        op->list.n = below(6);
        for (int i = 0; i < op->list.n; i++)
            op->list.blocks[i] = below(FLOW_UNIVERSE_BLOCKS);
        return;
    case 1:
    case 2:
        op->kind = FLOW_MODEL_REMOVED; // the end of a path
        break;
    case 3:
        if (below(4) == 0) {
            op->kind = FLOW_MODEL_CLEARED;
            if (below(2)) op->tier = -1;
            return;
        }
        break;
    default:
        break;
    }
    if (op->kind == FLOW_MODEL_STORED && from > 0) op->parent = path[from - 1];
    op->list.n = n - from;
    memcpy(op->list.blocks, path + from, sizeof path[0] * (size_t)op->list.n);
    // Now and then under a parent that isn't its own.
    if (op->kind == FLOW_MODEL_STORED && below(12) == 0) op->parent = below(FLOW_UNIVERSE_BLOCKS);
}

static bool is_true_chain(const struct flow_model_op *op) {
    return op->kind != FLOW_MODEL_STORED || op->list.n == 0 ||
           universe.blocks[op->list.blocks[0]].parent == op->parent;
}

static void add_op(const struct flow_model_op *op) {
    static const char *const kinds[] = {"STORED", "REMOVED", "CLEARED"};
    if (op->kind == FLOW_MODEL_CLEARED ? op->tier >= 0 : op->tier > 0 || below(2)) {
        flow_args_str(&args, "TIER");
        flow_args_str(&args, tiers[op->tier]);
    }
    flow_args_str(&args, kinds[op->kind]);
    if (op->kind == FLOW_MODEL_STORED) flow_add_parent(&args, &universe, &rng, op->parent);
    if (op->kind != FLOW_MODEL_CLEARED)
        flow_add_blocks(&args, &universe, &rng, op->list.blocks, op->list.n,
                        op->kind == FLOW_MODEL_STORED && is_true_chain(op));
}

static void send_event(void) {
    enum { FLOW_MODEL_OPS = 4 };
    static struct flow_model before;
    struct flow_model_op ops[FLOW_MODEL_OPS];
    int worker = below(FLOW_MODEL_WORKERS), rank = below(FLOW_MODEL_RANKS);
    const struct flow_model_rank *r = &model.workers[worker].rank[rank];
    uint64_t epoch = r->epoch ? r->epoch : 1, seq = r->seq + 1, number;
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
    const char *error;
    before = model;
    for (int tries = 0;; tries++) { // a lie that would be believed isn't told: chains stay true
        bool honest = true;
        for (int i = 0; i < n_ops; i++) {
            make_op(&ops[i]);
            honest &= is_true_chain(&ops[i]);
        }
        error = flow_model_event(&model, worker, rank, epoch, seq, ops, n_ops, &number);
        if (honest || error) break;
        model = before;
    }
    flow_args_words(&args, "KVROUTE.EVENT p");
    name_worker(worker);
    flow_args_int(&args, rank);
    flow_args_int(&args, (int64_t)epoch);
    flow_args_int(&args, (int64_t)seq);
    for (int i = 0; i < n_ops; i++)
        add_op(&ops[i]);
    const struct flow_reply *reply = send_args();
    if (!error) {
        expect_integer(reply, (int64_t)number, "an event's seq");
        return;
    }
    char what[64];
    snprintf(what, sizeof what, "%s instead of %.30s", error, reply->bytes ? reply->bytes : "none");
    check(flow_is_error(reply, error), what);
    if (strcmp(error, "GAP") == 0 || strcmp(error, "STALE") == 0) {
        const char *named = strrchr(reply->bytes, ' ');
        check(named && strtoull(named + 1, NULL, 10) == number, "the number that is named");
    }
}

static void make_list(struct flow_model_list *list) {
    list->n =
        below(20) ? flow_universe_path(&universe, below(FLOW_UNIVERSE_BLOCKS), list->blocks) : 0;
}

static void add_worker_list(const char *word, bool member[FLOW_MODEL_WORKERS]) {
    int n = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        n += member[w] = below(3) == 0;
    flow_args_str(&args, word);
    flow_args_int(&args, n);
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++)
        if (member[w]) name_worker(w);
}

static void add_weight(const char *word, double *weight) {
    if (below(4)) return;
    char text[16];
    *weight = weights[below(4)];
    snprintf(text, sizeof text, "%g", *weight);
    flow_args_str(&args, word);
    flow_args_str(&args, text);
}

static void add_query(struct flow_model_query *q) {
    *q = (struct flow_model_query){
        .overlap = model.overlap, .prefill = model.prefill, .requests = model.requests};
    make_list(&q->list);
    flow_add_blocks(&args, &universe, &rng, q->list.blocks, q->list.n, true);
    q->isl = q->list.n * model.block_size;
    if (below(3) == 0) {
        q->isl = below(150);
        flow_args_str(&args, "ISL");
        flow_args_int(&args, q->isl);
    }
    add_weight("OVERLAP", &q->overlap);
    add_weight("PREFILL", &q->prefill);
    add_weight("REQUESTS", &q->requests);
    if (below(6) == 0) {
        q->among_given = true;
        add_worker_list("AMONG", q->among);
    }
    if (below(6) == 0) add_worker_list("EXCLUDE", q->exclude);
    if (below(6) == 0) add_labels("WITH", q->with = (unsigned)below(1 << FLOW_MODEL_LABELS));
    if (below(6) == 0) add_labels("WITHOUT", q->without = (unsigned)below(1 << FLOW_MODEL_LABELS));
    q->session = add_session();
}

static void check_place(const struct flow_reply *map, const struct flow_model_row *row) {
    char text[24];
    snprintf(text, sizeof text, "w%d", row->worker);
    check(strcmp(flow_map_str(map, "worker"), text) == 0, "the worker");
    check(flow_map_int(map, "rank") == row->rank, "the rank");
    check(flow_map_int(map, "overlap") == row->overlap, "the overlap");
    check(flow_map_int(map, "expected") == row->expected, "the expected blocks");
    check(flow_map_int(map, "cached") == row->cached, "the cached tokens");
    int64_t addr = model.workers[row->worker].addr;
    snprintf(text, sizeof text, "%" PRId64, addr);
    check(strcmp(flow_map_str(map, "addr"), addr ? text : "") == 0, "the addr");
}

static void send_select(void) {
    struct flow_model_query q;
    struct flow_model_row row;
    bool repeat;
    int id = below(FLOW_MODEL_REQUESTS);
    flow_args_words(&args, "KVROUTE.SELECT p");
    name_request(id);
    add_query(&q);
    const char *error = flow_model_select(&model, id, &q, &row, &repeat);
    const struct flow_reply *r = send_args();
    if (error) {
        check(flow_is_error(r, error), error);
        return;
    }
    check(r->kind == FLOW_REPLY_MAP || r->kind == FLOW_REPLY_ARRAY, "a choice");
    check_place(r, &row);
    check(flow_map_int(r, "repeat") == repeat, "the repeat");
    check(flow_map_int(r, "blocks") == model.live[id].list.n, "the blocks");
    check(flow_map_int(r, "version") == model.version, "the version");
    if (model.live[id].chosen) check(flow_map_real(r, "cost") == row.cost, "the cost");
}

static void send_score(void) {
    struct flow_model_query q;
    struct flow_model_row rows[FLOW_MODEL_ROWS];
    flow_args_words(&args, "KVROUTE.SCORE p");
    add_query(&q);
    int n = flow_model_score(&model, &q, rows);
    const struct flow_reply *r = send_args();
    check(r->kind == FLOW_REPLY_ARRAY && r->count == (size_t)n, "as many rows");
    for (int i = 0; i < n; i++) {
        const struct flow_reply *map = &r->items[i];
        check_place(map, &rows[i]);
        for (int t = 0; t < FLOW_MODEL_TIERS; t++)
            check(flow_map_int(map, tiers[t]) == rows[i].by_tier[t], tiers[t]);
        check(flow_map_int(map, "prefill_tokens") == rows[i].prefill_tokens, "prefill_tokens");
        check(flow_map_int(map, "decode_blocks") == rows[i].decode_blocks, "decode_blocks");
        check(flow_map_int(map, "requests") == rows[i].requests, "requests");
        check(flow_map_real(map, "cost") == rows[i].cost, "the cost");
    }
}

static void send_claim(void) {
    int id = below(FLOW_MODEL_REQUESTS), booked = 0;
    struct flow_model_request as = {.worker = below(FLOW_MODEL_WORKERS),
                                    .rank = below(FLOW_MODEL_RANKS)};
    make_list(&as.list);
    flow_args_words(&args, "KVROUTE.CLAIM p");
    name_request(id);
    name_worker(as.worker);
    flow_args_int(&args, as.rank);
    flow_add_blocks(&args, &universe, &rng, as.list.blocks, as.list.n, true);
    as.isl = as.list.n * model.block_size;
    if (below(2)) {
        as.isl += below(20);
        flow_args_str(&args, "ISL");
        flow_args_int(&args, as.isl);
    }
    if (below(2)) {
        as.overlap = below(as.list.n + 1); // whole blocks, so that a repeat can say which
        as.expected = as.overlap;
        as.cached = as.overlap * model.block_size;
        flow_args_str(&args, "CACHED");
        flow_args_int(&args, as.cached);
    }
    if (below(2)) {
        as.output = below(30);
        flow_args_str(&args, "OUTPUT");
        flow_args_int(&args, as.output);
    }
    if (below(2)) {
        as.prefilled = true;
        flow_args_str(&args, "PREFILLED");
    }
    as.session = add_session();
    const char *error = flow_model_claim(&model, id, as.worker, as.rank, &as, &booked);
    const struct flow_reply *r = send_args();
    if (error)
        check(flow_is_error(r, error), error);
    else
        expect_integer(r, booked, "booked");
}

static void send_update(void) {
    int id = below(FLOW_MODEL_REQUESTS);
    bool prefilled = below(2);
    int64_t output = below(3) ? below(60) : -1;
    flow_args_words(&args, "KVROUTE.UPDATE p");
    name_request(id);
    if (prefilled) flow_args_str(&args, "PREFILLED");
    if (output >= 0) {
        flow_args_str(&args, "OUTPUT");
        flow_args_int(&args, output);
    }
    expect_integer(send_args(), flow_model_update(&model, id, prefilled, output), "updated");
}

static void send_release(void) {
    int ids[4], n = 1 + below(4);
    flow_args_words(&args, "KVROUTE.RELEASE p");
    for (int i = 0; i < n; i++)
        name_request(ids[i] = below(FLOW_MODEL_REQUESTS));
    expect_integer(send_args(), flow_model_release(&model, ids, n), "released");
}

static void send_session_del(void) {
    int sessions[3], n = 1 + below(3);
    flow_args_words(&args, "KVROUTE.SESSION DEL p");
    for (int i = 0; i < n; i++)
        name_session(sessions[i] = below(FLOW_MODEL_SESSIONS));
    expect_integer(send_args(), flow_model_session_del(&model, sessions, n), "sessions forgotten");
}

static void send_alter(void) {
    flow_args_words(&args, "KVROUTE.ALTER p");
    if (below(2)) {
        static const double sticks[] = {0, 4, 32, 1000};
        model.stick = sticks[below(4)];
        flow_args_str(&args, "STICK");
        flow_args_int(&args, (int64_t)model.stick);
    }
    static double *const options[] = {&model.overlap, &model.requests, &model.host, &model.disk};
    static const char *const names[] = {"OVERLAP", "REQUESTS", "HOST", "DISK"};
    int i = below(4);
    char text[16];
    *options[i] = weights[below(3)];
    snprintf(text, sizeof text, "%g", *options[i]);
    flow_args_str(&args, names[i]);
    flow_args_str(&args, text);
    model.version++;
    check(send_args()->kind == FLOW_REPLY_STATUS, "altered");
}

// ---- The whole state -----------------------------------------------------------------------------

static void compare_labels(const struct flow_reply *list, unsigned want) {
    static const int in_order[FLOW_MODEL_LABELS] = {1, 0, 2};
    size_t at = 0;
    for (int i = 0; i < FLOW_MODEL_LABELS; i++) {
        if (!(want & 1u << in_order[i])) continue;
        check(at < list->count && !strcmp(list->items[at].bytes, labels[in_order[i]]), "a label");
        at++;
    }
    check(list->count == at, "as many labels");
}

static void compare_sessions(void) {
    for (int i = 0; i < FLOW_MODEL_SESSIONS; i++) {
        const struct flow_model_session *want = &model.sessions[i];
        flow_args_words(&args, "KVROUTE.SESSION GET p");
        name_session(i);
        const struct flow_reply *r = send_args();
        check((r->kind != FLOW_REPLY_NULL) == want->remembered, "a session");
        if (want->remembered) {
            check(atoi(flow_map_str(r, "worker") + 1) == want->worker, "its worker");
            check(flow_map_int(r, "rank") == want->rank, "its rank");
            check(flow_map_int(r, "requests") == flow_model_session_requests(&model, i),
                  "its requests");
        }
        flow_args_clear(&args);
    }
}

static void compare_workers(void) {
    flow_args_words(&args, "KVROUTE.WORKER LIST p");
    const struct flow_reply *list = send_args();
    size_t at = 0;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        const struct flow_model_worker *want = &model.workers[w];
        if (!want->registered) continue;
        check(at < list->count, "as many workers");
        const struct flow_reply *map = &list->items[at++];
        check(atoi(flow_map_str(map, "worker") + 1) == w, "workers in order");
        check(strcmp(flow_map_str(map, "state"), want->draining ? "draining" : "ready") == 0,
              "state");
        check(flow_map_int(map, "capacity") == want->capacity, "capacity");
        check(flow_map_real(map, "speed") == want->speed * 0.25, "speed");
        compare_labels(flow_map_get(map, "labels"), want->labels);
        const struct flow_reply *ranks = flow_map_get(map, "ranks");
        check(ranks->count == (size_t)want->ranks, "as many ranks");
        for (int k = 0; k < want->ranks; k++) {
            const struct flow_reply *rank = &ranks->items[k];
            check(flow_map_int(rank, "epoch") == (int64_t)want->rank[k].epoch, "epoch");
            check(flow_map_int(rank, "seq") == (int64_t)want->rank[k].seq, "seq");
            static const char *const held[] = {"device_blocks", "host_blocks", "disk_blocks"};
            for (int t = 0; t < FLOW_MODEL_TIERS; t++)
                check(flow_map_int(rank, held[t]) == flow_model_held(&want->rank[k], t), held[t]);
            check(flow_map_int(rank, "requests") == flow_model_requests(&model, w, k), "requests");
            check(flow_map_int(rank, "prefill_tokens") == flow_model_prefill_tokens(&model, w, k),
                  "prefill_tokens");
            check(flow_map_int(rank, "decode_blocks") == flow_model_decode_blocks(&model, w, k),
                  "decode_blocks");
        }
    }
    check(at == list->count, "no more workers");
    flow_args_clear(&args);
}

static void compare_requests(void) {
    for (int id = 0; id < FLOW_MODEL_REQUESTS; id++) {
        const struct flow_model_request *want = &model.live[id];
        flow_args_words(&args, "KVROUTE.REQUEST GET p");
        name_request(id);
        const struct flow_reply *r = send_args();
        check((r->kind != FLOW_REPLY_NULL) == want->live, "live");
        if (want->live) {
            check(atoi(flow_map_str(r, "worker") + 1) == want->worker, "its worker");
            check(flow_map_int(r, "rank") == want->rank, "its rank");
            check(flow_map_int(r, "isl") == want->isl, "its isl");
            check(flow_map_int(r, "cached") == want->cached, "its cached");
            check(flow_map_int(r, "output") == want->output, "its output");
            check(flow_map_int(r, "blocks") == want->list.n, "its blocks");
            check(flow_map_int(r, "prefilled") == want->prefilled, "prefilled");
            char session[32] = "";
            if (want->session >= 0) snprintf(session, sizeof session, "session-%d", want->session);
            check(strcmp(flow_map_str(r, "session"), session) == 0, "its session");
        }
        flow_args_clear(&args);
    }
}

// statistics: those that are counted since the server started.
static void compare_info(bool statistics) {
    flow_args_words(&args, "KVROUTE.INFO p");
    const struct flow_reply *r = send_args();
    int64_t workers = 0, instances = 0, eligible = 0, sessions = 0;
    for (int i = 0; i < FLOW_MODEL_SESSIONS; i++)
        sessions += model.sessions[i].remembered;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        if (!model.workers[w].registered) continue;
        workers++;
        instances += model.workers[w].ranks;
        eligible += model.workers[w].draining ? 0 : model.workers[w].ranks;
    }
    const struct {
        const char *field;
        int64_t want;
        bool counted;
    } fields[] = {
        {"version", model.version, false},
        {"workers", workers, false},
        {"instances", instances, false},
        {"eligible", eligible, false},
        {"blocks", flow_model_blocks(&model), false},
        {"holdings", flow_model_holdings(&model), false},
        {"predicted", flow_model_predicted(&model), false},
        {"requests", flow_model_requests(&model, -1, -1), false},
        {"selects", model.selects, true},
        {"repeats", model.repeats, true},
        {"select_blocks", model.select_blocks, true},
        {"overlap_blocks", model.overlap_blocks, true},
        {"expected_blocks", model.expected_blocks, true},
        {"sessions", sessions, false},
        {"events", model.events, true},
        {"stored_blocks", model.stored_blocks, true},
        {"removed_blocks", model.removed_blocks, true},
        {"gaps", model.gaps, true},
        {"stale", model.stale, true},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char what[80];
        if (fields[i].counted && !statistics) continue;
        snprintf(what, sizeof what, "INFO %s is %" PRId64 " instead of %" PRId64, fields[i].field,
                 flow_map_int(r, fields[i].field), fields[i].want);
        check(flow_map_int(r, fields[i].field) == fields[i].want, what);
    }
    flow_args_clear(&args);
}

static void compare_all(bool statistics) {
    compare_workers();
    compare_requests();
    compare_sessions();
    compare_info(statistics);
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

static void start_stream(struct flow_server *s, int protocol, const char *create) {
    rng.state = flow_test_seed();
    flow_universe_grow(&universe, &rng);
    flow_model_start(&model, FLOW_UNIVERSE_BLOCK_SIZE);
    conn = flow_server_connect(s, protocol);
    flow_args_words(&args, create);
    check(send_args()->kind == FLOW_REPLY_STATUS, "created");
    flow_args_clear(&args);
    model.version = flow_pool_info(conn, "p", "version");
}

// Reloading must change nothing, the turns of equal instances included; statistics start anew.
static void reload(const char *command) {
    struct flow_digest before = flow_pool_digest(conn, "p");
    flow_args_words(&args, command);
    check(send_args()->kind == FLOW_REPLY_STATUS, "reloaded");
    flow_args_clear(&args);
    check(flow_same_digest(before, flow_pool_digest(conn, "p")), "the digest after a reload");
    model.selects = flow_pool_info(conn, "p", "selects");
    model.repeats = flow_pool_info(conn, "p", "repeats");
    model.select_blocks = flow_pool_info(conn, "p", "select_blocks");
    model.overlap_blocks = flow_pool_info(conn, "p", "overlap_blocks");
    model.expected_blocks = flow_pool_info(conn, "p", "expected_blocks");
    model.events = flow_pool_info(conn, "p", "events");
    model.stored_blocks = flow_pool_info(conn, "p", "stored_blocks");
    model.removed_blocks = flow_pool_info(conn, "p", "removed_blocks");
    model.gaps = flow_pool_info(conn, "p", "gaps");
    model.stale = flow_pool_info(conn, "p", "stale");
    compare_all(true);
}

Test(model, long_stream) {
    struct flow_server *s = flow_server_start(NULL);
    start_stream(s, 3, "KVROUTE.CREATE p BLOCKSIZE 4 LEASE 0 POLICY linear");
    for (int w = 0; w < FLOW_MODEL_WORKERS - 1; w++) {
        set_worker(w, -1);
        flow_args_clear(&args);
    }
    for (step = 0; step < steps(12000); step++) {
        random_step();
        if (is_time_to_compare()) compare_all(true);
        if (step % 1500 == 1499) reload("DEBUG RELOAD");
    }
    compare_all(true);
    // Undone command by command, nothing of it is left.
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", w);
        flow_call(conn, "KVROUTE.WORKER DEL p %s", name);
    }
    cr_assert(flow_pool_info(conn, "p", "blocks") == 0);
    cr_assert(flow_pool_info(conn, "p", "requests") == 0);
}

Test(model, stream_with_predictions_and_an_aof) {
    static const char *const extra[] = {
        "--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no", NULL};
    struct flow_server *s = flow_server_start(extra);
    start_stream(s, 2, "KVROUTE.CREATE p BLOCKSIZE 4 LEASE 0 POLICY linear PREDICT 1000000000");
    model.predict = true;
    for (int w = 0; w < FLOW_MODEL_WORKERS; w++) {
        set_worker(w, w == 0 ? 0 : 10 * w);
        flow_args_clear(&args);
    }
    for (step = 0; step < steps(5000); step++) {
        random_step();
        if (is_time_to_compare()) compare_all(true);
        if (step % 1000 == 999) reload("DEBUG LOADAOF");
    }
    compare_all(true);
}
