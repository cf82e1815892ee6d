// SPDX-License-Identifier: Apache-2.0
#include "encode.h"

#include <math.h>
#include <string.h>

#include "client/common/clock.h"

enum { MAX_RELEASE = 1 << 16, MAX_CANDIDATES = 1024 };
#define MAX_TOKEN_COUNT ((size_t)1 << 26) // 256 MiB: what a Redis argument may have is twice that
#define MAX_WEIGHT 1e9
#define MAX_SHARE 1e6 // weight of a class or a flow

static bool is_text(struct kvr_bytes b, size_t most) {
    return b.p && b.n >= 1 && b.n <= most;
}

static bool is_count(int64_t v, int64_t most) {
    return v >= 0 && v <= most;
}

static bool is_lease(int64_t lease) {
    return lease == KVR_NO_LEASE || is_count(lease, KVR_MAX_MS);
}

static bool are_blocks(const struct kvr_blocks *b) {
    if (b->hashes && b->tokens) return false;
    if (b->n && !b->hashes && !b->tokens) return false;
    return b->n <= (b->tokens ? MAX_TOKEN_COUNT : (size_t)KVR_MAX_BLOCKS);
}

static bool are_texts(const struct kvr_bytes *texts, size_t n, size_t most_texts, size_t most) {
    if (n > most_texts || (n && !texts)) return false;
    for (size_t i = 0; i < n; i++)
        if (!is_text(texts[i], most)) return false;
    return true;
}

static bool are_names(const struct kvr_bytes *names, size_t n) {
    return are_texts(names, n, KVR_MAX_INSTANCES, KVR_MAX_NAME);
}

static bool are_labels(const struct kvr_bytes *labels, size_t n) {
    return are_texts(labels, n, KVR_MAX_LABELS, KVR_MAX_LABEL);
}

static bool is_session(struct kvr_bytes b) { // or a class or flow
    return !b.n || is_text(b, KVR_MAX_ID);
}

static bool is_deadline(int64_t ms) {
    return is_count(ms, KVR_MAX_MS);
}

// ---- Encoding ------------------------------------------------------------------------------------

// expected: bytes of its large arguments.
static void begin_sized(struct kvr_wire *w, const struct kvr_context *c, const char *command,
                        size_t expected) {
    kvr_wire_begin(w, &c->alloc);
    kvr_wire_expect(w, expected);
    kvr_wire_word(w, command);
    kvr_wire_word(w, c->pool);
}

void kvr_encode_begin(struct kvr_wire *w, const struct kvr_context *c, const char *command) {
    begin_sized(w, c, command, 0);
}

static void put_word(struct kvr_wire *w, const char *name, const char *word) {
    kvr_wire_word(w, name);
    kvr_wire_word(w, word);
}

static void put_text(struct kvr_wire *w, const char *name, struct kvr_bytes text) {
    kvr_wire_word(w, name);
    kvr_wire_bytes(w, text);
}

static void put_number(struct kvr_wire *w, const char *name, int64_t v) {
    kvr_wire_word(w, name);
    kvr_wire_int(w, v);
}

static void put_real(struct kvr_wire *w, const char *name, double v) {
    kvr_wire_word(w, name);
    kvr_wire_real(w, v);
}

static void put_blocks(struct kvr_wire *w, const struct kvr_blocks *b) {
    kvr_wire_word(w, b->tokens ? "TOKENS" : "HASHES");
    if (!b->tokens) {
        kvr_wire_arg(w, b->hashes, b->n * sizeof *b->hashes);
        return;
    }
    kvr_wire_arg(w, b->tokens, b->n * sizeof *b->tokens);
    if (b->lora.n) put_text(w, "LORA", b->lora);
    if (b->space.n) put_text(w, "NAMESPACE", b->space);
}

// 0 is "not said".
static void put_if_said(struct kvr_wire *w, const char *name, int64_t v) {
    if (v) put_number(w, name, v);
}

