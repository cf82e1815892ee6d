// SPDX-License-Identifier: Apache-2.0
// All operations but events; see unit_traffic.h.
#include "unit_traffic.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/random.h"

// ---- Pools and workers ---------------------------------------------------------------------------

static double weight(struct unit_traffic *t) {
    static const double even[] = {0, 0.25, 0.5, 1, 2, 4}, odd[] = {0, 0.1, 0.3, 1, 1.7, 3.3};
    return (t->profile->odd_weights ? odd : even)[unit_source_below(&t->source, 6)];
}

static void draw_rule(struct unit_traffic *t, struct kvr_rule *r) {
    r->policy = unit_source_chance(&t->source, 50) ? 1 : 0;
    r->overlap = weight(t);
    r->prefill = weight(t);
    r->requests = weight(t);
    r->temperature = unit_source_chance(&t->source, 10) ? 0.5 : 0;
}

static void draw_options(struct unit_traffic *t, struct kvr_options *o) {
    struct unit_source *s = &t->source;
    if (unit_source_chance(s, 50)) draw_rule(t, &o->rule);
    o->host = unit_source_chance(s, 50) ? 0.75 : 0.5;
    o->disk = unit_source_chance(s, 50) ? 0.25 : 0;
    o->lease = unit_source_chance(s, 70) ? 1 + unit_source_below(s, 3000) : 0;
    o->worker_ttl = unit_source_chance(s, 40) ? 1 + unit_source_below(s, 5000) : 0;
    o->worker_grace = unit_source_chance(s, 60) ? 1 + unit_source_below(s, 5000) : 0;
    o->failures = unit_source_below(s, 4);
    o->open_time = 1 + unit_source_below(s, 3000);
    o->session_ttl = unit_source_chance(s, 90) ? unit_source_below(s, 4000) : 0;
    o->slo_ttft = 1 << unit_source_below(s, 12);
    o->slo_tbt = 1 << unit_source_below(s, 8);
    o->stick = unit_source_chance(s, 50) ? 16 << unit_source_below(s, 8) : 0;
    o->predict = unit_source_chance(s, t->profile->predict) ? 1 + unit_source_below(s, 2000) : 0;
    unit_traffic_draw_limits(t, o);
    if (!t->profile->pairs) return;
    o->transfer = unit_source_chance(s, 70) ? (double)unit_source_below(s, 32) / 8 : 0.1;
    o->local_prefill = unit_source_chance(s, 50) ? 0 : unit_source_below(s, 300);
}

static void register_all(struct unit_traffic *t) {
    struct kvr_worker_settings w = {.set = KVR_SET_RANKS, .ranks = t->profile->ranks};
    char room[KVR_MAX_NAME];
    for (unsigned k = 0; k < t->profile->workers; k++)
        unit_pair_worker_set(t->pair, unit_traffic_name(k, room), &w);
}

// Few, so that they meet; one as long as may be, and one that is the start of another.
static struct kvr_bytes draw_label(struct unit_traffic *t) {
    static const char longest[KVR_MAX_LABEL] = "zone=";
    static const struct kvr_bytes labels[] = {{"gpu=a", 5},  {"gpu=b", 5},
                                              {"gpu", 3},    {"\0\xff", 2},
                                              {"tier=1", 6}, {longest, KVR_MAX_LABEL}};
    static const struct kvr_bytes links[] = {{"link=a", 6}, {"link=b", 6}, {"link=", 5}};
    if (t->profile->pairs && unit_source_chance(&t->source, 60))
        return links[unit_source_below(&t->source, sizeof links / sizeof *links)];
    return labels[unit_source_below(&t->source, sizeof labels / sizeof *labels)];
}

static struct kvr_bytes draw_session(struct unit_traffic *t) {
    static const char longest[KVR_MAX_ID] = "s";
    static const struct kvr_bytes sessions[] = {{"s", 1},      {"s1", 2}, {"a chat", 6},
                                                {"\0", 1},     {"w0", 2}, {longest, KVR_MAX_ID},
                                                {"another", 7}};
    if (unit_source_chance(&t->source, 60)) return (struct kvr_bytes){"", 0};
    return sessions[unit_source_below(&t->source, sizeof sessions / sizeof *sessions)];
}

