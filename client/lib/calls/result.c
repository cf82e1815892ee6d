// SPDX-License-Identifier: Apache-2.0
// See result.h. Replies are RESP2: a map is a flat array of pairs, a double is a string. Fields that aren't known
// are passed over and those of a map may come in any order, so that a later module can say more.
#define _GNU_SOURCE // strtod_l
#include "result.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/transport/server_reply.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

const char *kvr_code_name(enum kvr_code code) {
    static const char *const names[] = {
        [KVR_CODE_OK] = "OK",
        [KVR_CODE_NOPOOL] = "NOPOOL",
        [KVR_CODE_WRONGTYPE] = "WRONGTYPE",
        [KVR_CODE_NOWORKER] = "NOWORKER",
        [KVR_CODE_GAP] = "GAP",
        [KVR_CODE_STALE] = "STALE",
        [KVR_CODE_NOPARENT] = "NOPARENT",
        [KVR_CODE_BADCHAIN] = "BADCHAIN",
        [KVR_CODE_NOROOM] = "NOROOM",
        [KVR_CODE_LIMITED] = "LIMITED",
        [KVR_CODE_OOM] = "OOM",
        [KVR_CODE_DENIED] = "DENIED",
        [KVR_CODE_REFUSED] = "REFUSED",
        [KVR_CODE_RELEASED] = "RELEASED",
        [KVR_CODE_TIMEOUT] = "TIMEOUT",
        [KVR_CODE_INVALID] = "INVALID",
        [KVR_CODE_FULL] = "FULL",
        [KVR_CODE_NOMEM] = "NOMEM",
        [KVR_CODE_PROTOCOL] = "PROTOCOL",
        [KVR_CODE_CLOSED] = "CLOSED",
    };
    size_t i = (size_t)code;
    return i < sizeof names / sizeof *names && names[i] ? names[i] : "UNKNOWN";
}

// ---- Values --------------------------------------------------------------------------------------

struct result_reader {
    struct kvr_arena *arena;
    enum kvr_code code; // of the first thing that went wrong
};

static void fail(struct result_reader *in, enum kvr_code code) {
    if (in->code == KVR_CODE_OK) in->code = code;
}

static void *take(struct result_reader *in, size_t n) {
    void *p = kvr_arena_take(in->arena, n ? n : 1);
    if (!p) fail(in, KVR_CODE_NOMEM);
    return p;
}

static struct kvr_bytes copied(struct result_reader *in, const char *bytes, size_t n) {
    char *p = take(in, n + 1);
    if (!p) return (struct kvr_bytes){"", 0};
    memcpy(p, bytes, n);
    p[n] = 0;
    return (struct kvr_bytes){p, n};
}

// One value of a map: where it goes is told by the kind.
enum field_kind {
    FIELD_INTEGER,
    FIELD_REAL,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_RANK,
    FIELD_SEQ,
    FIELD_RANK_OR_NONE, // -1: 0
    FIELD_STATE,
    FIELD_ROLE,
    FIELD_RANKS,
    FIELD_CIRCUIT,
    FIELD_LABELS,
    FIELD_TERMS,
    FIELD_ANSWER
};

struct reply_field {
    const char *name;
    enum field_kind kind;
    size_t at;
    bool newer; // modules of earlier versions don't say it: then it stays what it was before
};

static void read_map(struct result_reader *in, const redisReply *map,
                     const struct reply_field *targets, size_t n_targets, void *out);

static const struct reply_field rank_targets[] = {
    {"rank", FIELD_RANK, offsetof(struct kvr_rank, rank), false},
    {"epoch", FIELD_SEQ, offsetof(struct kvr_rank, epoch), false},
    {"seq", FIELD_SEQ, offsetof(struct kvr_rank, seq), false},
    {"device_blocks", FIELD_INTEGER, offsetof(struct kvr_rank, held[KVR_DEVICE]), false},
    {"host_blocks", FIELD_INTEGER, offsetof(struct kvr_rank, held[KVR_HOST]), false},
    {"disk_blocks", FIELD_INTEGER, offsetof(struct kvr_rank, held[KVR_DISK]), false},
    {"requests", FIELD_INTEGER, offsetof(struct kvr_rank, requests), false},
    {"prefill_tokens", FIELD_INTEGER, offsetof(struct kvr_rank, prefill_tokens), false},
    {"decode_blocks", FIELD_INTEGER, offsetof(struct kvr_rank, decode_blocks), false},
    {"ttft", FIELD_REAL, offsetof(struct kvr_rank, ttft), true},
    {"tpot", FIELD_REAL, offsetof(struct kvr_rank, tpot), true},
};
static const struct kvr_rank unknown_rank = {.ttft = -1, .tpot = -1};

