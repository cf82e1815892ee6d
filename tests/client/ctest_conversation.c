// SPDX-License-Identifier: Apache-2.0
// See ctest_conversation.h.
#include "ctest_conversation.h"

#include <kvroute/adapters/libevent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "fake_server.h"

enum { CONVERSATION_BLOCKS = 4, MAX_CONVERSATION_CALLS = 64, CONVERSATION_IDS = 3 };

// A call under way. Freed with the conversation, so that a second answer is noticed and not a crash.
struct conversation_call {
    struct ctest_conversation *conversation;
    const struct conversation_step *step;
    int64_t at, limit; // ms: when it was asked, and by when there must be an answer
    unsigned answers;
    bool goes_on; // with the next step, when answered
};

struct ctest_conversation {
    enum ctest_form form;
    struct event_base *base;
    struct event *wait; // ends a turn of the loop
    struct kvr_client *client;
    int64_t deadline; // of the handle
    struct conversation_call asked[MAX_CONVERSATION_CALLS];
    size_t n_asked, n_answered, next, end;
    unsigned codes, timeouts, patience;
    // Which ids a SELECT or CLAIM was answered OK for and no RELEASE has followed: a caller that was
    // told of no booking releases none, and then there may be none. (When all calls are made at once
    // the answers aren't there yet, and everything is released.)
    unsigned held;
    char complaint[256];
};

static const uint64_t hashes[CONVERSATION_BLOCKS] = {11, 22, 0, UINT64_MAX};
static const struct kvr_bytes labels[] = {{"zone=a", 6}, {"gpu \r\n", 6}, {"zone=b", 6}};
static const struct kvr_bytes ids[] = {{"request-a", 9}, {"request \r\n\0b", 12}, {"c", 1}};

__attribute__((format(printf, 2, 3))) static void complain(struct ctest_conversation *t,
                                                           const char *format, ...) {
    if (t->complaint[0]) return;
    va_list args;
    va_start(args, format);
    vsnprintf(t->complaint, sizeof t->complaint, format, args);
    va_end(args);
}

// ---- The calls -----------------------------------------------------------------------------------

// done NULL: the blocking form, which returns the result; else *code tells whether it was begun.
typedef const struct kvr_result *conversation_request(struct kvr_client *c, kvr_done *done,
                                                      void *ctx, enum kvr_code *code);

