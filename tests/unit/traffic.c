// SPDX-License-Identifier: Apache-2.0
// The prefixes, and all operations but events; see traffic.h.
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Where decisions come from -------------------------------------------------------------------

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t source_bytes(struct source *s, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n && s->left; i++, s->left--)
        x = x << 8 | *s->bytes++;
    return x;
}

uint64_t source_next(struct source *s) {
    if (s->bytes) return mix(source_bytes(s, 2) + 1);
    s->state += 0x9e3779b97f4a7c15u;
    return mix(s->state);
}

uint32_t source_below(struct source *s, uint32_t n) {
    uint64_t x = s->bytes ? source_bytes(s, n <= 256 ? 1 : 2) : source_next(s) >> 16;
    return (uint32_t)(x % n);
}

bool source_chance(struct source *s, unsigned percent) {
    return source_below(s, 100) < percent;
}

bool source_dry(const struct source *s) {
    return s->bytes && !s->left;
}

// ---- The tree of prefixes ------------------------------------------------------------------------

static const uint64_t special_hashes[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, (uint64_t)1 << 63};

static void plant(struct traffic *t) {
    const struct profile *f = t->profile;
    // The shape is the generator's even under a fuzzer: its bytes are for what is done.
    struct source shape = {t->source.bytes ? 7 : source_next(&t->source), NULL, 0};
    t->nodes = must_alloc(f->nodes * sizeof *t->nodes);
    for (unsigned i = 0; i < f->nodes; i++) {
        struct node *n = &t->nodes[i];
        n->hash = source_next(&shape);
        n->parent = (int)i - 1;
        if (i && !source_chance(&shape, f->straight))
            n->parent = source_chance(&shape, 15) ? -1 : (int)source_below(&shape, i);
        n->depth = n->parent < 0 ? 1 : t->nodes[n->parent].depth + 1;
    }
    for (size_t i = 0; i < sizeof special_hashes / sizeof *special_hashes; i++)
        t->nodes[(i * 7 + 1) % f->nodes].hash = special_hashes[i];
}

size_t traffic_path(const struct traffic *t, int node, uint64_t *to) {
    unsigned n = t->nodes[node].depth;
    for (unsigned i = n; i-- > 0; node = t->nodes[node].parent)
        to[i] = t->nodes[node].hash;
    return n;
}

// ---- Pools and workers ---------------------------------------------------------------------------

static double weight(struct traffic *t) {
    static const double even[] = {0, 0.25, 0.5, 1, 2, 4}, odd[] = {0, 0.1, 0.3, 1, 1.7, 3.3};
    return (t->profile->odd_weights ? odd : even)[source_below(&t->source, 6)];
}

static void draw_rule(struct traffic *t, struct kvr_rule *r) {
    r->policy = source_chance(&t->source, 50) ? 1 : 0;
    r->overlap = weight(t);
    r->prefill = weight(t);
    r->requests = weight(t);
    r->temperature = source_chance(&t->source, 10) ? 0.5 : 0;
}

static void draw_options(struct traffic *t, struct kvr_options *o) {
    struct source *s = &t->source;
    if (source_chance(s, 50)) draw_rule(t, &o->rule);
    o->host = source_chance(s, 50) ? 0.75 : 0.5;
    o->disk = source_chance(s, 50) ? 0.25 : 0;
    o->lease = source_chance(s, 70) ? 1 + source_below(s, 3000) : 0;
    o->worker_ttl = source_chance(s, 40) ? 1 + source_below(s, 5000) : 0;
    o->worker_grace = source_chance(s, 60) ? 1 + source_below(s, 5000) : 0;
    o->failures = source_below(s, 4);
    o->open_time = 1 + source_below(s, 3000);
    o->session_ttl = source_chance(s, 90) ? source_below(s, 4000) : 0;
    o->slo_ttft = 1 << source_below(s, 12);
    o->slo_tbt = 1 << source_below(s, 8);
    o->stick = source_chance(s, 50) ? 16 << source_below(s, 8) : 0;
    o->predict = source_chance(s, t->profile->predict) ? 1 + source_below(s, 2000) : 0;
}

// Names that try the order: prefixes of one another, and bytes that text doesn't have.
static struct kvr_bytes name_of(unsigned k, char *room) {
    if (k % 7 == 3)
        return (struct kvr_bytes){memset(room, 'x', KVR_MAX_NAME), 1 + k % KVR_MAX_NAME};
    int n = snprintf(room, KVR_MAX_NAME, "w%u", k);
    if (k % 5 == 2) room[n++] = '\0';
    if (k % 11 == 4) room[0] = (char)0xff;
    return (struct kvr_bytes){room, (size_t)n};
}

