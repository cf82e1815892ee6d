// SPDX-License-Identifier: Apache-2.0
// Traces in Mooncake's form; see trace.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "trace.h"

#include <errno.h>
#include <jansson.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_memory.h"
#include "hashmap.h"

enum {
    ID_TOKENS = 512,
    MAX_LENGTH = 1 << 24, // tokens
    MAX_BLOCKS = 1 << 20, // what a pool takes in one list
};

static void refuse(const char *path, size_t line, const char *what) {
    fprintf(stderr, "%s: %s:%zu: %s\n", program_invocation_short_name, path, line, what);
    exit(2);
}

static void expand(uint64_t id, uint32_t tokens[ID_TOKENS]) {
    for (unsigned i = 0; i < ID_TOKENS; i++)
        tokens[i] = (uint32_t)(kvr_random_mix(id * ID_TOKENS + i) % 128000);
}

// A file that is being read.
struct trace_reading {
    struct bench_workload *w;
    json_t *sessions; // by session_id: its number in `last`
    uint32_t *last;   // by session: its request that was read last
    size_t room_last;
    // 512 tokens that were hashed: the same id after the same hash has the same hashes again. The place of the
    // first, plus 1, by both.
    struct bench_map pieces;
    size_t line, disordered; // disordered: the first that is earlier than one before; 0: none
};

// The number of the line's session. New ones, and those of requests without a session_id, have no request
// yet. BENCH_NO_REQUEST: the session_id is neither text nor a number.
static uint32_t session_of(struct trace_reading *r, const json_t *line) {
    const json_t *id = json_object_get(line, "session_id");
    char number[32];
    const char *key = json_string_value(id);
    if (json_is_integer(id)) {
        snprintf(number, sizeof number, "#%lld", (long long)json_integer_value(id));
        key = number;
    }
    if (id && !key) return BENCH_NO_REQUEST;
    json_t *known = key ? json_object_get(r->sessions, key) : NULL;
    if (known) return (uint32_t)json_integer_value(known);
    uint32_t session = r->w->sessions++;
    r->last = bench_grow(r->last, &r->room_last, session + 1u, sizeof *r->last);
    r->last[session] = BENCH_NO_REQUEST;
    if (key) json_object_set_new(r->sessions, key, json_integer(session));
    return session;
}

// When the line's request arrives. False: the line doesn't say.
static bool time_of(struct trace_reading *r, const json_t *line, struct bench_request *q) {
    const struct bench_workload *w = r->w;
    const json_t *at = json_object_get(line, "timestamp"), *delay = json_object_get(line, "delay");
    uint32_t before = r->last[q->session];
    q->after = BENCH_NO_REQUEST;
    if (json_is_number(at)) {
        q->at = json_number_value(at) / 1000;
    } else if (json_is_number(delay) && json_number_value(delay) >= 0 &&
               before != BENCH_NO_REQUEST) {
        q->after = before;
        q->delay = json_number_value(delay) / 1000;
        q->at = w->requests[before].at + q->delay;
        r->w->closed = true;
    } else {
        return false;
    }
    if (w->n && q->at < w->requests[w->n - 1].at && !r->disordered) r->disordered = r->line;
    return true;
}

// Appends the hashes of an id's first `tokens`, which follow on those before. root: there are none.
static void add_piece(struct trace_reading *r, uint64_t id, size_t tokens, bool root) {
    struct bench_workload *w = r->w;
    uint64_t *to = w->hashes + w->n_hashes, parent = root ? 0 : to[-1];
    uint64_t key = kvr_random_mix(parent + kvr_random_mix(id + 1)),
             known = bench_map_get(&r->pieces, key);
    if (known) {
        memcpy(to, w->hashes + known - 1, tokens / w->block_size * sizeof *to);
    } else {
        uint32_t made[ID_TOKENS];
        expand(id, made);
        kvr_hash_tokens(made, tokens, w->block_size, KVR_HASH_SEED, root ? NULL : &parent, to);
        if (tokens == ID_TOKENS) bench_map_set(&r->pieces, key, w->n_hashes + 1);
    }
    w->n_hashes += tokens / w->block_size;
}

// Appends one line's request. NULL, or what is wrong.
static const char *add(struct trace_reading *reading, json_t *line) {
    struct bench_workload *w = reading->w;
    json_int_t isl, osl;
    json_t *ids;
    if (json_unpack(line, "{s:I, s:I, s:o}", "input_length", &isl, "output_length", &osl,
                    "hash_ids", &ids))
        return "no input_length, output_length and hash_ids";
    if (isl < 0 || isl > MAX_LENGTH || osl < 0 || osl > MAX_LENGTH || !json_is_array(ids))
        return "a length out of range";
    size_t tokens = json_array_size(ids) * ID_TOKENS;
    if (tokens > (size_t)isl) tokens = (size_t)isl;
    struct bench_request r = {
        .session = session_of(reading, line),
        .isl = (uint32_t)isl,
        .osl = (uint32_t)osl,
        .blocks = (uint32_t)(tokens / w->block_size),
        .first = w->n_hashes,
    };
    if (r.session == BENCH_NO_REQUEST) return "a session_id that is neither text nor a number";
    if (!time_of(reading, line, &r))
        return "no timestamp, nor a delay after another request of the session";
    if (r.blocks > MAX_BLOCKS) return "more blocks than a pool takes in one list";
    r.known = r.blocks;
    bench_workload_more_hashes(w, r.blocks);
    for (size_t i = 0, left = tokens; left >= w->block_size && i < json_array_size(ids); i++) {
        json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id)) return "a hash_id that is no integer";
        size_t n = left < ID_TOKENS ? left : ID_TOKENS;
        add_piece(reading, (uint64_t)json_integer_value(id), n, i == 0);
        left -= n;
    }
    reading->last[r.session] = (uint32_t)w->n;
    bench_workload_add(w, &r);
    return NULL;
}

void bench_trace_read(struct bench_workload *w, const char *path, unsigned block_size,
                      size_t at_most) {
    size_t line_room = 0;
    size_t want = at_most ? at_most : SIZE_MAX;
    char *line = NULL;
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(errno));
        exit(2);
    }
    *w = (struct bench_workload){.block_size = block_size};
    struct trace_reading r = {.w = w, .sessions = json_object()};
    if (block_size > ID_TOKENS || ID_TOKENS % block_size)
        refuse(path, 0, "an id stands for 512 tokens: the block size must divide that");
    while (w->n < want && getline(&line, &line_room, f) > 0) {
        json_error_t e;
        r.line++;
        if (!line[strspn(line, " \t\r\n")]) continue;
        json_t *j = json_loads(line, 0, &e);
        const char *wrong = j ? add(&r, j) : e.text;
        json_decref(j);
        if (wrong) refuse(path, r.line, wrong);
    }
    free(line);
    fclose(f);
    free(r.last);
    bench_map_free(&r.pieces);
    bool said = json_object_size(r.sessions) > 0;
    json_decref(r.sessions);
    if (!w->n) refuse(path, r.line, "no requests");
    if (r.disordered && !w->closed) refuse(path, r.disordered, "earlier than the line before");
    if (r.disordered) bench_workload_sort(w);
    if (!said) bench_workload_guess_sessions(w, ID_TOKENS / block_size);
    const char *name = strrchr(path, '/');
    snprintf(w->what, sizeof w->what, "trace %.60s, %.0f minutes", name ? name + 1 : path,
             w->requests[w->n - 1].at / 60);
}