static const struct kvr_result *worker_set(struct kvr_client *c, kvr_done *done, void *ctx,
                                           enum kvr_code *code) {
    struct kvr_worker_call call = {
        .worker = kvr_text("w1"),
        .addr = kvr_text("http://10.0.0.1:8000"),
        .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_CAPACITY | KVR_WORKER_STATE |
               KVR_WORKER_TTL | KVR_WORKER_SPEED | KVR_WORKER_LABELS,
        .ranks = 1,
        .capacity = 1000,
        .ttl = 60000,
        .speed = 0.5,
        .labels = labels,
        .n_labels = 2,
    };
    if (!done) return kvr_client_worker_set(c, &call);
    *code = kvr_client_worker_set_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *worker_list(struct kvr_client *c, kvr_done *done, void *ctx,
                                            enum kvr_code *code) {
    if (!done) return kvr_client_worker_list(c);
    *code = kvr_client_worker_list_async(c, done, ctx);
    return NULL;
}

static const struct kvr_result *worker_del(struct kvr_client *c, kvr_done *done, void *ctx,
                                           enum kvr_code *code) {
    struct kvr_bytes worker = kvr_text("w3");
    if (!done) return kvr_client_worker_del(c, worker);
    *code = kvr_client_worker_del_async(c, worker, done, ctx);
    return NULL;
}

static const struct kvr_result *report(struct kvr_client *c, kvr_done *done, void *ctx,
                                       enum kvr_code *code) {
    struct kvr_bytes worker = kvr_text("w1");
    if (!done) return kvr_client_report(c, worker, false);
    *code = kvr_client_report_async(c, worker, false, done, ctx);
    return NULL;
}

static const struct kvr_result *select_a(struct kvr_client *c, kvr_done *done, void *ctx,
                                         enum kvr_code *code) {
    static const struct kvr_bytes among[] = {{"w1", 2}, {"w2", 2}};
    struct kvr_select_call call = {
        .request = ids[0],
        .blocks = {.hashes = hashes, .n = CONVERSATION_BLOCKS},
        .isl = 70,
        .osl = 100,
        .lease = 60000,
        .among = among,
        .n_among = 2,
        .exclude = among + 1,
        .n_exclude = 1,
        .policy = "linear",
        .weigh = KVR_WEIGH_OVERLAP | KVR_WEIGH_TEMPERATURE,
        .overlap = 0.5,
        .session = kvr_text("a session"),
        .with = labels,
        .n_with = 1,
        .without = labels + 2,
        .n_without = 1,
    };
    if (!done) return kvr_client_select(c, &call);
    *code = kvr_client_select_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *select_b(struct kvr_client *c, kvr_done *done, void *ctx,
                                         enum kvr_code *code) {
    static const uint32_t tokens[70] = {1, 2, 3};
    struct kvr_select_call call = {
        .request = ids[1],
        .blocks = {.tokens = tokens, .n = 70, .lora = kvr_text("l"), .space = kvr_text("s")},
    };
    if (!done) return kvr_client_select(c, &call);
    *code = kvr_client_select_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *score(struct kvr_client *c, kvr_done *done, void *ctx,
                                      enum kvr_code *code) {
    struct kvr_select_call call = {.blocks = {.hashes = hashes, .n = CONVERSATION_BLOCKS}};
    if (!done) return kvr_client_score(c, &call);
    *code = kvr_client_score_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *explain(struct kvr_client *c, kvr_done *done, void *ctx,
                                        enum kvr_code *code) {
    struct kvr_select_call call = {.blocks = {.hashes = hashes, .n = CONVERSATION_BLOCKS},
                                   .pair = true};
    if (!done) return kvr_client_explain(c, &call, 7);
    *code = kvr_client_explain_async(c, &call, 7, done, ctx);
    return NULL;
}

static const struct kvr_result *update(struct kvr_client *c, kvr_done *done, void *ctx,
                                       enum kvr_code *code) {
    struct kvr_update_call call = {.request = ids[0], .prefilled = true, .output = 17};
    if (!done) return kvr_client_update(c, &call);
    *code = kvr_client_update_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *info(struct kvr_client *c, kvr_done *done, void *ctx,
                                     enum kvr_code *code) {
    if (!done) return kvr_client_info(c);
    *code = kvr_client_info_async(c, done, ctx);
    return NULL;
}

static const struct kvr_result *server(struct kvr_client *c, kvr_done *done, void *ctx,
                                       enum kvr_code *code) {
    if (!done) return kvr_client_server(c);
    *code = kvr_client_server_async(c, done, ctx);
    return NULL;
}

static const struct kvr_result *connections(struct kvr_client *c, kvr_done *done, void *ctx,
                                            enum kvr_code *code) {
    if (!done) return kvr_client_connections(c);
    *code = kvr_client_connections_async(c, done, ctx);
    return NULL;
}

static const struct kvr_result *pools(struct kvr_client *c, kvr_done *done, void *ctx,
                                      enum kvr_code *code) {
    if (!done) return kvr_client_pools(c, 17);
    *code = kvr_client_pools_async(c, 17, done, ctx);
    return NULL;
}

static const struct kvr_result *event(struct kvr_client *c, kvr_done *done, void *ctx,
                                      enum kvr_code *code) {
    static const struct kvr_op ops[] = {
        {.kind = KVR_OP_STORED, .tier = KVR_HOST, .hashes = hashes, .n = CONVERSATION_BLOCKS},
        {.kind = KVR_OP_STORED, .tier = KVR_DISK, .parent = &hashes[3], .hashes = hashes, .n = 1},
        {.kind = KVR_OP_REMOVED, .tier = KVR_DEVICE, .hashes = hashes, .n = 2},
        {.kind = KVR_OP_CLEARED, .tier = -1},
    };
    struct kvr_event_call call = {
        .worker = kvr_text("w1"), .epoch = 9, .seq = 1, .ops = ops, .n_ops = 4};
    if (!done) return kvr_client_event(c, &call);
    *code = kvr_client_event_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *claim(struct kvr_client *c, kvr_done *done, void *ctx,
                                      enum kvr_code *code) {
    struct kvr_claim_call call = {
        .request = ids[2],
        .worker = kvr_text("w2"),
        .blocks = {.hashes = hashes, .n = CONVERSATION_BLOCKS},
        .isl = 64,
        .cached = 16,
        .output = 5,
        .prefilled = true,
        .lease = KVR_NO_LEASE,
        .osl = 80,
        .session = kvr_text("another"),
    };
    if (!done) return kvr_client_claim(c, &call);
    *code = kvr_client_claim_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *class_set(struct kvr_client *c, kvr_done *done, void *ctx,
                                          enum kvr_code *code) {
    struct kvr_class_call call = {.name = kvr_text("batch"),
                                  .set = KVR_CLASS_SET_PRIORITY | KVR_CLASS_SET_ROOM,
                                  .priority = -5,
                                  .room = 80};
    if (!done) return kvr_client_class_set(c, &call);
    *code = kvr_client_class_set_async(c, &call, done, ctx);
    return NULL;
}

static const struct kvr_result *class_list(struct kvr_client *c, kvr_done *done, void *ctx,
                                           enum kvr_code *code) {
    if (!done) return kvr_client_class_list(c);
    *code = kvr_client_class_list_async(c, done, ctx);
    return NULL;
}

static const struct kvr_result *flow_list(struct kvr_client *c, kvr_done *done, void *ctx,
                                          enum kvr_code *code) {
    if (!done) return kvr_client_flow_list(c, 0, 10);
    *code = kvr_client_flow_list_async(c, 0, 10, done, ctx);
    return NULL;
}

static const struct kvr_result *queue(struct kvr_client *c, kvr_done *done, void *ctx,
                                      enum kvr_code *code) {
    if (!done) return kvr_client_queue(c, 5);
    *code = kvr_client_queue_async(c, 5, done, ctx);
    return NULL;
}

// Releases those of the ids that are in the mask.
static const struct kvr_result *release(struct kvr_client *c, kvr_done *done, void *ctx,
                                        enum kvr_code *code, unsigned mask) {
    struct kvr_bytes some[CONVERSATION_IDS];
    size_t n = 0;
    for (unsigned i = 0; i < CONVERSATION_IDS; i++)
        if (mask & 1u << i) some[n++] = ids[i];
    if (!done) return kvr_client_release(c, some, n);
    *code = kvr_client_release_async(c, some, n, done, ctx);
    return NULL;
}

enum what { NUMBER, CIRCUIT, CHOICE, SCORES, WORKERS, FIELDS, CLASSES, FLOWS, QUEUE, EXPLANATION };

static const struct conversation_step {
    const char *name;
    conversation_request *ask; // NULL: release
    enum what what;
    unsigned books, releases; // a bit for each of the ids
} steps[] = {
    {"worker_set", worker_set, NUMBER, 0, 0},
    {"worker_list", worker_list, WORKERS, 0, 0},
    {"select_a", select_a, CHOICE, 1, 0},
    {"select_b", select_b, CHOICE, 2, 0},
    {"score", score, SCORES, 0, 0},
    {"update", update, NUMBER, 0, 0},
    {"info", info, FIELDS, 0, 0},
    {"server", server, FIELDS, 0, 0},
    {"connections", connections, FIELDS, 0, 0},
    {"event", event, NUMBER, 0, 0},
    {"claim", claim, NUMBER, 4, 0},
    {"report", report, CIRCUIT, 0, 0},
    {"release_a", NULL, NUMBER, 0, 1},
    {"release_all", NULL, NUMBER, 0, 7},
    {"worker_del", worker_del, NUMBER, 0, 0},
    {"class_set", class_set, NUMBER, 0, 0},
    {"class_list", class_list, CLASSES, 0, 0},
    {"flow_list", flow_list, FLOWS, 0, 0},
    {"queue", queue, QUEUE, 0, 0},
    {"explain", explain, EXPLANATION, 0, 0},
    {"pools", pools, FIELDS, 0, 0},
};
_Static_assert(sizeof steps / sizeof *steps == CTEST_STEPS,
               "ctest_conversation.h tells how many there are");
static const struct conversation_step *const the_select = &steps[2], *const the_release =
                                                                         &steps[13];

// Begins a call, or makes it. NULL with a done: begun, or *code says why not.
static const struct kvr_result *begin(struct ctest_conversation *t,
                                      const struct conversation_step *step, kvr_done *done,
                                      void *ctx, enum kvr_code *code) {
    if (step->ask) return step->ask(t->client, done, ctx, code);
    unsigned mask = t->form == CTEST_RUN ? step->releases : step->releases & t->held;
    return release(t->client, done, ctx, code, mask);
}

static bool is_void(const struct ctest_conversation *t, const struct conversation_step *step) {
    return !step->ask && t->form != CTEST_RUN && !(step->releases & t->held);
}

// ---- Answers -------------------------------------------------------------------------------------

// Reads everything there is, so that a pointer that leads nowhere is found.
static void look_at(struct ctest_conversation *t, const struct conversation_step *step,
                    const struct kvr_result *r) {
    uint64_t sum = 0;
    if (!r->message || (r->code == KVR_CODE_OK) != (r->message[0] == 0))
        complain(t, "%s: %s with the message \"%s\"", step->name, kvr_code_name(r->code),
                 r->message ? r->message : "(null)");
    if (r->code != KVR_CODE_OK) return;
    switch (step->what) {
    case NUMBER:
        break;
    case CIRCUIT:
        if (!r->degraded && r->circuit != KVR_OPEN) complain(t, "another circuit");
        break;
    case CHOICE:
        if (!r->choice.worker.n || !r->choice.worker.p || !r->choice.addr.p)
            complain(t, "%s chose nobody", step->name);
        for (size_t i = 0; i < r->choice.worker.n; i++)
            sum += (unsigned char)r->choice.worker.p[i];
        for (size_t i = 0; i < r->choice.addr.n; i++)
            sum += (unsigned char)r->choice.addr.p[i];
        break;
    case SCORES:
        for (size_t i = 0; i < r->n; i++)
            sum += r->scores[i].worker.n ? (unsigned char)r->scores[i].worker.p[0] : 0;
        break;
    case EXPLANATION:
        sum += r->explanation->by.n + r->explanation->choice.worker.n;
        for (size_t i = 0; i < r->n; i++)
            for (size_t k = 0; k < r->explanation->candidates[i].n_terms; k++)
                sum += (unsigned char)r->explanation->candidates[i].terms[k].name.p[0];
        break;
    case WORKERS:
        for (size_t i = 0; i < r->n; i++) {
            sum += r->workers[i].name.n ? (unsigned char)r->workers[i].name.p[0] : 0;
            for (size_t k = 0; k < r->workers[i].n_ranks; k++)
                sum += r->workers[i].ranks[k].epoch;
            for (size_t k = 0; k < r->workers[i].n_labels; k++)
                sum += (unsigned char)r->workers[i].labels[k].p[0];
        }
        break;
    case FIELDS:
        for (size_t i = 0; i < r->n; i++) {
            sum += r->fields[i].name.n ? (unsigned char)r->fields[i].name.p[0] : 0;
            sum += r->fields[i].value.n ? (unsigned char)r->fields[i].value.p[0] : 0;
        }
        sum += (uint64_t)kvr_info_int(r, "version", -1);
        if (kvr_info_int(r, "no such field", -7) != -7) complain(t, "a field out of nothing");
        break;
    case CLASSES:
        for (size_t i = 0; i < r->n; i++)
            sum += (unsigned char)r->classes[i].name.p[0] + (uint64_t)r->classes[i].room;
        break;
    case FLOWS:
        for (size_t i = 0; i < r->n; i++)
            sum += (unsigned char)r->flows[i].name.p[0] + (uint64_t)r->flows[i].left;
        sum += r->cursor;
        break;
    case QUEUE:
        for (size_t i = 0; i < r->n; i++)
            sum += (unsigned char)r->queued[i].request.p[0];
        sum += (uint64_t)r->queue.waiting;
        break;
    }
    __asm__ volatile("" : : "r"(sum)); // the reading must not be optimised away
}

static void count_answer(struct ctest_conversation *t, const struct conversation_step *step,
                         const struct kvr_result *r, int64_t limit) {
    if (!r) {
        complain(t, "%s returned NULL", step->name);
        return;
    }
    t->n_answered++;
    t->codes |= 1u << r->code;
    if (r->code == KVR_CODE_TIMEOUT) t->timeouts++;
    if (r->code > KVR_CODE_CLOSED) complain(t, "%s: code %d", step->name, (int)r->code);
    if (kvr_clock_ms() > limit)
        complain(t, "%s was answered %ld ms too late", step->name,
                 (long)(kvr_clock_ms() - limit + CTEST_SLACK));
    if (r->code == KVR_CODE_OK) t->held = (t->held | step->books) & ~step->releases;
    look_at(t, step, r);
}

static void go_on(struct ctest_conversation *t);

static void answered(void *ctx, const struct kvr_result *r) {
    struct conversation_call *a = ctx;
    struct ctest_conversation *t = a->conversation;
    if (a->answers++) {
        complain(t, "%s was answered twice", a->step->name);
        return;
    }
    count_answer(t, a->step, r, a->limit);
    if (t->base) event_base_loopbreak(t->base);
    if (a->goes_on && r->code != KVR_CODE_CLOSED) go_on(t);
}

static void post(struct ctest_conversation *t, const struct conversation_step *step,
                 int64_t deadline, bool goes_on) {
    if (t->n_asked == MAX_CONVERSATION_CALLS) abort();
    struct conversation_call *a = &t->asked[t->n_asked++];
    enum kvr_code code = KVR_CODE_OK;
    size_t before = t->n_answered;
    int64_t now = kvr_clock_ms();
    *a = (struct conversation_call){t, step, now, now + deadline + CTEST_SLACK, 0, goes_on};
    begin(t, step, answered, a, &code);
    if (t->n_answered != before) complain(t, "%s called back before it returned", step->name);
    if (code == KVR_CODE_OK) return;
    t->n_asked--;
    t->codes |= 1u << code;
    if (code != KVR_CODE_NOMEM) complain(t, "%s: %s", step->name, kvr_code_name(code));
    if (goes_on) go_on(t); // no callback comes
}

static void go_on(struct ctest_conversation *t) {
    while (t->next < t->end && is_void(t, &steps[t->next]))
        t->next++;
    if (t->next < t->end && t->timeouts < t->patience)
        post(t, &steps[t->next++], t->deadline, true);
}

// ---- Turns ---------------------------------------------------------------------------------------

static void nothing(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

static void turn(struct ctest_conversation *t, int ms) {
    if (!t->base) {
        kvr_client_run(t->client, ms);
        return;
    }
    struct timeval after = {0, ms * 1000};
    event_add(t->wait, &after);
    event_base_dispatch(t->base);
}

static bool all_answered(const struct ctest_conversation *t) {
    for (size_t i = 0; i < t->n_asked; i++)
        if (!t->asked[i].answers) return false;
    return true;
}

// Turns until every call is answered, or one is too late.
static void wait_for_all(struct ctest_conversation *t) {
    while (!all_answered(t)) {
        turn(t, 5);
        for (size_t i = 0; i < t->n_asked; i++)
            if (!t->asked[i].answers && kvr_clock_ms() > t->asked[i].limit) {
                complain(t, "%s isn't answered", t->asked[i].step->name);
                return;
            }
    }
    t->n_asked = 0;
}

static void one(struct ctest_conversation *t, const struct conversation_step *step,
                int64_t deadline) {
    if (is_void(t, step)) return;
    if (t->form == CTEST_BLOCKING) {
        int64_t limit = kvr_clock_ms() + deadline + CTEST_SLACK;
        enum kvr_code code;
        count_answer(t, step, begin(t, step, NULL, NULL, &code), limit);
    } else {
        post(t, step, deadline, false);
        wait_for_all(t);
    }
}

void ctest_conversation_steps(struct ctest_conversation *t, size_t first, size_t end,
                              unsigned patience) {
    t->next = first;
    t->end = end;
    t->timeouts = 0;
    t->patience = patience;
    if (t->form == CTEST_LOOP)
        go_on(t);
    else
        for (size_t i = first; i < end && t->timeouts < patience && !t->complaint[0]; i++)
            if (t->form == CTEST_RUN)
                post(t, &steps[i], t->deadline, false);
            else
                one(t, &steps[i], t->deadline);
    wait_for_all(t);
}

// Until nothing is left to do, and the handle has a primary: on a busy machine it may just have lost
// patience with it. (kvr_client_drain is for handles without a loop of the caller's.)
static bool drained(struct ctest_conversation *t, int64_t ms) {
    struct kvr_client_stats s;
    int64_t limit = kvr_clock_ms() + ms;
    for (;;) {
        bool done = t->base || kvr_client_drain(t->client, limit - kvr_clock_ms());
        kvr_client_stats(t->client, &s);
        if (done && s.connected && !s.pending && !s.unconfirmed) return true;
        if (kvr_clock_ms() > limit) return false;
        turn(t, 2);
    }
}

// With the handle's short deadline a call may be over before the server has been looked at anew; then
// it is made again. What counts is that it comes to work.
static bool until_ok(struct ctest_conversation *t, const struct conversation_step *step,
                     int64_t limit, unsigned passing) {
    do {
        unsigned before = t->codes;
        t->codes = 0;
        one(t, step, t->deadline);
        unsigned codes = t->codes;
        t->codes = before;
        if (t->complaint[0]) return false;
        if (codes == 1u << KVR_CODE_OK) return true;
        if (codes & ~(passing | 1u << KVR_CODE_TIMEOUT | 1u << KVR_CODE_DENIED)) {
            complain(t, "afterwards, %s has the codes %x", step->name, codes);
            return false;
        }
    } while (kvr_clock_ms() < limit);
    complain(t, "afterwards, %s doesn't come to work", step->name);
    return false;
}

bool ctest_conversation_simple(struct ctest_conversation *t, int64_t deadline, unsigned passing) {
    int64_t limit = kvr_clock_ms() + deadline;
    if (!until_ok(t, the_select, limit, passing) || !until_ok(t, the_release, limit, passing))
        return false;
    if (!drained(t, deadline)) {
        complain(t, "something is left to do");
        return false;
    }
    struct kvr_client_stats s;
    kvr_client_stats(t->client, &s);
    if (s.pending || s.live || s.unconfirmed || !s.primary[0])
        complain(t, "in the end %zu pending, %zu live, %zu unconfirmed, connected to \"%s\"",
                 s.pending, s.live, s.unconfirmed, s.primary);
    return !t->complaint[0];
}

// ---- Beginning and end ---------------------------------------------------------------------------

struct ctest_conversation *ctest_conversation_open(enum ctest_form form, const char *url,
                                                   const struct kvr_alloc *alloc) {
    struct ctest_conversation *t = calloc(1, sizeof *t);
    struct kvr_loop loop;
    struct kvr_client_options options = {.create = "BLOCKSIZE 16 LEASE 60000", .alloc = alloc};
    char why[160] = "";
    const char *deadline = strstr(url, "deadline=");
    if (!t) abort();
    t->form = form;
    t->deadline = deadline ? atol(deadline + 9) : 5000;
    if (form == CTEST_LOOP) {
        t->base = event_base_new();
        t->wait = t->base ? event_new(t->base, -1, 0, nothing, t->base) : NULL;
        if (!t->wait) abort();
        loop = kvr_libevent(t->base);
        options.loop = &loop;
    }
    t->client = kvr_client_open(url, FAKE_POOL, &options, why, sizeof why);
    if (t->client) return t;
    if (!why[0]) complain(t, "opening was refused without a reason");
    ctest_conversation_close(t, false);
    return NULL;
}

const char *ctest_form_name(enum ctest_form form) {
    static const char *const names[] = {"blocking", "run", "loop"};
    return names[form];
}

void ctest_conversation_close(struct ctest_conversation *t, bool busy) {
    if (busy && t->form != CTEST_BLOCKING)
        for (size_t i = 0; i < CTEST_STEPS; i++)
            post(t, &steps[i], t->deadline, false);
    kvr_client_close(t->client);
    if (t->client && !all_answered(t)) {
        fprintf(stderr, "closed, and a call has no answer\n");
        abort();
    }
    if (t->base) {
        event_free(t->wait);
        event_base_free(t->base);
    }
    free(t);
}

unsigned ctest_conversation_codes(const struct ctest_conversation *t) {
    return t->codes;
}

const char *ctest_conversation_complaint(const struct ctest_conversation *t) {
    return t->complaint;
}
