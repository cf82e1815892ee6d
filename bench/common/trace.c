// SPDX-License-Identifier: Apache-2.0
// Traces in Mooncake's form: JSON lines of timestamp (ms), input_length and output_length (tokens) and
// hash_ids, one id for each 512 tokens of the prompt, equal ids for equal prefixes. With a session_id
// (text or number) it is known whose a request is, else it is guessed (sessions.c); all but the first of a session may then have a delay (ms
// after the end of the one before) in place of the timestamp.
//
// A trace has no tokens, so each id stands for 512 made-up ones that depend on it alone; these are cut
// into blocks and chained as hash.h says. The last id of a prompt covers a part only: of it as many
// blocks are made as input_length fills. What was generated has no ids, so it is in no later prompt.
#define _GNU_SOURCE // program_invocation_short_name
#include <errno.h>
#include <jansson.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "random.h"
#include "workload.h"

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
        tokens[i] = (uint32_t)(random_mix(id * ID_TOKENS + i) % 128000);
}

// 512 tokens that were hashed: the same id after the same hash has the same hashes again.
struct piece {
    uint64_t parent, id; // parent: 0 at the start of a prompt
    size_t hashes;       // 1 + their place in the workload's; 0: empty
};

// A file that is being read.
struct reading {
    struct workload *w;
    size_t room, room_hashes;
    json_t *sessions; // by session_id: its number in `last`
    uint32_t *last;   // by session: its request that was read last
    size_t room_last;
    struct piece *pieces; // hash table, linear probing
    size_t n_pieces, mask;
    size_t line, disordered; // disordered: the first that is earlier than one before; 0: none
};

// The number of the line's session. New ones, and those of requests without a session_id, have no request
// yet. NO_REQUEST: the session_id is neither text nor a number.
static uint32_t session_of(struct reading *r, const json_t *line) {
    const json_t *id = json_object_get(line, "session_id");
    char number[32];
    const char *key = json_string_value(id);
    if (json_is_integer(id)) {
        snprintf(number, sizeof number, "#%lld", (long long)json_integer_value(id));
        key = number;
    }
    if (id && !key) return NO_REQUEST;
    json_t *known = key ? json_object_get(r->sessions, key) : NULL;
    if (known) return (uint32_t)json_integer_value(known);
    uint32_t session = r->w->sessions++;
    r->last = memory_grow(r->last, &r->room_last, session + 1u, sizeof *r->last);
    r->last[session] = NO_REQUEST;
    if (key) json_object_set_new(r->sessions, key, json_integer(session));
    return session;
}

