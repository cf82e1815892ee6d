// SPDX-License-Identifier: Apache-2.0
// A fleet's random traffic; see flow_traffic.h.
#include "flow_traffic.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum flow_sent_kind {
    FLOW_TRAFFIC_WORKER,
    FLOW_TRAFFIC_EVENT,
    FLOW_TRAFFIC_SELECT,
    FLOW_TRAFFIC_UPDATE,
    FLOW_TRAFFIC_RELEASE,
    FLOW_TRAFFIC_CLAIM
};
struct flow_sent {
    enum flow_sent_kind kind;
    int worker, rank;
};

static int below(struct flow_traffic *t, int n) {
    return (int)flow_rng_below(&t->rng, (uint64_t)n);
}

static void add_name(struct flow_args *a, const char *prefix, int n) {
    char name[32];
    flow_args_add(a, name, (size_t)snprintf(name, sizeof name, "%s%d", prefix, n));
}

static void make_worker(struct flow_traffic *t, struct flow_args *a, int worker) {
    flow_args_words(a, "KVROUTE.WORKER SET");
    flow_args_str(a, t->key);
    add_name(a, "worker-", worker);
    flow_args_words(a, "RANKS 2");
    if (below(t, 2)) {
        flow_args_str(a, "ADDR");
        add_name(a, "10.0.0.", below(t, 250));
    }
    if (below(t, 8) == 0) {
        flow_args_str(a, "CAPACITY");
        flow_args_int(a, 50 + below(t, 100));
    }
    if (below(t, 6) == 0) flow_args_words(a, below(t, 2) ? "SPEED 0.5" : "SPEED 0");
    if (below(t, 4) == 0) flow_args_words(a, below(t, 2) ? "LABELS 2 gpu=a zone=1" : "LABELS 0");
    if (below(t, 4) == 0) flow_args_words(a, below(t, 3) ? "STATE ready" : "STATE draining");
    if (t->ttl) {
        flow_args_str(a, "TTL");
        flow_args_int(a, t->ttl);
    }
}

static void add_op(struct flow_traffic *t, struct flow_args *a) {
    static const char *const tiers[] = {"device", "host", "disk"};
    int path[FLOW_UNIVERSE_DEPTH];
    int n = flow_universe_path(&t->universe, below(t, FLOW_UNIVERSE_BLOCKS), path);
    int kind = below(t, 20);
    if (below(t, 3) == 0) {
        flow_args_str(a, "TIER");
        flow_args_str(a, tiers[below(t, 3)]);
    }
    if (kind == 0) {
        flow_args_str(a, "CLEARED");
    } else if (kind < 7) {
        int from = below(t, n);
        flow_args_str(a, "REMOVED");
        flow_add_blocks(a, &t->universe, &t->rng, path + from, n - from, false);
    } else {
        flow_args_words(a, "STORED -");
        flow_add_blocks(a, &t->universe, &t->rng, path, n, true);
    }
}

static void make_event(struct flow_traffic *t, struct flow_args *a, int worker, int rank) {
    flow_args_words(a, "KVROUTE.EVENT");
    flow_args_str(a, t->key);
    add_name(a, "worker-", worker);
    flow_args_int(a, rank);
    if (!t->epoch[worker][rank] || below(t, 200) == 0) {
        t->epoch[worker][rank] = ++t->last_epoch;
        t->seq[worker][rank] = 0;
    }
    flow_args_int(a, (int64_t)t->epoch[worker][rank]);
    flow_args_int(a, (int64_t)++t->seq[worker][rank]);
    for (int n = 1 + below(t, 3); n > 0; n--)
        add_op(t, a);
}

static void add_list(struct flow_traffic *t, struct flow_args *a) {
    int path[FLOW_UNIVERSE_DEPTH];
    int n = flow_universe_path(&t->universe, below(t, FLOW_UNIVERSE_BLOCKS), path);
    flow_add_blocks(a, &t->universe, &t->rng, path, n, true);
}