static void put_lease(struct kvr_wire *w, int64_t lease) {
    if (lease) put_number(w, "LEASE", lease == KVR_NO_LEASE ? 0 : lease);
}

static void put_names(struct kvr_wire *w, const char *word, const struct kvr_bytes *names,
                      size_t n) {
    put_number(w, word, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        kvr_wire_bytes(w, names[i]);
}

static void put_booking(struct kvr_wire *w, const struct kvr_booked_request *b) {
    put_if_said(w, "ISL", b->isl);
    put_if_said(w, "OSL", b->osl);
    put_if_said(w, "CACHED", b->cached);
    put_if_said(w, "OUTPUT", b->output);
    if (b->prefilled) kvr_wire_word(w, "PREFILLED");
    put_lease(w, b->lease);
}

static void put_weights(struct kvr_wire *w, const struct kvr_select_call *q) {
    const struct {
        const char *name;
        double value;
    } weights[] = {{"OVERLAP", q->overlap},
                   {"PREFILL", q->prefill},
                   {"REQUESTS", q->requests},
                   {"TEMPERATURE", q->temperature}};
    put_if_said(w, "ISL", q->isl);
    put_if_said(w, "OSL", q->osl);
    if (q->policy) put_word(w, "POLICY", q->policy);
    for (unsigned i = 0; i < 4; i++)
        if (q->weigh & 1u << i) put_real(w, weights[i].name, weights[i].value);
}

// These come last, so that a degraded choice finds them.
static void put_name_lists(struct kvr_wire *w, const struct kvr_select_call *q) {
    if (q->among) put_names(w, "AMONG", q->among, q->n_among);
    if (q->n_exclude) put_names(w, "EXCLUDE", q->exclude, q->n_exclude);
    if (q->n_with) put_names(w, "WITH", q->with, q->n_with);
    if (q->n_without) put_names(w, "WITHOUT", q->without, q->n_without);
}

static bool is_weight(const struct kvr_select_call *q) {
    const double values[] = {q->overlap, q->prefill, q->requests, q->temperature};
    for (unsigned i = 0; i < 4; i++)
        if (q->weigh & 1u << i &&
            !(isfinite(values[i]) && values[i] >= 0 && values[i] <= MAX_WEIGHT))
            return false;
    return true;
}

static bool is_selection(const struct kvr_select_call *q) {
    return are_blocks(&q->blocks) && is_count(q->isl, KVR_MAX_TOKENS) &&
           is_count(q->osl, KVR_MAX_TOKENS) && is_lease(q->lease) &&
           are_names(q->among, q->n_among) && are_names(q->exclude, q->n_exclude) &&
           are_labels(q->with, q->n_with) && are_labels(q->without, q->n_without) &&
           is_session(q->session) && is_session(q->service_class) && is_session(q->flow) &&
           is_deadline(q->wait) && is_weight(q) && is_deadline(q->deadline);
}

// ---- Operations ----------------------------------------------------------------------------------

// The operation of a call with good arguments, if the handle takes any more.
static enum kvr_code admit(struct kvr_draft *d, bool good, enum kvr_operation_kind kind,
                           int64_t deadline) {
    struct kvr_calls *c = d->calls;
    if (!good) return KVR_CODE_INVALID;
    if (c->closed) return KVR_CODE_CLOSED;
    if (c->pending >= c->max_pending) return KVR_CODE_FULL;
    d->operation = kvr_operation_new(c, kind, deadline, d->done, d->ctx);
    if (!d->operation) return KVR_CODE_NOMEM;
    d->operation->blocking = d->blocking;
    return KVR_CODE_OK;
}

static enum kvr_code finish(struct kvr_draft *d, struct kvr_wire *w) {
    if (kvr_wire_end(w, &d->operation->command)) return KVR_CODE_OK;
    kvr_operation_discard(d->operation);
    return KVR_CODE_NOMEM;
}

// The argument that was put at this place. For when the command is whole.
static struct kvr_bytes argument(const struct kvr_operation *o, size_t at) {
    const char *p = o->command.base + at;
    return kvr_wire_next(&p);
}

// Where a command has what is to be remembered of it.
struct booking_place {
    size_t id, blocks, end, argc, session, service_class, flow, prefill_worker;
};

static size_t bytes_of(const struct kvr_blocks *b) {
    return b->tokens ? b->n * sizeof *b->tokens : b->n * sizeof *b->hashes;
}

static void put_booked_blocks(struct kvr_wire *w, const struct kvr_blocks *b,
                              struct booking_place *at) {
    size_t argc = w->argc;
    at->blocks = w->n;
    put_blocks(w, b);
    at->end = w->n;
    at->argc = w->argc - argc;
}

// Where it is put; 0: nowhere, it is empty.
static size_t put_booked_name(struct kvr_wire *w, const char *word, struct kvr_bytes name) {
    if (!name.n) return 0;
    kvr_wire_word(w, word);
    size_t at = w->n;
    kvr_wire_bytes(w, name);
    return at;
}

static void put_booked_names(struct kvr_wire *w, struct kvr_bytes session,
                             struct kvr_bytes service_class, struct kvr_bytes flow,
                             struct booking_place *at) {
    at->session = put_booked_name(w, "SESSION", session);
    at->service_class = put_booked_name(w, "CLASS", service_class);
    at->flow = put_booked_name(w, "FLOW", flow);
}

static void find_booking(struct kvr_operation *o, const struct booking_place *at) {
    struct kvr_booked_request *b = &o->booking;
    o->id = argument(o, at->id);
    b->blocks = (struct kvr_fragment){o->command.base + at->blocks, at->end - at->blocks, at->argc};
    if (at->session) b->session = argument(o, at->session);
    if (at->service_class) b->service_class = argument(o, at->service_class);
    if (at->flow) b->flow = argument(o, at->flow);
    if (at->prefill_worker) b->prefill_worker = argument(o, at->prefill_worker);
}

static void put_prefiller(struct kvr_wire *w, struct kvr_bytes worker, uint32_t rank,
                          struct booking_place *at) {
    at->prefill_worker = put_booked_name(w, "PREFILLER", worker);
    if (worker.n) kvr_wire_int(w, rank);
}

// What comes last, and anew with each sending: how long it may still wait, and where to tell.
static void put_wait(struct kvr_wire *w, const struct kvr_select_call *q, struct kvr_operation *o) {
    if (!q->wait) return;
    o->wait.ms = q->wait;
    o->wait.patience = q->deadline ? q->deadline : o->calls->transport->topology.deadline;
    o->wait.until = kvr_clock_ms() + q->wait;
    o->wait.tail = w->n;
    o->wait.tail_argc = w->argc;
    kvr_parked_put(w, q->wait, o->calls->transport->subscription.channel);
    o->wait.tail_most = w->n;
}

enum kvr_code kvr_encode_select(struct kvr_draft *d, const struct kvr_select_call *q) {
    enum kvr_code code =
        admit(d, is_selection(q) && is_text(q->request, KVR_MAX_ID), KVR_CALL_SELECT, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_operation *o = d->operation;
    if (q->wait && !kvr_parked_reserve(&d->calls->parked)) {
        kvr_operation_discard(o);
        return KVR_CODE_NOMEM;
    }
    struct booking_place at = {0};
    struct kvr_wire w;
    begin_sized(&w, d->calls->context, "KVROUTE.SELECT", bytes_of(&q->blocks));
    at.id = w.n;
    kvr_wire_bytes(&w, q->request);
    put_booked_blocks(&w, &q->blocks, &at);
    put_lease(&w, q->lease);
    put_weights(&w, q);
    put_booked_names(&w, q->session, q->service_class, q->flow, &at);
    if (q->pair) kvr_wire_word(&w, "PAIR");
    size_t names_at = w.n;
    put_name_lists(&w, q);
    put_wait(&w, q, o);
    o->booking = (struct kvr_booked_request){
        .isl = q->isl, .osl = q->osl, .lease = q->lease, .may_have_waited = q->wait > 0};
    if (finish(d, &w) != KVR_CODE_OK) return KVR_CODE_NOMEM;
    find_booking(o, &at);
    o->names = o->command.base + names_at;
    o->among = q->among != NULL;
    o->n_names[KVR_AMONG] = q->n_among;
    o->n_names[KVR_EXCLUDE] = q->n_exclude;
    o->n_names[KVR_WITH] = q->n_with;
    o->n_names[KVR_WITHOUT] = q->n_without;
    return KVR_CODE_OK;
}

enum kvr_code kvr_encode_score(struct kvr_draft *d, const struct kvr_select_call *q) {
    enum kvr_code code = admit(d, is_selection(q), KVR_CALL_SCORE, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.SCORE");
    put_blocks(&w, &q->blocks);
    put_weights(&w, q);
    put_booked_name(&w, "SESSION", q->session);
    put_name_lists(&w, q);
    return finish(d, &w);
}

enum kvr_code kvr_encode_explain(struct kvr_draft *d, const struct kvr_select_call *q, size_t top) {
    enum kvr_code code =
        admit(d, is_selection(q) && top <= MAX_CANDIDATES, KVR_CALL_EXPLAIN, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct booking_place unused;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.EXPLAIN");
    put_blocks(&w, &q->blocks);
    put_weights(&w, q);
    put_booked_names(&w, q->session, q->service_class, q->flow, &unused);
    if (q->pair) kvr_wire_word(&w, "PAIR");
    put_if_said(&w, "TOP", (int64_t)top);
    put_name_lists(&w, q);
    return finish(d, &w);
}

static bool is_claim(const struct kvr_claim_call *q) {
    return is_text(q->request, KVR_MAX_ID) && is_text(q->worker, KVR_MAX_NAME) &&
           q->rank < KVR_MAX_RANKS && are_blocks(&q->blocks) && is_count(q->isl, KVR_MAX_TOKENS) &&
           is_count(q->cached, KVR_MAX_TOKENS) && is_count(q->output, KVR_MAX_TOKENS) &&
           is_count(q->osl, KVR_MAX_TOKENS) && is_session(q->session) &&
           is_session(q->service_class) && is_session(q->flow) && is_lease(q->lease) &&
           (!q->prefill_worker.n ||
            (is_text(q->prefill_worker, KVR_MAX_NAME) && q->prefill_rank < KVR_MAX_RANKS)) &&
           is_deadline(q->deadline);
}

enum kvr_code kvr_encode_claim(struct kvr_draft *d, const struct kvr_claim_call *q) {
    enum kvr_code code = admit(d, is_claim(q), KVR_CALL_CLAIM, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_operation *o = d->operation;
    struct booking_place at = {0};
    struct kvr_wire w;
    begin_sized(&w, d->calls->context, "KVROUTE.CLAIM", bytes_of(&q->blocks));
    at.id = w.n;
    kvr_wire_bytes(&w, q->request);
    size_t worker_at = w.n;
    kvr_wire_bytes(&w, q->worker);
    kvr_wire_int(&w, q->rank);
    put_booked_blocks(&w, &q->blocks, &at);
    o->booking = (struct kvr_booked_request){.isl = q->isl,
                                             .osl = q->osl,
                                             .cached = q->cached,
                                             .output = q->output,
                                             .lease = q->lease,
                                             .prefilled = q->prefilled,
                                             .prefill_rank = q->prefill_rank};
    put_booking(&w, &o->booking);
    put_booked_names(&w, q->session, q->service_class, q->flow, &at);
    put_prefiller(&w, q->prefill_worker, q->prefill_rank, &at);
    if (finish(d, &w) != KVR_CODE_OK) return KVR_CODE_NOMEM;
    find_booking(o, &at);
    o->worker = argument(o, worker_at);
    o->rank = q->rank;
    return KVR_CODE_OK;
}

bool kvr_encode_booking(struct kvr_context *c, struct kvr_bytes id, struct kvr_bytes worker,
                        uint32_t rank, const struct kvr_booked_request *b,
                        struct kvr_command *out) {
    struct kvr_wire w;
    struct booking_place at;
    kvr_encode_begin(&w, c, "KVROUTE.CLAIM");
    kvr_wire_bytes(&w, id);
    kvr_wire_bytes(&w, worker);
    kvr_wire_int(&w, rank);
    kvr_wire_paste(&w, b->blocks.p, b->blocks.n, b->blocks.argc);
    put_booking(&w, b);
    put_booked_names(&w, b->session, b->service_class, b->flow, &at);
    put_prefiller(&w, b->prefill_worker, b->prefill_rank, &at);
    return kvr_wire_end(&w, out);
}

void kvr_encode_progress(struct kvr_wire *w, const struct kvr_booked_request *b) {
    if (b->prefilled) kvr_wire_word(w, "PREFILLED");
    put_if_said(w, "OUTPUT", b->output);
    put_lease(w, b->lease);
}

enum kvr_code kvr_encode_update(struct kvr_draft *d, const struct kvr_update_call *q) {
    bool good = is_text(q->request, KVR_MAX_ID) && is_count(q->output, KVR_MAX_TOKENS) &&
                is_lease(q->lease) && is_deadline(q->deadline);
    enum kvr_code code = admit(d, good, KVR_CALL_UPDATE, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_operation *o = d->operation;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.UPDATE");
    size_t id_at = w.n;
    kvr_wire_bytes(&w, q->request);
    o->booking = (struct kvr_booked_request){
        .prefilled = q->prefilled, .output = q->output, .lease = q->lease};
    kvr_encode_progress(&w, &o->booking);
    if (finish(d, &w) != KVR_CODE_OK) return KVR_CODE_NOMEM;
    o->id = argument(o, id_at);
    return KVR_CODE_OK;
}

enum kvr_code kvr_encode_release(struct kvr_draft *d, const struct kvr_bytes *ids, size_t n) {
    bool good = n && are_texts(ids, n, MAX_RELEASE, KVR_MAX_ID);
    enum kvr_code code = admit(d, good, KVR_CALL_RELEASE, 0);
    if (code != KVR_CODE_OK) return code;
    struct kvr_operation *o = d->operation;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.RELEASE");
    size_t ids_at = w.n;
    for (size_t i = 0; i < n; i++)
        kvr_wire_bytes(&w, ids[i]);
    if (finish(d, &w) != KVR_CODE_OK) return KVR_CODE_NOMEM;
    o->ids = o->command.base + ids_at;
    o->n_ids = n;
    return KVR_CODE_OK;
}

// ---- Workers -------------------------------------------------------------------------------------

void kvr_encode_registration(struct kvr_wire *w, const char *pool, const struct kvr_worker_call *q,
                             bool del) {
    static const char *const roles[] = {"both", "prefill", "decode"};
    kvr_wire_word(w, "KVROUTE.WORKER");
    kvr_wire_word(w, del ? "DEL" : "SET");
    kvr_wire_word(w, pool);
    kvr_wire_bytes(w, q->worker);
    if (del) return;
    if (q->set & KVR_WORKER_ADDR) put_text(w, "ADDR", q->addr);
    if (q->set & KVR_WORKER_RANKS) put_number(w, "RANKS", q->ranks);
    if (q->set & KVR_WORKER_CAPACITY) put_number(w, "CAPACITY", q->capacity);
    if (q->set & KVR_WORKER_STATE)
        put_word(w, "STATE", q->state == KVR_DRAINING ? "draining" : "ready");
    if (q->set & KVR_WORKER_DRAIN) put_number(w, "DRAIN", q->drain);
    if (q->set & KVR_WORKER_ROLE) put_word(w, "ROLE", roles[q->role]);
    if (q->set & KVR_WORKER_TTL) put_number(w, "TTL", q->ttl);
    if (q->set & KVR_WORKER_SPEED) put_real(w, "SPEED", q->speed);
    if (q->set & KVR_WORKER_MAX_REQUESTS) put_number(w, "MAXREQUESTS", q->max_requests);
    if (q->set & KVR_WORKER_LABELS) put_names(w, "LABELS", q->labels, q->n_labels);
}

static bool is_registration(const struct kvr_worker_call *q) {
    unsigned s = q->set;
    if (!is_text(q->worker, KVR_MAX_NAME) || !is_deadline(q->deadline)) return false;
    if (s & KVR_WORKER_ADDR && (q->addr.n > KVR_MAX_ADDR || (q->addr.n && !q->addr.p)))
        return false;
    if (s & KVR_WORKER_RANKS && (q->ranks < 1 || q->ranks > KVR_MAX_RANKS)) return false;
    if (s & KVR_WORKER_CAPACITY && !is_count(q->capacity, (int64_t)1 << 53)) return false;
    if (s & KVR_WORKER_STATE && q->state != KVR_READY && q->state != KVR_DRAINING) return false;
    if (s & KVR_WORKER_TTL && !is_count(q->ttl, KVR_MAX_MS)) return false;
    if (s & KVR_WORKER_SPEED && !(isfinite(q->speed) && q->speed >= 0 && q->speed <= KVR_MAX_SPEED))
        return false;
    if (s & KVR_WORKER_MAX_REQUESTS && !is_count(q->max_requests, (int64_t)1 << 53)) return false;
    if (s & KVR_WORKER_ROLE && (unsigned)q->role > KVR_ROLE_DECODE) return false;
    bool drains = s & KVR_WORKER_STATE && q->state == KVR_DRAINING;
    if (s & KVR_WORKER_DRAIN && !(drains && is_count(q->drain, KVR_MAX_MS))) return false;
    return !(s & KVR_WORKER_LABELS) || are_labels(q->labels, q->n_labels);
}

enum kvr_code kvr_encode_worker(struct kvr_draft *d, const struct kvr_worker_call *q, bool del) {
    enum kvr_operation_kind kind = del ? KVR_CALL_WORKER_DEL : KVR_CALL_WORKER_SET;
    enum kvr_code code = admit(d, is_registration(q), kind, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_operation *o = d->operation;
    struct kvr_wire w;
    kvr_wire_begin(&w, &d->calls->context->alloc);
    kvr_encode_registration(&w, d->calls->context->pool, q, del);
    if (finish(d, &w) != KVR_CODE_OK) return KVR_CODE_NOMEM;
    const char *at = o->command.base + KVR_WIRE_HEAD;
    for (int i = 0; i < 4; i++)
        o->worker = kvr_wire_next(&at);
    o->said = q;
    return KVR_CODE_OK;
}

enum kvr_code kvr_encode_report(struct kvr_draft *d, struct kvr_bytes worker, bool ok) {
    enum kvr_code code = admit(d, is_text(worker, KVR_MAX_NAME), KVR_CALL_REPORT, 0);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.REPORT");
    kvr_wire_bytes(&w, worker);
    kvr_wire_word(&w, ok ? "OK" : "FAILED");
    return finish(d, &w);
}

static bool is_number(uint64_t v) { // of an epoch or an event
    return v >= 1 && v <= INT64_MAX;
}

static bool is_op(const struct kvr_op *op) {
    int least = op->kind == KVR_OP_CLEARED ? -1 : 0;
    return (unsigned)op->kind <= KVR_OP_CLEARED && op->tier >= least && op->tier < KVR_TIERS &&
           op->n <= KVR_MAX_BLOCKS && (!op->n || op->hashes);
}

static bool is_event(const struct kvr_event_call *q) {
    for (size_t i = 0; q->ops && i < q->n_ops; i++)
        if (!is_op(&q->ops[i])) return false;
    return is_text(q->worker, KVR_MAX_NAME) && q->rank < KVR_MAX_RANKS && is_number(q->epoch) &&
           is_number(q->seq) && q->ops && q->n_ops && is_deadline(q->deadline);
}

void kvr_encode_op(struct kvr_wire *w, const struct kvr_op *op) {
    static const char *const tiers[] = {"device", "host", "disk"};
    static const char *const words[] = {
        [KVR_OP_STORED] = "STORED", [KVR_OP_REMOVED] = "REMOVED", [KVR_OP_CLEARED] = "CLEARED"};
    // Without TIER, CLEARED means all tiers, the others mean the device.
    if (op->tier >= 0 && (op->tier != KVR_DEVICE || op->kind == KVR_OP_CLEARED))
        put_word(w, "TIER", tiers[op->tier]);
    kvr_wire_word(w, words[op->kind]);
    if (op->kind == KVR_OP_CLEARED) return;
    if (op->kind == KVR_OP_STORED)
        kvr_wire_arg(w, op->parent ? (const char *)op->parent : "-", op->parent ? 8 : 1);
    kvr_wire_word(w, "HASHES");
    kvr_wire_arg(w, op->hashes, op->n * sizeof *op->hashes);
}

enum kvr_code kvr_encode_event(struct kvr_draft *d, const struct kvr_event_call *q) {
    enum kvr_code code = admit(d, is_event(q), KVR_CALL_EVENT, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.EVENT");
    kvr_wire_bytes(&w, q->worker);
    kvr_wire_int(&w, q->rank);
    kvr_wire_u64(&w, q->epoch);
    kvr_wire_u64(&w, q->seq);
    for (size_t i = 0; i < q->n_ops; i++)
        kvr_encode_op(&w, &q->ops[i]);
    return finish(d, &w);
}

enum kvr_code kvr_encode_query(struct kvr_draft *d, enum kvr_operation_kind kind) {
    enum kvr_code code = admit(d, true, kind, 0);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    static const struct {
        const char *words;
        bool of_pool;
    } queries[] = {[KVR_CALL_INFO] = {"KVROUTE.INFO", true},
                   [KVR_CALL_WORKER_LIST] = {"KVROUTE.WORKER LIST", true},
                   [KVR_CALL_CLASS_LIST] = {"KVROUTE.CLASS LIST", true},
                   [KVR_CALL_SERVER] = {"INFO server clients replication", false},
                   [KVR_CALL_CONNECTIONS] = {"CLIENT LIST TYPE normal", false}};
    kvr_wire_begin(&w, &d->calls->context->alloc);
    kvr_wire_words(&w, queries[kind].words);
    if (queries[kind].of_pool) kvr_wire_word(&w, d->calls->context->pool);
    return finish(d, &w);
}

// ---- The queue -----------------------------------------------------------------------------------

// "KVROUTE.CLASS SET", the pool and the name.
static void begin_named(struct kvr_wire *w, const struct kvr_context *c, const char *words,
                        struct kvr_bytes name) {
    kvr_wire_begin(w, &c->alloc);
    kvr_wire_words(w, words);
    kvr_wire_word(w, c->pool);
    if (name.n) kvr_wire_bytes(w, name);
}

enum kvr_code kvr_encode_queue(struct kvr_draft *d, size_t n) {
    enum kvr_code code = admit(d, n <= INT32_MAX, KVR_CALL_QUEUE, 0);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    kvr_encode_begin(&w, d->calls->context, "KVROUTE.QUEUE");
    put_if_said(&w, "COUNT", (int64_t)n);
    return finish(d, &w);
}

static bool is_share(bool said, double weight) {
    return !said || (isfinite(weight) && weight > 0 && weight <= MAX_SHARE);
}

enum kvr_code kvr_encode_class(struct kvr_draft *d, const struct kvr_class_call *q, bool del) {
    unsigned s = q->set;
    bool good = is_text(q->name, KVR_MAX_ID) && is_share(s & KVR_CLASS_SET_WEIGHT, q->weight) &&
                (!(s & KVR_CLASS_SET_PRIORITY) || (q->priority >= -100 && q->priority <= 100)) &&
                (!(s & KVR_CLASS_SET_WAITING) || is_count(q->waiting, (int64_t)1 << 53)) &&
                (!(s & KVR_CLASS_SET_ROOM) || is_count(q->room, 100)) && is_deadline(q->deadline);
    enum kvr_code code = admit(d, good, del ? KVR_CALL_CLASS_DEL : KVR_CALL_CLASS_SET, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    begin_named(&w, d->calls->context, del ? "KVROUTE.CLASS DEL" : "KVROUTE.CLASS SET", q->name);
    if (s & KVR_CLASS_SET_PRIORITY) put_number(&w, "PRIORITY", q->priority);
    if (s & KVR_CLASS_SET_WEIGHT) put_real(&w, "WEIGHT", q->weight);
    if (s & KVR_CLASS_SET_WAITING) put_number(&w, "WAITING", q->waiting);
    if (s & KVR_CLASS_SET_ROOM) put_number(&w, "ROOM", q->room);
    return finish(d, &w);
}

enum kvr_code kvr_encode_flow(struct kvr_draft *d, const struct kvr_flow_call *q, bool del) {
    unsigned s = q->set;
    bool good = is_text(q->name, KVR_MAX_ID) && is_share(s & KVR_FLOW_SET_WEIGHT, q->weight) &&
                (!(s & KVR_FLOW_SET_REQUESTS) || is_count(q->requests, (int64_t)1 << 53)) &&
                (!(s & KVR_FLOW_SET_RATE) || is_count(q->rate, KVR_MAX_TOKENS)) &&
                (!(s & KVR_FLOW_SET_BURST) || is_count(q->burst, KVR_MAX_TOKENS)) &&
                is_deadline(q->deadline);
    enum kvr_code code = admit(d, good, del ? KVR_CALL_FLOW_DEL : KVR_CALL_FLOW_SET, q->deadline);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    begin_named(&w, d->calls->context, del ? "KVROUTE.FLOW DEL" : "KVROUTE.FLOW SET", q->name);
    if (s & KVR_FLOW_SET_WEIGHT) put_real(&w, "WEIGHT", q->weight);
    if (s & KVR_FLOW_SET_REQUESTS) put_number(&w, "REQUESTS", q->requests);
    if (s & KVR_FLOW_SET_RATE) put_number(&w, "RATE", q->rate);
    if (s & KVR_FLOW_SET_BURST) put_number(&w, "BURST", q->burst);
    return finish(d, &w);
}

enum kvr_code kvr_encode_pools(struct kvr_draft *d, uint64_t cursor) {
    enum kvr_code code = admit(d, true, KVR_CALL_POOLS, 0);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    kvr_wire_begin(&w, &d->calls->context->alloc);
    kvr_wire_word(&w, "SCAN");
    kvr_wire_u64(&w, cursor);
    kvr_wire_words(&w, "COUNT 1000 TYPE kvrt-pool");
    return finish(d, &w);
}

enum kvr_code kvr_encode_flow_list(struct kvr_draft *d, uint64_t cursor, size_t count) {
    enum kvr_code code = admit(d, count <= INT32_MAX, KVR_CALL_FLOW_LIST, 0);
    if (code != KVR_CODE_OK) return code;
    struct kvr_wire w;
    begin_named(&w, d->calls->context, "KVROUTE.FLOW LIST", (struct kvr_bytes){"", 0});
    kvr_wire_u64(&w, cursor);
    put_if_said(&w, "COUNT", (int64_t)count);
    return finish(d, &w);
}
