// SPDX-License-Identifier: Apache-2.0
// A client's process; see ha_client.h.
#include "ha_client.h"

#include <event2/event.h>
#include <inttypes.h>
#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

enum {
    HA_TARGET = 20,    // live requests
    HA_PACE_MS = 4,    // between two bursts
    HA_BURST = 3,      // calls of one
    HA_UNDER_WAY = 24, // calls at a time, asynchronously
    HA_GROUP = 4,      // requests that are released in one call at most
    HA_TICK_US = 4000, // of the event loop
    HA_LIST = 4 * HA_TARGET,
    HA_QUIET = 8, // requests that nothing is said of for long
};

// What a client's process has beside its log.
struct ha_session {
    struct ha_client *log;
    struct kvr_client *handle;
    struct event_base *base;
    uint64_t random;
    uint32_t live[HA_LIST]; // requests that nothing is under way for
    size_t n_live;
    uint32_t quiet[HA_QUIET]; // the same, kept apart
    size_t n_quiet;
    size_t under_way, beginning;
    bool asking; // without a pause, so that the time between answers means something
    FILE *file;
};

// The callback of a call gets the address of its slot, which says both.
struct ha_slot {
    struct ha_session *session;
    uint32_t request;
};
static struct ha_slot slots[HA_MAX_REQUESTS];

struct ha_request_id ha_request_name(int client, uint32_t index) {
    struct ha_request_id id;
    snprintf(id.text, sizeof id.text, "c%d-%" PRIu32, client, index);
    return id;
}

bool ha_request_parse(const char *id, size_t n, int *client, uint32_t *index) {
    char text[32], end;
    if (n >= sizeof text) return false;
    memcpy(text, id, n);
    text[n] = 0;
    return sscanf(text, "c%d-%" SCNu32 "%c", client, index, &end) == 2;
}

// ---- Answers -------------------------------------------------------------------------------------

static void note_wrong(struct ha_client *log, const char *what, uint32_t request) {
    if (!log->wrong && !ha_client_errors(log))
        snprintf(log->first_error, sizeof log->first_error, "client %d, request %" PRIu32 ": %s",
                 log->number, request, what);
    log->wrong++;
}

// Counts an answer. Whether it is good.
static bool take(struct ha_session *s, const struct kvr_result *r, const char *call) {
    struct ha_client *log = s->log;
    int64_t now = kvr_clock_ms();
    log->answers++;
    if (r->code == KVR_CODE_TIMEOUT && (log->hasty || (log->degrade && !log->warm))) {
        log->timeouts++;
        return false;
    }
    if (r->code != KVR_CODE_OK) {
        if (!ha_client_errors(log))
            snprintf(log->first_error, sizeof log->first_error, "client %d, %s: %s %s", log->number,
                     call, kvr_code_name(r->code), r->message);
        log->errors[r->code]++;
        if (s->file)
            fprintf(s->file, "%" PRId64 " answer to %s: %s %s\n", now, call, kvr_code_name(r->code),
                    r->message);
        return false;
    }
    if (s->asking && log->last_good && now - log->last_good > log->longest_gap)
        log->longest_gap = now - log->last_good;
    log->last_good = now;
    if (r->degraded)
        log->degraded++;
    else
        log->last_true = now;
    return true;
}

static void keep(struct ha_session *s, uint32_t request) {
    if (s->n_live == HA_LIST) ha_give_up("a client has too many requests");
    s->live[s->n_live++] = request;
}

static bool number_of(struct kvr_bytes name, uint16_t *worker) {
    if (name.n != 2 || name.p[0] != 'w' || name.p[1] < '0' || name.p[1] >= '0' + HA_WORKERS)
        return false;
    *worker = (uint16_t)(name.p[1] - '0');
    return true;
}

static void selected(void *ctx, const struct kvr_result *r) {
    struct ha_slot *slot = ctx;
    struct ha_session *s = slot->session;
    struct ha_request *q = &s->log->requests[slot->request];
    s->under_way--;
    s->beginning--;
    if (!take(s, r, "SELECT")) {
        q->state = HA_REQUEST_FAILED;
        return;
    }
    if (!number_of(r->choice.worker, &q->worker) || r->choice.rank >= HA_RANKS)
        note_wrong(s->log, "SELECT chose a worker that there isn't", slot->request);
    if (r->sendings == 1 && !r->degraded && r->choice.repeat)
        note_wrong(s->log, "SELECT calls a new request a repeat", slot->request);
    q->rank = (uint16_t)r->choice.rank;
    q->degraded = r->degraded;
    q->state = HA_REQUEST_LIVE;
    keep(s, slot->request);
}

