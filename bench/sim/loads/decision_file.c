// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // program_invocation_short_name
#include "decision_file.h"

#include <errno.h>
#include <jansson.h>
#include <kvroute/hash.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/hashmap.h"
#include "module/core/pool.h"

enum { DECISION_FILE_VERSION = 1, DECISION_DIGITS = 16 };

struct decision_reading {
    struct sim_decisions *d;
    const char *path;
    size_t line;
    struct bench_map names,
        requests; // by hash: place + 1 of a name, and of a request's last decision
};

static void refuse(const struct decision_reading *r, const char *what, const char *field)
    __attribute__((noreturn));
static void refuse(const struct decision_reading *r, const char *what, const char *field) {
    fprintf(stderr, "%s: %s:%zu: %s%s%s\n", program_invocation_short_name, r->path, r->line, what,
            field ? " " : "", field ? field : "");
    exit(2);
}

// ---- Fields --------------------------------------------------------------------------------------
// Each must be there, of its kind and in its range.

static double number_of(const struct decision_reading *r, const json_t *j, const char *name,
                        double min, double max) {
    const json_t *v = json_object_get(j, name);
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= min && x <= max)) refuse(r, "no number in range as", name);
    return x;
}

static uint64_t whole_of(const struct decision_reading *r, const json_t *j, const char *name,
                         double max) {
    double x = number_of(r, j, name, 0, max);
    if (x != floor(x)) refuse(r, "no whole number as", name);
    return (uint64_t)x;
}

// A place in an array, or -1.
static long place_in(const struct decision_reading *r, const json_t *j, const char *name,
                     size_t n) {
    double x = number_of(r, j, name, -1, (double)n - 1);
    if (x != floor(x)) refuse(r, "no whole number as", name);
    return (long)x;
}

static const char *text_of(const struct decision_reading *r, const json_t *j, const char *name) {
    const char *text = json_string_value(json_object_get(j, name));
    if (!text) refuse(r, "no text as", name);
    return text;
}

static uint64_t hash_from(const struct decision_reading *r, const char *digits, const char *name) {
    uint64_t hash = 0;
    for (size_t i = 0; i < DECISION_DIGITS; i++) {
        static const char hex[] = "0123456789abcdef";
        const char *at = digits[i] ? strchr(hex, digits[i]) : NULL;
        if (!at) refuse(r, "no 16 hex digits as", name);
        hash = hash << 4 | (uint64_t)(at - hex);
    }
    return hash;
}

static uint64_t request_of(const struct decision_reading *r, const json_t *j) {
    const char *digits = text_of(r, j, "request");
    if (strlen(digits) != DECISION_DIGITS) refuse(r, "no 16 hex digits as", "request");
    return hash_from(r, digits, "request");
}

// ---- Decisions -----------------------------------------------------------------------------------

static uint32_t name_of(struct decision_reading *r, const json_t *j) {
    struct sim_decisions *d = r->d;
    const json_t *name = json_object_get(j, "worker");
    const char *text = text_of(r, j, "worker");
    size_t n = json_string_length(name);
    uint64_t key = XXH3_64bits(text, n), known = bench_map_get(&r->names, key);
    if (known) return (uint32_t)known - 1;
    d->names = bench_grow(d->names, &d->room_names, d->n_names + 1, sizeof *d->names);
    char *copy = bench_calloc(n + 1, 1);
    memcpy(copy, text, n);
    d->names[d->n_names++] = (struct sim_name){copy, n};
    bench_map_set(&r->names, key, d->n_names);
    return (uint32_t)d->n_names - 1;
}

