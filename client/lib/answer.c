// SPDX-License-Identifier: Apache-2.0
// Replies are RESP2: a map is a flat array of pairs, a double is a string. Fields that aren't known
// are passed over and those of a map may come in any order, so that a later module can say more.
#define _GNU_SOURCE // strtod_l
#include "answer.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct known_error {
    const char *word;
    struct answer_error as;
} known_errors[] = {
    {"NOPOOL", {KVR_CODE_NOPOOL, ANSWER_TELL, "the pool doesn't exist"}},
    {"WRONGTYPE", {KVR_CODE_WRONGTYPE, ANSWER_TELL, "the key holds something else"}},
    {"NOWORKER",
     {KVR_CODE_NOWORKER, ANSWER_TELL, "no such worker or rank, or no eligible instance"}},
    {"GAP", {KVR_CODE_GAP, ANSWER_TELL, "an event came too early"}},
    {"STALE", {KVR_CODE_STALE, ANSWER_TELL, "an event of an earlier epoch"}},
    {"NOPARENT", {KVR_CODE_NOPARENT, ANSWER_TELL, "a block's parent isn't known"}},
    {"BADCHAIN", {KVR_CODE_BADCHAIN, ANSWER_TELL, "a block is known under another parent"}},
    {"OOM", {KVR_CODE_OOM, ANSWER_TELL, "the server has reached maxmemory"}},
    {"NOPERM", {KVR_CODE_DENIED, ANSWER_TELL, "the server's user may not do this"}},
    {"NOAUTH", {KVR_CODE_DENIED, ANSWER_TELL, "the server wants a password"}},
    {"WRONGPASS", {KVR_CODE_DENIED, ANSWER_TELL, "wrong user or password"}},
    {"DENIED", {KVR_CODE_DENIED, ANSWER_ELSEWHERE, "the server is in protected mode"}},
    {"TRYAGAIN", {KVR_CODE_TIMEOUT, ANSWER_LATER, "the server asks to try again"}},
    {"BUSY", {KVR_CODE_TIMEOUT, ANSWER_LATER, "the server is busy with a script"}},
    {"READONLY", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the server is a replica"}},
    {"LOADING", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the server is loading its data"}},
    {"MASTERDOWN", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the server has lost its primary"}},
    {"NOREPLICAS", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the primary has too few replicas"}},
    {"MISCONF", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the server can't save its data"}},
    {"CLUSTERDOWN", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the cluster is down"}},
    {"UNBLOCKED", {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE, "the server has become a replica"}},
    {"MOVED", {KVR_CODE_TIMEOUT, ANSWER_MOVED, "the slot has moved"}},
    {"ASK", {KVR_CODE_TIMEOUT, ANSWER_ASK, "the slot is moving"}},
};

const struct answer_error *answer_error(const char *text, size_t n) {
    static const struct answer_error refused = {KVR_CODE_REFUSED, ANSWER_TELL,
                                                "the server refuses the command"};
    // What a server says before it closes the door.
    static const struct answer_error full = {KVR_CODE_TIMEOUT, ANSWER_ELSEWHERE,
                                             "the server has too many clients"};
    for (size_t i = 0; i < sizeof known_errors / sizeof *known_errors; i++) {
        size_t len = strlen(known_errors[i].word);
        if (n < len || memcmp(text, known_errors[i].word, len) != 0) continue;
        if (n == len || text[len] == ' ') return &known_errors[i].as;
    }
    static const char clients[] = "ERR max number of clients";
    if (n >= sizeof clients - 1 && !memcmp(text, clients, sizeof clients - 1)) return &full;
    return &refused;
}

bool answer_integer(const char *text, size_t n, int64_t *out) {
    char copy[24], *end;
    if (n == 0 || n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    errno = 0;
    long long v = strtoll(copy, &end, 10);
    *out = v;
    return *end == 0 && errno == 0 && copy[0] != ' ';
}

int64_t answer_number(const char *text, size_t n) {
    int64_t v;
    size_t from = n;
    while (from > 0 && text[from - 1] != ' ')
        from--;
    return from > 0 && answer_integer(text + from, n - from, &v) ? v : -1;
}

const redisReply *answer_field(const redisReply *map, const char *name) {
    size_t n = strlen(name);
    if (map->type != REDIS_REPLY_ARRAY) return NULL;
    for (size_t i = 0; i + 1 < map->elements; i += 2) {
        const redisReply *key = map->element[i];
        if (key->type == REDIS_REPLY_STRING && key->len == n && !memcmp(key->str, name, n))
            return map->element[i + 1];
    }
    return NULL;
}

// ---- Values --------------------------------------------------------------------------------------

struct reading {
    struct kvr_arena *arena;
    enum kvr_code code; // of the first thing that went wrong
};

static void fail(struct reading *in, enum kvr_code code) {
    if (in->code == KVR_CODE_OK) in->code = code;
}

static void *take(struct reading *in, size_t n) {
    void *p = kvr_arena_take(in->arena, n ? n : 1);
    if (!p) fail(in, KVR_CODE_NOMEM);
    return p;
}

static struct kvr_bytes copied(struct reading *in, const char *bytes, size_t n) {
    char *p = take(in, n + 1);
    if (!p) return (struct kvr_bytes){"", 0};
    memcpy(p, bytes, n);
    p[n] = 0;
    return (struct kvr_bytes){p, n};
}

// One value of a map: where it goes is told by the kind.
enum kind { INTEGER, REAL, BYTES, FLAG, RANK, SEQ, STATE, RANKS, CIRCUIT, LABELS };

struct target {
    const char *name;
    enum kind kind;
    size_t at;
    bool newer; // modules of earlier versions don't say it: then it stays what it was before
};

static void read_map(struct reading *in, const redisReply *map, const struct target *targets,
                     size_t n_targets, void *out);

static const struct target rank_targets[] = {
    {"rank", RANK, offsetof(struct kvr_rank, rank), false},
    {"epoch", SEQ, offsetof(struct kvr_rank, epoch), false},
    {"seq", SEQ, offsetof(struct kvr_rank, seq), false},
    {"device_blocks", INTEGER, offsetof(struct kvr_rank, held[KVR_DEVICE]), false},
    {"host_blocks", INTEGER, offsetof(struct kvr_rank, held[KVR_HOST]), false},
    {"disk_blocks", INTEGER, offsetof(struct kvr_rank, held[KVR_DISK]), false},
    {"requests", INTEGER, offsetof(struct kvr_rank, requests), false},
    {"prefill_tokens", INTEGER, offsetof(struct kvr_rank, prefill_tokens), false},
    {"decode_blocks", INTEGER, offsetof(struct kvr_rank, decode_blocks), false},
    {"ttft", REAL, offsetof(struct kvr_rank, ttft), true},
    {"tpot", REAL, offsetof(struct kvr_rank, tpot), true},
};
static const struct kvr_rank unknown_rank = {.ttft = -1, .tpot = -1};

// Which of three names the reply is; the first, if it is none.
static int read_name(struct reading *in, const redisReply *r, const char *const names[3]) {
    for (int i = 0; i < 3; i++)
        if (!strcmp(r->str, names[i])) return i;
    fail(in, KVR_CODE_PROTOCOL);
    return 0;
}

static void read_state(struct reading *in, const redisReply *r, enum kvr_state *out) {
    static const char *const names[] = {"ready", "draining", "expired"};
    if (r->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
    *out = (enum kvr_state)read_name(in, r, names);
}

static void read_circuit(struct reading *in, const redisReply *r, enum kvr_circuit *out) {
    static const char *const names[] = {"closed", "open", "half-open"};
    if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
        return fail(in, KVR_CODE_PROTOCOL);
    *out = (enum kvr_circuit)read_name(in, r, names);
}

static void read_ranks(struct reading *in, const redisReply *r, struct kvr_worker *out) {
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

static void read_labels(struct reading *in, const redisReply *r, struct kvr_worker *out) {
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

static void read_real(struct reading *in, const redisReply *r, double *out) {
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

static void read_value(struct reading *in, const redisReply *r, enum kind kind, void *to) {
    bool integer = r->type == REDIS_REPLY_INTEGER;
    switch (kind) {
    case REAL:
        return read_real(in, r, to);
    case STATE:
        return read_state(in, r, to);
    case RANKS:
        return read_ranks(in, r, to);
    case CIRCUIT:
        return read_circuit(in, r, to);
    case LABELS:
        return read_labels(in, r, to);
    case BYTES:
        if (r->type != REDIS_REPLY_STRING) return fail(in, KVR_CODE_PROTOCOL);
        *(struct kvr_bytes *)to = copied(in, r->str, r->len);
        return;
    case INTEGER:
        if (!integer) return fail(in, KVR_CODE_PROTOCOL);
        *(int64_t *)to = r->integer;
        return;
    case FLAG:
        if (!integer) return fail(in, KVR_CODE_PROTOCOL);
        *(bool *)to = r->integer != 0;
        return;
    case SEQ:
        if (!integer || r->integer < 0) return fail(in, KVR_CODE_PROTOCOL);
        *(uint64_t *)to = (uint64_t)r->integer;
        return;
    case RANK:
        if (!integer || r->integer < 0 || r->integer >= KVR_MAX_RANKS)
            return fail(in, KVR_CODE_PROTOCOL);
        *(uint32_t *)to = (uint32_t)r->integer;
        return;
    }
}

// Every target must be there, but newer ones. Maps come in the order of the targets, so each field is
// looked for first where the one before it left off.
static void read_map(struct reading *in, const redisReply *map, const struct target *targets,
                     size_t n_targets, void *out) {
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

static const struct target choice_targets[] = {
    {"worker", BYTES, offsetof(struct kvr_choice, worker), false},
    {"rank", RANK, offsetof(struct kvr_choice, rank), false},
    {"addr", BYTES, offsetof(struct kvr_choice, addr), false},
    {"overlap", INTEGER, offsetof(struct kvr_choice, overlap), false},
    {"cached", INTEGER, offsetof(struct kvr_choice, cached), false},
    {"blocks", INTEGER, offsetof(struct kvr_choice, blocks), false},
    {"cost", REAL, offsetof(struct kvr_choice, cost), false},
    {"repeat", FLAG, offsetof(struct kvr_choice, repeat), false},
    {"version", INTEGER, offsetof(struct kvr_choice, version), false},
    {"expected", INTEGER, offsetof(struct kvr_choice, expected), true},
    {"ttft", REAL, offsetof(struct kvr_choice, ttft), true},
    {"tpot", REAL, offsetof(struct kvr_choice, tpot), true},
};
static const struct kvr_choice unknown_choice = {.expected = -1, .ttft = -1, .tpot = -1};

static const struct target score_targets[] = {
    {"worker", BYTES, offsetof(struct kvr_score, worker), false},
    {"rank", RANK, offsetof(struct kvr_score, rank), false},
    {"addr", BYTES, offsetof(struct kvr_score, addr), false},
    {"overlap", INTEGER, offsetof(struct kvr_score, overlap), false},
    {"device", INTEGER, offsetof(struct kvr_score, device), false},
    {"host", INTEGER, offsetof(struct kvr_score, host), false},
    {"disk", INTEGER, offsetof(struct kvr_score, disk), false},
    {"cached", INTEGER, offsetof(struct kvr_score, cached), false},
    {"prefill_tokens", INTEGER, offsetof(struct kvr_score, prefill_tokens), false},
    {"decode_blocks", INTEGER, offsetof(struct kvr_score, decode_blocks), false},
    {"requests", INTEGER, offsetof(struct kvr_score, requests), false},
    {"cost", REAL, offsetof(struct kvr_score, cost), false},
    {"expected", INTEGER, offsetof(struct kvr_score, expected), true},
    {"ttft", REAL, offsetof(struct kvr_score, ttft), true},
    {"tpot", REAL, offsetof(struct kvr_score, tpot), true},
    {"room", FLAG, offsetof(struct kvr_score, room), true},
};
static const struct kvr_score unknown_score = {
    .expected = -1, .ttft = -1, .tpot = -1, .room = true};

static const struct target worker_targets[] = {
    {"worker", BYTES, offsetof(struct kvr_worker, name), false},
    {"addr", BYTES, offsetof(struct kvr_worker, addr), false},
    {"state", STATE, offsetof(struct kvr_worker, state), false},
    {"capacity", INTEGER, offsetof(struct kvr_worker, capacity), false},
    {"ttl_left", INTEGER, offsetof(struct kvr_worker, ttl_left), false},
    {"ranks", RANKS, 0, false}, // the whole struct
    {"circuit", CIRCUIT, offsetof(struct kvr_worker, circuit), true},
    {"failures", INTEGER, offsetof(struct kvr_worker, failures), true},
    {"speed", REAL, offsetof(struct kvr_worker, speed), true},
    {"labels", LABELS, 0, true}, // the whole struct
};
static const struct kvr_worker unknown_worker = {.speed = 0};

static void read_rows(struct reading *in, const redisReply *r, const struct target *targets,
                      size_t n_targets, const void *unknown, size_t width, const void **rows,
                      size_t *n) {
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

static void read_fields(struct reading *in, const redisReply *r, struct kvr_result *out) {
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

enum kvr_code answer_read(enum answer_form form, const redisReply *r, struct kvr_arena *a,
                          struct kvr_result *out) {
    struct reading in = {a, KVR_CODE_OK};
    const void *rows = NULL;
    switch (form) {
    case ANSWER_STATUS:
        if (r->type != REDIS_REPLY_STATUS) fail(&in, KVR_CODE_PROTOCOL);
        break;
    case ANSWER_INTEGER:
        if (r->type != REDIS_REPLY_INTEGER) fail(&in, KVR_CODE_PROTOCOL);
        out->number = r->integer;
        break;
    case ANSWER_CIRCUIT:
        read_circuit(&in, r, &out->circuit);
        break;
    case ANSWER_CHOICE:
        out->choice = unknown_choice;
        read_map(&in, r, choice_targets, sizeof choice_targets / sizeof *choice_targets,
                 &out->choice);
        if (out->choice.expected < out->choice.overlap) out->choice.expected = out->choice.overlap;
        break;
    case ANSWER_SCORES:
        read_rows(&in, r, score_targets, sizeof score_targets / sizeof *score_targets,
                  &unknown_score, sizeof(struct kvr_score), &rows, &out->n);
        if (in.code == KVR_CODE_OK) expect_overlap((struct kvr_score *)(void *)rows, out->n);
        out->scores = rows;
        break;
    case ANSWER_WORKERS:
        read_rows(&in, r, worker_targets, sizeof worker_targets / sizeof *worker_targets,
                  &unknown_worker, sizeof(struct kvr_worker), &rows, &out->n);
        out->workers = rows;
        break;
    case ANSWER_FIELDS:
        read_fields(&in, r, out);
        break;
    }
    return in.code;
}
