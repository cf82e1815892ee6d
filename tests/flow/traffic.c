// SPDX-License-Identifier: Apache-2.0
// A fleet's random traffic; see traffic.h.
#include "traffic.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { WORKER, EVENT, SELECT, UPDATE, RELEASE, CLAIM };
struct sent {
    enum kind kind;
    int worker, rank;
};

static int below(struct traffic *t, int n) {
    return (int)rng_below(&t->rng, (uint64_t)n);
}

static void add_name(struct args *a, const char *prefix, int n) {
    char name[32];
    args_add(a, name, (size_t)snprintf(name, sizeof name, "%s%d", prefix, n));
}

static void make_worker(struct traffic *t, struct args *a, int worker) {
    args_words(a, "KVROUTE.WORKER SET");
    args_str(a, t->key);
    add_name(a, "worker-", worker);
    args_words(a, "RANKS 2");
    if (below(t, 2)) {
        args_str(a, "ADDR");
        add_name(a, "10.0.0.", below(t, 250));
    }
    if (below(t, 8) == 0) {
        args_str(a, "CAPACITY");
        args_int(a, 50 + below(t, 100));
    }
    if (below(t, 6) == 0) args_words(a, below(t, 2) ? "SPEED 0.5" : "SPEED 0");
    if (below(t, 4) == 0) args_words(a, below(t, 2) ? "LABELS 2 gpu=a zone=1" : "LABELS 0");
    if (below(t, 4) == 0) args_words(a, below(t, 3) ? "STATE ready" : "STATE draining");
    if (t->ttl) {
        args_str(a, "TTL");
        args_int(a, t->ttl);
    }
}

static void add_op(struct traffic *t, struct args *a) {
    static const char *const tiers[] = {"device", "host", "disk"};
    int path[UNIVERSE_DEPTH];
    int n = universe_path(&t->universe, below(t, UNIVERSE_BLOCKS), path);
    int kind = below(t, 20);
    if (below(t, 3) == 0) {
        args_str(a, "TIER");
        args_str(a, tiers[below(t, 3)]);
    }
    if (kind == 0) {
        args_str(a, "CLEARED");
    } else if (kind < 7) {
        int from = below(t, n);
        args_str(a, "REMOVED");
        add_blocks(a, &t->universe, &t->rng, path + from, n - from, false);
    } else {
        args_words(a, "STORED -");
        add_blocks(a, &t->universe, &t->rng, path, n, true);
    }
}

static void make_event(struct traffic *t, struct args *a, int worker, int rank) {
    args_words(a, "KVROUTE.EVENT");
    args_str(a, t->key);
    add_name(a, "worker-", worker);
    args_int(a, rank);
    if (!t->epoch[worker][rank] || below(t, 200) == 0) {
        t->epoch[worker][rank] = ++t->last_epoch;
        t->seq[worker][rank] = 0;
    }
    args_int(a, (int64_t)t->epoch[worker][rank]);
    args_int(a, (int64_t)++t->seq[worker][rank]);
    for (int n = 1 + below(t, 3); n > 0; n--)
        add_op(t, a);
}

static void add_list(struct traffic *t, struct args *a) {
    int path[UNIVERSE_DEPTH];
    int n = universe_path(&t->universe, below(t, UNIVERSE_BLOCKS), path);
    add_blocks(a, &t->universe, &t->rng, path, n, true);
}

static void add_session(struct traffic *t, struct args *a) {
    if (below(t, 3)) return;
    args_str(a, "SESSION");
    add_name(a, "session-", below(t, TRAFFIC_SESSIONS));
}

static void add_lease(struct traffic *t, struct args *a) {
    if (!t->lease || below(t, 3)) return;
    args_str(a, "LEASE");
    args_int(a, 1 + below(t, (int)t->lease));
}

static void make_request(struct traffic *t, struct args *a, enum kind kind, struct sent *sent) {
    static const char *const names[] = {[SELECT] = "KVROUTE.SELECT",
                                        [UPDATE] = "KVROUTE.UPDATE",
                                        [RELEASE] = "KVROUTE.RELEASE",
                                        [CLAIM] = "KVROUTE.CLAIM"};
    args_str(a, names[kind]);
    args_str(a, t->key);
    add_name(a, "request-", below(t, TRAFFIC_REQUESTS));
    switch (kind) {
    case SELECT:
        add_list(t, a);
        if (below(t, 4) == 0) args_words(a, "ISL 1000 OSL 100");
        if (below(t, 4) == 0) args_words(a, "TEMPERATURE 0.5");
        if (below(t, 4) == 0) args_words(a, "EXCLUDE 1 worker-3");
        if (below(t, 8) == 0) args_words(a, below(t, 2) ? "WITH 1 gpu=a" : "WITHOUT 1 zone=1");
        add_session(t, a);
        add_lease(t, a);
        return;
    case UPDATE:
        if (below(t, 2)) args_str(a, "PREFILLED");
        args_str(a, "OUTPUT");
        args_int(a, below(t, 200));
        add_lease(t, a);
        return;
    case RELEASE:
        for (int n = below(t, 3); n > 0; n--)
            add_name(a, "request-", below(t, TRAFFIC_REQUESTS));
        return;
    default:
        add_name(a, "worker-", sent->worker);
        args_int(a, sent->rank);
        add_list(t, a);
        if (below(t, 2)) args_words(a, "ISL 500 CACHED 40 OUTPUT 7");
        if (below(t, 2)) args_words(a, "PREFILLED");
        add_session(t, a);
        add_lease(t, a);
    }
}