static void add_candidate(struct decision_reading *r, const json_t *j) {
    const double big = 1e300, tokens = 0x1p53;
    struct sim_decisions *d = r->d;
    const json_t *cost = json_object_get(j, "cost");
    if (!json_is_object(j)) refuse(r, "a candidate that is no object", NULL);
    d->candidates =
        bench_grow(d->candidates, &d->room_candidates, d->n_candidates + 1, sizeof *d->candidates);
    d->candidates[d->n_candidates++] = (struct sim_candidate){
        .worker = name_of(r, j),
        .rank = (uint32_t)whole_of(r, j, "rank", KVR_MAX_RANKS - 1),
        .eligible = !*text_of(r, j, "reason"),
        .cost = json_is_null(cost) ? INFINITY : number_of(r, j, "cost", -big, big),
        .ttft = number_of(r, j, "ttft", -1, big),
        .booked = number_of(r, j, "booked", 0, big),
        .capacity = number_of(r, j, "capacity", 0, tokens),
        .told = {.credit = number_of(r, j, "credit", 0, KVR_MAX_BLOCKS),
                 .prefill_tokens = number_of(r, j, "prefill_tokens", 0, big),
                 .queue = number_of(r, j, "queue", -big, big),
                 .decode_blocks = number_of(r, j, "decode_blocks", 0, big),
                 .live_prefix = number_of(r, j, "live", 0, KVR_MAX_BLOCKS),
                 .begun = number_of(r, j, "begun", 0, KVR_MAX_BLOCKS),
                 .requests = number_of(r, j, "requests", 0, tokens),
                 .pace = number_of(r, j, "pace", 0, big),
                 .full = number_of(r, j, "full", 0, big)},
    };
    double capacity = d->candidates[d->n_candidates - 1].capacity;
    if (capacity > d->capacity) d->capacity = capacity;
}

static void add_candidates(struct decision_reading *r, const json_t *j, struct sim_decision *x) {
    const json_t *list = json_object_get(j, "candidates");
    if (!json_is_array(list)) refuse(r, "no array as", "candidates");
    x->first = r->d->n_candidates;
    x->n = json_array_size(list);
    for (size_t i = 0; i < x->n; i++)
        add_candidate(r, json_array_get(list, i));
    if (x->n + x->left_out > r->d->instances) r->d->instances = x->n + x->left_out;
}

static void add_hashes(struct decision_reading *r, const json_t *j, struct sim_decision *x) {
    struct sim_decisions *d = r->d;
    x->first_hash = d->n_hashes;
    if (json_object_get(j, "hashes")) {
        const char *digits = text_of(r, j, "hashes");
        size_t n = strlen(digits) / DECISION_DIGITS;
        if (strlen(digits) % DECISION_DIGITS || n > x->blocks)
            refuse(r, "not 16 hex digits for each block as", "hashes");
        d->hashes = bench_grow(d->hashes, &d->room_hashes, d->n_hashes + n + 1, sizeof *d->hashes);
        for (size_t i = 0; i < n; i++)
            d->hashes[d->n_hashes++] = hash_from(r, digits + i * DECISION_DIGITS, "hashes");
        x->n_hashes = n;
    }
    d->without_hashes += x->blocks && !x->n_hashes;
}

