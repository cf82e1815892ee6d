// SPDX-License-Identifier: Apache-2.0
// A client's process; see workload.h.
#include "workload.h"

#include <event2/event.h>
#include <inttypes.h>
#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TARGET = 20,    // live requests
    PACE_MS = 4,    // between two bursts
    BURST = 3,      // calls of one
    UNDER_WAY = 24, // calls at a time, asynchronously
    GROUP = 4,      // requests that are released in one call at most
    TICK_US = 4000, // of the event loop
    LIST = 4 * TARGET,
    QUIET = 8, // requests that nothing is said of for long
};

// What a client's process has beside its log.
struct session {
    struct client *log;
    struct kvr_client *handle;
    struct event_base *base;
    struct rng rng;
    uint32_t live[LIST]; // requests that nothing is under way for
    size_t n_live;
    uint32_t quiet[QUIET]; // the same, kept apart
    size_t n_quiet;
    size_t under_way, beginning;
    bool asking; // without a pause, so that the time between answers means something
    FILE *file;
};

// The callback of a call gets the address of its slot, which says both.
struct slot {
    struct session *session;
    uint32_t request;
};
static struct slot slots[MAX_REQUESTS];

struct request_id request_id(int client, uint32_t index) {
    struct request_id id;
    snprintf(id.text, sizeof id.text, "c%d-%" PRIu32, client, index);
    return id;
}

bool request_parse(const char *id, size_t n, int *client, uint32_t *index) {
    char text[32], end;
    if (n >= sizeof text) return false;
    memcpy(text, id, n);
    text[n] = 0;
    return sscanf(text, "c%d-%" SCNu32 "%c", client, index, &end) == 2;
}

// ---- Answers -------------------------------------------------------------------------------------

static void note_wrong(struct client *log, const char *what, uint32_t request) {
    if (!log->wrong && !client_errors(log))
        snprintf(log->first_error, sizeof log->first_error, "client %d, request %" PRIu32 ": %s",
                 log->number, request, what);
    log->wrong++;
}