struct kvr_bytes traffic_worker(struct traffic *t, char *room) {
    return name_of(source_below(&t->source, t->profile->workers), room);
}

static void register_all(struct traffic *t) {
    struct kvr_worker_set w = {.set = KVR_SET_RANKS, .ranks = t->profile->ranks};
    char room[KVR_MAX_NAME];
    for (unsigned k = 0; k < t->profile->workers; k++)
        pair_worker_set(t->pair, name_of(k, room), &w);
}

// Few, so that they meet; one as long as may be, and one that is the start of another.
static struct kvr_bytes draw_label(struct traffic *t) {
    static const char longest[KVR_MAX_LABEL] = "zone=";
    static const struct kvr_bytes labels[] = {{"gpu=a", 5},  {"gpu=b", 5},
                                              {"gpu", 3},    {"\0\xff", 2},
                                              {"tier=1", 6}, {longest, KVR_MAX_LABEL}};
    return labels[source_below(&t->source, sizeof labels / sizeof *labels)];
}

static struct kvr_bytes draw_session(struct traffic *t) {
    static const char longest[KVR_MAX_ID] = "s";
    static const struct kvr_bytes sessions[] = {{"s", 1},      {"s1", 2}, {"a chat", 6},
                                                {"\0", 1},     {"w0", 2}, {longest, KVR_MAX_ID},
                                                {"another", 7}};
    if (source_chance(&t->source, 60)) return (struct kvr_bytes){"", 0};
    return sessions[source_below(&t->source, sizeof sessions / sizeof *sessions)];
}

static void worker_op(struct traffic *t) {
    struct source *s = &t->source;
    char room[KVR_MAX_NAME], addr[KVR_MAX_ADDR];
    struct kvr_bytes name = traffic_worker(t, room);
    if (source_chance(s, 30)) {
        pair_report(t->pair, name, source_chance(s, 30));
        return;
    }
    if (source_chance(s, 15)) {
        pair_worker_del(t->pair, name);
        return;
    }
    struct kvr_worker_set w = {0};
    w.set = source_below(s, 128);
    if (source_chance(s, 40)) w.set = 0;
    memset(addr, 'a' + (int)source_below(s, 26), sizeof addr);
    w.addr = (struct kvr_bytes){addr, source_below(s, 20)};
    if (source_chance(s, 2)) w.addr.n = KVR_MAX_ADDR;
    w.ranks = 1 + source_below(s, t->profile->ranks);
    w.capacity = source_chance(s, 50) ? source_below(s, t->profile->capacity + 1) : 0;
    w.state = source_chance(s, 15) ? KVR_DRAINING : KVR_READY;
    w.ttl = source_chance(s, 50) ? source_below(s, 5000) : 0;
    w.speed = source_chance(s, 50) ? (double)(1 << source_below(s, 6)) / 4 : 0;
    struct kvr_bytes labels[KVR_MAX_LABELS + 1];
    w.labels = labels;
    w.n_labels = source_below(s, 4);
    if (source_chance(s, 2)) w.n_labels = KVR_MAX_LABELS + source_below(s, 2);
    for (size_t i = 0; i < w.n_labels; i++)
        labels[i] = draw_label(t);
    if (source_chance(s, 1)) w.speed = -1;
    if (source_chance(s, 2)) w.ranks = source_chance(s, 50) ? 0 : KVR_MAX_RANKS + 1;
    pair_worker_set(t->pair, name, &w);
}

void traffic_init(struct traffic *t, const struct profile *profile, struct source source,
                  struct pair *pair, const char *label) {
    *t = (struct traffic){.profile = profile, .source = source, .pair = pair};
    plant(t);
    for (unsigned i = 0; i < profile->nodes; i++)
        if (t->nodes[i].depth > t->room) t->room = t->nodes[i].depth;
    // Moved prefixes can make paths longer than any is now.
    t->room = t->room * 4 + profile->nodes + 64;
    t->path = must_alloc(t->room * sizeof *t->path);
    t->spare = must_alloc(t->room * sizeof *t->spare);
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = (uint32_t)1 << source_below(&t->source, 6);
    draw_options(t, &o);
    pair_init(pair, &o, label);
    pair->exact = !profile->odd_weights;
    if (profile->registered) register_all(t);
}