static void add_session(struct flow_traffic *t, struct flow_args *a) {
    if (below(t, 3)) return;
    flow_args_str(a, "SESSION");
    add_name(a, "session-", below(t, FLOW_TRAFFIC_SESSIONS));
}

static void add_lease(struct flow_traffic *t, struct flow_args *a) {
    if (!t->lease || below(t, 3)) return;
    flow_args_str(a, "LEASE");
    flow_args_int(a, 1 + below(t, (int)t->lease));
}

static void add_class(struct flow_traffic *t, struct flow_args *a) {
    if (!t->wait || below(t, 2)) return;
    flow_args_str(a, "CLASS");
    add_name(a, "class-", below(t, FLOW_TRAFFIC_CLASSES));
}

static void add_flow(struct flow_traffic *t, struct flow_args *a) {
    if (!t->wait || below(t, 3) == 0) return;
    flow_args_str(a, "FLOW");
    add_name(a, "flow-", below(t, FLOW_TRAFFIC_FLOWS));
}

static void add_wait(struct flow_traffic *t, struct flow_args *a) {
    add_class(t, a);
    add_flow(t, a);
    if (!t->wait || below(t, 4) == 0) return;
    flow_args_str(a, "WAIT");
    flow_args_int(a, 1 + below(t, (int)t->wait));
    if (below(t, 2)) return;
    flow_args_str(a, "NOTIFY");
    add_name(a, "channel-", below(t, 3));
}

static void make_class(struct flow_traffic *t, struct flow_args *a) {
    static const char *const settings[] = {"PRIORITY 1",           "PRIORITY -3 WEIGHT 4",
                                           "WEIGHT 0.3 ROOM 70",   "WAITING 20",
                                           "WAITING 0 PRIORITY 0", ""};
    flow_args_words(a, below(t, 6) ? "KVROUTE.CLASS SET" : "KVROUTE.CLASS DEL");
    bool set = strcmp(a->v[a->n - 1], "SET") == 0;
    flow_args_str(a, t->key);
    add_name(a, "class-", below(t, FLOW_TRAFFIC_CLASSES));
    if (set) flow_args_words(a, settings[below(t, 6)]);
}

static void make_flow(struct flow_traffic *t, struct flow_args *a) {
    static const char *const settings[] = {"WEIGHT 5",   "REQUESTS 4", "RATE 20000 BURST 3000",
                                           "REQUESTS 0", "RATE 0",     "RATE 500"};
    flow_args_words(a, below(t, 5) ? "KVROUTE.FLOW SET" : "KVROUTE.FLOW DEL");
    bool set = strcmp(a->v[a->n - 1], "SET") == 0;
    flow_args_str(a, t->key);
    add_name(a, "flow-", below(t, FLOW_TRAFFIC_FLOWS));
    if (set) flow_args_words(a, settings[below(t, 6)]);
}

static void make_limits(struct flow_traffic *t, struct flow_args *a) {
    static const char *const settings[] = {"MAXREQUESTS 6", "MAXREQUESTS 15", "MAXPREFILL 2000",
                                           "MAXPREFILL 0",  "MAXBLOCKS 120",  "MAXBLOCKS 0",
                                           "MAXWAITING 40", "MAXWAITING 200"};
    flow_args_words(a, "KVROUTE.ALTER");
    flow_args_str(a, t->key);
    flow_args_words(a, settings[below(t, 8)]);
}

// Of those who wait: their classes, their flows, and what they wait for.
static void make_settings(struct flow_traffic *t, struct flow_args *a) {
    int kind = below(t, 3);
    (kind == 0 ? make_class : kind == 1 ? make_flow : make_limits)(t, a);
}