static void add_select(struct decision_reading *r, const json_t *j) {
    const double big = 1e300;
    struct sim_decisions *d = r->d;
    const char *policy = text_of(r, j, "policy");
    struct sim_decision x = {
        .line = r->line,
        .request = request_of(r, j),
        .at = number_of(r, j, "at", 0, 0x1p53),
        .booked = !strcmp(text_of(r, j, "result"), "OK"),
        .pair = whole_of(r, j, "pair", 1),
        .policy = kvr_policy_find(policy, strlen(policy)),
        .isl = (double)whole_of(r, j, "isl", (double)KVR_MAX_TOKENS),
        .osl = (double)whole_of(r, j, "osl", (double)KVR_MAX_TOKENS),
        .output = number_of(r, j, "output", 0, (double)KVR_MAX_TOKENS),
        .first_weight = number_of(r, j, "first_weight", 0, big),
        .arrivals = number_of(r, j, "arrivals", 0, big),
        .reuse = number_of(r, j, "reuse", 0, big),
        .stick = number_of(r, j, "stick", 0, KVR_MAX_WEIGHT),
        .temperature = number_of(r, j, "temperature", 0, KVR_MAX_WEIGHT),
        .overlap_weight = number_of(r, j, "overlap_weight", 0, KVR_MAX_WEIGHT),
        .prefill_weight = number_of(r, j, "prefill_weight", 0, KVR_MAX_WEIGHT),
        .requests_weight = number_of(r, j, "requests_weight", 0, KVR_MAX_WEIGHT),
        .blocks = (uint32_t)whole_of(r, j, "blocks", KVR_MAX_BLOCKS),
        .block_size = (uint32_t)whole_of(r, j, "block_size", KVR_MAX_BLOCK_SIZE),
        .left_out = whole_of(r, j, "left_out", KVR_MAX_INSTANCES),
        .ttft = -1,
        .duration = -1,
    };
    if (x.policy < 0) refuse(r, "no such policy", policy);
    if (!x.block_size) refuse(r, "no number in range as", "block_size");
    if (d->n && x.block_size != d->block_size) refuse(r, "another block_size than before", NULL);
    d->block_size = x.block_size;
    add_candidates(r, j, &x);
    x.chosen = place_in(r, j, "chosen", x.n);
    x.session = place_in(r, j, "session", x.n);
    add_hashes(r, j, &x);
    d->all = bench_grow(d->all, &d->room, d->n + 1, sizeof *d->all);
    d->all[d->n++] = x;
    bench_map_set(&r->requests, x.request, d->n);
}

// Of a request whose decision is in the file: the log may begin behind it.
static void add_end(struct decision_reading *r, const json_t *j) {
    double ttft = number_of(r, j, "ttft", -1, (double)KVR_MAX_MS),
           duration = number_of(r, j, "duration", -1, (double)KVR_MAX_MS),
           tokens = number_of(r, j, "output", 0, (double)KVR_MAX_TOKENS);
    uint64_t place = bench_map_get(&r->requests, request_of(r, j));
    if (!place || r->d->all[place - 1].ended) return;
    struct sim_decision *x = &r->d->all[place - 1];
    x->ended = true;
    x->ttft = ttft;
    x->duration = duration;
    x->tokens = tokens;
}

static void add_line(struct decision_reading *r, const json_t *j) {
    if (!json_is_object(j)) refuse(r, "no object", NULL);
    if (whole_of(r, j, "decision", 0x1p53) != DECISION_FILE_VERSION)
        refuse(r, "a version that isn't known as", "decision");
    const char *event = text_of(r, j, "event");
    if (!strcmp(event, "select"))
        add_select(r, j);
    else if (!strcmp(event, "end"))
        add_end(r, j);
    else
        refuse(r, "neither select nor end as", "event");
}

void sim_decisions_read(struct sim_decisions *d, const char *path) {
    struct decision_reading r = {.d = d, .path = path};
    char *line = NULL;
    size_t room = 0;
    *d = (struct sim_decisions){0};
    FILE *f = fopen(path, "r");
    if (!f) refuse(&r, strerror(errno), NULL);
    while (getline(&line, &room, f) > 0) {
        json_error_t e;
        r.line++;
        if (!line[strspn(line, " \t\r\n")]) continue;
        json_t *j = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
        if (!j) refuse(&r, e.text, NULL);
        add_line(&r, j);
        json_decref(j);
    }
    if (ferror(f)) refuse(&r, "can't be read to its end", NULL);
    free(line);
    fclose(f);
    bench_map_free(&r.names);
    bench_map_free(&r.requests);
    if (!d->n) refuse(&r, "no decisions", NULL);
}

void sim_decisions_free(struct sim_decisions *d) {
    for (size_t i = 0; i < d->n_names; i++)
        free(d->names[i].bytes);
    free(d->names);
    free(d->all);
    free(d->candidates);
    free(d->hashes);
    *d = (struct sim_decisions){0};
}
