// SPDX-License-Identifier: Apache-2.0
// The digest: a sum of one hash for each piece of logical state. A sum doesn't depend on the order in
// which the pieces are met, so two copies agree however each was built. Absolute times are left out:
// they are renewed at a reload and a promotion.
#include <kvroute/hash.h>
#include <string.h>

#include "module/core/rule/policy.h"
#include "module/core/state/flow.h"
#include "module/core/state/instance.h"
#include "module/core/state/leg.h"
#include "module/core/state/service_class.h"
#include "module/core/state/session.h"
#include "module/core/tree/holdings_sum.h"

static void add(struct core_sum *s, const void *bytes, size_t n) {
    core_sum_add(s, bytes, n, 1);
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

static void add_options(struct core_sum *s, const struct kvr_options *o) {
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

static void add_newer_options(struct core_sum *s, const struct kvr_options *o) {
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

static void add_limits(struct core_sum *s, const struct kvr_options *o) {
    struct kvr_options usual;
    kvr_options_default(&usual);
    if (!o->max_requests && !o->max_prefill && !o->max_blocks &&
        o->max_waiting == usual.max_waiting && o->accept == usual.accept)
        return;
    struct digest_piece e = piece('m');
    put_number(&e, o->max_requests);
    put_number(&e, o->max_prefill);
    put_number(&e, o->max_blocks);
    put_number(&e, o->max_waiting);
    put_number(&e, (uint64_t)o->accept);
    add(s, e.bytes, e.n);
}

static void add_pair_options(struct core_sum *s, const struct kvr_options *o) {
    struct kvr_options usual;
    kvr_options_default(&usual);
    if (o->transfer == usual.transfer && o->local_prefill == usual.local_prefill) return;
    struct digest_piece e = piece('b');
    put_double(&e, o->transfer);
    put_number(&e, o->local_prefill);
    add(s, e.bytes, e.n);
}

static void add_worker(struct core_sum *s, const struct kvr_pool *p, const struct core_worker *w) {
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
    if (w->drain_until) {
        e = piece('u');
        put_bytes(&e, w->name, w->name_len);
        add(s, e.bytes, e.n);
    }
    if (w->role) {
        e = piece('p');
        put_bytes(&e, w->name, w->name_len);
        put_number(&e, w->role);
        add(s, e.bytes, e.n);
    }
    if (w->max_requests) {
        e = piece('n');
        put_bytes(&e, w->name, w->name_len);
        put_number(&e, w->max_requests);
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

static void add_request(struct core_sum *s, const struct kvr_pool *p,
                        const struct core_request *r) {
    if (!core_request_live(p, r)) return;
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
    put_number(&e, r->summed ? r->blocks_sum : core_live_path_sum(r->end, r->blocks));
    if (r->session) put_bytes(&e, r->session->name, r->session->name_len);
    add(s, e.bytes, e.n);
    if (r->leg) {
        e = piece('g');
        put_bytes(&e, r->id, r->id_len);
        put_bytes(&e, r->leg->name, r->leg->name_len);
        put_number(&e, r->leg->rank);
        put_number(&e, core_leg_live(p, r));
        put_number(&e, core_leg_live(p, r) ? (uint64_t)r->leg->tokens : 0);
        add(s, e.bytes, e.n);
    }
    bool queued = r->flow || r->service_class != p->queue.default_class || r->uncalled;
    if (!queued) return;
    e = piece('q');
    put_bytes(&e, r->id, r->id_len);
    put_bytes(&e, r->service_class->name, r->service_class->name_len);
    put_bytes(&e, core_flow_name(r->flow).p, core_flow_name(r->flow).n);
    put_number(&e, r->uncalled);
    put_number(&e, (uint64_t)r->own_lease);
    add(s, e.bytes, e.n);
}

// ---- The queue -----------------------------------------------------------------------------------

static void add_class(struct core_sum *s, const struct core_class *c) {
    bool usual = !c->priority && c->weight == 1 && !c->max_waiting && c->room == 100 &&
                 c->tag == 0 && c->v == 0;
    if (!c->registered || (usual && c->name_len == 7 && !memcmp(c->name, "default", 7))) return;
    struct digest_piece e = piece('k');
    put_bytes(&e, c->name, c->name_len);
    put_number(&e, (uint64_t)(int64_t)c->priority);
    put_double(&e, c->weight);
    put_number(&e, c->max_waiting);
    put_number(&e, c->room);
    put_double(&e, c->tag);
    put_double(&e, c->v);
    add(s, e.bytes, e.n);
}

static void add_line(struct core_sum *s, const struct core_line *l) {
    struct digest_piece e = piece('t');
    put_bytes(&e, l->service_class->name, l->service_class->name_len);
    put_number(&e, l->flow != NULL);
    put_bytes(&e, core_flow_name(l->flow).p, core_flow_name(l->flow).n);
    put_double(&e, l->tag);
    put_number(&e, l->n);
    add(s, e.bytes, e.n);
}

static void add_flow(struct core_sum *s, const struct core_flow *f) {
    for (const struct core_line *l = f->lines; l; l = l->next)
        add_line(s, l);
    if (!f->registered) return;
    struct digest_piece e = piece('x');
    put_bytes(&e, f->name, f->name_len);
    put_double(&e, f->weight);
    put_number(&e, f->max_requests);
    put_number(&e, (uint64_t)f->rate);
    put_number(&e, (uint64_t)f->burst);
    put_number(&e, (uint64_t)f->left);
    add(s, e.bytes, e.n);
}

static uint64_t names_of(const struct kvr_bytes *names, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++)
        hash = XXH3_64bits_withSeed(names[i].p, names[i].n, hash);
    return hash;
}

static void add_waiting(struct core_sum *s, const struct core_waiting *w) {
    const struct kvr_query *q = &w->query;
    struct digest_piece e = piece('z');
    put_bytes(&e, w->id, w->id_len);
    put_number(&e, w->number);
    put_number(&e, (uint64_t)q->wait);
    put_number(&e, (uint64_t)w->lease);
    put_number(&e, (uint64_t)q->isl);
    put_number(&e, (uint64_t)q->osl);
    put_bytes(&e, q->service_class.p, q->service_class.n);
    put_bytes(&e, q->flow.p, q->flow.n);
    put_bytes(&e, q->session.p, q->session.n);
    put_bytes(&e, q->notify.p, q->notify.n);
    put_number(&e, (uint64_t)q->rule.policy);
    put_double(&e, q->rule.overlap);
    put_double(&e, q->rule.prefill);
    put_double(&e, q->rule.requests);
    put_double(&e, q->rule.temperature);
    put_number(&e, q->has_among);
    put_number(&e, q->pair);
    put_number(&e, names_of(q->among, q->n_among));
    put_number(&e, names_of(q->exclude, q->n_exclude));
    put_number(&e, names_of(q->with, q->n_with));
    put_number(&e, names_of(q->without, q->n_without));
    put_number(&e, q->n);
    put_number(&e, XXH3_64bits_withSeed(q->hashes, q->n * sizeof *q->hashes, 5));
    add(s, e.bytes, e.n);
}

static void add_queue(struct core_sum *s, const struct core_queue *q) {
    for (size_t i = 0; i < q->n_classes; i++) {
        add_class(s, q->classes[i]);
        if (q->classes[i]->default_line) add_line(s, q->classes[i]->default_line);
    }
    for (size_t i = 0; i < CORE_LEVELS; i++) {
        if (!q->levels[i].waiting) continue;
        struct digest_piece e = piece('y');
        put_number(&e, i);
        put_double(&e, q->levels[i].v);
        add(s, e.bytes, e.n);
    }
    for (size_t b = 0; b < q->flows.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&q->flows, b); i; i = i->next)
            add_flow(s, (const struct core_flow *)i);
    for (size_t b = 0; b < q->ids.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&q->ids, b); i; i = i->next)
            add_waiting(s, (const struct core_waiting *)i);
}

static void add_session(struct core_sum *s, const struct kvr_pool *p,
                        const struct core_session *session) {
    if (!core_session_valid(p, session)) return;
    const struct core_instance *in = &p->instances[session->instance];
    struct digest_piece e = piece('s');
    put_bytes(&e, session->name, session->name_len);
    put_bytes(&e, in->worker->name, in->worker->name_len);
    put_number(&e, in->rank);
    add(s, e.bytes, e.n);
}

static void finish(const struct core_sum *s, uint8_t out[KVR_DIGEST_BYTES]) {
    memcpy(out, &s->low, 8);
    memcpy(out + 8, &s->high, 8);
    memcpy(out + 16, &s->third, 4);
}

// What isn't holdings.
static void add_rest(struct core_sum *s, const struct kvr_pool *p) {
    add_options(s, &p->options);
    add_newer_options(s, &p->options);
    add_limits(s, &p->options);
    add_pair_options(s, &p->options);
    add_queue(s, &p->queue);
    for (size_t i = 0; i < p->n_workers; i++)
        add_worker(s, p, p->workers[i]);
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, b); i; i = i->next)
            add_request(s, p, (const struct core_request *)i);
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, b); i; i = i->next)
            add_session(s, p, (const struct core_session *)i);
}

