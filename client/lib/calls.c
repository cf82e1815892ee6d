// SPDX-License-Identifier: Apache-2.0
// The calls: their arguments checked, put on the wire, and what they say remembered.
#include <math.h>
#include <string.h>

#include "client_impl.h"

enum { MAX_RELEASE = 1 << 16 };
#define MAX_TOKEN_COUNT ((size_t)1 << 26) // 256 MiB: what a Redis argument may have is twice that
#define MAX_WEIGHT 1e9

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

static bool are_names(const struct kvr_bytes *names, size_t n) {
    if (n > KVR_MAX_INSTANCES || (n && !names)) return false;
    for (size_t i = 0; i < n; i++)
        if (!is_text(names[i], KVR_MAX_NAME)) return false;
    return true;
}

static bool are_labels(const struct kvr_bytes *labels, size_t n) {
    if (n > KVR_MAX_LABELS || (n && !labels)) return false;
    for (size_t i = 0; i < n; i++)
        if (!is_text(labels[i], KVR_MAX_LABEL)) return false;
    return true;
}

static bool is_session(struct kvr_bytes b) {
    return !b.n || is_text(b, KVR_MAX_ID);
}

static bool is_deadline(int64_t ms) {
    return is_count(ms, KVR_MAX_MS);
}

// ---- Encoding ------------------------------------------------------------------------------------

static void begin(struct wire *w, struct kvr_client *c, const char *command) {
    wire_begin(w, &c->alloc);
    wire_word(w, command);
    wire_word(w, c->pool);
}

static void put_blocks(struct wire *w, const struct kvr_blocks *b) {
    wire_word(w, b->tokens ? "TOKENS" : "HASHES");
    if (!b->tokens) {
        wire_arg(w, b->hashes, b->n * sizeof *b->hashes);
        return;
    }
    wire_arg(w, b->tokens, b->n * sizeof *b->tokens);
    if (b->lora.n) {
        wire_word(w, "LORA");
        wire_bytes(w, b->lora);
    }
    if (b->space.n) {
        wire_word(w, "NAMESPACE");
        wire_bytes(w, b->space);
    }
}

static void put_int(struct wire *w, const char *name, int64_t v) {
    if (!v) return;
    wire_word(w, name);
    wire_int(w, v);
}

static void put_lease(struct wire *w, int64_t lease) {
    if (!lease) return;
    wire_word(w, "LEASE");
    wire_int(w, lease == KVR_NO_LEASE ? 0 : lease);
}

static void put_names(struct wire *w, const char *word, const struct kvr_bytes *names, size_t n) {
    wire_word(w, word);
    wire_int(w, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        wire_bytes(w, names[i]);
}

static void put_session(struct wire *w, struct kvr_bytes session, struct op *o) {
    if (!session.n) return;
    wire_word(w, "SESSION");
    o->session_at = w->n;
    wire_bytes(w, session);
}

// The lists of names come last, so that a degraded choice finds them.
static void put_options(struct wire *w, const struct kvr_select_call *q, struct op *o) {
    const struct {
        const char *name;
        double value;
    } weights[] = {{"OVERLAP", q->overlap},
                   {"PREFILL", q->prefill},
                   {"REQUESTS", q->requests},
                   {"TEMPERATURE", q->temperature}};
    put_int(w, "ISL", q->isl);
    put_int(w, "OSL", q->osl);
    if (q->policy) {
        wire_word(w, "POLICY");
        wire_word(w, q->policy);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!(q->weigh & 1u << i)) continue;
        wire_word(w, weights[i].name);
        wire_real(w, weights[i].value);
    }
    put_session(w, q->session, o);
    o->names_at = w->n;
    o->among = q->among != NULL;
    o->n_among = q->n_among;
    o->n_exclude = q->n_exclude;
    o->n_with = q->n_with;
    o->n_without = q->n_without;
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
           is_session(q->session) && is_weight(q) && is_deadline(q->deadline);
}

// ---- Submitting ----------------------------------------------------------------------------------

// An op for a call, if the handle takes any more.
static struct op *admit(struct kvr_client *c, enum op_kind kind, int64_t deadline,
                        struct caller who, enum kvr_code *code) {
    *code = c->closing                     ? KVR_CODE_CLOSED
            : c->pending >= c->max_pending ? KVR_CODE_FULL
                                           : KVR_CODE_OK;
    if (*code != KVR_CODE_OK) return NULL;
    struct op *o = op_new(c, kind, deadline, who.done, who.ctx);
    if (!o)
        *code = KVR_CODE_NOMEM;
    else
        o->blocking = who.blocking;
    return o;
}

