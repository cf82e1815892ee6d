// SPDX-License-Identifier: Apache-2.0
// Requests that wait; see bench_waiting.h.
#include "bench_waiting.h"

#include <stdio.h>
#include <sys/socket.h>

#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    WAITING_FIELDS = 4, // of the answer to one who waits; a booking has more
    WAITING_MAX_LENGTH = 4096,
    WAITING_BATCH = 256, // while a case is prepared
};
static const char channel[] = "waiting";

struct run {
    struct support_redis *redis;
    struct bench_caller *caller;
    struct bench_wire listener;
    const struct bench_waiting_case *now;
    uint64_t first, next; // the oldest live request; the next that comes
};

static double now_s(void) {
    return (double)kvr_clock_ns(CLOCK_MONOTONIC) / 1e9;
}

static void command(struct run *r, const char *words) {
    redisReply *reply = support_redis_words(r->redis, words);
    if (!reply) support_fail("refused: %s", words);
    freeReplyObject(reply);
}

// ---- Commands ------------------------------------------------------------------------------------

// With MAXPREFILL, MAXBLOCKS and flows nobody holds a prompt, and no two are alike: what is cached takes no room,
// and isn't charged to the flow's share.
static void put_blocks(struct run *r, uint64_t unit) {
    const struct bench_waiting_case *c = r->now;
    size_t n = bench_lengths[c->length];
    uint64_t own[WAITING_MAX_LENGTH];
    const uint64_t *blocks = own;
    if (c->limit > BENCH_LIMIT_REQUESTS || c->flows)
        for (size_t i = 0; i < n; i++)
            own[i] = kvr_random_mix(unit * WAITING_MAX_LENGTH + i);
    else
        blocks = bench_prompt(r->caller->held, c->length, unit);
    bench_wire_text(&r->caller->wire, "HASHES");
    bench_wire_word(&r->caller->wire, blocks, n * sizeof *blocks);
}

static void put_id(struct run *r, uint64_t unit) {
    char id[BENCH_ID_ROOM];
    bench_wire_word(&r->caller->wire, id, bench_unit_id(r->caller, unit, id));
}

static void put_select(struct run *r, uint64_t unit) {
    const struct bench_waiting_case *c = r->now;
    struct bench_wire *w = &r->caller->wire;
    char flow[32];
    size_t words = 5 + (c->waiting ? 2 : 0) + (c->flows ? 2 : 0) + (c->notify ? 2 : 0);
    bench_wire_begin(w, words, "KVROUTE.SELECT", bench_pool_key, NULL);
    put_id(r, unit);
    put_blocks(r, unit);
    if (c->waiting) {
        bench_wire_text(w, "WAIT");
        bench_wire_text(w, "3600000");
    }
    if (c->flows) {
        snprintf(flow, sizeof flow, "tenant-%zu", (size_t)(unit % c->flows));
        bench_wire_text(w, "FLOW");
        bench_wire_text(w, flow);
    }
    if (!c->notify) return;
    bench_wire_text(w, "NOTIFY");
    bench_wire_text(w, channel);
}

static void put_release(struct run *r, uint64_t unit) {
    bench_wire_begin(&r->caller->wire, 3, "KVROUTE.RELEASE", bench_pool_key, NULL);
    put_id(r, unit);
}

static void take_choice(struct run *r, bool waits) {
    struct bench_reply t;
    bench_wire_reply(&r->caller->wire, &t);
    if (t.type != '*' || (t.number == 2 * WAITING_FIELDS) != waits)
        support_fail("%s: one %s", r->now->id, waits ? "had room" : "still waits");
    for (int64_t i = 0; i < t.number; i++)
        bench_wire_skip(&r->caller->wire);
}

static void take_count(struct run *r) {
    struct bench_reply t;
    bench_wire_reply(&r->caller->wire, &t);
    if (t.type != ':' || t.number != 1) support_fail("%s: one had ended before", r->now->id);
}