static void worker_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    char room[KVR_MAX_NAME], addr[KVR_MAX_ADDR];
    struct kvr_bytes name = unit_traffic_worker(t, room);
    if (unit_source_chance(s, 30)) {
        unit_pair_report(t->pair, name, unit_source_chance(s, 30));
        return;
    }
    if (unit_source_chance(s, 15)) {
        unit_pair_worker_del(t->pair, name);
        return;
    }
    struct kvr_worker_settings w = {0};
    w.set = unit_source_below(s, t->profile->queue ? 256 : 128);
    if (t->profile->pairs) w.set |= unit_source_below(s, 4) * KVR_SET_ROLE;
    if (unit_source_chance(s, 40)) w.set = 0;
    memset(addr, 'a' + (int)unit_source_below(s, 26), sizeof addr);
    w.addr = (struct kvr_bytes){addr, unit_source_below(s, 20)};
    if (unit_source_chance(s, 2)) w.addr.n = KVR_MAX_ADDR;
    w.ranks = 1 + unit_source_below(s, t->profile->ranks);
    w.capacity = unit_source_chance(s, 50) ? unit_source_below(s, t->profile->capacity + 1) : 0;
    w.state = unit_source_chance(s, 15) ? KVR_DRAINING : KVR_READY;
    w.ttl = unit_source_chance(s, 50) ? unit_source_below(s, 5000) : 0;
    w.speed = unit_source_chance(s, 50) ? (double)(1 << unit_source_below(s, 6)) / 4 : 0;
    struct kvr_bytes labels[KVR_MAX_LABELS + 1];
    w.labels = labels;
    w.n_labels = unit_source_below(s, 4);
    if (unit_source_chance(s, 2)) w.n_labels = KVR_MAX_LABELS + unit_source_below(s, 2);
    for (size_t i = 0; i < w.n_labels; i++)
        labels[i] = draw_label(t);
    w.max_requests = t->profile->queue ? unit_source_below(s, 4) : 0;
    if (t->profile->pairs) {
        w.role = (enum kvr_role)unit_source_below(s, 3);
        w.drain = unit_source_below(s, 3000);
        if (unit_source_chance(s, 1)) w.drain = -1;
    }
    if (unit_source_chance(s, 1)) w.speed = -1;
    if (unit_source_chance(s, 2)) w.ranks = unit_source_chance(s, 50) ? 0 : KVR_MAX_RANKS + 1;
    unit_pair_worker_set(t->pair, name, &w);
}

void unit_traffic_init(struct unit_traffic *t, const struct unit_profile *profile,
                       struct unit_source source, struct unit_pair *pair, const char *label) {
    *t = (struct unit_traffic){.profile = profile, .source = source, .pair = pair};
    unit_traffic_plant(t);
    for (unsigned i = 0; i < profile->nodes; i++)
        if (t->nodes[i].depth > t->room) t->room = t->nodes[i].depth;
    // Moved prefixes can make paths longer than any is now.
    t->room = t->room * 4 + profile->nodes + 64;
    t->path = unit_must_alloc(t->room * sizeof *t->path);
    t->spare = unit_must_alloc(t->room * sizeof *t->spare);
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = (uint32_t)1 << unit_source_below(&t->source, 6);
    draw_options(t, &o);
    unit_pair_init(pair, &o, label);
    pair->exact = !profile->odd_weights;
    if (profile->registered) register_all(t);
}

void unit_traffic_free(struct unit_traffic *t) {
    free(t->nodes);
    free(t->path);
    free(t->spare);
    unit_pair_free(t->pair);
}

// ---- Requests ------------------------------------------------------------------------------------

// -1, which means "not given", in so many percent.
static int64_t draw_optional(struct unit_source *s, unsigned absent, uint32_t n) {
    if (unit_source_chance(s, absent)) return -1;
    return unit_source_below(s, n);
}

// A prefix of the tree, sometimes with an end that nobody has ever seen.
static size_t draw_blocks(struct unit_traffic *t, uint64_t *to) {
    struct unit_source *s = &t->source;
    size_t n = unit_traffic_path(t, (int)unit_source_below(s, t->profile->nodes), to);
    if (unit_source_chance(s, 30)) n = unit_source_below(s, (uint32_t)n + 1);
    if (unit_source_chance(s, 30) && n + 20 < t->room)
        for (uint32_t more = unit_source_below(s, 20); more; more--) {
            // Unseen, and yet with one parent: the hash is made from the prefix it follows.
            uint64_t salt = 0x77a1 + unit_source_below(s, 4);
            to[n] = kvr_random_mix((n ? kvr_random_mix(to[n - 1]) : 0x57a27) + salt);
            n++;
        }
    return n;
}

struct unit_draw {
    struct kvr_query q;
    struct kvr_bytes lists[8], labels[4];
    char names[8][KVR_MAX_NAME];
};

