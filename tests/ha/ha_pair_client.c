// SPDX-License-Identifier: Apache-2.0
// A client's process; see ha_pair_client.h.
#include "ha_pair_client.h"

#include <event2/event.h>
#include <inttypes.h>
#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    HA_PAIR_TARGET = 12, // live requests of one client, and those that are asked for
    HA_PAIR_TICK_MS = 4,
    HA_PAIR_BEGUN_AT_ONCE = 3,
    HA_PAIR_PAUSE_MS = 25, // between two words on a request at most
    HA_PAIR_WORDS = 3,     // UPDATEs of its output at most
    HA_PAIR_REST_MS = 40,  // after NOROOM at most
};

struct ha_pair_session;

// The callback of a call gets the address of its slot, which says both.
struct ha_pair_slot {
    struct ha_pair_session *session;
    uint32_t index;
    uint32_t open;  // calls under way for it
    uint32_t words; // still to be said of its output
    int64_t due;    // when the next one is
};

struct ha_pair_session {
    struct ha_pair *pair;
    struct ha_pair_client *log;
    int number;
    struct kvr_client *handle;
    struct event_base *base;
    uint64_t random;
    struct ha_pair_slot *live[HA_PAIR_TARGET]; // asked for, or booked and not released
    size_t n_live, open;
    int64_t rest_until;
};
static struct ha_pair_slot slots[HA_PAIR_MAX];

static struct ha_pair_request *request(const struct ha_pair_slot *t) {
    return &t->session->log->requests[t->index];
}

static bool is_broken(const struct ha_pair_slot *t) {
    return ha_pair_in_doubt(t->session->pair, request(t)->worker, request(t)->began);
}

static bool may_be_lost(const struct ha_pair_session *s, const struct ha_pair_request *q) {
    return q->began <= s->pair->history_from;
}

static void put_off(struct ha_pair_slot *t) {
    t->due = kvr_clock_ms() + 1 + (int64_t)ha_random_below(&t->session->random, HA_PAIR_PAUSE_MS);
}

static void leave(struct ha_pair_slot *t) {
    struct ha_pair_session *s = t->session;
    for (size_t i = 0; i < s->n_live; i++)
        if (s->live[i] == t) s->live[i] = s->live[--s->n_live];
}

// ---- Answers -------------------------------------------------------------------------------------

static void note_error(struct ha_pair_slot *t, const char *call, const char *what) {
    struct ha_pair_client *c = t->session->log;
    if (!c->errors++)
        snprintf(c->first_error, sizeof c->first_error, "%s, %s: %s",
                 ha_request_name(t->session->number, t->index).text, call, what);
}

static void take(struct ha_pair_slot *t, const struct kvr_result *r, const char *call) {
    struct ha_pair_client *c = t->session->log;
    char what[120];
    int64_t now = kvr_clock_ms();
    t->open--;
    t->session->open--;
    if (c->last_good && now - c->last_good > c->longest_gap) c->longest_gap = now - c->last_good;
    c->last_good = now;
    if (r->code == KVR_CODE_OK || r->code == KVR_CODE_NOROOM) return;
    snprintf(what, sizeof what, "%s %.90s", kvr_code_name(r->code), r->message);
    note_error(t, call, what);
}

// A word of it was acknowledged.
static void heard_of(const struct ha_pair_slot *t) {
    struct ha_pair_request *q = request(t);
    int64_t now = kvr_clock_ms();
    if (now - q->said > t->session->pair->lease / 2) q->late = true;
    q->said = now;
}

static bool can_be(const struct kvr_choice *c, const struct ha_pair_request *q) {
    enum kvr_role decode = ha_pair_engine_role(q->worker);
    if (q->worker == HA_PAIR_NOBODY || decode == KVR_ROLE_PREFILL || c->rank >= HA_PAIR_RANKS)
        return false;
    if (q->prefill == HA_PAIR_NOBODY) return true;
    return ha_pair_engine_role(q->prefill) != KVR_ROLE_DECODE && c->prefill_rank < HA_PAIR_RANKS &&
           (q->prefill != q->worker || c->prefill_rank != c->rank);
}

static void selected(void *ctx, const struct kvr_result *r) {
    struct ha_pair_slot *t = ctx;
    struct ha_pair_session *s = t->session;
    struct ha_pair_request *q = request(t);
    take(t, r, "SELECT");
    q->answers++;
    if (r->code != KVR_CODE_OK) {
        int64_t rest = r->number < HA_PAIR_REST_MS ? r->number : HA_PAIR_REST_MS;
        if (r->code == KVR_CODE_NOROOM) s->rest_until = kvr_clock_ms() + rest;
        q->state = r->code == KVR_CODE_NOROOM ? HA_PAIR_REFUSED : HA_PAIR_FAILED;
        leave(t);
        return;
    }
    bool known = ha_pair_engine_find(r->choice.worker.p, r->choice.worker.n, &q->worker);
    known &=
        ha_pair_engine_find(r->choice.prefill_worker.p, r->choice.prefill_worker.n, &q->prefill);
    if (!known || !can_be(&r->choice, q)) note_error(t, "SELECT", "a pair that can't be");
    if (r->choice.repeat && r->sendings == 1) note_error(t, "SELECT", "a repeat of nothing");
    q->rank = (uint16_t)r->choice.rank;
    q->prefill_rank = (uint16_t)r->choice.prefill_rank;
    q->said = kvr_clock_ms();
    t->words = 1 + (uint32_t)ha_random_below(&s->random, HA_PAIR_WORDS);
    s->log->booked++;
    s->log->waited += r->choice.waited > 0;
    put_off(t);
    q->state = HA_PAIR_LIVE;
}