// What was published is only taken off.
static void listen_on(struct run *r) {
    static char bytes[65536];
    while (r->now->notify && recv(r->listener.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
}

// ---- Units ---------------------------------------------------------------------------------------

static void units(struct run *r, size_t n) {
    size_t waiting = r->now->waiting, live = r->caller->held->workers;
    for (uint64_t i = 0; i < n; i++) {
        put_select(r, r->next + i);
        put_release(r, waiting ? r->first + i : r->next + i);
        if (waiting) put_select(r, r->first + live + i);
    }
    bench_wire_send(&r->caller->wire);
    for (size_t i = 0; i < n; i++) {
        take_choice(r, waiting);
        take_count(r);
        if (waiting) take_choice(r, false);
    }
    r->first += waiting ? n : 0;
    r->next += n;
    listen_on(r);
}

static void in_batches(struct run *r, uint64_t from, uint64_t to, uint64_t waits_from) {
    for (uint64_t at = from; at < to;) {
        uint64_t end = at + WAITING_BATCH < to ? at + WAITING_BATCH : to;
        for (uint64_t i = at; i < end; i++)
            put_select(r, i);
        bench_wire_send(&r->caller->wire);
        for (; at < end; at++)
            take_choice(r, at >= waits_from);
    }
}

static void limit(struct run *r, enum bench_limit which, size_t blocks) {
    char words[120];
    snprintf(words, sizeof words, "KVROUTE.ALTER %s MAXREQUESTS %d MAXPREFILL %d MAXBLOCKS %d",
             bench_pool_key, which == BENCH_LIMIT_REQUESTS, which == BENCH_LIMIT_PREFILL,
             which == BENCH_LIMIT_BLOCKS ? 100 : 0);
    command(r, words);
    if (which != BENCH_LIMIT_BLOCKS) return;
    for (size_t i = 0; i < r->caller->held->workers; i++) {
        snprintf(words, sizeof words, "KVROUTE.WORKER SET %s worker-%04zu CAPACITY %zu",
                 bench_pool_key, i, blocks + blocks / 2);
        command(r, words);
    }
}

// All instances but one are busy where nobody waits.
static void prepare(struct run *r) {
    const struct bench_waiting_case *c = r->now;
    size_t live = r->caller->held->workers;
    if (!c->limit) return;
    limit(r, c->limit, bench_lengths[c->length]);
    uint64_t all = c->waiting ? live + c->waiting : live - 1;
    r->first = r->next;
    r->next += all;
    in_batches(r, r->first, r->next, r->first + live);
}

// Those who wait first, so that nobody is admitted.
static void clear(struct run *r) {
    if (!r->now->limit) return;
    uint64_t end = r->now->waiting ? r->next : r->first + r->caller->held->workers - 1;
    for (uint64_t at = end; at > r->first;) {
        size_t n = 0;
        for (; at > r->first && n < WAITING_BATCH; n++)
            put_release(r, --at);
        bench_wire_send(&r->caller->wire);
        while (n--)
            take_count(r);
    }
    limit(r, BENCH_LIMIT_NONE, 0);
}

static void slice(struct run *r, const struct bench_rounds *p, struct bench_waiting_case *c) {
    r->now = c;
    prepare(r);
    units(r, BENCH_DEPTH); // what a first use needs isn't counted
    double cpu = bench_server_cpu(r->redis), start = now_s(), end;
    uint64_t first = r->next;
    do
        units(r, BENCH_DEPTH);
    while ((end = now_s()) - start < p->slice);
    command(r, "PING"); // answered when the server has done all else
    double n = (double)(r->next - first);
    c->cpu[c->rounds] = (bench_server_cpu(r->redis) - cpu) * 1e6 / n;
    c->rate[c->rounds++] = n / (end - start);
    clear(r);
}

void bench_waiting_measure(struct support_redis *s, struct bench_caller *c,
                           const struct bench_rounds *p, struct bench_waiting_case *cases,
                           size_t n) {
    struct run r = {.redis = s, .caller = c};
    bench_wire_open_unix(&r.listener, s->socket);
    bench_wire_begin(&r.listener, 2, "SUBSCRIBE", channel, NULL);
    bench_wire_send(&r.listener);
    bench_wire_skip(&r.listener);
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= cases[i].waiting > 0;
    if (any) command(&r, "KVROUTE.ALTER pool MAXWAITING 100000");
    for (size_t round = 0; round < p->rounds; round++)
        for (size_t i = 0; i < n; i++)
            slice(&r, p, &cases[i]);
    bench_wire_close(&r.listener);
}