static bool finish(struct op *o, struct wire *w) {
    if (wire_end(w, &o->command)) return true;
    op_free(o);
    return false;
}

// An argument that was put at this place of the wire; to be called when the command is whole.
static struct kvr_bytes argument(const struct op *o, size_t at) {
    const char *p = o->command.base + at;
    return wire_next(&p);
}

// What is remembered of a call that books, up to where it was booked.
static bool prepare_live(struct op *o, size_t blocks_at, size_t blocks_n, size_t argc, int64_t isl,
                         int64_t osl, int64_t lease) {
    struct kvr_client *c = o->client;
    struct live *l = live_new(&c->memory);
    if (!l) return false;
    l->blocks = (struct fragment){o->command.base + blocks_at, blocks_n, argc};
    if (o->session_at) l->session = argument(o, o->session_at);
    l->isl = isl;
    l->osl = osl;
    l->lease = lease;
    o->live = l;
    struct released *over = released_find(&c->memory, o->id);
    if (over) released_forget(over);
    return true;
}

enum kvr_code call_select(struct kvr_client *c, const struct kvr_select_call *q,
                          struct caller who) {
    enum kvr_code code;
    if (!is_selection(q) || !is_text(q->request, KVR_MAX_ID)) return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_SELECT, q->deadline, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.SELECT");
    size_t id_at = w.n;
    wire_bytes(&w, q->request);
    size_t blocks_at = w.n, argc = w.argc;
    put_blocks(&w, &q->blocks);
    size_t blocks_n = w.n - blocks_at;
    argc = w.argc - argc;
    put_lease(&w, q->lease);
    put_options(&w, q, o);
    if (!finish(o, &w)) return KVR_CODE_NOMEM;
    o->id = argument(o, id_at);
    if (!prepare_live(o, blocks_at, blocks_n, argc, q->isl, q->osl, q->lease)) {
        op_free(o);
        return KVR_CODE_NOMEM;
    }
    return op_submit(o);
}

enum kvr_code call_score(struct kvr_client *c, const struct kvr_select_call *q, struct caller who) {
    enum kvr_code code;
    if (!is_selection(q)) return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_SCORE, q->deadline, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.SCORE");
    put_blocks(&w, &q->blocks);
    put_options(&w, q, o);
    return finish(o, &w) ? op_submit(o) : KVR_CODE_NOMEM;
}

enum kvr_code call_claim(struct kvr_client *c, const struct kvr_claim_call *q, struct caller who) {
    enum kvr_code code;
    if (!is_text(q->request, KVR_MAX_ID) || !is_text(q->worker, KVR_MAX_NAME) ||
        q->rank >= KVR_MAX_RANKS || !are_blocks(&q->blocks) || !is_count(q->isl, KVR_MAX_TOKENS) ||
        !is_count(q->cached, KVR_MAX_TOKENS) || !is_count(q->output, KVR_MAX_TOKENS) ||
        !is_count(q->osl, KVR_MAX_TOKENS) || !is_session(q->session) || !is_lease(q->lease) ||
        !is_deadline(q->deadline))
        return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_CLAIM, q->deadline, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.CLAIM");
    size_t id_at = w.n;
    wire_bytes(&w, q->request);
    size_t worker_at = w.n;
    wire_bytes(&w, q->worker);
    wire_int(&w, q->rank);
    size_t blocks_at = w.n, argc = w.argc;
    put_blocks(&w, &q->blocks);
    size_t blocks_n = w.n - blocks_at;
    argc = w.argc - argc;
    put_int(&w, "ISL", q->isl);
    put_int(&w, "CACHED", q->cached);
    put_int(&w, "OUTPUT", q->output);
    if (q->prefilled) wire_word(&w, "PREFILLED");
    put_lease(&w, q->lease);
    put_int(&w, "OSL", q->osl);
    put_session(&w, q->session, o);
    if (!finish(o, &w)) return KVR_CODE_NOMEM;
    o->id = argument(o, id_at);
    o->worker = argument(o, worker_at);
    o->rank = q->rank;
    if (!prepare_live(o, blocks_at, blocks_n, argc, q->isl, q->osl, q->lease)) {
        op_free(o);
        return KVR_CODE_NOMEM;
    }
    o->live->cached = q->cached;
    o->live->output = q->output;
    o->live->prefilled = q->prefilled;
    return op_submit(o);
}