static void make_request(struct flow_traffic *t, struct flow_args *a, enum flow_sent_kind kind,
                         struct flow_sent *sent) {
    static const char *const names[] = {[FLOW_TRAFFIC_SELECT] = "KVROUTE.SELECT",
                                        [FLOW_TRAFFIC_UPDATE] = "KVROUTE.UPDATE",
                                        [FLOW_TRAFFIC_RELEASE] = "KVROUTE.RELEASE",
                                        [FLOW_TRAFFIC_CLAIM] = "KVROUTE.CLAIM"};
    flow_args_str(a, names[kind]);
    flow_args_str(a, t->key);
    add_name(a, "request-", below(t, FLOW_TRAFFIC_REQUESTS));
    switch (kind) {
    case FLOW_TRAFFIC_SELECT:
        add_list(t, a);
        if (below(t, 4) == 0) flow_args_words(a, "ISL 1000 OSL 100");
        if (below(t, 4) == 0) flow_args_words(a, "TEMPERATURE 0.5");
        if (below(t, 4) == 0) flow_args_words(a, "EXCLUDE 1 worker-3");
        if (below(t, 8) == 0) flow_args_words(a, below(t, 2) ? "WITH 1 gpu=a" : "WITHOUT 1 zone=1");
        if (below(t, 3) == 0) flow_args_str(a, "PAIR");
        add_session(t, a);
        add_lease(t, a);
        add_wait(t, a);
        return;
    case FLOW_TRAFFIC_UPDATE:
        if (below(t, 2)) flow_args_str(a, "PREFILLED");
        flow_args_str(a, "OUTPUT");
        flow_args_int(a, below(t, 200));
        add_lease(t, a);
        return;
    case FLOW_TRAFFIC_RELEASE:
        for (int n = below(t, 3); n > 0; n--)
            add_name(a, "request-", below(t, FLOW_TRAFFIC_REQUESTS));
        return;
    default:
        add_name(a, "worker-", sent->worker);
        flow_args_int(a, sent->rank);
        add_list(t, a);
        if (below(t, 2)) flow_args_words(a, "ISL 500 CACHED 40 OUTPUT 7");
        if (below(t, 2)) flow_args_words(a, "PREFILLED");
        if (below(t, 3) == 0) {
            flow_args_str(a, "PREFILLER");
            add_name(a, "worker-", below(t, FLOW_TRAFFIC_WORKERS));
            flow_args_int(a, below(t, FLOW_TRAFFIC_RANKS));
        }
        add_session(t, a);
        add_lease(t, a);
        add_class(t, a);
        add_flow(t, a);
    }
}

static struct flow_sent make_step(struct flow_traffic *t, struct flow_args *a) {
    struct flow_sent sent = {FLOW_TRAFFIC_EVENT, below(t, FLOW_TRAFFIC_WORKERS),
                             below(t, FLOW_TRAFFIC_RANKS)};
    int kind = below(t, 100);
    t->commands++;
    if (t->wait && below(t, 40) == 0) {
        sent.kind = FLOW_TRAFFIC_WORKER;
        make_settings(t, a);
        return sent;
    }
    if (kind < 40) {
        make_event(t, a, sent.worker, sent.rank);
        return sent;
    }
    if (kind < 45) {
        sent.kind = FLOW_TRAFFIC_WORKER;
        make_worker(t, a, sent.worker);
        return sent;
    }
    if (kind == 46) {
        sent.kind = FLOW_TRAFFIC_WORKER;
        flow_args_words(a, "KVROUTE.REPORT");
        flow_args_str(a, t->key);
        add_name(a, "worker-", sent.worker);
        flow_args_str(a, below(t, 4) ? "FAILED" : "OK");
        return sent;
    }
    if (kind == 45 && below(t, 4) == 0) {
        sent.kind = FLOW_TRAFFIC_WORKER;
        flow_args_words(a, "KVROUTE.WORKER DEL");
        flow_args_str(a, t->key);
        add_name(a, "worker-", sent.worker);
        return sent;
    }
    if (kind == 47) {
        sent.kind = FLOW_TRAFFIC_WORKER;
        flow_args_words(a, "KVROUTE.SESSION DEL");
        flow_args_str(a, t->key);
        add_name(a, "session-", below(t, FLOW_TRAFFIC_SESSIONS));
        return sent;
    }
    sent.kind = kind < 65   ? FLOW_TRAFFIC_SELECT
                : kind < 72 ? FLOW_TRAFFIC_CLAIM
                : kind < 85 ? FLOW_TRAFFIC_UPDATE
                            : FLOW_TRAFFIC_RELEASE;
    make_request(t, a, sent.kind, &sent);
    return sent;
}