static void claimed(void *ctx, const struct kvr_result *r) {
    struct ha_slot *slot = ctx;
    struct ha_session *s = slot->session;
    struct ha_request *q = &s->log->requests[slot->request];
    s->under_way--;
    s->beginning--;
    bool good = take(s, r, "CLAIM");
    q->degraded = good && r->degraded;
    q->state = good ? HA_REQUEST_LIVE : HA_REQUEST_FAILED;
    if (good) keep(s, slot->request);
}

static void updated(void *ctx, const struct kvr_result *r) {
    struct ha_slot *slot = ctx;
    struct ha_session *s = slot->session;
    struct ha_request *q = &s->log->requests[slot->request];
    s->under_way--;
    if (take(s, r, "UPDATE")) {
        if (!r->degraded && r->number != 1 && q->state == HA_REQUEST_LIVE)
            note_wrong(s->log, "UPDATE of a live request isn't answered 1", slot->request);
        q->output = q->output_asked;
        q->prefilled = q->prefilled_asked;
    }
    if (q->state == HA_REQUEST_LIVE) keep(s, slot->request);
}

static void released(void *ctx, const struct kvr_result *r) {
    struct ha_slot *slot = ctx;
    struct ha_session *s = slot->session;
    s->under_way--;
    take(s, r, "RELEASE");
    s->log->requests[slot->request].state = HA_REQUEST_ENDED;
}

static void scored(void *ctx, const struct kvr_result *r) {
    struct ha_slot *slot = ctx;
    slot->session->under_way--;
    take(slot->session, r, "SCORE");
}

// ---- Calls ---------------------------------------------------------------------------------------
// Each in both forms; a call that isn't taken is answered by its code like any other.

static bool blocking(const struct ha_session *s) {
    return s->log->kind == HA_KIND_BLOCKING;
}

static void refused(enum kvr_code code, kvr_done *done, void *ctx) {
    struct kvr_result r = {.code = code, .message = "not taken", .number = -1};
    if (code != KVR_CODE_OK) done(ctx, &r);
}

static struct ha_request *new_request(struct ha_session *s, struct ha_slot **slot,
                                      uint64_t *hashes) {
    uint32_t i = s->log->n;
    struct ha_request *q = &s->log->requests[i];
    memset(q, 0, sizeof *q);
    q->chain = (uint16_t)ha_random_below(&s->random, HA_CHAINS);
    q->blocks = (uint16_t)(1 + ha_random_below(&s->random, HA_CHAIN_BLOCKS));
    q->isl = (uint32_t)(q->blocks * HA_BLOCK_SIZE + ha_random_below(&s->random, HA_BLOCK_SIZE));
    q->state = HA_REQUEST_BEGINNING;
    ha_chain(q->chain, hashes);
    slots[i] = (struct ha_slot){s, i};
    *slot = &slots[i];
    s->under_way++;
    s->beginning++;
    s->log->n = i + 1;
    return q;
}

static void call_select(struct ha_session *s) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    struct ha_slot *slot;
    struct ha_request *q = new_request(s, &slot, hashes);
    struct ha_request_id id = ha_request_name(s->log->number, slot->request);
    struct kvr_select_call call = {
        .request = kvr_text(id.text), .blocks = {.hashes = hashes, .n = q->blocks}, .isl = q->isl};
    if (blocking(s))
        selected(slot, kvr_client_select(s->handle, &call));
    else
        refused(kvr_client_select_async(s->handle, &call, selected, slot), selected, slot);
}

static void call_claim(struct ha_session *s) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    struct ha_slot *slot;
    struct ha_request *q = new_request(s, &slot, hashes);
    struct ha_request_id id = ha_request_name(s->log->number, slot->request);
    char worker[] = "w0";
    q->worker = (uint16_t)ha_random_below(&s->random, HA_WORKERS);
    q->rank = (uint16_t)ha_random_below(&s->random, HA_RANKS);
    worker[1] = (char)('0' + q->worker);
    struct kvr_claim_call call = {.request = kvr_text(id.text),
                                  .worker = kvr_text(worker),
                                  .rank = q->rank,
                                  .blocks = {.hashes = hashes, .n = q->blocks},
                                  .isl = q->isl};
    if (blocking(s))
        claimed(slot, kvr_client_claim(s->handle, &call));
    else
        refused(kvr_client_claim_async(s->handle, &call, claimed, slot), claimed, slot);
}

