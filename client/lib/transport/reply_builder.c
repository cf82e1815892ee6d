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

static redisReply *make(const redisReadTask *task, size_t extra) {
    struct kvr_reply_builder *p = task->privdata;
    if (!task->parent && !p->expected) {
        p->refused = "a reply that nobody asked for";
        return NULL;
    }
    struct built_reply *n =
        p->arena.bytes < KVR_MAX_REPLY_BYTES ? kvr_arena_take(&p->arena, sizeof *n + extra) : NULL;
    if (!n) {
        p->refused = "a reply is too large, or no memory for it";
        return NULL;
    }
    memset(n, 0, sizeof *n);
    n->builder = p;
    n->reply.type = task->type;
    if (task->parent) {
        redisReply *array = task->parent->obj;
        array->element[task->idx] = &n->reply;
    }
    return &n->reply;
}

static void *make_string(const redisReadTask *task, char *bytes, size_t n) {
    if (n > KVR_MAX_REPLY_BYTES) return NULL;
    redisReply *r = make(task, n + 1);
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
    redisReply *r = make(task, count * sizeof(redisReply *));
    if (!r) return NULL;
    r->elements = count;
    r->element = (redisReply **)(void *)((char *)r + sizeof(struct built_reply));
    memset(r->element, 0, count * sizeof *r->element);
    return r;
}

static void *make_integer(const redisReadTask *task, long long i) {
    redisReply *r = make(task, 0);
    if (r) r->integer = i;
    return r;
}

static void *make_nil(const redisReadTask *task) {
    redisReply *r = make(task, 0);
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