static void draw_query(struct unit_traffic *t, struct unit_draw *d) {
    struct unit_source *s = &t->source;
    memset(d, 0, sizeof *d);
    d->q.hashes = t->path;
    d->q.n = draw_blocks(t, t->path);
    d->q.isl = draw_optional(s, 60, 5000);
    d->q.rule = kvr_pool_options(t->pair->pool)->rule;
    if (unit_source_chance(s, 30)) draw_rule(t, &d->q.rule);
    for (int i = 0; i < 8; i++)
        d->lists[i] = unit_traffic_worker(t, d->names[i]);
    d->q.has_among = unit_source_chance(s, 15);
    d->q.among = d->lists;
    d->q.n_among = d->q.has_among ? unit_source_below(s, 5) : 0;
    d->q.exclude = d->lists + 4;
    d->q.n_exclude = unit_source_chance(s, 15) ? unit_source_below(s, 5) : 0;
    for (int i = 0; i < 4; i++)
        d->labels[i] = draw_label(t);
    d->q.with = d->labels;
    d->q.n_with = unit_source_chance(s, 15) ? unit_source_below(s, 3) : 0;
    d->q.without = d->labels + 2;
    d->q.n_without = unit_source_chance(s, 15) ? unit_source_below(s, 3) : 0;
    d->q.osl = unit_source_chance(s, 50) ? unit_source_below(s, 1000) : 0;
    d->q.session = draw_session(t);
    d->q.pair = t->profile->pairs && unit_source_chance(s, t->profile->pairs);
    unit_traffic_draw_wait(t, &d->q);
}

static void claim_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    char id_room[KVR_MAX_ID], name_room[KVR_MAX_NAME];
    struct kvr_bytes id = unit_traffic_id(t, id_room), worker = unit_traffic_worker(t, name_room);
    char prefiller[KVR_MAX_NAME];
    struct unit_pair *p = t->pair;
    struct kvr_booking b = {.hashes = t->path, .n = draw_blocks(t, t->path)};
    b.isl = draw_optional(s, 50, 5000);
    int64_t isl = b.isl < 0 ? (int64_t)b.n * p->model.options.block_size : b.isl;
    b.cached = unit_source_below(s, (uint32_t)isl + 1);
    if (unit_source_chance(s, 2)) b.cached = isl + 1;
    b.osl = unit_source_below(s, 1000);
    b.output = unit_source_chance(s, 50) ? unit_source_below(s, 1000) : 0;
    b.prefilled = unit_source_chance(s, 30);
    b.lease = draw_optional(s, 50, 3000);
    b.created = p->now - unit_source_below(s, 1000);
    b.renewed = b.created + unit_source_below(s, 1000);
    b.predict_until = p->model.options.predict ? p->now + p->model.options.predict : 0;
    if (unit_source_chance(s, 20)) {
        b.overlap = unit_source_below(s, (uint32_t)b.n + 1);
        b.cost = weight(t);
        b.expected = unit_source_chance(s, 50) ? b.overlap + unit_source_below(s, 3) : 0;
    }
    if (t->profile->pairs && unit_source_chance(s, t->profile->pairs)) {
        b.prefill_worker = unit_traffic_worker(t, prefiller);
        b.prefill_rank = unit_source_below(s, t->profile->ranks);
        b.prefill_overlap = unit_source_below(s, 3);
        b.prefill_cached = unit_source_below(s, (uint32_t)isl + 1);
        if (unit_source_chance(s, 2)) b.prefill_cached = isl + 1;
    }
    b.session = draw_session(t);
    unit_traffic_draw_owner(t, &b.service_class, &b.flow);
    unit_pair_claim(p, id, worker, unit_source_below(s, t->profile->ranks), &b);
}

static void request_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    char rooms[4][KVR_MAX_ID];
    struct kvr_bytes ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = unit_traffic_id(t, rooms[i]);
    struct kvr_bytes sessions[3];
    switch (unit_source_below(s, 16)) {
    case 0 ... 3:
        claim_op(t);
        break;
    case 4 ... 7:
        unit_pair_release_as(
            t->pair, ids, unit_source_below(s, 5),
            (enum kvr_end)(unit_source_chance(s, 30) ? unit_source_below(s, 3) : KVR_RELEASED));
        break;
    case 8:
        for (int i = 0; i < 3; i++)
            sessions[i] = draw_session(t);
        unit_pair_session_del(t->pair, sessions, unit_source_below(s, 4));
        break;
    default: {
        bool prefilled = unit_source_chance(s, 40);
        int64_t output = draw_optional(s, 50, 2000);
        int64_t lease = draw_optional(s, 70, 3000);
        unit_pair_update(t->pair, ids[0], prefilled, output, lease);
    }
    }
}