// When the line's request arrives. False: the line doesn't say.
static bool time_of(struct reading *r, const json_t *line, struct request *q) {
    const struct workload *w = r->w;
    const json_t *at = json_object_get(line, "timestamp"), *delay = json_object_get(line, "delay");
    uint32_t before = r->last[q->session];
    q->after = NO_REQUEST;
    if (json_is_number(at)) {
        q->at = json_number_value(at) / 1000;
    } else if (json_is_number(delay) && json_number_value(delay) >= 0 && before != NO_REQUEST) {
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

static struct piece *piece_of(const struct reading *r, uint64_t parent, uint64_t id) {
    size_t i = random_mix(parent + random_mix(id + 1)) & r->mask;
    while (r->pieces[i].hashes && (r->pieces[i].parent != parent || r->pieces[i].id != id))
        i = (i + 1) & r->mask;
    return &r->pieces[i];
}

static void more_pieces(struct reading *r) {
    struct reading old = *r;
    r->mask = old.mask ? old.mask * 2 + 1 : 0xffff;
    r->pieces = memory_take(r->mask + 1, sizeof *r->pieces);
    for (size_t i = 0; old.pieces && i <= old.mask; i++)
        if (old.pieces[i].hashes)
            *piece_of(r, old.pieces[i].parent, old.pieces[i].id) = old.pieces[i];
    free(old.pieces);
}

// Appends the hashes of an id's first `tokens`, which follow on those before. root: there are none.
static void add_piece(struct reading *r, uint64_t id, size_t tokens, bool root) {
    struct workload *w = r->w;
    uint64_t *to = w->hashes + w->n_hashes, parent = root ? 0 : to[-1];
    if (r->n_pieces * 2 >= r->mask) more_pieces(r);
    struct piece *p = piece_of(r, parent, id);
    if (p->hashes) {
        memcpy(to, w->hashes + p->hashes - 1, tokens / w->block_size * sizeof *to);
    } else {
        uint32_t made[ID_TOKENS];
        expand(id, made);
        kvr_hash_tokens(made, tokens, w->block_size, KVR_HASH_SEED, root ? NULL : &parent, to);
        if (tokens == ID_TOKENS) {
            *p = (struct piece){parent, id, w->n_hashes + 1};
            r->n_pieces++;
        }
    }
    w->n_hashes += tokens / w->block_size;
}

// Appends one line's request. NULL, or what is wrong.
static const char *add(struct reading *reading, json_t *line) {
    struct workload *w = reading->w;
    json_int_t isl, osl;
    json_t *ids;
    if (json_unpack(line, "{s:I, s:I, s:o}", "input_length", &isl, "output_length", &osl,
                    "hash_ids", &ids))
        return "no input_length, output_length and hash_ids";
    if (isl < 0 || isl > MAX_LENGTH || osl < 0 || osl > MAX_LENGTH || !json_is_array(ids))
        return "a length out of range";
    size_t tokens = json_array_size(ids) * ID_TOKENS;
    if (tokens > (size_t)isl) tokens = (size_t)isl;
    struct request r = {
        .session = session_of(reading, line),
        .isl = (uint32_t)isl,
        .osl = (uint32_t)osl,
        .blocks = (uint32_t)(tokens / w->block_size),
        .first = w->n_hashes,
    };
    if (r.session == NO_REQUEST) return "a session_id that is neither text nor a number";
    if (!time_of(reading, line, &r))
        return "no timestamp, nor a delay after another request of the session";
    if (r.blocks > MAX_BLOCKS) return "more blocks than a pool takes in one list";
    r.known = r.blocks;
    w->hashes =
        memory_grow(w->hashes, &reading->room_hashes, w->n_hashes + r.blocks, sizeof *w->hashes);
    for (size_t i = 0, left = tokens; left >= w->block_size && i < json_array_size(ids); i++) {
        json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id)) return "a hash_id that is no integer";
        size_t n = left < ID_TOKENS ? left : ID_TOKENS;
        add_piece(reading, (uint64_t)json_integer_value(id), n, i == 0);
        left -= n;
    }
    w->requests = memory_grow(w->requests, &reading->room, w->n + 1, sizeof r);
    reading->last[r.session] = (uint32_t)w->n;
    w->requests[w->n++] = r;
    return NULL;
}

void workload_trace(struct workload *w, const char *path, unsigned block_size, size_t at_most) {
    size_t line_room = 0;
    size_t want = at_most ? at_most : SIZE_MAX;
    char *line = NULL;
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(errno));
        exit(2);
    }
    *w = (struct workload){.block_size = block_size};
    struct reading r = {.w = w, .sessions = json_object()};
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
    free(r.pieces);
    bool said = json_object_size(r.sessions) > 0;
    json_decref(r.sessions);
    if (!w->n) refuse(path, r.line, "no requests");
    if (r.disordered && !w->closed) refuse(path, r.disordered, "earlier than the line before");
    if (r.disordered) workload_sort(w);
    if (!said) workload_guess_sessions(w, ID_TOKENS / block_size);
    const char *name = strrchr(path, '/');
    snprintf(w->what, sizeof w->what, "trace %.60s, %.0f minutes", name ? name + 1 : path,
             w->requests[w->n - 1].at / 60);
}

struct placed {
    double at;
    uint32_t index;
};

static int by_time(const void *left, const void *right) {
    const struct placed *a = left, *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

void workload_sort(struct workload *w) {
    struct placed *order = memory_take(w->n, sizeof *order);
    struct request *sorted = memory_take(w->n, sizeof *sorted);
    uint32_t *place = memory_take(w->n, sizeof *place);
    for (uint32_t i = 0; i < w->n; i++)
        order[i] = (struct placed){w->requests[i].at, i};
    qsort(order, w->n, sizeof *order, by_time);
    for (uint32_t i = 0; i < w->n; i++)
        place[order[i].index] = i;
    for (size_t i = 0; i < w->n; i++) {
        sorted[i] = w->requests[order[i].index];
        if (sorted[i].after != NO_REQUEST) sorted[i].after = place[sorted[i].after];
    }
    free(order);
    free(place);
    free(w->requests);
    w->requests = sorted;
}

void workload_free(struct workload *w) {
    free(w->requests);
    free(w->hashes);
    free(w->tokens);
    *w = (struct workload){0};
}