void traffic_free(struct traffic *t) {
    free(t->nodes);
    free(t->path);
    free(t->spare);
    pair_free(t->pair);
}

// ---- Requests ------------------------------------------------------------------------------------

static struct kvr_bytes draw_id(struct traffic *t, char *room) {
    unsigned k = source_below(&t->source, t->profile->requests);
    int n = snprintf(room, KVR_MAX_ID, "r%u", k);
    if (k % 9 == 4) {
        memset(room + n, 0, KVR_MAX_ID - (size_t)n);
        n = KVR_MAX_ID;
    }
    return (struct kvr_bytes){room, (size_t)n};
}

// -1, which means "not given", in so many percent.
static int64_t draw_optional(struct source *s, unsigned absent, uint32_t n) {
    if (source_chance(s, absent)) return -1;
    return source_below(s, n);
}

// A prefix of the tree, sometimes with an end that nobody has ever seen.
static size_t draw_blocks(struct traffic *t, uint64_t *to) {
    struct source *s = &t->source;
    size_t n = traffic_path(t, (int)source_below(s, t->profile->nodes), to);
    if (source_chance(s, 30)) n = source_below(s, (uint32_t)n + 1);
    if (source_chance(s, 30) && n + 20 < t->room)
        for (uint32_t more = source_below(s, 20); more; more--) {
            // Unseen, and yet with one parent: the hash is made from the prefix it follows.
            uint64_t salt = 0x77a1 + source_below(s, 4);
            to[n] = mix((n ? mix(to[n - 1]) : 0x57a27) + salt);
            n++;
        }
    return n;
}

struct draw {
    struct kvr_query q;
    struct kvr_bytes lists[8], labels[4];
    char names[8][KVR_MAX_NAME];
};

static void draw_query(struct traffic *t, struct draw *d) {
    struct source *s = &t->source;
    memset(d, 0, sizeof *d);
    d->q.hashes = t->path;
    d->q.n = draw_blocks(t, t->path);
    d->q.isl = draw_optional(s, 60, 5000);
    d->q.rule = kvr_pool_options(t->pair->pool)->rule;
    if (source_chance(s, 30)) draw_rule(t, &d->q.rule);
    for (int i = 0; i < 8; i++)
        d->lists[i] = traffic_worker(t, d->names[i]);
    d->q.has_among = source_chance(s, 15);
    d->q.among = d->lists;
    d->q.n_among = d->q.has_among ? source_below(s, 5) : 0;
    d->q.exclude = d->lists + 4;
    d->q.n_exclude = source_chance(s, 15) ? source_below(s, 5) : 0;
    for (int i = 0; i < 4; i++)
        d->labels[i] = draw_label(t);
    d->q.with = d->labels;
    d->q.n_with = source_chance(s, 15) ? source_below(s, 3) : 0;
    d->q.without = d->labels + 2;
    d->q.n_without = source_chance(s, 15) ? source_below(s, 3) : 0;
    d->q.osl = source_chance(s, 50) ? source_below(s, 1000) : 0;
    d->q.session = draw_session(t);
}

static void claim_op(struct traffic *t) {
    struct source *s = &t->source;
    char id_room[KVR_MAX_ID], name_room[KVR_MAX_NAME];
    struct kvr_bytes id = draw_id(t, id_room), worker = traffic_worker(t, name_room);
    struct pair *p = t->pair;
    struct kvr_booking b = {.hashes = t->path, .n = draw_blocks(t, t->path)};
    b.isl = draw_optional(s, 50, 5000);
    int64_t isl = b.isl < 0 ? (int64_t)b.n * p->model.options.block_size : b.isl;
    b.cached = source_below(s, (uint32_t)isl + 1);
    if (source_chance(s, 2)) b.cached = isl + 1;
    b.osl = source_below(s, 1000);
    b.output = source_chance(s, 50) ? source_below(s, 1000) : 0;
    b.prefilled = source_chance(s, 30);
    b.lease = draw_optional(s, 50, 3000);
    b.created = p->now - source_below(s, 1000);
    b.renewed = b.created + source_below(s, 1000);
    b.predict_until = p->model.options.predict ? p->now + p->model.options.predict : 0;
    if (source_chance(s, 20)) {
        b.overlap = source_below(s, (uint32_t)b.n + 1);
        b.cost = weight(t);
        b.expected = source_chance(s, 50) ? b.overlap + source_below(s, 3) : 0;
    }
    b.session = draw_session(t);
    pair_claim(p, id, worker, source_below(s, t->profile->ranks), &b);
}