static void updated(void *ctx, const struct kvr_result *r) {
    struct ha_pair_slot *t = ctx;
    struct ha_pair_request *q = request(t);
    take(t, r, "UPDATE");
    if (r->code != KVR_CODE_OK) return;
    if (r->number == 1) {
        heard_of(t);
        q->output = q->output_asked;
        q->prefilled = q->prefilled_asked;
    } else if (!is_broken(t) && q->state == HA_PAIR_LIVE && !t->session->pair->lossy) {
        note_error(t, "UPDATE", "of a live booking finds none");
    }
}

// RELEASE has found nothing: there has to be a reason.
static void note_unbooked(struct ha_pair_slot *t, const struct kvr_result *r) {
    struct ha_pair_client *c = t->session->log;
    const struct ha_pair_request *q = request(t);
    if (is_broken(t)) {
        c->with_worker++;
    } else if (r->sendings > 1) {
        c->resent++;
    } else if (may_be_lost(t->session, q)) {
        c->undone++;
    } else if (kvr_clock_ms() - q->said > t->session->pair->lease / 2) {
        c->by_time++;
    } else {
        if (!c->unbooked++)
            snprintf(c->first_error, sizeof c->first_error, "%s wasn't booked when released",
                     ha_request_name(t->session->number, t->index).text);
    }
}

static void released(void *ctx, const struct kvr_result *r) {
    struct ha_pair_slot *t = ctx;
    take(t, r, "RELEASE");
    if (r->code == KVR_CODE_OK && r->number == 1)
        t->session->log->released++;
    else if (r->code == KVR_CODE_OK)
        note_unbooked(t, r);
    request(t)->state = HA_PAIR_ENDED;
    leave(t);
}

// ---- Calls ---------------------------------------------------------------------------------------

static void refused(enum kvr_code code, kvr_done *done, struct ha_pair_slot *t) {
    struct kvr_result r = {.code = code, .message = "not taken", .number = -1};
    if (code != KVR_CODE_OK) done(t, &r);
}

static void called(struct ha_pair_slot *t) {
    t->open++;
    t->session->open++;
}

static void call_select(struct ha_pair_session *s) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    uint32_t i = s->log->n;
    struct ha_pair_prompt prompt = ha_pair_prompt(s->number, i, hashes);
    struct ha_request_id id = ha_request_name(s->number, i);
    struct ha_pair_slot *t = &slots[i];
    struct kvr_select_call call = {.request = kvr_text(id.text),
                                   .blocks = {.hashes = hashes, .n = prompt.blocks},
                                   .isl = prompt.isl,
                                   .wait = ha_pair_may_wait(i) ? HA_PAIR_WAIT_MS : 0,
                                   .pair = true};
    *t = (struct ha_pair_slot){.session = s, .index = i};
    request(t)->began = kvr_clock_ms();
    request(t)->state = HA_PAIR_ASKING;
    s->live[s->n_live++] = t;
    s->log->n = i + 1;
    called(t);
    refused(kvr_client_select_async(s->handle, &call, selected, t), selected, t);
}

static void call_update(struct ha_pair_slot *t) {
    struct ha_pair_request *q = request(t);
    struct ha_request_id id = ha_request_name(t->session->number, t->index);
    q->output_asked += q->prefilled_asked
                           ? 1 + (uint32_t)ha_random_below(&t->session->random, 2 * HA_BLOCK_SIZE)
                           : 1;
    q->prefilled_asked = true;
    struct kvr_update_call call = {
        .request = kvr_text(id.text), .prefilled = true, .output = q->output_asked};
    called(t);
    refused(kvr_client_update_async(t->session->handle, &call, updated, t), updated, t);
}

// Its lease alone.
static void call_renew(struct ha_pair_slot *t) {
    struct ha_request_id id = ha_request_name(t->session->number, t->index);
    struct kvr_update_call call = {.request = kvr_text(id.text)};
    called(t);
    refused(kvr_client_update_async(t->session->handle, &call, updated, t), updated, t);
}

static void call_release(struct ha_pair_slot *t) {
    struct ha_request_id id = ha_request_name(t->session->number, t->index);
    struct kvr_bytes name = kvr_text(id.text);
    request(t)->state = HA_PAIR_ENDING;
    called(t);
    refused(kvr_client_release_async(t->session->handle, &name, 1, released, t), released, t);
}

// ---- What it does --------------------------------------------------------------------------------