static struct sent make_step(struct traffic *t, struct args *a) {
    struct sent sent = {EVENT, below(t, TRAFFIC_WORKERS), below(t, TRAFFIC_RANKS)};
    int kind = below(t, 100);
    t->commands++;
    if (kind < 40) {
        make_event(t, a, sent.worker, sent.rank);
        return sent;
    }
    if (kind < 45) {
        sent.kind = WORKER;
        make_worker(t, a, sent.worker);
        return sent;
    }
    if (kind == 46) {
        sent.kind = WORKER;
        args_words(a, "KVROUTE.REPORT");
        args_str(a, t->key);
        add_name(a, "worker-", sent.worker);
        args_str(a, below(t, 4) ? "FAILED" : "OK");
        return sent;
    }
    if (kind == 45 && below(t, 4) == 0) {
        sent.kind = WORKER;
        args_words(a, "KVROUTE.WORKER DEL");
        args_str(a, t->key);
        add_name(a, "worker-", sent.worker);
        return sent;
    }
    if (kind == 47) {
        sent.kind = WORKER;
        args_words(a, "KVROUTE.SESSION DEL");
        args_str(a, t->key);
        add_name(a, "session-", below(t, TRAFFIC_SESSIONS));
        return sent;
    }
    sent.kind = kind < 65 ? SELECT : kind < 72 ? CLAIM : kind < 85 ? UPDATE : RELEASE;
    make_request(t, a, sent.kind, &sent);
    return sent;
}

static void take_reply(struct traffic *t, const struct sent *sent, const struct reply *r,
                       const struct args *a) {
    if (r->kind == REPLY_MAP || r->kind == REPLY_ARRAY) {
        int64_t version = map_int(r, "version");
        cr_assert(version >= t->version, "the version went back");
        t->version = version;
        return;
    }
    if (r->kind != REPLY_ERROR) return;
    bool is_event = sent->kind == EVENT;
    cr_assert(is_error(r, "NOWORKER") || (is_event && (is_error(r, "GAP") || is_error(r, "STALE"))),
              "%s: %s", a->n ? a->v[0] : "traffic", r->bytes);
    if (is_event) t->epoch[sent->worker][sent->rank] = 0; // tells all it holds anew
}

void traffic_start(struct traffic *t, struct conn *c, const char *key, const char *options) {
    memset(t, 0, sizeof *t);
    t->key = key;
    t->rng.state = test_seed() ^ strlen(key) ^ (uint64_t)key[0] << 32;
    universe_grow(&t->universe, &t->rng);
    struct args a = {0};
    args_str(&a, "KVROUTE.CREATE");
    args_str(&a, key);
    args_words(&a, "BLOCKSIZE 4");
    args_words(&a, options);
    const struct reply *r = call_args(c, &a);
    cr_assert(r->kind == REPLY_STATUS || is_error(r, "EXISTS"), "CREATE: %s", r->bytes);
    args_clear(&a);
    for (int w = 0; w < TRAFFIC_WORKERS; w++) {
        make_worker(t, &a, w);
        cr_assert(call_args(c, &a)->kind == REPLY_INTEGER);
        args_clear(&a);
    }
}

void traffic_run(struct traffic *t, struct conn *c, int steps) {
    struct args a = {0};
    for (int i = 0; i < steps; i++) {
        struct sent sent = make_step(t, &a);
        take_reply(t, &sent, call_args(c, &a), &a);
        args_clear(&a);
    }
}

void traffic_pipeline(struct traffic *t, struct conn *c, int steps) {
    enum { BATCH = 100 };
    struct args a = {0};
    for (int done = 0; done < steps; done += BATCH) {
        struct sent sent[BATCH];
        for (int i = 0; i < BATCH; i++) {
            sent[i] = make_step(t, &a);
            cr_assert(conn_write_args(c, &a), "the server is gone");
            args_clear(&a);
        }
        for (int i = 0; i < BATCH; i++)
            take_reply(t, &sent[i], collect(c), &a);
    }
}
