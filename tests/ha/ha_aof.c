// SPDX-License-Identifier: Apache-2.0
// See ha_aof.h. The files are in plain RESP; how they are called stands in a manifest.
#include "ha_aof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Words ---------------------------------------------------------------------------------------

static bool take_number(const char **at, const char *end, char type, size_t *n) {
    char *rest;
    if (*at >= end || **at != type) return false;
    *n = strtoul(*at + 1, &rest, 10);
    if (rest + 2 > end || rest[0] != '\r') return false;
    *at = rest + 2;
    return true;
}

// The next command of a file; false: that was all, or its end was torn off.
static bool take_words(const char **at, const char *end, struct ha_aof_words *w) {
    size_t n, len;
    if (!take_number(at, end, '*', &n)) return false;
    w->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!take_number(at, end, '$', &len) || *at + len + 2 > end) return false;
        if (w->n < HA_AOF_MAX_WORDS) w->at[w->n++] = (struct kvr_bytes){*at, len};
        *at += len + 2;
    }
    return true;
}

bool ha_aof_is_word(struct kvr_bytes b, const char *word) {
    return b.n == strlen(word) && memcmp(b.p, word, b.n) == 0;
}

bool ha_aof_has_word(const struct ha_aof_words *w, size_t from, const char *word) {
    for (size_t i = from; i < w->n; i++)
        if (ha_aof_is_word(w->at[i], word)) return true;
    return false;
}

// ---- Files ---------------------------------------------------------------------------------------

static void read_file(const char *path, ha_aof_take *take_one, void *ctx) {
    FILE *f = fopen(path, "r");
    if (!f) return; // rewritten meanwhile
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *bytes = malloc((size_t)size + 1);
    if (!bytes) ha_give_up("no memory for %s", path);
    size_t n = fread(bytes, 1, (size_t)size, f);
    bytes[n] = 0;
    fclose(f);
    static struct ha_aof_words words;
    const char *at = bytes;
    while (take_words(&at, bytes + n, &words))
        take_one(ctx, &words);
    free(bytes);
}

void ha_aof_read(struct ha_server *s, ha_aof_take *take_one, void *ctx) {
    char path[400], line[400], name[128], type;
    if (!support_redis_settle(&s->redis)) ha_give_up("%s never writes its file", s->name);
    snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.manifest", s->redis.dir);
    FILE *f = fopen(path, "r");
    if (!f) ha_give_up("%s has no append-only file", s->name);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "file %127s seq %*d type %c", name, &type) == 2 && type == 'i') {
            snprintf(path, sizeof path, "%s/appendonlydir/%s", s->redis.dir, name);
            read_file(path, take_one, ctx);
        }
    fclose(f);
}