static void take_reply(struct flow_traffic *t, const struct flow_sent *sent,
                       const struct flow_reply *r, const struct flow_args *a) {
    if (r->kind == FLOW_REPLY_MAP || r->kind == FLOW_REPLY_ARRAY) {
        int64_t version = flow_map_int(r, "version");
        cr_assert(version >= t->version, "the version went back");
        t->version = version;
        return;
    }
    if (r->kind != FLOW_REPLY_ERROR) return;
    bool is_event = sent->kind == FLOW_TRAFFIC_EVENT;
    // A class may be gone, or be waited in.
    bool waits = t->wait && (flow_is_error(r, "NOROOM") || flow_is_error(r, "LIMITED") ||
                             strstr(r->bytes, "class"));
    cr_assert(waits || flow_is_error(r, "NOWORKER") ||
                  (is_event && (flow_is_error(r, "GAP") || flow_is_error(r, "STALE"))),
              "%s: %s", a->n ? a->v[0] : "traffic", r->bytes);
    if (is_event) t->epoch[sent->worker][sent->rank] = 0; // tells all it holds anew
}

void flow_traffic_start(struct flow_traffic *t, struct flow_conn *c, const char *key,
                        const char *options) {
    memset(t, 0, sizeof *t);
    t->key = key;
    t->rng.state = flow_test_seed() ^ strlen(key) ^ (uint64_t)key[0] << 32;
    flow_universe_grow(&t->universe, &t->rng);
    struct flow_args a = {0};
    flow_args_str(&a, "KVROUTE.CREATE");
    flow_args_str(&a, key);
    flow_args_words(&a, "BLOCKSIZE 4");
    flow_args_words(&a, options);
    const struct flow_reply *r = flow_call_args(c, &a);
    cr_assert(r->kind == FLOW_REPLY_STATUS || flow_is_error(r, "EXISTS"), "CREATE: %s", r->bytes);
    flow_args_clear(&a);
    for (int w = 0; w < FLOW_TRAFFIC_WORKERS; w++) {
        make_worker(t, &a, w);
        cr_assert(flow_call_args(c, &a)->kind == FLOW_REPLY_INTEGER);
        flow_args_clear(&a);
    }
}

void flow_traffic_run(struct flow_traffic *t, struct flow_conn *c, int steps) {
    struct flow_args a = {0};
    for (int i = 0; i < steps; i++) {
        struct flow_sent sent = make_step(t, &a);
        take_reply(t, &sent, flow_call_args(c, &a), &a);
        flow_args_clear(&a);
    }
}

void flow_traffic_pipeline(struct flow_traffic *t, struct flow_conn *c, int steps) {
    enum { FLOW_TRAFFIC_BATCH = 100 };
    struct flow_args a = {0};
    for (int done = 0; done < steps; done += FLOW_TRAFFIC_BATCH) {
        struct flow_sent sent[FLOW_TRAFFIC_BATCH];
        for (int i = 0; i < FLOW_TRAFFIC_BATCH; i++) {
            sent[i] = make_step(t, &a);
            cr_assert(flow_conn_write_args(c, &a), "the server is gone");
            flow_args_clear(&a);
        }
        for (int i = 0; i < FLOW_TRAFFIC_BATCH; i++)
            take_reply(t, &sent[i], flow_collect(c), &a);
    }
}
