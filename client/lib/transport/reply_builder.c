// SPDX-License-Identifier: Apache-2.0
#include "reply_builder.h"

#include <stdint.h>
#include <string.h>

// hiredis 1.0 has more kinds of reply and counts elements in size_t. We speak RESP2, so the further
// kinds never come and their functions stay NULL, which refuses them.
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

// What is handed to hiredis: the reply, and whose it is.
struct built_reply {
    redisReply reply;
    struct kvr_reply_builder *builder;
};

// Whether a subscription may say this: ["subscribe", channel, integer] or ["message", channel, string].
static bool is_subscribed(struct kvr_reply_builder *p, const redisReadTask *task, const char *bytes,
                          size_t n) {
    if (!task->parent)
        return task->type == REDIS_REPLY_ARRAY ? n == 3
                                               : p->expected && task->type != REDIS_REPLY_NIL;
    if (task->parent->parent) return false;
    if (task->idx == 2)
        return task->type == (p->is_message ? REDIS_REPLY_STRING : REDIS_REPLY_INTEGER);
    if (task->type != REDIS_REPLY_STRING || !bytes) return false;
    if (task->idx == 1) return n == strlen(p->channel) && !memcmp(bytes, p->channel, n);
    p->is_message = n == 7 && !memcmp(bytes, "message", 7);
    return p->is_message || (n == 9 && !memcmp(bytes, "subscribe", 9) && p->expected);
}

// bytes, n: of a string; n without bytes: elements. extra: bytes to be taken besides.
static redisReply *make(const redisReadTask *task, const char *bytes, size_t n, size_t extra) {
    struct kvr_reply_builder *p = task->privdata;
    if (!task->parent && !p->expected && !p->channel) {
        p->refused = "a reply that nobody asked for";
        return NULL;
    }
#ifdef REDIS_REPLY_PUSH
    // RESP3, which we don't speak. hiredis would drop it, and take the next reply for the one that is missing.
    if (task->type == REDIS_REPLY_PUSH) {
        p->refused = "a push";
        return NULL;
    }
#endif
    if (p->channel && !is_subscribed(p, task, bytes, n)) {
        p->refused = "what no subscription says";
        return NULL;
    }
    struct built_reply *built = p->arena.bytes < KVR_MAX_REPLY_BYTES
                                    ? kvr_arena_take(&p->arena, sizeof *built + extra)
                                    : NULL;
    if (!built) {
        p->refused = "a reply is too large, or no memory for it";
        return NULL;
    }
    memset(built, 0, sizeof *built);
    built->builder = p;
    built->reply.type = task->type;
    if (task->parent) {
        redisReply *array = task->parent->obj;
        array->element[task->idx] = &built->reply;
    }
    return &built->reply;
}

static void *make_string(const redisReadTask *task, char *bytes, size_t n) {
    if (n > KVR_MAX_REPLY_BYTES) return NULL;
    redisReply *r = make(task, bytes, n, n + 1);
    if (!r) return NULL;
    r->str = (char *)r + sizeof(struct built_reply);
    memcpy(r->str, bytes, n);
    r->str[n] = 0;
    r->len = n;
    return r;
}

static void *make_array(const redisReadTask *task, element_count n) {
    struct kvr_reply_builder *p = task->privdata;
    size_t count = (size_t)n;
    if (count > KVR_MAX_REPLY_ELEMENTS || p->elements + count > KVR_MAX_REPLY_ELEMENTS) {
        p->refused = "a reply has too many elements";
        return NULL;
    }
    p->elements += count;
    redisReply *r = make(task, NULL, count, count * sizeof(redisReply *));
    if (!r) return NULL;
    r->elements = count;
    r->element = (redisReply **)(void *)((char *)r + sizeof(struct built_reply));
    memset(r->element, 0, count * sizeof *r->element);
    return r;
}

static void *make_integer(const redisReadTask *task, long long i) {
    redisReply *r = make(task, NULL, 0, 0);
    if (r) r->integer = i;
    return r;
}

static void *make_nil(const redisReadTask *task) {
    redisReply *r = make(task, NULL, 0, 0);
    if (r) r->type = REDIS_REPLY_NIL; // the task still has the type that could have been there
    return r;
}

static void release(void *reply) {
    if (!reply) return;
    struct kvr_reply_builder *p = ((struct built_reply *)reply)->builder;
    kvr_arena_empty(&p->arena);
    p->elements = 0;
}

static redisReplyObjectFunctions functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = release,
};

void kvr_reply_builder_init(struct kvr_reply_builder *p, const struct kvr_alloc *a) {
    *p = (struct kvr_reply_builder){0};
    kvr_arena_init(&p->arena, a);
}

void kvr_reply_builder_free(struct kvr_reply_builder *p) {
    kvr_arena_free(&p->arena);
}

void kvr_reply_builder_attach(struct kvr_reply_builder *p, redisReader *reader) {
    reader->fn = &functions;
    reader->privdata = p;
    kvr_arena_empty(&p->arena);
    p->elements = 0;
    p->refused = NULL;
    p->expected = 0;
}