// An engine that dies breaks the connection of whoever waits for it. The end of the decoding one is the end of the
// request; when the prefilling one dies, half of the callers go on where they decode.
static bool gives_up(const struct ha_pair_slot *t) {
    const struct ha_pair_request *q = request(t);
    bool prompt_broken = ha_pair_in_doubt(t->session->pair, q->prefill, q->began);
    return is_broken(t) || (prompt_broken && !q->prefilled_asked && t->index % 4 < 2);
}

static void go_on(struct ha_pair_slot *t) {
    const struct ha_pair_request *q = request(t);
    struct ha_pair_session *s = t->session;
    int64_t now = kvr_clock_ms();
    if (q->state != HA_PAIR_LIVE || t->open) return;
    if (s->log->order == HA_ORDER_FINISH || gives_up(t)) {
        call_release(t);
    } else if (s->log->order == HA_ORDER_HOLD) {
        if (now - q->said > s->pair->lease / 4) call_renew(t);
    } else if (now >= t->due && t->words) {
        if (q->prefilled_asked) t->words--;
        call_update(t);
        put_off(t);
        // The last word, and the end without waiting for it.
        if (!t->words && t->index % 4 == 0) call_release(t);
    } else if (now >= t->due) {
        call_release(t);
    }
}

static void turn(struct ha_pair_session *s) {
    for (size_t i = s->n_live; i > 0; i--) // who is refused at once leaves
        if (i <= s->n_live) go_on(s->live[i - 1]);
    event_base_loop(s->base, EVLOOP_ONCE); // the tick ends it
    kvr_client_stats(s->handle, &s->log->stats);
}

static void work(struct ha_pair_session *s) {
    while (s->log->order == HA_ORDER_WORK) {
        s->log->reached = HA_ORDER_WORK;
        for (int k = 0; k < HA_PAIR_BEGUN_AT_ONCE; k++)
            if (s->n_live < HA_PAIR_TARGET && s->log->n < HA_PAIR_MAX &&
                kvr_clock_ms() >= s->rest_until)
                call_select(s);
        turn(s);
    }
}

static bool at_rest(const struct ha_pair_session *s) {
    return !s->open && !s->log->stats.pending && !s->log->stats.unconfirmed;
}

// Until another order is given.
static void obey(struct ha_pair_session *s, int order) {
    s->log->last_good = 0; // while it has nothing to ask, no time counts
    while (s->log->order == order) {
        turn(s);
        bool done = order != HA_ORDER_FINISH || !s->n_live;
        if (done && at_rest(s)) s->log->reached = order;
        s->log->last_good = 0;
    }
}

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", kvr_clock_ms(), (int)level, line);
}

static void tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
}

static void run_client(struct ha_pair *p, size_t client) {
    static struct ha_pair_session s;
    char path[300], error[160];
    struct timeval every = kvr_timeval(HA_PAIR_TICK_MS);
    s = (struct ha_pair_session){
        .pair = p, .log = &p->clients[client], .number = (int)client, .base = event_base_new()};
    s.random = ha_seed() + client * 1000003 + s.log->n;
    s.log->last_good = 0;
    support_path(path, sizeof path, "pairs-%zu.log", client);
    FILE *file = fopen(path, "a");
    if (file) setvbuf(file, NULL, _IOLBF, 0);
    struct kvr_loop loop = kvr_libevent(s.base);
    struct kvr_client_options options = {.log = write_line, .log_ctx = file, .loop = &loop};
    struct event *ticking = event_new(s.base, -1, EV_PERSIST, tick, NULL);
    event_add(ticking, &every);
    s.handle = kvr_client_open(p->url, "pool", &options, error, sizeof error);
    if (!s.handle) ha_give_up("a client can't open %s: %s", p->url, error);
    while (s.log->order != HA_ORDER_END) {
        int order = s.log->order;
        if (order == HA_ORDER_WORK)
            work(&s);
        else
            obey(&s, order);
    }
    kvr_client_close(s.handle);
    event_free(ticking);
    event_base_free(s.base);
    if (file) fclose(file);
}

// ---- From outside --------------------------------------------------------------------------------

void ha_pair_client_start(struct ha_pair *p, size_t client) {
    struct ha_pair_client *c = &p->clients[client];
    if (!c->process) c->process = ha_process_add(0);
    c->reached = HA_ORDER_WORK;
    if (ha_process_fork(c->process)) return;
    run_client(p, client);
    _exit(0);
}

void ha_pair_client_kill(struct ha_pair *p, size_t client) {
    struct ha_pair_client *c = &p->clients[client];
    ha_process_kill(c->process);
    p->faults++;
    c->lost += c->stats.lost;
    c->repaired += c->stats.repaired;
    memset(&c->stats, 0, sizeof c->stats);
    for (uint32_t i = 0; i < c->n; i++) {
        int state = c->requests[i].state;
        if (state == HA_PAIR_ASKING)
            c->requests[i].state = HA_PAIR_NEVER;
        else if (state == HA_PAIR_LIVE || state == HA_PAIR_ENDING)
            c->requests[i].state = HA_PAIR_ORPHAN;
    }
}