// Which of three names the reply is; the first, if it is none.
static int read_name(struct result_reader *in, const redisReply *r, const char *const names[3]) {
    for (int i = 0; i < 3; i++)
        if (!strcmp(r->str, names[i])) return i;
    fail(in, KVR_CODE_PROTOCOL);
    return 0;
}

static void read_state(struct result_reader *in, const redisReply *r, enum kvr_state *out) {
    static const char *const names[] = {"ready", "draining", "expired"};
    if (r->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
    *out = (enum kvr_state)read_name(in, r, names);
}

static void read_role(struct result_reader *in, const redisReply *r, enum kvr_role *out) {
    static const char *const names[] = {"both", "prefill", "decode"};
    if (r->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
    *out = (enum kvr_role)read_name(in, r, names);
}

static void read_circuit(struct result_reader *in, const redisReply *r, enum kvr_circuit *out) {
    static const char *const names[] = {"closed", "open", "half-open"};
    if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
        return fail(in, KVR_CODE_PROTOCOL);
    *out = (enum kvr_circuit)read_name(in, r, names);
}

static void read_ranks(struct result_reader *in, const redisReply *r, struct kvr_worker *out) {
    if (r->type != REDIS_REPLY_ARRAY) return fail(in, KVR_CODE_PROTOCOL);
    struct kvr_rank *ranks = take(in, r->elements * sizeof *ranks);
    if (!ranks) return;
    for (size_t i = 0; i < r->elements; i++) {
        ranks[i] = unknown_rank;
        read_map(in, r->element[i], rank_targets, COUNT_OF(rank_targets), &ranks[i]);
    }
    out->ranks = ranks;
    out->n_ranks = r->elements;
}

static void read_labels(struct result_reader *in, const redisReply *r, struct kvr_worker *out) {
    if (r->type != REDIS_REPLY_ARRAY) return fail(in, KVR_CODE_PROTOCOL);
    struct kvr_bytes *labels = take(in, r->elements * sizeof *labels);
    for (size_t i = 0; labels && i < r->elements; i++) {
        if (r->element[i]->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
        labels[i] = copied(in, r->element[i]->str, r->element[i]->len);
    }
    if (in->code != KVR_CODE_OK) return;
    out->labels = labels;
    out->n_labels = r->elements;
}

static void read_real(struct result_reader *in, const redisReply *r, double *out) {
    char *end;
    if (r->type == REDIS_REPLY_INTEGER) {
        *out = (double)r->integer;
        return;
    }
    if (r->type != REDIS_REPLY_STRING || !r->len) return fail(in, KVR_CODE_PROTOCOL);
    *out = strtod(r->str, &end);
    if (*end == '.') { // the program's locale has another decimal point
        locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        *out = strtod_l(r->str, &end, plain);
        freelocale(plain);
    }
    if (*end) fail(in, KVR_CODE_PROTOCOL);
}

static void read_terms(struct result_reader *in, const redisReply *r, struct kvr_candidate *out) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements % 2) return fail(in, KVR_CODE_PROTOCOL);
    size_t n = r->elements / 2;
    struct kvr_cost_term *terms = take(in, n * sizeof *terms);
    for (size_t i = 0; terms && i < n && in->code == KVR_CODE_OK; i++) {
        const redisReply *name = r->element[2 * i];
        if (name->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
        terms[i].name = copied(in, name->str, name->len);
        read_real(in, r->element[2 * i + 1], &terms[i].value);
    }
    if (in->code != KVR_CODE_OK) return;
    out->terms = terms;
    out->n_terms = n;
}

// What SELECT would say; one that isn't known yet is a refusal.
static void read_answer(struct result_reader *in, const redisReply *r, enum kvr_code *out) {
    if (r->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
    *out = KVR_CODE_REFUSED;
    for (int code = KVR_CODE_OK; code <= KVR_CODE_CLOSED; code++)
        if (!strcmp(r->str, kvr_code_name((enum kvr_code)code))) *out = (enum kvr_code)code;
}

static void read_value(struct result_reader *in, const redisReply *r, enum field_kind kind,
                       void *to) {
    bool integer = r->type == REDIS_REPLY_INTEGER;
    switch (kind) {
    case FIELD_REAL:
        return read_real(in, r, to);
    case FIELD_STATE:
        return read_state(in, r, to);
    case FIELD_ROLE:
        return read_role(in, r, to);
    case FIELD_RANKS:
        return read_ranks(in, r, to);
    case FIELD_CIRCUIT:
        return read_circuit(in, r, to);
    case FIELD_LABELS:
        return read_labels(in, r, to);
    case FIELD_TERMS:
        return read_terms(in, r, to);
    case FIELD_ANSWER:
        return read_answer(in, r, to);
    case FIELD_BYTES:
        if (r->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
        *(struct kvr_bytes *)to = copied(in, r->str, r->len);
        return;
    case FIELD_INTEGER:
        if (!integer) return fail(in, KVR_CODE_PROTOCOL);
        *(int64_t *)to = r->integer;
        return;
    case FIELD_FLAG:
        if (!integer) return fail(in, KVR_CODE_PROTOCOL);
        *(bool *)to = r->integer != 0;
        return;
    case FIELD_SEQ:
        if (!integer || r->integer < 0) return fail(in, KVR_CODE_PROTOCOL);
        *(uint64_t *)to = (uint64_t)r->integer;
        return;
    case FIELD_RANK_OR_NONE:
    case FIELD_RANK:
        if (kind == FIELD_RANK_OR_NONE && integer && r->integer == -1) return;
        if (!integer || r->integer < 0 || r->integer >= KVR_MAX_RANKS)
            return fail(in, KVR_CODE_PROTOCOL);
        *(uint32_t *)to = (uint32_t)r->integer;
        return;
    }
}

// Every target must be there, but newer ones. Maps come in the order of the targets, so each field is
// looked for first where the one before it left off.
static void read_map(struct result_reader *in, const redisReply *map,
                     const struct reply_field *targets, size_t n_targets, void *out) {
    if (map->type != REDIS_REPLY_ARRAY || map->elements % 2) return fail(in, KVR_CODE_PROTOCOL);
    size_t pairs = map->elements / 2, at = 0, met = 0;
    for (size_t i = 0; i < n_targets; i++) {
        // Once all pairs have been met, there is nothing to look at for those that aren't there.
        size_t tried = met == pairs ? pairs : 0, len = strlen(targets[i].name);
        for (; tried < pairs; tried++, at++) {
            const redisReply *key = map->element[at % pairs * 2];
            if (key->type == REDIS_REPLY_STRING && key->len == len &&
                !memcmp(key->str, targets[i].name, len))
                break;
        }
        if (tried == pairs && targets[i].newer) continue;
        if (tried == pairs) return fail(in, KVR_CODE_PROTOCOL);
        read_value(in, map->element[at % pairs * 2 + 1], targets[i].kind,
                   (char *)out + targets[i].at);
        at++;
        met++;
        if (in->code != KVR_CODE_OK) return;
    }
}

// ---- Forms ---------------------------------------------------------------------------------------

static const struct reply_field choice_targets[] = {
    {"worker", FIELD_BYTES, offsetof(struct kvr_choice, worker), false},
    {"rank", FIELD_RANK, offsetof(struct kvr_choice, rank), false},
    {"addr", FIELD_BYTES, offsetof(struct kvr_choice, addr), false},
    {"overlap", FIELD_INTEGER, offsetof(struct kvr_choice, overlap), false},
    {"cached", FIELD_INTEGER, offsetof(struct kvr_choice, cached), false},
    {"blocks", FIELD_INTEGER, offsetof(struct kvr_choice, blocks), false},
    {"cost", FIELD_REAL, offsetof(struct kvr_choice, cost), false},
    {"repeat", FIELD_FLAG, offsetof(struct kvr_choice, repeat), false},
    {"version", FIELD_INTEGER, offsetof(struct kvr_choice, version), false},
    {"expected", FIELD_INTEGER, offsetof(struct kvr_choice, expected), true},
    {"ttft", FIELD_REAL, offsetof(struct kvr_choice, ttft), true},
    {"tpot", FIELD_REAL, offsetof(struct kvr_choice, tpot), true},
    {"waited", FIELD_INTEGER, offsetof(struct kvr_choice, waited), true},
    {"prefill_worker", FIELD_BYTES, offsetof(struct kvr_choice, prefill_worker), true},
    {"prefill_rank", FIELD_RANK_OR_NONE, offsetof(struct kvr_choice, prefill_rank), true},
    {"prefill_addr", FIELD_BYTES, offsetof(struct kvr_choice, prefill_addr), true},
    {"prefill_overlap", FIELD_INTEGER, offsetof(struct kvr_choice, prefill_overlap), true},
};
static const struct kvr_choice unknown_choice = {
    .expected = -1, .ttft = -1, .tpot = -1, .prefill_worker = {"", 0}, .prefill_addr = {"", 0}};

static const struct reply_field score_targets[] = {
    {"worker", FIELD_BYTES, offsetof(struct kvr_score, worker), false},
    {"rank", FIELD_RANK, offsetof(struct kvr_score, rank), false},
    {"addr", FIELD_BYTES, offsetof(struct kvr_score, addr), false},
    {"overlap", FIELD_INTEGER, offsetof(struct kvr_score, overlap), false},
    {"device", FIELD_INTEGER, offsetof(struct kvr_score, device), false},
    {"host", FIELD_INTEGER, offsetof(struct kvr_score, host), false},
    {"disk", FIELD_INTEGER, offsetof(struct kvr_score, disk), false},
    {"cached", FIELD_INTEGER, offsetof(struct kvr_score, cached), false},
    {"prefill_tokens", FIELD_INTEGER, offsetof(struct kvr_score, prefill_tokens), false},
    {"decode_blocks", FIELD_INTEGER, offsetof(struct kvr_score, decode_blocks), false},
    {"requests", FIELD_INTEGER, offsetof(struct kvr_score, requests), false},
    {"cost", FIELD_REAL, offsetof(struct kvr_score, cost), false},
    {"expected", FIELD_INTEGER, offsetof(struct kvr_score, expected), true},
    {"ttft", FIELD_REAL, offsetof(struct kvr_score, ttft), true},
    {"tpot", FIELD_REAL, offsetof(struct kvr_score, tpot), true},
    {"room", FIELD_FLAG, offsetof(struct kvr_score, room), true},
};
static const struct kvr_score unknown_score = {
    .expected = -1, .ttft = -1, .tpot = -1, .room = true};

static const struct reply_field worker_targets[] = {
    {"worker", FIELD_BYTES, offsetof(struct kvr_worker, name), false},
    {"addr", FIELD_BYTES, offsetof(struct kvr_worker, addr), false},
    {"state", FIELD_STATE, offsetof(struct kvr_worker, state), false},
    {"capacity", FIELD_INTEGER, offsetof(struct kvr_worker, capacity), false},
    {"ttl_left", FIELD_INTEGER, offsetof(struct kvr_worker, ttl_left), false},
    {"ranks", FIELD_RANKS, 0, false}, // the whole struct
    {"circuit", FIELD_CIRCUIT, offsetof(struct kvr_worker, circuit), true},
    {"failures", FIELD_INTEGER, offsetof(struct kvr_worker, failures), true},
    {"speed", FIELD_REAL, offsetof(struct kvr_worker, speed), true},
    {"labels", FIELD_LABELS, 0, true}, // the whole struct
    {"maxrequests", FIELD_INTEGER, offsetof(struct kvr_worker, max_requests), true},
    {"role", FIELD_ROLE, offsetof(struct kvr_worker, role), true},
    {"drain_left", FIELD_INTEGER, offsetof(struct kvr_worker, drain_left), true},
};
static const struct kvr_worker unknown_worker = {.speed = 0, .drain_left = -1};

static const struct reply_field queue_targets[] = {
    {"waiting", FIELD_INTEGER, offsetof(struct kvr_queue_length, waiting), false},
    {"tokens", FIELD_INTEGER, offsetof(struct kvr_queue_length, tokens), false},
    {"estimate", FIELD_INTEGER, offsetof(struct kvr_queue_length, estimate), false},
};

static const struct reply_field queued_targets[] = {
    {"id", FIELD_BYTES, offsetof(struct kvr_queued, request), false},
    {"class", FIELD_BYTES, offsetof(struct kvr_queued, service_class), false},
    {"flow", FIELD_BYTES, offsetof(struct kvr_queued, flow), false},
    {"position", FIELD_INTEGER, offsetof(struct kvr_queued, position), false},
    {"waited", FIELD_INTEGER, offsetof(struct kvr_queued, waited), false},
    {"blocks", FIELD_INTEGER, offsetof(struct kvr_queued, blocks), false},
};
static const struct kvr_queued unknown_queued = {.position = 0};

static const struct reply_field class_targets[] = {
    {"class", FIELD_BYTES, offsetof(struct kvr_class, name), false},
    {"priority", FIELD_INTEGER, offsetof(struct kvr_class, priority), false},
    {"weight", FIELD_REAL, offsetof(struct kvr_class, weight), false},
    {"waiting", FIELD_INTEGER, offsetof(struct kvr_class, waiting), false},
    {"tokens", FIELD_INTEGER, offsetof(struct kvr_class, tokens), false},
    {"oldest", FIELD_INTEGER, offsetof(struct kvr_class, oldest), false},
    {"admitted", FIELD_INTEGER, offsetof(struct kvr_class, admitted), false},
    {"refused", FIELD_INTEGER, offsetof(struct kvr_class, refused), false},
    {"max_waiting", FIELD_INTEGER, offsetof(struct kvr_class, max_waiting), true},
    {"room", FIELD_INTEGER, offsetof(struct kvr_class, room), true},
};
static const struct kvr_class unknown_class = {.max_waiting = -1, .room = -1};

static const struct reply_field flow_targets[] = {
    {"flow", FIELD_BYTES, offsetof(struct kvr_flow, name), false},
    {"weight", FIELD_REAL, offsetof(struct kvr_flow, weight), false},
    {"max_requests", FIELD_INTEGER, offsetof(struct kvr_flow, max_requests), false},
    {"rate", FIELD_INTEGER, offsetof(struct kvr_flow, rate), false},
    {"burst", FIELD_INTEGER, offsetof(struct kvr_flow, burst), false},
    {"requests", FIELD_INTEGER, offsetof(struct kvr_flow, requests), false},
    {"waiting", FIELD_INTEGER, offsetof(struct kvr_flow, waiting), false},
    {"left", FIELD_INTEGER, offsetof(struct kvr_flow, left), false},
};
static const struct kvr_flow unknown_flow = {.left = -1};

// What a request that is no pair has none of may be missing.
static const struct reply_field explanation_targets[] = {
    {"result", FIELD_ANSWER, offsetof(struct kvr_explanation, answer), false},
    {"by", FIELD_BYTES, offsetof(struct kvr_explanation, by), false},
    {"retry", FIELD_INTEGER, offsetof(struct kvr_explanation, retry), false},
    {"worker", FIELD_BYTES, offsetof(struct kvr_explanation, choice.worker), false},
    {"rank", FIELD_RANK_OR_NONE, offsetof(struct kvr_explanation, choice.rank), false},
    {"addr", FIELD_BYTES, offsetof(struct kvr_explanation, choice.addr), false},
    {"overlap", FIELD_INTEGER, offsetof(struct kvr_explanation, choice.overlap), false},
    {"expected", FIELD_INTEGER, offsetof(struct kvr_explanation, choice.expected), false},
    {"cached", FIELD_INTEGER, offsetof(struct kvr_explanation, choice.cached), false},
    {"cost", FIELD_REAL, offsetof(struct kvr_explanation, choice.cost), false},
    {"ttft", FIELD_REAL, offsetof(struct kvr_explanation, choice.ttft), false},
    {"tpot", FIELD_REAL, offsetof(struct kvr_explanation, choice.tpot), false},
    {"prefill_worker", FIELD_BYTES, offsetof(struct kvr_explanation, choice.prefill_worker), true},
    {"prefill_rank", FIELD_RANK_OR_NONE, offsetof(struct kvr_explanation, choice.prefill_rank),
     true},
    {"prefill_addr", FIELD_BYTES, offsetof(struct kvr_explanation, choice.prefill_addr), true},
    {"prefill_overlap", FIELD_INTEGER, offsetof(struct kvr_explanation, choice.prefill_overlap),
     true},
    {"policy", FIELD_BYTES, offsetof(struct kvr_explanation, policy), false},
    {"overlap_weight", FIELD_REAL, offsetof(struct kvr_explanation, overlap), false},
    {"prefill_weight", FIELD_REAL, offsetof(struct kvr_explanation, prefill), false},
    {"requests_weight", FIELD_REAL, offsetof(struct kvr_explanation, requests), false},
    {"temperature", FIELD_REAL, offsetof(struct kvr_explanation, temperature), false},
    {"isl", FIELD_INTEGER, offsetof(struct kvr_explanation, isl), false},
    {"osl", FIELD_REAL, offsetof(struct kvr_explanation, osl), false},
    {"first_weight", FIELD_REAL, offsetof(struct kvr_explanation, first_weight), false},
    {"arrivals", FIELD_REAL, offsetof(struct kvr_explanation, arrivals), false},
    {"reuse", FIELD_REAL, offsetof(struct kvr_explanation, reuse), false},
    {"transfer", FIELD_REAL, offsetof(struct kvr_explanation, transfer), true},
    {"session_worker", FIELD_BYTES, offsetof(struct kvr_explanation, session_worker), false},
    {"session_rank", FIELD_RANK_OR_NONE, offsetof(struct kvr_explanation, session_rank), false},
    {"session_allowance", FIELD_REAL, offsetof(struct kvr_explanation, session_allowance), false},
    {"instances", FIELD_INTEGER, offsetof(struct kvr_explanation, instances), false},
    {"places", FIELD_INTEGER, offsetof(struct kvr_explanation, places), false},
};

static const struct reply_field candidate_targets[] = {
    {"worker", FIELD_BYTES, offsetof(struct kvr_candidate, worker), false},
    {"rank", FIELD_RANK, offsetof(struct kvr_candidate, rank), false},
    {"place", FIELD_INTEGER, offsetof(struct kvr_candidate, place), false},
    {"reason", FIELD_BYTES, offsetof(struct kvr_candidate, reason), false},
    {"cost", FIELD_REAL, offsetof(struct kvr_candidate, cost), false},
    {"chance", FIELD_REAL, offsetof(struct kvr_candidate, chance), false},
    {"booked", FIELD_INTEGER, offsetof(struct kvr_candidate, booked), false},
    {"prefill_worker", FIELD_BYTES, offsetof(struct kvr_candidate, prefill_worker), true},
    {"prefill_rank", FIELD_RANK_OR_NONE, offsetof(struct kvr_candidate, prefill_rank), true},
    {"prefill_cost", FIELD_REAL, offsetof(struct kvr_candidate, prefill_cost), true},
    {"decode_cost", FIELD_REAL, offsetof(struct kvr_candidate, decode_cost), true},
    {"transfer_cost", FIELD_REAL, offsetof(struct kvr_candidate, transfer_cost), true},
    {"prompt_cost", FIELD_REAL, offsetof(struct kvr_candidate, prompt_cost), true},
    {"prompt_reason", FIELD_BYTES, offsetof(struct kvr_candidate, prompt_reason), true},
    {"terms", FIELD_TERMS, 0, false}, // the whole struct
    {"sum", FIELD_REAL, offsetof(struct kvr_candidate, sum), false},
    {"overlap", FIELD_INTEGER, offsetof(struct kvr_candidate, overlap), false},
    {"device", FIELD_INTEGER, offsetof(struct kvr_candidate, device), false},
    {"host", FIELD_INTEGER, offsetof(struct kvr_candidate, host), false},
    {"disk", FIELD_INTEGER, offsetof(struct kvr_candidate, disk), false},
    {"expected", FIELD_INTEGER, offsetof(struct kvr_candidate, expected), false},
    {"cached", FIELD_INTEGER, offsetof(struct kvr_candidate, cached), false},
    {"credit", FIELD_REAL, offsetof(struct kvr_candidate, credit), false},
    {"live", FIELD_REAL, offsetof(struct kvr_candidate, live), false},
    {"known", FIELD_REAL, offsetof(struct kvr_candidate, known), false},
    {"own", FIELD_REAL, offsetof(struct kvr_candidate, own), false},
    {"requests", FIELD_INTEGER, offsetof(struct kvr_candidate, requests), false},
    {"prefill_tokens", FIELD_INTEGER, offsetof(struct kvr_candidate, prefill_tokens), false},
    {"queue", FIELD_REAL, offsetof(struct kvr_candidate, queue), false},
    {"decode_blocks", FIELD_INTEGER, offsetof(struct kvr_candidate, decode_blocks), false},
    {"pace", FIELD_REAL, offsetof(struct kvr_candidate, pace), false},
    {"full", FIELD_REAL, offsetof(struct kvr_candidate, full), false},
    {"ttft", FIELD_REAL, offsetof(struct kvr_candidate, ttft), false},
    {"tpot", FIELD_REAL, offsetof(struct kvr_candidate, tpot), false},
};
static const struct kvr_candidate unknown_candidate = {.prefill_worker = {"", 0},
                                                       .prefill_cost = -1,
                                                       .decode_cost = -1,
                                                       .transfer_cost = -1,
                                                       .prompt_cost = -1,
                                                       .prompt_reason = {"", 0}};

static void read_rows(struct result_reader *in, const redisReply *r,
                      const struct reply_field *targets, size_t n_targets, const void *unknown,
                      size_t width, const void **rows, size_t *n) {
    if (r->type != REDIS_REPLY_ARRAY) return fail(in, KVR_CODE_PROTOCOL);
    char *out = take(in, r->elements * width);
    if (!out) return;
    for (size_t i = 0; i < r->elements && in->code == KVR_CODE_OK; i++) {
        memcpy(out + i * width, unknown, width);
        read_map(in, r->element[i], targets, n_targets, out + i * width);
    }
    *rows = out;
    *n = r->elements;
}

// The length, and the first in order: the one field that is an array.
static void read_queue(struct result_reader *in, const redisReply *r, struct kvr_result *out) {
    const void *rows = NULL;
    read_map(in, r, queue_targets, COUNT_OF(queue_targets), &out->queue);
    for (size_t i = 1; in->code == KVR_CODE_OK && !rows && i < r->elements; i += 2)
        if (r->element[i]->type == REDIS_REPLY_ARRAY)
            read_rows(in, r->element[i], queued_targets, COUNT_OF(queued_targets), &unknown_queued,
                      sizeof(struct kvr_queued), &rows, &out->n);
    out->queued = rows;
}

// The rule and the choice, and who might have been chosen: the one field that is an array.
static void read_explanation(struct result_reader *in, const redisReply *r,
                             struct kvr_result *out) {
    const void *rows = NULL;
    struct kvr_explanation *e = take(in, sizeof *e);
    if (!e) return;
    *e = (struct kvr_explanation){
        .choice = {.version = -1, .prefill_worker = {"", 0}, .prefill_addr = {"", 0}}};
    read_map(in, r, explanation_targets, COUNT_OF(explanation_targets), e);
    const redisReply *list = in->code == KVR_CODE_OK ? kvr_reply_field(r, "candidates") : NULL;
    if (!list) return fail(in, KVR_CODE_PROTOCOL);
    read_rows(in, list, candidate_targets, COUNT_OF(candidate_targets), &unknown_candidate,
              sizeof(struct kvr_candidate), &rows, &out->n);
    e->candidates = rows;
    out->explanation = e;
}

// [next cursor, rows]
// The first of two elements, of lists that come in parts. The other one; NULL: it is no such list.
static const redisReply *read_cursor(struct result_reader *in, const redisReply *r,
                                     struct kvr_result *out) {
    char *end = NULL;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
        r->element[0]->type == REDIS_REPLY_STRING && r->element[0]->len)
        out->cursor = strtoull(r->element[0]->str, &end, 10);
    if (end && !*end) return r->element[1];
    fail(in, KVR_CODE_PROTOCOL);
    return NULL;
}

static void read_names(struct result_reader *in, const redisReply *r, struct kvr_result *out) {
    const redisReply *keys = read_cursor(in, r, out);
    if (!keys) return;
    if (keys->type != REDIS_REPLY_ARRAY) return fail(in, KVR_CODE_PROTOCOL);
    struct kvr_field *fields = take(in, (keys->elements + 1) * sizeof *fields);
    for (size_t i = 0; fields && i < keys->elements; i++) {
        const redisReply *k = keys->element[i];
        if (k->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
        fields[i] = (struct kvr_field){copied(in, k->str, k->len), {"", 0}};
    }
    out->fields = fields;
    out->n = fields ? keys->elements : 0;
}

static void read_flows(struct result_reader *in, const redisReply *r, struct kvr_result *out) {
    const void *rows = NULL;
    const redisReply *list = read_cursor(in, r, out);
    if (!list) return;
    read_rows(in, list, flow_targets, COUNT_OF(flow_targets), &unknown_flow,
              sizeof(struct kvr_flow), &rows, &out->n);
    out->flows = rows;
}

static int64_t integer_field(const redisReply *r, const char *name) {
    const redisReply *v = kvr_reply_field(r, name);
    return v && v->type == REDIS_REPLY_INTEGER ? v->integer : -1;
}

bool kvr_result_waits(const redisReply *r, struct kvr_waiting_reply *out) {
    if (r->type != REDIS_REPLY_ARRAY || integer_field(r, "waiting") != 1) return false;
    *out = (struct kvr_waiting_reply){integer_field(r, "position"), integer_field(r, "estimate"),
                                      integer_field(r, "version")};
    return true;
}

// What is held is the least that can be expected; a module that doesn't say more knows no more.
static void expect_overlap(struct kvr_score *scores, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (scores[i].expected < scores[i].overlap) scores[i].expected = scores[i].overlap;
}

static void read_fields(struct result_reader *in, const redisReply *r, struct kvr_result *out) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements % 2) return fail(in, KVR_CODE_PROTOCOL);
    size_t n = r->elements / 2;
    struct kvr_field *fields = take(in, n * sizeof *fields);
    for (size_t i = 0; i < n && in->code == KVR_CODE_OK; i++) {
        const redisReply *name = r->element[2 * i], *value = r->element[2 * i + 1];
        char digits[32];
        if (name->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
        fields[i].name = copied(in, name->str, name->len);
        if (value->type == REDIS_REPLY_INTEGER) {
            int len = snprintf(digits, sizeof digits, "%lld", value->integer);
            fields[i].value = copied(in, digits, (size_t)len);
        } else if (value->type == REDIS_REPLY_STRING || value->type == REDIS_REPLY_STATUS) {
            fields[i].value = copied(in, value->str, value->len);
        } else {
            return fail(in, KVR_CODE_PROTOCOL);
        }
    }
    out->fields = fields;
    out->n = n;
}

// The end of the line, and where the next one begins.
static const char *line_end(const char *at, const char *end, const char **next) {
    const char *lf = memchr(at, '\n', (size_t)(end - at));
    *next = lf ? lf + 1 : end;
    if (!lf) lf = end;
    return lf > at && lf[-1] == '\r' ? lf - 1 : lf;
}

static struct kvr_field *take_lines(struct result_reader *in, const redisReply *r) {
    if (r->type != REDIS_REPLY_STRING) {
        fail(in, KVR_CODE_PROTOCOL);
        return NULL;
    }
    size_t n = 1;
    for (size_t i = 0; i < r->len; i++)
        n += r->str[i] == '\n';
    return take(in, n * sizeof(struct kvr_field));
}

// Lines without a colon are headings.
static void read_lines(struct result_reader *in, const redisReply *r, struct kvr_result *out) {
    struct kvr_field *fields = take_lines(in, r);
    if (!fields) return;
    for (const char *at = r->str, *all = at + r->len, *next; at < all; at = next) {
        const char *end = line_end(at, all, &next);
        const char *colon = memchr(at, ':', (size_t)(end - at));
        if (!colon) continue;
        fields[out->n].name = copied(in, at, (size_t)(colon - at));
        fields[out->n++].value = copied(in, colon + 1, (size_t)(end - colon - 1));
    }
    out->fields = fields;
}

// The value of " name=" in a line of CLIENT LIST; empty if there is none. Values have no spaces.
static struct kvr_bytes pair_of(const char *at, const char *end, const char *name) {
    size_t n = strlen(name);
    for (; at && (size_t)(end - at) > n; at = memchr(at + 1, ' ', (size_t)(end - at - 1))) {
        if (memcmp(at, name, n) != 0) continue;
        const char *value = at + n, *stop = memchr(value, ' ', (size_t)(end - value));
        return (struct kvr_bytes){value, (size_t)((stop ? stop : end) - value)};
    }
    return (struct kvr_bytes){"", 0};
}

static void read_clients(struct result_reader *in, const redisReply *r, struct kvr_result *out) {
    struct kvr_field *fields = take_lines(in, r);
    if (!fields) return;
    for (const char *at = r->str, *all = at + r->len, *next; at < all; at = next) {
        const char *end = line_end(at, all, &next);
        struct kvr_bytes name = pair_of(at, end, " name="), address = pair_of(at, end, " addr=");
        if (!name.n) continue;
        fields[out->n].name = copied(in, name.p, name.n);
        fields[out->n++].value = copied(in, address.p, address.n);
    }
    out->fields = fields;
}

enum kvr_code kvr_result_read(enum kvr_result_form form, const redisReply *r, struct kvr_arena *a,
                              struct kvr_result *out) {
    struct result_reader in = {a, KVR_CODE_OK};
    const void *rows = NULL;
    switch (form) {
    case KVR_REPLY_IS_INTEGER:
        if (r->type != REDIS_REPLY_INTEGER) fail(&in, KVR_CODE_PROTOCOL);
        out->number = r->integer;
        break;
    case KVR_REPLY_IS_CIRCUIT:
        read_circuit(&in, r, &out->circuit);
        break;
    case KVR_REPLY_IS_CHOICE:
        out->choice = unknown_choice;
        read_map(&in, r, choice_targets, COUNT_OF(choice_targets), &out->choice);
        if (out->choice.expected < out->choice.overlap) out->choice.expected = out->choice.overlap;
        break;
    case KVR_REPLY_IS_SCORES:
        read_rows(&in, r, score_targets, COUNT_OF(score_targets), &unknown_score,
                  sizeof(struct kvr_score), &rows, &out->n);
        if (in.code == KVR_CODE_OK) expect_overlap((struct kvr_score *)(void *)rows, out->n);
        out->scores = rows;
        break;
    case KVR_REPLY_IS_WORKERS:
        read_rows(&in, r, worker_targets, COUNT_OF(worker_targets), &unknown_worker,
                  sizeof(struct kvr_worker), &rows, &out->n);
        out->workers = rows;
        break;
    case KVR_REPLY_IS_FIELDS:
        read_fields(&in, r, out);
        break;
    case KVR_REPLY_IS_LINES:
        read_lines(&in, r, out);
        break;
    case KVR_REPLY_IS_QUEUE:
        read_queue(&in, r, out);
        break;
    case KVR_REPLY_IS_CLASSES:
        read_rows(&in, r, class_targets, COUNT_OF(class_targets), &unknown_class,
                  sizeof(struct kvr_class), &rows, &out->n);
        out->classes = rows;
        break;
    case KVR_REPLY_IS_FLOWS:
        read_flows(&in, r, out);
        break;
    case KVR_REPLY_IS_EXPLANATION:
        read_explanation(&in, r, out);
        break;
    case KVR_REPLY_IS_CLIENTS:
        read_clients(&in, r, out);
        break;
    case KVR_REPLY_IS_NAMES:
        read_names(&in, r, out);
        break;
    }
    return in.code;
}
