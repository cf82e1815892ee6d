// SPDX-License-Identifier: Apache-2.0
// Traces in Mooncake's form: JSON lines of timestamp (ms), input_length and output_length (tokens) and
// hash_ids, one id for each 512 tokens of the prompt, equal ids for equal prefixes.
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

// Appends one line's request. False: what is wrong.
static const char *add(struct workload *w, json_t *line, size_t *room, size_t *room_hashes) {
    double at;
    json_int_t isl, osl;
    json_t *ids;
    if (json_unpack(line, "{s:F, s:I, s:I, s:o}", "timestamp", &at, "input_length", &isl,
                    "output_length", &osl, "hash_ids", &ids))
        return "no timestamp, input_length, output_length and hash_ids";
    if (isl < 0 || isl > MAX_LENGTH || osl < 0 || osl > MAX_LENGTH || !json_is_array(ids))
        return "a length out of range";
    if (w->n && at / 1000 < w->requests[w->n - 1].at) return "earlier than the line before";
    size_t tokens = json_array_size(ids) * ID_TOKENS;
    if (tokens > (size_t)isl) tokens = (size_t)isl;
    struct request r = {
        .at = at / 1000,
        .isl = (uint32_t)isl,
        .osl = (uint32_t)osl,
        .blocks = (uint32_t)(tokens / w->block_size),
        .first = w->n_hashes,
    };
    if (r.blocks > MAX_BLOCKS) return "more blocks than a pool takes in one list";
    r.known = r.blocks;
    w->hashes = memory_grow(w->hashes, room_hashes, w->n_hashes + r.blocks, sizeof *w->hashes);
    for (size_t i = 0, left = tokens; left >= w->block_size && i < json_array_size(ids); i++) {
        json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id)) return "a hash_id that is no integer";
        uint32_t made[ID_TOKENS];
        expand((uint64_t)json_integer_value(id), made);
        size_t n = left < ID_TOKENS ? left : ID_TOKENS;
        const uint64_t *parent = i ? &w->hashes[w->n_hashes - 1] : NULL;
        w->n_hashes +=
            kvr_hash_tokens(made, n, w->block_size, KVR_HASH_SEED, parent, w->hashes + w->n_hashes);
        left -= n;
    }
    w->requests = memory_grow(w->requests, room, w->n + 1, sizeof r);
    w->requests[w->n++] = r;
    return NULL;
}

void workload_trace(struct workload *w, const char *path, unsigned block_size, size_t at_most) {
    size_t room = 0, room_hashes = 0, line_room = 0, line_no = 0;
    size_t want = at_most ? at_most : SIZE_MAX;
    char *line = NULL;
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(errno));
        exit(2);
    }
    *w = (struct workload){.block_size = block_size};
    if (block_size > ID_TOKENS || ID_TOKENS % block_size)
        refuse(path, 0, "an id stands for 512 tokens: the block size must divide that");
    while (w->n < want && getline(&line, &line_room, f) > 0) {
        json_error_t e;
        line_no++;
        if (!line[strspn(line, " \t\r\n")]) continue;
        json_t *j = json_loads(line, 0, &e);
        if (!j) refuse(path, line_no, e.text);
        const char *wrong = add(w, j, &room, &room_hashes);
        if (wrong) refuse(path, line_no, wrong);
        json_decref(j);
    }
    free(line);
    fclose(f);
    if (!w->n) refuse(path, line_no, "no requests");
    const char *name = strrchr(path, '/');
    snprintf(w->what, sizeof w->what, "trace %.60s, %.0f minutes", name ? name + 1 : path,
             w->requests[w->n - 1].at / 60);
}

void workload_free(struct workload *w) {
    free(w->requests);
    free(w->hashes);
    free(w->tokens);
    *w = (struct workload){0};
}