void kvr_pool_digest(const struct kvr_pool *p, uint8_t out[KVR_DIGEST_BYTES]) {
    struct core_sum s = {0};
    core_tree_sum(&p->tree, &s);
    add_rest(&s, p);
    finish(&s, out);
}

// ---- In slices -----------------------------------------------------------------------------------
// The blocks of requests first: what each has is kept with it, so those that come meanwhile are all that is left
// for the end. Then the holdings, run by run. Then the rest at once.

void kvr_digest_begin(struct kvr_pool *p) {
    p->digest_bucket = 0;
    core_tree_scan_begin(&p->tree);
}

bool kvr_digest_step(struct kvr_pool *p, size_t max, uint8_t out[KVR_DIGEST_BYTES]) {
    size_t n = 0;
    for (; n < max && p->digest_bucket < p->requests.n_buckets; p->digest_bucket++, n++) {
        struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, p->digest_bucket);
        for (; i; i = i->next) {
            struct core_request *r = (struct core_request *)i;
            if (r->summed) continue;
            r->blocks_sum = core_live_path_sum(r->end, r->blocks);
            r->summed = true;
            n += r->blocks;
        }
    }
    if (n >= max || !core_tree_scan_step(&p->tree, max - n)) return false;
    struct core_sum s = {0};
    core_tree_scan_end(&p->tree, &s);
    add_rest(&s, p);
    finish(&s, out);
    return true;
}

