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
        [KVR_CODE_OOM] = "OOM",
        [KVR_CODE_DENIED] = "DENIED",
        [KVR_CODE_REFUSED] = "REFUSED",
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
    FIELD_STATE,
    FIELD_RANKS,
    FIELD_CIRCUIT,
    FIELD_LABELS
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
        read_map(in, r->element[i], rank_targets, sizeof rank_targets / sizeof *rank_targets,
                 &ranks[i]);
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

static void read_value(struct result_reader *in, const redisReply *r, enum field_kind kind,
                       void *to) {
    bool integer = r->type == REDIS_REPLY_INTEGER;
    switch (kind) {
    case FIELD_REAL:
        return read_real(in, r, to);
    case FIELD_STATE:
        return read_state(in, r, to);
    case FIELD_RANKS:
        return read_ranks(in, r, to);
    case FIELD_CIRCUIT:
        return read_circuit(in, r, to);
    case FIELD_LABELS:
        return read_labels(in, r, to);
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
    case FIELD_RANK:
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
    size_t pairs = map->elements / 2, at = 0;
    for (size_t i = 0; i < n_targets; i++) {
        size_t tried = 0, len = strlen(targets[i].name);
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
};
static const struct kvr_choice unknown_choice = {.expected = -1, .ttft = -1, .tpot = -1};

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
};
static const struct kvr_worker unknown_worker = {.speed = 0};

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
        read_map(&in, r, choice_targets, sizeof choice_targets / sizeof *choice_targets,
                 &out->choice);
        if (out->choice.expected < out->choice.overlap) out->choice.expected = out->choice.overlap;
        break;
    case KVR_REPLY_IS_SCORES:
        read_rows(&in, r, score_targets, sizeof score_targets / sizeof *score_targets,
                  &unknown_score, sizeof(struct kvr_score), &rows, &out->n);
        if (in.code == KVR_CODE_OK) expect_overlap((struct kvr_score *)(void *)rows, out->n);
        out->scores = rows;
        break;
    case KVR_REPLY_IS_WORKERS:
        read_rows(&in, r, worker_targets, sizeof worker_targets / sizeof *worker_targets,
                  &unknown_worker, sizeof(struct kvr_worker), &rows, &out->n);
        out->workers = rows;
        break;
    case KVR_REPLY_IS_FIELDS:
        read_fields(&in, r, out);
        break;
    }
    return in.code;
}