static void choose_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    struct unit_draw d;
    draw_query(t, &d);
    if (unit_source_chance(s, 25)) {
        d.q.pair = false;
        unit_pair_scores(t->pair, &d.q);
        return;
    }
    char room[KVR_MAX_ID];
    struct kvr_bytes id = unit_traffic_id(t, room);
    int64_t lease = draw_optional(s, 70, 3000);
    double random = unit_source_below(s, 1 << 16) / 65536.0;
    unit_traffic_admit(t);
    unit_pair_select(t->pair, id, &d.q, lease, random);
}

// ---- The rest ------------------------------------------------------------------------------------

// What a primary does when time has passed.
static void time_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    struct unit_pair *p = t->pair;
    p->now += unit_source_below(s, 1000);
    unit_pair_check_due(p);
    if (unit_source_chance(s, 5)) {
        // Perhaps because the clock was set: then it may also go back.
        if (p->now > 100000 && unit_source_chance(s, 30)) p->now -= unit_source_below(s, 50000);
        unit_pair_renew_all(p);
    }
    if (unit_source_chance(s, 50)) unit_pair_forget(p, unit_source_chance(s, 50) ? 3 : 1000000);
    struct kvr_bytes id, name;
    if (unit_source_chance(s, 50)) unit_pair_end_due(p);
    if (t->profile->queue && unit_source_chance(s, 70)) unit_pair_end_waiting(p, 8);
    // Released by a copy: the bytes are the pool's own.
    for (int i = 0; i < 3 && kvr_due_request(p->pool, p->now, &id); i++) {
        char room[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(room, id.p, id.n), id.n};
        unit_pair_release_as(p, &copy, 1, KVR_LAPSED);
    }
    for (int i = 0; i < 3 && kvr_due_session(p->pool, p->now, &id); i++) {
        char room[KVR_MAX_ID];
        struct kvr_bytes copy = {memcpy(room, id.p, id.n), id.n};
        unit_pair_session_del(p, &copy, 1);
    }
    if (unit_source_chance(s, 50) && kvr_due_worker(p->pool, p->now, &name)) {
        char room[KVR_MAX_NAME];
        unit_pair_worker_del(p, (struct kvr_bytes){memcpy(room, name.p, name.n), name.n});
    }
    unit_pair_check_due(p);
}

static void rare_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    struct kvr_options o = *kvr_pool_options(t->pair->pool);
    switch (unit_source_below(s, 4)) {
    case 0:
        draw_options(t, &o);
        if (unit_source_chance(s, 10)) o.host = 1.5;
        if (unit_source_chance(s, 10)) o.block_size++;
        unit_pair_alter(t->pair, &o);
        break;
    default:
        time_op(t);
    }
}

void unit_traffic_step(struct unit_traffic *t) {
    const struct unit_profile *f = t->profile;
    struct unit_source *s = &t->source;
    unsigned total = f->events + f->selects + f->requests_ops + f->workers_ops + f->queue + 20;
    unsigned k = unit_source_below(s, total);
    bool few = t->pair->model.n_workers * 2 < f->workers && unit_source_chance(s, 50);
    if (few || !t->pair->model.n_workers || k < f->workers_ops)
        worker_op(t);
    else if ((k -= f->workers_ops) < f->events)
        unit_traffic_event(t);
    else if ((k -= f->events) < f->selects)
        choose_op(t);
    else if ((k -= f->selects) < f->requests_ops)
        request_op(t);
    else if ((k -= f->requests_ops) < f->queue)
        unit_traffic_queue_op(t);
    else
        rare_op(t);
    unit_traffic_admit(t);
    if (unit_source_chance(s, 20)) unit_pair_sweep(t->pair, 17 + unit_source_below(s, 40));
    if (f->reloads && unit_source_below(s, 1000) < f->reloads) unit_pair_reload(t->pair);
    unit_pair_check(t->pair);
}

void unit_traffic_check(struct unit_traffic *t) {
    unit_pair_check_all(t->pair);
    if (unit_source_chance(&t->source, 50)) unit_pair_check_tree(t->pair);
    if (unit_source_chance(&t->source, 30))
        unit_pair_check_rebuilt(t->pair, unit_source_next(&t->source));
}
