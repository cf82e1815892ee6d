// SPDX-License-Identifier: Apache-2.0
// The digest: a sum of one hash for each piece of logical state. A sum doesn't depend on the order in
// which the pieces are met, so two copies agree however each was built. Absolute times are left out:
// they are renewed at a reload and a promotion.
#include <kvroute/hash.h>
#include <string.h>

#include "module/core/rule/policy.h"
#include "module/core/state/session.h"

struct digest_sum {
    uint64_t low, high, third;
};

static void add(struct digest_sum *s, const void *bytes, size_t n) {
    XXH128_hash_t h = XXH3_128bits_withSeed(bytes, n, 1);
    s->low += h.low64;
    s->high += h.high64;
    s->third += XXH3_64bits_withSeed(bytes, n, 2);
}

// A piece of state is written as a kind, fixed-width numbers and length-prefixed bytes. Large enough
// for the largest of them.
struct digest_piece {
    size_t n;
    char bytes[2048];
};

static void put(struct digest_piece *e, const void *bytes, size_t n) {
    memcpy(e->bytes + e->n, bytes, n);
    e->n += n;
}

static void put_number(struct digest_piece *e, uint64_t x) {
    put(e, &x, sizeof x);
}

static void put_double(struct digest_piece *e, double x) {
    put(e, &x, sizeof x);
}

static void put_bytes(struct digest_piece *e, const char *bytes, size_t n) {
    put_number(e, n);
    if (n) put(e, bytes, n);
}

static struct digest_piece piece(char kind) {
    struct digest_piece e;
    e.n = 1;
    e.bytes[0] = kind;
    return e;
}

static void add_options(struct digest_sum *s, const struct kvr_options *o) {
    struct digest_piece e = piece('o');
    put_bytes(&e, kvr_policies[o->rule.policy].name, strlen(kvr_policies[o->rule.policy].name));
    put_number(&e, o->block_size);
    put_double(&e, o->rule.overlap);
    put_double(&e, o->rule.prefill);
    put_double(&e, o->rule.requests);
    put_double(&e, o->rule.temperature);
    put_double(&e, o->host);
    put_double(&e, o->disk);
    put_number(&e, (uint64_t)o->lease);
    put_number(&e, (uint64_t)o->worker_ttl);
    put_number(&e, (uint64_t)o->worker_grace);
    put_number(&e, (uint64_t)o->predict);
    add(s, e.bytes, e.n);
    // Options that came later count only if they are set: servers of two versions agree until then.
    struct kvr_options usual;
    kvr_options_default(&usual);
    if (o->failures == usual.failures && o->open_time == usual.open_time) return;
    e = piece('c');
    put_number(&e, o->failures);
    put_number(&e, (uint64_t)o->open_time);
    add(s, e.bytes, e.n);
}

static void add_newer_options(struct digest_sum *s, const struct kvr_options *o) {
    struct kvr_options usual;
    kvr_options_default(&usual);
    if (o->session_ttl == usual.session_ttl && o->slo_ttft == usual.slo_ttft &&
        o->slo_tbt == usual.slo_tbt && o->stick == usual.stick)
        return;
    struct digest_piece e = piece('d');
    put_number(&e, (uint64_t)o->session_ttl);
    put_number(&e, (uint64_t)o->slo_ttft);
    put_number(&e, (uint64_t)o->slo_tbt);
    put_double(&e, o->stick);
    add(s, e.bytes, e.n);
}

static void add_worker(struct digest_sum *s, const struct kvr_pool *p,
                       const struct core_worker *w) {
    struct digest_piece e = piece('w');
    put_bytes(&e, w->name, w->name_len);
    put_bytes(&e, w->addr, w->addr_len);
    put_number(&e, w->capacity);
    put_number(&e, w->state);
    put_number(&e, (uint64_t)w->ttl);
    put_number(&e, w->ranks);
    add(s, e.bytes, e.n);
    if (w->failures) {
        e = piece('f');
        put_bytes(&e, w->name, w->name_len);
        put_number(&e, w->failures);
        put_number(&e, w->open_until != 0);
        add(s, e.bytes, e.n);
    }
    if (w->speed > 0) {
        e = piece('v');
        put_bytes(&e, w->name, w->name_len);
        put_double(&e, w->speed);
        add(s, e.bytes, e.n);
    }
    for (uint32_t i = 0; i < w->n_labels; i++) {
        e = piece('l');
        put_bytes(&e, w->name, w->name_len);
        put_bytes(&e, w->labels[i].bytes, w->labels[i].n);
        add(s, e.bytes, e.n);
    }
    for (uint32_t r = 0; r < w->ranks; r++) {
        const struct core_instance *in = &p->instances[w->instances[r]];
        e = piece('i');
        put_bytes(&e, w->name, w->name_len);
        put_number(&e, r);
        put_number(&e, in->epoch);
        put_number(&e, in->seq);
        add(s, e.bytes, e.n);
    }
}

// Who a slot is to the outside: worker, rank and tier.
static uint64_t holder_of(const struct kvr_pool *p, uint32_t slot) {
    const struct core_instance *in = &p->instances[p->tree.instance_of[slot]];
    struct digest_piece e = piece('h');
    put_bytes(&e, in->worker->name, in->worker->name_len);
    put_number(&e, in->rank);
    put_number(&e, p->tree.slots[slot].tier);
    return XXH3_64bits_withSeed(e.bytes, e.n, 3);
}