static void call_update(struct ha_session *s, uint32_t i) {
    struct ha_request *q = &s->log->requests[i];
    struct ha_request_id id = ha_request_name(s->log->number, i);
    q->output_asked += (uint32_t)(1 + ha_random_below(&s->random, 2 * HA_BLOCK_SIZE));
    q->prefilled_asked = true;
    struct kvr_update_call call = {
        .request = kvr_text(id.text), .prefilled = true, .output = q->output_asked};
    s->under_way++;
    if (blocking(s))
        updated(&slots[i], kvr_client_update(s->handle, &call));
    else
        refused(kvr_client_update_async(s->handle, &call, updated, &slots[i]), updated, &slots[i]);
}

static void call_release(struct ha_session *s, const uint32_t *which, size_t n) {
    struct ha_request_id ids[HA_GROUP];
    struct kvr_bytes names[HA_GROUP];
    for (size_t k = 0; k < n; k++) {
        ids[k] = ha_request_name(s->log->number, which[k]);
        names[k] = kvr_text(ids[k].text);
        s->log->requests[which[k]].state = HA_REQUEST_ENDING;
    }
    s->under_way++;
    struct ha_slot *slot = &slots[which[0]];
    if (blocking(s)) {
        released(slot, kvr_client_release(s->handle, names, n));
        for (size_t k = 1; k < n; k++)
            s->log->requests[which[k]].state = HA_REQUEST_ENDED;
    } else {
        refused(kvr_client_release_async(s->handle, names, n, released, slot), released, slot);
    }
}

static void call_score(struct ha_session *s) {
    static struct ha_slot slot;
    uint64_t hashes[HA_CHAIN_BLOCKS];
    ha_chain(ha_random_below(&s->random, HA_CHAINS), hashes);
    struct kvr_select_call call = {.blocks = {.hashes = hashes, .n = HA_CHAIN_BLOCKS}};
    slot.session = s;
    s->under_way++;
    if (blocking(s))
        scored(&slot, kvr_client_score(s->handle, &call));
    else
        refused(kvr_client_score_async(s->handle, &call, scored, &slot), scored, &slot);
}

// ---- What it does --------------------------------------------------------------------------------

static uint32_t take_live(struct ha_session *s) {
    size_t k = ha_random_below(&s->random, s->n_live);
    uint32_t i = s->live[k];
    s->live[k] = s->live[--s->n_live];
    return i;
}

// Some requests are left alone: what is said of the others would put them right by itself. Not where
// leases are short: there they would end.
static void leave_alone(struct ha_session *s) {
    bool full = s->n_quiet == HA_QUIET;
    if (s->log->renew || !s->n_live || ha_random_below(&s->random, full ? 250 : 20)) return;
    uint32_t i = take_live(s);
    if (full) { // one that has been quiet for long
        size_t k = ha_random_below(&s->random, HA_QUIET);
        keep(s, s->quiet[k]);
        s->quiet[k] = i;
    } else {
        s->quiet[s->n_quiet++] = i;
    }
}

static void act(struct ha_session *s) {
    size_t draw = ha_random_below(&s->random, 100);
    leave_alone(s);
    if (s->n_live + s->beginning < HA_TARGET && s->log->n < HA_MAX_REQUESTS) {
        if (draw < 85)
            call_select(s);
        else
            call_claim(s);
    } else if (draw < 4 && !s->log->degrade) { // degrading has no answer to SCORE
        call_score(s);
    } else if (!s->n_live) {
        return; // all of them are under way
    } else if (draw < 55) {
        call_update(s, take_live(s));
    } else if (draw < 85) {
        uint32_t which[HA_GROUP];
        size_t n = 0, want = blocking(s) ? 1 + ha_random_below(&s->random, HA_GROUP) : 1;
        while (n < want && s->n_live)
            which[n++] = take_live(s);
        call_release(s, which, n);
    } else { // both, without waiting for the first
        uint32_t i = take_live(s);
        call_update(s, i);
        for (size_t k = 0; k < s->n_live; k++) // blocking: it has come back
            if (s->live[k] == i) s->live[k] = s->live[--s->n_live];
        call_release(s, &i, 1);
    }
}

static void pump(struct ha_session *s, int64_t ms) {
    if (s->log->kind == HA_KIND_LIBEVENT)
        event_base_loop(s->base, EVLOOP_ONCE); // the tick ends it
    else if (s->log->kind == HA_KIND_OWN_LOOP)
        kvr_client_run(s->handle, ms);
    else
        support_sleep_ms(ms);
    kvr_client_stats(s->handle, &s->log->stats);
}