// ---- What is learnt ------------------------------------------------------------------------------

static void add_learnt_instance(struct core_sum *s, const struct core_instance *in) {
    double numbers[CORE_LEARNT_INSTANCE_NUMBERS];
    core_learnt_instance_numbers(&in->learnt, numbers);
    struct digest_piece e = piece('i');
    put_bytes(&e, in->worker->name, in->worker->name_len);
    put_number(&e, in->rank);
    for (size_t i = 0; i < CORE_LEARNT_INSTANCE_NUMBERS; i++)
        put_double(&e, numbers[i]);
    if (in->busy_since) put_number(&e, (uint64_t)in->busy_since);
    add(s, e.bytes, e.n);
}

// What a live request is going to teach.
static void add_learnt_request(struct core_sum *s, const struct kvr_pool *p,
                               const struct core_request *r) {
    if (!core_request_live(p, r)) return;
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
    struct core_sum s = {0};
    double numbers[CORE_LEARNT_NUMBERS];
    core_learnt_numbers(&p->learnt, numbers);
    struct digest_piece e = piece('p');
    for (size_t i = 0; i < CORE_LEARNT_NUMBERS; i++)
        put_double(&e, numbers[i]);
    put_number(&e, p->bookings);
    if (p->room.den > 0) { // came later, see add_options
        put_double(&e, p->room.num);
        put_double(&e, p->room.den);
    }
    add(&s, e.bytes, e.n);
    for (uint32_t i = 0; i < p->n_instances; i++)
        if (p->instances[i].worker) add_learnt_instance(&s, &p->instances[i]);
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, b); i; i = i->next)
            add_learnt_request(&s, p, (const struct core_request *)i);
    finish(&s, out);
}