// Counts an answer. Whether it is good.
static bool take(struct session *s, const struct kvr_result *r, const char *call) {
    struct client *log = s->log;
    int64_t now = now_ms();
    log->answers++;
    if (r->code == KVR_CODE_TIMEOUT && (log->hasty || (log->degrade && !log->warm))) {
        log->timeouts++;
        return false;
    }
    if (r->code != KVR_CODE_OK) {
        if (!client_errors(log))
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

static void keep(struct session *s, uint32_t request) {
    if (s->n_live == LIST) give_up("a client has too many requests");
    s->live[s->n_live++] = request;
}

static bool number_of(struct kvr_bytes name, uint16_t *worker) {
    if (name.n != 2 || name.p[0] != 'w' || name.p[1] < '0' || name.p[1] >= '0' + WORKERS)
        return false;
    *worker = (uint16_t)(name.p[1] - '0');
    return true;
}

static void selected(void *ctx, const struct kvr_result *r) {
    struct slot *slot = ctx;
    struct session *s = slot->session;
    struct request *q = &s->log->requests[slot->request];
    s->under_way--;
    s->beginning--;
    if (!take(s, r, "SELECT")) {
        q->state = REQUEST_FAILED;
        return;
    }
    if (!number_of(r->choice.worker, &q->worker) || r->choice.rank >= RANKS)
        note_wrong(s->log, "SELECT chose a worker that there isn't", slot->request);
    if (r->sendings == 1 && !r->degraded && r->choice.repeat)
        note_wrong(s->log, "SELECT calls a new request a repeat", slot->request);
    q->rank = (uint16_t)r->choice.rank;
    q->degraded = r->degraded;
    q->state = REQUEST_LIVE;
    keep(s, slot->request);
}

static void claimed(void *ctx, const struct kvr_result *r) {
    struct slot *slot = ctx;
    struct session *s = slot->session;
    struct request *q = &s->log->requests[slot->request];
    s->under_way--;
    s->beginning--;
    bool good = take(s, r, "CLAIM");
    q->degraded = good && r->degraded;
    q->state = good ? REQUEST_LIVE : REQUEST_FAILED;
    if (good) keep(s, slot->request);
}

static void updated(void *ctx, const struct kvr_result *r) {
    struct slot *slot = ctx;
    struct session *s = slot->session;
    struct request *q = &s->log->requests[slot->request];
    s->under_way--;
    if (take(s, r, "UPDATE")) {
        if (!r->degraded && r->number != 1 && q->state == REQUEST_LIVE)
            note_wrong(s->log, "UPDATE of a live request isn't answered 1", slot->request);
        q->output = q->output_asked;
        q->prefilled = q->prefilled_asked;
    }
    if (q->state == REQUEST_LIVE) keep(s, slot->request);
}

static void released(void *ctx, const struct kvr_result *r) {
    struct slot *slot = ctx;
    struct session *s = slot->session;
    s->under_way--;
    take(s, r, "RELEASE");
    s->log->requests[slot->request].state = REQUEST_ENDED;
}

static void scored(void *ctx, const struct kvr_result *r) {
    struct slot *slot = ctx;
    slot->session->under_way--;
    take(slot->session, r, "SCORE");
}

// ---- Calls ---------------------------------------------------------------------------------------
// Each in both forms; a call that isn't taken is answered by its code like any other.

static bool blocking(const struct session *s) {
    return s->log->kind == KIND_BLOCKING;
}

static void refused(enum kvr_code code, kvr_done *done, void *ctx) {
    struct kvr_result r = {.code = code, .message = "not taken", .number = -1};
    if (code != KVR_CODE_OK) done(ctx, &r);
}

static struct request *new_request(struct session *s, struct slot **slot, uint64_t *hashes) {
    uint32_t i = s->log->n;
    struct request *q = &s->log->requests[i];
    memset(q, 0, sizeof *q);
    q->chain = (uint16_t)rng_below(&s->rng, CHAINS);
    q->blocks = (uint16_t)(1 + rng_below(&s->rng, CHAIN_BLOCKS));
    q->isl = (uint32_t)(q->blocks * BLOCK_SIZE + rng_below(&s->rng, BLOCK_SIZE));
    q->state = REQUEST_BEGINNING;
    universe_chain(q->chain, hashes);
    slots[i] = (struct slot){s, i};
    *slot = &slots[i];
    s->under_way++;
    s->beginning++;
    s->log->n = i + 1;
    return q;
}

static void call_select(struct session *s) {
    uint64_t hashes[CHAIN_BLOCKS];
    struct slot *slot;
    struct request *q = new_request(s, &slot, hashes);
    struct request_id id = request_id(s->log->number, slot->request);
    struct kvr_select_call call = {
        .request = kvr_text(id.text), .blocks = {.hashes = hashes, .n = q->blocks}, .isl = q->isl};
    if (blocking(s))
        selected(slot, kvr_client_select(s->handle, &call));
    else
        refused(kvr_client_select_async(s->handle, &call, selected, slot), selected, slot);
}

static void call_claim(struct session *s) {
    uint64_t hashes[CHAIN_BLOCKS];
    struct slot *slot;
    struct request *q = new_request(s, &slot, hashes);
    struct request_id id = request_id(s->log->number, slot->request);
    char worker[] = "w0";
    q->worker = (uint16_t)rng_below(&s->rng, WORKERS);
    q->rank = (uint16_t)rng_below(&s->rng, RANKS);
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

static void call_update(struct session *s, uint32_t i) {
    struct request *q = &s->log->requests[i];
    struct request_id id = request_id(s->log->number, i);
    q->output_asked += (uint32_t)(1 + rng_below(&s->rng, 2 * BLOCK_SIZE));
    q->prefilled_asked = true;
    struct kvr_update_call call = {
        .request = kvr_text(id.text), .prefilled = true, .output = q->output_asked};
    s->under_way++;
    if (blocking(s))
        updated(&slots[i], kvr_client_update(s->handle, &call));
    else
        refused(kvr_client_update_async(s->handle, &call, updated, &slots[i]), updated, &slots[i]);
}

static void call_release(struct session *s, const uint32_t *which, size_t n) {
    struct request_id ids[GROUP];
    struct kvr_bytes names[GROUP];
    for (size_t k = 0; k < n; k++) {
        ids[k] = request_id(s->log->number, which[k]);
        names[k] = kvr_text(ids[k].text);
        s->log->requests[which[k]].state = REQUEST_ENDING;
    }
    s->under_way++;
    struct slot *slot = &slots[which[0]];
    if (blocking(s)) {
        released(slot, kvr_client_release(s->handle, names, n));
        for (size_t k = 1; k < n; k++)
            s->log->requests[which[k]].state = REQUEST_ENDED;
    } else {
        refused(kvr_client_release_async(s->handle, names, n, released, slot), released, slot);
    }
}

static void call_score(struct session *s) {
    static struct slot slot;
    uint64_t hashes[CHAIN_BLOCKS];
    universe_chain(rng_below(&s->rng, CHAINS), hashes);
    struct kvr_select_call call = {.blocks = {.hashes = hashes, .n = CHAIN_BLOCKS}};
    slot.session = s;
    s->under_way++;
    if (blocking(s))
        scored(&slot, kvr_client_score(s->handle, &call));
    else
        refused(kvr_client_score_async(s->handle, &call, scored, &slot), scored, &slot);
}

// ---- What it does --------------------------------------------------------------------------------

static uint32_t take_live(struct session *s) {
    size_t k = rng_below(&s->rng, s->n_live);
    uint32_t i = s->live[k];
    s->live[k] = s->live[--s->n_live];
    return i;
}

// Some requests are left alone: what is said of the others would put them right by itself. Not where
// leases are short: there they would end.
static void leave_alone(struct session *s) {
    bool full = s->n_quiet == QUIET;
    if (s->log->renew || !s->n_live || rng_below(&s->rng, full ? 250 : 20)) return;
    uint32_t i = take_live(s);
    if (full) { // one that has been quiet for long
        size_t k = rng_below(&s->rng, QUIET);
        keep(s, s->quiet[k]);
        s->quiet[k] = i;
    } else {
        s->quiet[s->n_quiet++] = i;
    }
}

static void act(struct session *s) {
    size_t dice = rng_below(&s->rng, 100);
    leave_alone(s);
    if (s->n_live + s->beginning < TARGET && s->log->n < MAX_REQUESTS) {
        if (dice < 85)
            call_select(s);
        else
            call_claim(s);
    } else if (dice < 4 && !s->log->degrade) { // degrading has no answer to SCORE
        call_score(s);
    } else if (!s->n_live) {
        return; // all of them are under way
    } else if (dice < 55) {
        call_update(s, take_live(s));
    } else if (dice < 85) {
        uint32_t which[GROUP];
        size_t n = 0, want = blocking(s) ? 1 + rng_below(&s->rng, GROUP) : 1;
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

static void pump(struct session *s, int64_t ms) {
    if (s->log->kind == KIND_LIBEVENT)
        event_base_loop(s->base, EVLOOP_ONCE); // the tick ends it
    else if (s->log->kind == KIND_OWN_LOOP)
        kvr_client_run(s->handle, ms);
    else
        sleep_ms(ms);
    kvr_client_stats(s->handle, &s->log->stats);
}

static void work(struct session *s) {
    int64_t next = 0;
    s->asking = true;
    while (s->log->order == ORDER_WORK) {
        int64_t now = now_ms();
        if (now < next) {
            pump(s, next - now);
            continue;
        }
        next = now + PACE_MS;
        for (size_t k = 0; k < BURST && s->under_way < UNDER_WAY; k++)
            act(s);
        pump(s, 0);
    }
}

static bool at_rest(const struct session *s) {
    struct kvr_client_stats now;
    kvr_client_stats(s->handle, &now);
    return !s->under_way && !now.pending && !now.unconfirmed;
}

// Until every call is answered and the handle has nothing left to put right.
static void drain(struct session *s) {
    int64_t until = now_ms() + DRAIN_MS;
    bool done = false;
    while (!done && now_ms() < until) {
        if (s->log->kind == KIND_LIBEVENT) {
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
static void idle(struct session *s) {
    if (blocking(s)) kvr_client_run(s->handle, PACE_MS);
    pump(s, PACE_MS);
}

// Holds what lives until something else is ordered; speaks of it if leases are short.
static void hold(struct session *s) {
    int64_t next = 0;
    while (s->log->order == ORDER_HOLD) {
        if (s->log->renew && now_ms() >= next) {
            next = now_ms() + s->log->renew;
            for (size_t k = s->n_live; k > 0; k--)
                call_update(s, take_live(s));
        }
        idle(s);
    }
}

static void finish(struct session *s) {
    while (s->n_quiet)
        keep(s, s->quiet[--s->n_quiet]);
    while (s->n_live || s->under_way) {
        for (size_t k = 0; k < GROUP && s->n_live; k++) {
            uint32_t i = take_live(s);
            call_release(s, &i, 1);
        }
        pump(s, 1);
    }
}

// ---- The process ---------------------------------------------------------------------------------

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", now_ms(), (int)level, line);
}

static void tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
}

static void run_client(struct client *c) {
    static struct session session;
    struct session *s = &session;
    char path[300], error[160];
    world_path(path, sizeof path, "client-%d.log", c->number);
    s->log = c;
    s->rng.state = world_seed() + (uint64_t)c->number * 1000003;
    s->file = fopen(path, "w");
    if (s->file) setvbuf(s->file, NULL, _IOLBF, 0);
    struct kvr_client_options options = {
        .create = c->create, .degrade = c->degrade, .log = write_line, .log_ctx = s->file};
    struct kvr_loop loop;
    struct event *ticking = NULL;
    if (c->kind == KIND_LIBEVENT) {
        s->base = event_base_new();
        loop = kvr_libevent(s->base);
        options.loop = &loop;
        ticking = event_new(s->base, -1, EV_PERSIST, tick, NULL);
        event_add(ticking, &(struct timeval){0, TICK_US});
    }
    s->handle = kvr_client_open(c->url, "pool", &options, error, sizeof error);
    if (!s->handle) give_up("a client can't open %s: %s", c->url, error);
    work(s);
    drain(s);
    c->reached = ORDER_HOLD;
    hold(s);
    finish(s);
    drain(s);
    c->reached = ORDER_FINISH;
    while (c->order == ORDER_FINISH)
        idle(s);
    kvr_client_close(s->handle);
    if (ticking) event_free(ticking);
    if (s->base) event_base_free(s->base);
    if (s->file) fclose(s->file);
}

void client_start(struct client *c, int side) {
    struct process *started = process_fork(side);
    if (!started) {
        run_client(c);
        _exit(0);
    }
    c->process = started; // not in the child: this is shared
}

uint64_t client_errors(const struct client *c) {
    uint64_t n = c->wrong;
    for (int code = KVR_CODE_OK + 1; code < CODES; code++)
        n += c->errors[code];
    return n;
}

size_t client_count(const struct client *c, enum request_state state) {
    size_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        n += c->requests[i].state == (int)state;
    return n;
}