static void request_op(struct traffic *t) {
    struct source *s = &t->source;
    char rooms[4][KVR_MAX_ID];
    struct kvr_bytes ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = draw_id(t, rooms[i]);
    struct kvr_bytes sessions[3];
    switch (source_below(s, 16)) {
    case 0 ... 3:
        claim_op(t);
        break;
    case 4 ... 7:
        pair_release_as(t->pair, ids, source_below(s, 5),
                        (enum kvr_end)(source_chance(s, 30) ? source_below(s, 3) : KVR_RELEASED));
        break;
    case 8:
        for (int i = 0; i < 3; i++)
            sessions[i] = draw_session(t);
        pair_session_del(t->pair, sessions, source_below(s, 4));
        break;
    default: {
        bool prefilled = source_chance(s, 40);
        int64_t output = draw_optional(s, 50, 2000);
        int64_t lease = draw_optional(s, 70, 3000);
        pair_update(t->pair, ids[0], prefilled, output, lease);
    }
    }
}

static void choose_op(struct traffic *t) {
    struct source *s = &t->source;
    struct draw d;
    draw_query(t, &d);
    if (source_chance(s, 25)) {
        pair_scores(t->pair, &d.q);
        return;
    }
    char room[KVR_MAX_ID];
    struct kvr_bytes id = draw_id(t, room);
    int64_t lease = draw_optional(s, 70, 3000);
    double random = source_below(s, 1 << 16) / 65536.0;
    pair_select(t->pair, id, &d.q, lease, random);
}

// ---- The rest ------------------------------------------------------------------------------------

// What a primary does when time has passed.
static void time_op(struct traffic *t) {
    struct source *s = &t->source;
    struct pair *p = t->pair;
    p->now += source_below(s, 1000);
    pair_check_due(p);
    if (source_chance(s, 5)) pair_renew_all(p);
    if (source_chance(s, 50)) pair_forget(p, source_chance(s, 50) ? 3 : 1000000);
    struct kvr_bytes id, name;
    // Released by a copy: the bytes are the pool's own.
    for (int i = 0; i < 3 && kvr_due_request(p->pool, p->now, &id); i++) {
        char room[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(room, id.p, id.n), id.n};
        pair_release_as(p, &copy, 1, KVR_LAPSED);
    }
    for (int i = 0; i < 3 && kvr_due_session(p->pool, p->now, &id); i++) {
        char room[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(room, id.p, id.n), id.n};
        pair_session_del(p, &copy, 1);
    }
    if (source_chance(s, 50) && kvr_due_worker(p->pool, p->now, &name)) {
        char room[KVR_MAX_NAME];
        pair_worker_del(p, (struct kvr_bytes){memcpy(room, name.p, name.n), name.n});
    }
    pair_check_due(p);
}

static void rare_op(struct traffic *t) {
    struct source *s = &t->source;
    struct kvr_options o = *kvr_pool_options(t->pair->pool);
    switch (source_below(s, 4)) {
    case 0:
        draw_options(t, &o);
        if (source_chance(s, 10)) o.host = 1.5;
        if (source_chance(s, 10)) o.block_size++;
        pair_alter(t->pair, &o);
        break;
    default:
        time_op(t);
    }
}

void traffic_step(struct traffic *t) {
    const struct profile *f = t->profile;
    struct source *s = &t->source;
    unsigned total = f->events + f->selects + f->requests_ops + f->workers_ops + 20;
    unsigned k = source_below(s, total);
    bool few = t->pair->model.n_workers * 2 < f->workers && source_chance(s, 50);
    if (few || !t->pair->model.n_workers || k < f->workers_ops)
        worker_op(t);
    else if ((k -= f->workers_ops) < f->events)
        traffic_event(t);
    else if ((k -= f->events) < f->selects)
        choose_op(t);
    else if ((k -= f->selects) < f->requests_ops)
        request_op(t);
    else
        rare_op(t);
    if (source_chance(s, 20)) pair_sweep(t->pair, 17 + source_below(s, 40));
    if (f->reloads && source_below(s, 1000) < f->reloads) pair_reload(t->pair);
    pair_check(t->pair);
}

void traffic_check(struct traffic *t) {
    pair_check_all(t->pair);
    if (source_chance(&t->source, 50)) pair_check_tree(t->pair);
    if (source_chance(&t->source, 30)) pair_check_rebuilt(t->pair, source_next(&t->source));
}
