// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // program_invocation_short_name
#include "copy_decisions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool fail(const char *what) {
    fprintf(stderr, "%s: the log of decisions: %s\n", program_invocation_short_name, what);
    return false;
}

// The reply to a command; NULL, with a message: it is no array.
static redisReply *array_of(const redisContext *c, redisReply *r) {
    if (r && r->type == REDIS_REPLY_ARRAY) return r;
    fail(!r ? c->errstr : r->type == REDIS_REPLY_ERROR ? r->str : "an answer that isn't known");
    if (r) freeReplyObject(r);
    return NULL;
}

// The serial of the next record, up to which is copied: a log that goes on is not followed.
static bool find_end(redisContext *c, const char *key, uint64_t *end) {
    redisReply *r = array_of(c, redisCommand(c, "KVROUTE.DECISIONS INFO %s", key));
    if (!r) return false;
    *end = 0;
    for (size_t i = 0; i + 1 < r->elements; i += 2)
        if (r->element[i]->str && !strcmp(r->element[i]->str, "next"))
            *end = (uint64_t)r->element[i + 1]->integer;
    freeReplyObject(r);
    return true;
}

// Writes what a reply has. *cursor: the next to be asked for; *lines: how many there were.
static bool write_lines(const redisReply *r, FILE *f, uint64_t *cursor, size_t *lines) {
    bool known = r->elements == 2 && r->element[0]->type == REDIS_REPLY_INTEGER &&
                 r->element[1]->type == REDIS_REPLY_ARRAY;
    if (!known) return fail("an answer that isn't known");
    const redisReply *list = r->element[1];
    *cursor = (uint64_t)r->element[0]->integer;
    *lines = list->elements;
    for (size_t i = 0; i < list->elements; i++) {
        const redisReply *line = list->element[i];
        if (line->type != REDIS_REPLY_STRING) return fail("an answer that isn't known");
        if (fwrite(line->str, 1, line->len, f) != line->len || putc('\n', f) == EOF)
            return fail(strerror(errno));
    }
    return true;
}

static bool copy_all(redisContext *c, const char *key, FILE *f) {
    uint64_t cursor = 0, end;
    size_t lines = 1, all = 0;
    if (!find_end(c, key, &end)) return false;
    while (lines && cursor < end) {
        redisReply *r = array_of(
            c, redisCommand(c, "KVROUTE.DECISIONS GET %s %" PRIu64 " COUNT 1000", key, cursor));
        bool ok = r && write_lines(r, f, &cursor, &lines);
        if (r) freeReplyObject(r);
        if (!ok) return false;
        all += lines;
    }
    fprintf(stderr, "%zu records of decisions\n", all);
    return true;
}

bool bench_copy_decisions(redisContext *c, const char *key, const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return fail(strerror(errno));
    bool ok = copy_all(c, key, f);
    if (fclose(f) && ok) ok = fail(strerror(errno));
    return ok;
}