static void add_holdings(struct digest_sum *s, const struct kvr_pool *p) {
    const struct core_tree *t = &p->tree;
    for (uint32_t id = 1; id < t->n_runs; id++) {
        const struct core_run *r = core_tree_run(t, id);
        if (r->parent == CORE_RUN_FREE) continue;
        for (uint32_t i = 0; i < r->n; i++) {
            uint32_t entry = core_run_entries(r)[i];
            if (t->instance_of[core_entry_slot(entry)] == CORE_NO_INSTANCE) continue;
            uint64_t holding[2] = {holder_of(p, core_entry_slot(entry))};
            for (uint32_t b = 0; b < core_entry_depth(entry); b++) {
                holding[1] = r->hashes[b];
                add(s, holding, sizeof holding);
            }
        }
    }
}

// The blocks of a request, by the path of nodes that they are; how it is cut into nodes doesn't show.
static uint64_t blocks_of(const struct core_request *r) {
    uint64_t sum = 0, at = r->blocks;
    for (const struct core_live_node *n = r->end; n; n = n->parent) {
        at -= n->len;
        for (uint32_t i = 0; i < n->len; i++) {
            uint64_t block[2] = {at + i, n->hashes[i]};
            sum += XXH3_64bits_withSeed(block, sizeof block, 4);
        }
    }
    return sum;
}

static void add_request(struct digest_sum *s, const struct kvr_pool *p,
                        const struct core_request *r) {
    const struct core_instance *in = &p->instances[r->instance];
    struct digest_piece e = piece('r');
    put_bytes(&e, r->id, r->id_len);
    put_bytes(&e, in->worker->name, in->worker->name_len);
    put_number(&e, in->rank);
    put_number(&e, (uint64_t)r->isl);
    put_number(&e, (uint64_t)r->osl);
    put_number(&e, (uint64_t)r->cached);
    put_number(&e, (uint64_t)r->output);
    put_number(&e, (uint64_t)r->lease);
    put_number(&e, r->prefilled);
    put_number(&e, r->blocks);
    put_number(&e, blocks_of(r));
    if (r->session) put_bytes(&e, r->session->name, r->session->name_len);
    add(s, e.bytes, e.n);
}

static void add_session(struct digest_sum *s, const struct kvr_pool *p,
                        const struct core_session *session) {
    if (!core_session_valid(p, session)) return;
    const struct core_instance *in = &p->instances[session->instance];
    struct digest_piece e = piece('s');
    put_bytes(&e, session->name, session->name_len);
    put_bytes(&e, in->worker->name, in->worker->name_len);
    put_number(&e, in->rank);
    add(s, e.bytes, e.n);
}

static void finish(const struct digest_sum *s, uint8_t out[KVR_DIGEST_BYTES]) {
    memcpy(out, &s->low, 8);
    memcpy(out + 8, &s->high, 8);
    memcpy(out + 16, &s->third, 4);
}

void kvr_pool_digest(const struct kvr_pool *p, uint8_t out[KVR_DIGEST_BYTES]) {
    struct digest_sum s = {0};
    add_options(&s, &p->options);
    add_newer_options(&s, &p->options);
    for (size_t i = 0; i < p->n_workers; i++)
        add_worker(&s, p, p->workers[i]);
    add_holdings(&s, p);
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, b); i; i = i->next)
            add_request(&s, p, (const struct core_request *)i);
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, b); i; i = i->next)
            add_session(&s, p, (const struct core_session *)i);
    finish(&s, out);
}

// ---- What is learnt ------------------------------------------------------------------------------

static void add_learnt_instance(struct digest_sum *s, const struct core_instance *in) {
    double numbers[CORE_LEARNT_INSTANCE_NUMBERS];
    core_learnt_instance_numbers(&in->learnt, numbers);
    struct digest_piece e = piece('i');
    put_bytes(&e, in->worker->name, in->worker->name_len);
    put_number(&e, in->rank);
    for (size_t i = 0; i < CORE_LEARNT_INSTANCE_NUMBERS; i++)
        put_double(&e, numbers[i]);
    add(s, e.bytes, e.n);
}

// What a live request is going to teach.
static void add_learnt_request(struct digest_sum *s, const struct core_request *r) {
    struct digest_piece e = piece('r');
    put_bytes(&e, r->id, r->id_len);
    put_number(&e, (uint64_t)r->ahead);
    put_number(&e, r->number);
    put_number(&e, (uint64_t)r->created);
    put_number(&e, (uint64_t)r->prefilled_at);
    put_double(&e, r->ttft);
    put_double(&e, r->tpot);
    put_double(&e, r->kind.requests);
    put_double(&e, r->kind.wait);
    put_double(&e, r->kind.waiting);
    add(s, e.bytes, e.n);
}

void kvr_pool_digest_learnt(const struct kvr_pool *p, uint8_t out[KVR_DIGEST_BYTES]) {
    struct digest_sum s = {0};
    double numbers[CORE_LEARNT_NUMBERS];
    core_learnt_numbers(&p->learnt, numbers);
    struct digest_piece e = piece('p');
    for (size_t i = 0; i < CORE_LEARNT_NUMBERS; i++)
        put_double(&e, numbers[i]);
    put_number(&e, p->bookings);
    add(&s, e.bytes, e.n);
    for (uint32_t i = 0; i < p->n_instances; i++)
        if (p->instances[i].worker) add_learnt_instance(&s, &p->instances[i]);
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, b); i; i = i->next)
            add_learnt_request(&s, (const struct core_request *)i);
    finish(&s, out);
}
