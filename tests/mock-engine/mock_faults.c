// SPDX-License-Identifier: Apache-2.0
// Faults on request; see mock_faults.h.
//
// Two sorts: those that happen to the next n batches or requests, and those that last, for ms
// milliseconds or until they are cleared. A row of the table names each.
#include "mock_faults.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mock_generate.h"
#include "mock_memory.h"
#include "mock_reply.h"

// What a request asks for, with what is assumed where it says nothing.
struct fault_request {
    uint64_t n, ms, status, tokens, after, rank, cleared, rebind, gently;
};

enum { EVERY_RANK = MOCK_MAX_RANKS };

static const struct {
    const char *name;
    size_t offset;
    uint64_t least, most, usual;
} fault_parameters[] = {
    {"n", offsetof(struct fault_request, n), 0, 1000000, 1},
    {"ms", offsetof(struct fault_request, ms), 0, 86400000, 0},
    {"status", offsetof(struct fault_request, status), 400, 599, 503},
    {"tokens", offsetof(struct fault_request, tokens), 1, 1000000, 1},
    {"after", offsetof(struct fault_request, after), 0, 1000000, 0},
    {"rank", offsetof(struct fault_request, rank), 0, EVERY_RANK, EVERY_RANK},
    {"cleared", offsetof(struct fault_request, cleared), 0, 1, 0},
    {"rebind", offsetof(struct fault_request, rebind), 0, 1, 0},
    {"gently", offsetof(struct fault_request, gently), 0, 1, 0},
};
enum { N_FAULT_PARAMETERS = sizeof fault_parameters / sizeof *fault_parameters };

// ---- What lasts ----------------------------------------------------------------------------------

static void apply_lasting(struct mock_engine *m, enum mock_lasting which, uint64_t rank) {
    bool on = m->lasting[which].on;
    for (size_t i = 0; i < m->options->ranks; i++) {
        if (rank != EVERY_RANK && rank != i) continue;
        if (which == MOCK_HANG_EVENTS && m->publishers[i])
            mock_publisher_hang(m->publishers[i], on);
        if (which == MOCK_HANG_ENGINE) mock_scheduler_hang(m->engines[i], on);
    }
    if ((which == MOCK_HANG_HTTP || which == MOCK_PAUSED) && !on) mock_engine_resume(m);
    if (which == MOCK_REFUSE && on) mock_engine_refuse(m);
    if (which == MOCK_HANG_TRANSFERS) mock_transfers_hang(&m->transfers, on);
}

static void end_lasting(struct mock_engine *m, enum mock_lasting which) {
    struct mock_lasting_fault *f = &m->lasting[which];
    static const struct timeval soon = {.tv_usec = 50000};
    event_del(f->timer);
    if (!f->on) return;
    // Somebody else may have the port for the moment.
    if (which == MOCK_REFUSE && !mock_engine_listen(m)) {
        event_add(f->timer, &soon);
        return;
    }
    f->on = false;
    apply_lasting(m, which, EVERY_RANK);
}

static void on_over(evutil_socket_t fd, short what, void *ctx) {
    struct mock_lasting_fault *f = ctx;
    (void)fd;
    (void)what;
    end_lasting(f->mock, (enum mock_lasting)(f - f->mock->lasting));
}

void mock_faults_init(struct mock_engine *m) {
    for (size_t i = 0; i < MOCK_N_LASTING; i++) {
        struct mock_lasting_fault *f = &m->lasting[i];
        f->mock = m;
        f->timer = evtimer_new(m->base, on_over, f);
    }
}

void mock_faults_free(struct mock_engine *m) {
    for (size_t i = 0; i < MOCK_N_LASTING; i++)
        event_free(m->lasting[i].timer);
}

// ---- What there is -------------------------------------------------------------------------------

static void last(struct mock_engine *m, int which, const struct fault_request *ask) {
    struct mock_lasting_fault *f = &m->lasting[which];
    struct timeval t = {.tv_sec = (time_t)(ask->ms / 1000),
                        .tv_usec = (suseconds_t)(ask->ms % 1000 * 1000)};
    f->on = true;
    event_del(f->timer);
    // Whom nobody can reach, nobody can ask to end it.
    if (which == MOCK_REFUSE && !ask->ms) t.tv_sec = 1;
    if (t.tv_sec || t.tv_usec) event_add(f->timer, &t);
    apply_lasting(m, (enum mock_lasting)which, ask->rank);
}

static void spoil(struct mock_engine *m, int fault, const struct fault_request *ask) {
    for (size_t i = 0; i < m->options->ranks; i++)
        if (m->publishers[i] && (ask->rank == EVERY_RANK || ask->rank == i))
            mock_publisher_fault(m->publishers[i], (enum mock_publish_fault)fault, ask->n);
}

static void fail(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    m->faults.fail = ask->n;
    m->faults.status = (int)ask->status;
}

static void reset(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    m->faults.reset = ask->n;
    m->faults.gently = ask->gently;
}

static void cut(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    m->faults.cut = ask->n;
    m->faults.cut_after = ask->tokens;
    m->faults.gently = ask->gently;
}

static void end_early(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    m->faults.abort = ask->n;
    m->faults.abort_after = ask->tokens;
}

static void stall(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    m->faults.stall = ask->n;
    m->faults.stall_after = ask->after;
    m->faults.stall_ms = ask->ms;
}

static void forget(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    (void)ask;
    mock_transfers_forget(&m->transfers);
}

static void restart(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    mock_engine_restart(m, ask->cleared, ask->rebind);
}