bool call_encode_claim(struct kvr_client *c, const struct live *l, struct command *out) {
    struct wire w;
    begin(&w, c, "KVROUTE.CLAIM");
    wire_bytes(&w, l->item.key);
    wire_bytes(&w, l->at->worker);
    wire_int(&w, l->at->rank);
    wire_paste(&w, l->blocks.p, l->blocks.n, l->blocks.argc);
    put_int(&w, "ISL", l->isl);
    put_int(&w, "OSL", l->osl);
    put_int(&w, "CACHED", l->cached);
    put_int(&w, "OUTPUT", l->output);
    if (l->prefilled) wire_word(&w, "PREFILLED");
    put_lease(&w, l->lease);
    if (l->session.n) {
        wire_word(&w, "SESSION");
        wire_bytes(&w, l->session);
    }
    return wire_end(&w, out);
}

enum kvr_code call_update(struct kvr_client *c, const struct kvr_update_call *q,
                          struct caller who) {
    enum kvr_code code;
    if (!is_text(q->request, KVR_MAX_ID) || !is_count(q->output, KVR_MAX_TOKENS) ||
        !is_lease(q->lease) || !is_deadline(q->deadline))
        return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_UPDATE, q->deadline, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.UPDATE");
    size_t id_at = w.n;
    wire_bytes(&w, q->request);
    if (q->prefilled) wire_word(&w, "PREFILLED");
    put_int(&w, "OUTPUT", q->output);
    put_lease(&w, q->lease);
    if (!finish(o, &w)) return KVR_CODE_NOMEM;
    o->id = argument(o, id_at);
    // Remembered before it is answered: whoever books the request back says the latest.
    struct live *l = live_find(&c->memory, o->id);
    if (l) {
        l->prefilled |= q->prefilled;
        if (q->output > l->output) l->output = q->output;
        if (q->lease) l->lease = q->lease;
        l->word_at = clock_ms();
    }
    return op_submit(o);
}

enum kvr_code call_release(struct kvr_client *c, const struct kvr_bytes *ids, size_t n,
                           struct caller who) {
    enum kvr_code code;
    if (n < 1 || n > MAX_RELEASE || !ids) return KVR_CODE_INVALID;
    for (size_t i = 0; i < n; i++)
        if (!is_text(ids[i], KVR_MAX_ID)) return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_RELEASE, 0, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.RELEASE");
    o->ids_at = w.n;
    o->n_ids = n;
    for (size_t i = 0; i < n; i++)
        wire_bytes(&w, ids[i]);
    if (!finish(o, &w)) return KVR_CODE_NOMEM;
    const char *at = o->command.base + o->ids_at;
    for (size_t i = 0; i < n; i++) { // out of our copy: ids may be those of the memory itself
        struct kvr_bytes id = wire_next(&at);
        bool was_live;
        struct released *r = released_add(&c->memory, id, &was_live);
        o->n_live += was_live;
        if (r) released_hold(r);
    }
    return op_submit(o);
}

void call_encode_worker(struct wire *w, const char *pool, const struct kvr_worker_call *q,
                        bool del) {
    wire_word(w, "KVROUTE.WORKER");
    wire_word(w, del ? "DEL" : "SET");
    wire_word(w, pool);
    wire_bytes(w, q->worker);
    if (del) return;
    if (q->set & KVR_WORKER_ADDR) {
        wire_word(w, "ADDR");
        wire_bytes(w, q->addr);
    }
    if (q->set & KVR_WORKER_RANKS) {
        wire_word(w, "RANKS");
        wire_int(w, q->ranks);
    }
    if (q->set & KVR_WORKER_CAPACITY) {
        wire_word(w, "CAPACITY");
        wire_int(w, q->capacity);
    }
    if (q->set & KVR_WORKER_STATE) {
        wire_word(w, "STATE");
        wire_word(w, q->state == KVR_DRAINING ? "draining" : "ready");
    }
    if (q->set & KVR_WORKER_TTL) {
        wire_word(w, "TTL");
        wire_int(w, q->ttl);
    }
    if (q->set & KVR_WORKER_SPEED) {
        wire_word(w, "SPEED");
        wire_real(w, q->speed);
    }
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
    return !(s & KVR_WORKER_LABELS) || are_labels(q->labels, q->n_labels);
}