static void work(struct ha_session *s) {
    int64_t next = 0;
    s->asking = true;
    while (s->log->order == HA_ORDER_WORK) {
        int64_t now = kvr_clock_ms();
        if (now < next) {
            pump(s, next - now);
            continue;
        }
        next = now + HA_PACE_MS;
        for (size_t k = 0; k < HA_BURST && s->under_way < HA_UNDER_WAY; k++)
            act(s);
        pump(s, 0);
    }
}

static bool at_rest(const struct ha_session *s) {
    struct kvr_client_stats now;
    kvr_client_stats(s->handle, &now);
    return !s->under_way && !now.pending && !now.unconfirmed;
}

// Until every call is answered and the handle has nothing left to put right.
static void drain(struct ha_session *s) {
    int64_t until = kvr_clock_ms() + HA_DRAIN_MS;
    bool done = false;
    while (!done && kvr_clock_ms() < until) {
        if (s->log->kind == HA_KIND_LIBEVENT) {
            pump(s, 0);
            done = at_rest(s);
        } else {
            done = kvr_client_drain(s->handle, 200) && !s->under_way;
        }
    }
    if (!done) s->log->undrained = true;
    s->asking = false;
    kvr_client_stats(s->handle, &s->log->stats);
}

// Nothing to do, but failures are still to be noticed: also by a handle that only makes blocking calls.
static void idle(struct ha_session *s) {
    if (blocking(s)) kvr_client_run(s->handle, HA_PACE_MS);
    pump(s, HA_PACE_MS);
}

// Holds what lives until something else is ordered; speaks of it if leases are short.
static void hold(struct ha_session *s) {
    int64_t next = 0;
    while (s->log->order == HA_ORDER_HOLD) {
        if (s->log->renew && kvr_clock_ms() >= next) {
            next = kvr_clock_ms() + s->log->renew;
            for (size_t k = s->n_live; k > 0; k--)
                call_update(s, take_live(s));
        }
        idle(s);
    }
}

static void finish(struct ha_session *s) {
    while (s->n_quiet)
        keep(s, s->quiet[--s->n_quiet]);
    while (s->n_live || s->under_way) {
        for (size_t k = 0; k < HA_GROUP && s->n_live; k++) {
            uint32_t i = take_live(s);
            call_release(s, &i, 1);
        }
        pump(s, 1);
    }
}

// ---- The process ---------------------------------------------------------------------------------

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", kvr_clock_ms(), (int)level, line);
}

static void tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
}

static void run_client(struct ha_client *c) {
    static struct ha_session session;
    struct ha_session *s = &session;
    char path[300], error[160];
    support_path(path, sizeof path, "client-%d.log", c->number);
    s->log = c;
    s->random = ha_seed() + (uint64_t)c->number * 1000003;
    s->file = fopen(path, "w");
    if (s->file) setvbuf(s->file, NULL, _IOLBF, 0);
    struct kvr_client_options options = {
        .create = c->create, .degrade = c->degrade, .log = write_line, .log_ctx = s->file};
    struct kvr_loop loop;
    struct event *ticking = NULL;
    if (c->kind == HA_KIND_LIBEVENT) {
        s->base = event_base_new();
        loop = kvr_libevent(s->base);
        options.loop = &loop;
        ticking = event_new(s->base, -1, EV_PERSIST, tick, NULL);
        event_add(ticking, &(struct timeval){0, HA_TICK_US});
    }
    s->handle = kvr_client_open(c->url, "pool", &options, error, sizeof error);
    if (!s->handle) ha_give_up("a client can't open %s: %s", c->url, error);
    work(s);
    drain(s);
    c->reached = HA_ORDER_HOLD;
    hold(s);
    finish(s);
    drain(s);
    c->reached = HA_ORDER_FINISH;
    while (c->order == HA_ORDER_FINISH)
        idle(s);
    kvr_client_close(s->handle);
    if (ticking) event_free(ticking);
    if (s->base) event_base_free(s->base);
    if (s->file) fclose(s->file);
}

void ha_client_start(struct ha_client *c, int side) {
    struct ha_process *process = ha_process_add(side);
    if (!ha_process_fork(process)) {
        run_client(c);
        _exit(0);
    }
    c->process = process; // not in the child: this is shared
}

uint64_t ha_client_errors(const struct ha_client *c) {
    uint64_t n = c->wrong;
    for (int code = KVR_CODE_OK + 1; code < HA_CODES; code++)
        n += c->errors[code];
    return n;
}

size_t ha_client_count(const struct ha_client *c, enum ha_request_state state) {
    size_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        n += c->requests[i].state == (int)state;
    return n;
}