static void clear(struct mock_engine *m, int unused, const struct fault_request *ask) {
    (void)unused;
    (void)ask;
    m->faults = (struct mock_http_faults){0};
    mock_generate_unstall(m);
    for (size_t i = 0; i < m->options->ranks; i++)
        if (m->publishers[i]) mock_publisher_settle(m->publishers[i]);
    for (size_t i = 0; i < MOCK_N_LASTING; i++)
        end_lasting(m, (enum mock_lasting)i);
}

static void end_process(struct mock_engine *m, int status, const struct fault_request *ask) {
    (void)m;
    (void)ask;
    _exit(status);
}

static const struct {
    const char *name;
    void (*apply)(struct mock_engine *, int, const struct fault_request *);
    int which;
} fault_kinds[] = {
    {"drop", spoil, MOCK_FAULT_DROP},
    {"duplicate", spoil, MOCK_FAULT_DUPLICATE},
    {"reorder", spoil, MOCK_FAULT_REORDER},
    {"hole", spoil, MOCK_FAULT_HOLE},
    {"malformed", spoil, MOCK_FAULT_MALFORMED},
    {"poison", spoil, MOCK_FAULT_POISON},
    {"replay-mute", spoil, MOCK_FAULT_REPLAY_MUTE},
    {"replay-gap", spoil, MOCK_FAULT_REPLAY_GAP},
    {"replay-unended", spoil, MOCK_FAULT_REPLAY_UNENDED},
    {"hang-events", last, MOCK_HANG_EVENTS},
    {"hang-http", last, MOCK_HANG_HTTP},
    {"hang-engine", last, MOCK_HANG_ENGINE},
    {"unhealthy", last, MOCK_UNHEALTHY},
    {"pause", last, MOCK_PAUSED},
    {"sleep", last, MOCK_ASLEEP},
    {"refuse", last, MOCK_REFUSE},
    {"fail", fail, 0},
    {"reset", reset, 0},
    {"cut", cut, 0},
    {"abort", end_early, 0},
    {"stall", stall, 0},
    {"hang-transfers", last, MOCK_HANG_TRANSFERS},
    {"forget-transfers", forget, 0},
    {"restart", restart, 0},
    {"exit", end_process, 1},
    {"clear", clear, 0},
};
enum { N_FAULT_KINDS = sizeof fault_kinds / sizeof *fault_kinds };

// ---- Asking --------------------------------------------------------------------------------------

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *out >= least && *out <= most;
}

// Reads "name=value&…". Returns the parameter that is wrong, or NULL; *kind is NULL if there is none.
// The query is changed and pointed into.
static const char *read_query(struct fault_request *ask, char *query, const char **kind) {
    char *rest = NULL;
    *kind = NULL;
    for (size_t i = 0; i < N_FAULT_PARAMETERS; i++)
        *(uint64_t *)((char *)ask + fault_parameters[i].offset) = fault_parameters[i].usual;
    for (char *name = strtok_r(query, "&", &rest); name; name = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(name, '=');
        bool known = value && !strncmp(name, "kind=", 5);
        if (value) *value++ = 0;
        if (known) *kind = value;
        for (size_t i = 0; value && i < N_FAULT_PARAMETERS; i++) {
            if (strcmp(name, fault_parameters[i].name) != 0) continue;
            known = read_number(value, fault_parameters[i].least, fault_parameters[i].most,
                                (uint64_t *)((char *)ask + fault_parameters[i].offset));
        }
        if (!known) return name;
    }
    return NULL;
}

static void answer_kinds(struct h1_exchange *x) {
    json_t *names = json_array();
    for (size_t i = 0; i < N_FAULT_KINDS; i++)
        json_array_append_new(names, json_string(fault_kinds[i].name));
    mock_reply_json(x, 400, json_pack("{s:s,s:o}", "error", "no such kind", "kinds", names));
}

void mock_serve_fault(struct mock_engine *m, struct h1_exchange *x) {
    struct fault_request ask;
    const char *name;
    char *query = mock_copy_text(x->head.query ? x->head.query : "");
    const char *wrong = read_query(&ask, query, &name);
    size_t i = 0;
    while (i < N_FAULT_KINDS && (!name || strcmp(name, fault_kinds[i].name) != 0))
        i++;
    if (i == N_FAULT_KINDS) {
        answer_kinds(x);
    } else if (wrong) {
        mock_reply_error(x, 400, "no such parameter, or out of range: %s", wrong);
    } else {
        fault_kinds[i].apply(m, fault_kinds[i].which, &ask);
        mock_reply_json(x, 200, json_pack("{s:s}", "kind", fault_kinds[i].name));
    }
    free(query);
}

void mock_serve_batch(struct mock_engine *m, struct h1_exchange *x) {
    struct fault_request ask;
    const char *name;
    char *query = mock_copy_text(x->head.query ? x->head.query : "");
    const char *wrong = read_query(&ask, query, &name);
    size_t rank = ask.rank == EVERY_RANK ? 0 : ask.rank, len = evbuffer_get_length(x->body);
    if (wrong || rank >= m->options->ranks || !m->publishers[rank]) {
        mock_reply_error(x, 400, "no such rank, or no events");
    } else {
        uint64_t seq = mock_publisher_next(m->publishers[rank]);
        mock_publisher_send(m->publishers[rank], len ? evbuffer_pullup(x->body, -1) : (void *)"",
                            len);
        mock_reply_json(x, 200, json_pack("{s:I}", "seq", (json_int_t)seq));
    }
    free(query);
}