enum kvr_code call_worker(struct kvr_client *c, const struct kvr_worker_call *q, bool del,
                          struct caller who) {
    enum kvr_code code;
    if (!is_registration(q)) return KVR_CODE_INVALID;
    struct op *o = admit(c, del ? OP_WORKER_DEL : OP_WORKER_SET, q->deadline, who, &code);
    if (!o) return code;
    struct wire w;
    wire_begin(&w, &c->alloc);
    call_encode_worker(&w, c->pool, q, del);
    if (!finish(o, &w)) return KVR_CODE_NOMEM;
    const char *at = o->command.base + WIRE_HEAD;
    for (int i = 0; i < 4; i++)
        o->worker = wire_next(&at);
    struct registered *r = registered_say(&c->memory, q, del);
    if (!r) {
        op_free(o);
        return KVR_CODE_NOMEM;
    }
    r->word_at = clock_ms();
    registered_move(r, &c->memory.registered.confirmed); // unless the call fails
    return op_submit(o);
}

enum kvr_code call_report(struct kvr_client *c, struct kvr_bytes worker, bool ok,
                          struct caller who) {
    enum kvr_code code;
    if (!is_text(worker, KVR_MAX_NAME)) return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_REPORT, 0, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.REPORT");
    wire_bytes(&w, worker);
    wire_word(&w, ok ? "OK" : "FAILED");
    return finish(o, &w) ? op_submit(o) : KVR_CODE_NOMEM;
}

static bool is_number(uint64_t v) { // of an epoch or an event
    return v >= 1 && v <= INT64_MAX;
}

static bool is_op(const struct kvr_op *op) {
    int least = op->kind == KVR_OP_CLEARED ? -1 : 0;
    return op->tier >= least && op->tier < KVR_TIERS && op->n <= KVR_MAX_BLOCKS &&
           (!op->n || op->hashes);
}

enum kvr_code call_event(struct kvr_client *c, const struct kvr_event_call *q, struct caller who) {
    static const char *const tiers[] = {"device", "host", "disk"};
    static const char *const kinds[] = {"STORED", "REMOVED", "CLEARED"};
    enum kvr_code code;
    if (!is_text(q->worker, KVR_MAX_NAME) || q->rank >= KVR_MAX_RANKS || !is_number(q->epoch) ||
        !is_number(q->seq) || !q->ops || !q->n_ops || !is_deadline(q->deadline))
        return KVR_CODE_INVALID;
    for (size_t i = 0; i < q->n_ops; i++)
        if ((unsigned)q->ops[i].kind > KVR_OP_CLEARED || !is_op(&q->ops[i]))
            return KVR_CODE_INVALID;
    struct op *o = admit(c, OP_EVENT, q->deadline, who, &code);
    if (!o) return code;
    struct wire w;
    begin(&w, c, "KVROUTE.EVENT");
    wire_bytes(&w, q->worker);
    wire_int(&w, q->rank);
    wire_u64(&w, q->epoch);
    wire_u64(&w, q->seq);
    for (size_t i = 0; i < q->n_ops; i++) {
        const struct kvr_op *op = &q->ops[i];
        if (op->tier >= 0) {
            wire_word(&w, "TIER");
            wire_word(&w, tiers[op->tier]);
        }
        wire_word(&w, kinds[op->kind]);
        if (op->kind == KVR_OP_CLEARED) continue;
        if (op->kind == KVR_OP_STORED && op->parent)
            wire_arg(&w, op->parent, sizeof *op->parent);
        else if (op->kind == KVR_OP_STORED)
            wire_word(&w, "-");
        wire_word(&w, "HASHES");
        wire_arg(&w, op->hashes, op->n * sizeof *op->hashes);
    }
    return finish(o, &w) ? op_submit(o) : KVR_CODE_NOMEM;
}

enum kvr_code call_look(struct kvr_client *c, enum op_kind kind, struct caller who) {
    enum kvr_code code;
    struct op *o = admit(c, kind, 0, who, &code);
    if (!o) return code;
    struct wire w;
    wire_begin(&w, &c->alloc);
    wire_words(&w, kind == OP_INFO ? "KVROUTE.INFO" : "KVROUTE.WORKER LIST");
    wire_word(&w, c->pool);
    return finish(o, &w) ? op_submit(o) : KVR_CODE_NOMEM;
}
