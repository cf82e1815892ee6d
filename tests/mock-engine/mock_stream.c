// SPDX-License-Identifier: Apache-2.0
// The other end of an engine's event stream; see mock_stream.h.
#define _GNU_SOURCE // asprintf
#include "mock_stream.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <inttypes.h>
#include <msgpack.h>
#include <signal.h>
#include <stdio.h>
#include <zmq.h>

#include "client/common/clock.h"
#include "mock_memory.h"
#include "tests/support/support_home.h"
#include <kvroute/hash.h>

enum { MAX_REPLY_FRAMES = 5, SUBSCRIBE_RETRY_MS = 20 };

// ---- Sockets -------------------------------------------------------------------------------------

static uint64_t number_of(const void *bytes) {
    uint64_t n;
    memcpy(&n, bytes, sizeof n);
    return be64toh(n);
}

// The last frame is the payload, the one before the number; *n is how many there were.
static struct mock_message receive(void *socket, int ms, size_t *n) {
    struct mock_message m = {0};
    zmq_msg_t frames[MAX_REPLY_FRAMES];
    zmq_pollitem_t wait = {.socket = socket, .events = ZMQ_POLLIN};
    *n = 0;
    if (zmq_poll(&wait, 1, ms) <= 0) return m;
    for (bool more = true; more; (*n)++) {
        cr_assert(*n < MAX_REPLY_FRAMES);
        zmq_msg_init(&frames[*n]);
        cr_assert(zmq_msg_recv(&frames[*n], socket, 0) >= 0);
        more = zmq_msg_more(&frames[*n]);
    }
    cr_assert(*n >= 3 && zmq_msg_size(&frames[*n - 2]) == 8);
    m.got = true;
    m.seq = number_of(zmq_msg_data(&frames[*n - 2]));
    m.len = zmq_msg_size(&frames[*n - 1]);
    m.payload = mock_take(m.len, 1);
    if (m.len) memcpy(m.payload, zmq_msg_data(&frames[*n - 1]), m.len);
    for (size_t i = 0; i < *n; i++)
        zmq_msg_close(&frames[i]);
    return m;
}

struct mock_message mock_stream_next(struct mock_stream *s, int ms) {
    size_t n;
    struct mock_message m = receive(s->sub, ms, &n);
    cr_assert(!m.got || n == 3);
    return m;
}

struct mock_message mock_stream_reply(struct mock_stream *s, int ms) {
    size_t n;
    struct mock_message m = receive(s->dealer, ms, &n);
    cr_assert(!m.got || n == 3 || n == 4);
    m.topic = n == 4;
    return m;
}

void mock_message_free(struct mock_message *m) {
    free(m->payload);
    m->payload = NULL;
}

bool mock_message_is_end(const struct mock_message *m) {
    return m->got && m->seq == UINT64_MAX && !m->len;
}

static void *open_socket(void *zmq, int type, const char *endpoint) {
    void *s = zmq_socket(zmq, type);
    int zero = 0;
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(s, ZMQ_RCVHWM, &zero, sizeof zero);
    if (type == ZMQ_SUB) zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0);
    cr_assert(zmq_connect(s, endpoint) == 0, "%s", endpoint);
    return s;
}

// [0, []]: nothing has happened.
static void post_empty(const struct mock_process *p, size_t rank) {
    static const char batch[] = "\x92\xca\x3f\x80\x01\x01\x90"; // 1.0 and a bit, without a NUL byte
    char path[60];
    snprintf(path, sizeof path, "/mock/batch?rank=%zu", rank);
    mock_http_expect(p, path, batch, 200);
}

struct mock_stream mock_stream_open(const struct mock_process *p, size_t rank, bool live) {
    struct mock_stream s = {.zmq = zmq_ctx_new()};
    if (p->replay[rank][0]) s.dealer = open_socket(s.zmq, ZMQ_DEALER, p->replay[rank]);
    if (!live) return s;
    s.sub = open_socket(s.zmq, ZMQ_SUB, p->events[rank]);
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    struct mock_message m = {0};
    while (!m.got) {
        cr_assert(kvr_clock_ms() < deadline, "the subscription never stood");
        post_empty(p, rank);
        m = mock_stream_next(&s, SUBSCRIBE_RETRY_MS);
    }
    // More than one may be on its way.
    while (m.got) {
        s.seq = m.seq;
        mock_message_free(&m);
        if (s.seq + 1 == mock_rank_number(p, rank, "next_seq")) break;
        m = mock_stream_next(&s, MOCK_PATIENCE_MS);
    }
    return s;
}

void mock_stream_close(struct mock_stream *s) {
    if (s->sub) zmq_close(s->sub);
    if (s->dealer) zmq_close(s->dealer);
    zmq_ctx_term(s->zmq);
}

void mock_stream_ask(struct mock_stream *s, uint64_t from) {
    uint64_t number = htobe64(from);
    zmq_send(s->dealer, "", 0, ZMQ_SNDMORE);
    zmq_send(s->dealer, &number, sizeof number, 0);
}

uint64_t mock_rank_number(const struct mock_process *p, size_t rank, const char *name) {
    json_t *cache = mock_http_json(p, "/mock/cache");
    const json_t *row = json_array_get(json_object_get(cache, "ranks"), rank);
    uint64_t n = (uint64_t)json_integer_value(json_object_get(row, name));
    json_decref(cache);
    return n;
}

// ---- Events --------------------------------------------------------------------------------------

// A field by its name in a map, by its place in an array; NULL: it isn't there, or nil.
static const msgpack_object *field(const msgpack_object *event, const char *name, size_t place) {
    const msgpack_object *found = NULL;
    if (event->type == MSGPACK_OBJECT_ARRAY && place < event->via.array.size)
        found = &event->via.array.ptr[place];
    for (uint32_t i = 0; event->type == MSGPACK_OBJECT_MAP && i < event->via.map.size; i++) {
        const msgpack_object_kv *kv = &event->via.map.ptr[i];
        if (kv->key.via.str.size == strlen(name) &&
            !memcmp(kv->key.via.str.ptr, name, strlen(name)))
            found = &kv->val;
    }
    return found && found->type != MSGPACK_OBJECT_NIL ? found : NULL;
}

static bool is_text(const msgpack_object *o, const char *text) {
    return o && o->type == MSGPACK_OBJECT_STR && o->via.str.size == strlen(text) &&
           !memcmp(o->via.str.ptr, text, o->via.str.size);
}

static uint64_t name_in(const msgpack_object *o) {
    if (o->type == MSGPACK_OBJECT_BIN) {
        cr_assert(o->via.bin.size == 32);
        return number_of(o->via.bin.ptr + 24);
    }
    cr_assert(o->type == MSGPACK_OBJECT_POSITIVE_INTEGER ||
              o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
    return o->via.u64;
}

static struct mock_fold_block *find(struct mock_fold *f, uint64_t name) {
    for (size_t i = 0; i < f->n; i++)
        if (f->blocks[i].name == name) return &f->blocks[i];
    return NULL;
}

static void add(struct mock_fold *f, struct mock_fold_block block) {
    struct mock_fold_block *known = find(f, block.name);
    if (known) {
        cr_assert(known->prefix == block.prefix);
        known->copies++;
        return;
    }
    f->blocks = mock_grow(f->blocks, &f->room, f->n + 1, sizeof *f->blocks);
    f->blocks[f->n++] = block;
}

// The seed of a sequence's first block: its adapter's name and its salt, wherever a schema has them.
static uint64_t seed_of(const msgpack_object *event) {
    const msgpack_object *lora = field(event, "lora_name", 7),
                         *salt = field(event, "cache_salt", 99);
    const msgpack_object *keys = field(event, "extra_keys", 8);
    if (lora && lora->type == MSGPACK_OBJECT_MAP) {
        salt = field(lora, "cache_salt", 99);
        lora = NULL;
    }
    if (keys && keys->via.array.ptr[0].type == MSGPACK_OBJECT_ARRAY) {
        const msgpack_object_array *first = &keys->via.array.ptr[0].via.array;
        if (!lora || first->size > 1) salt = &first->ptr[first->size - 1];
    }
    return kvr_hash_salt(lora ? lora->via.str.ptr : NULL, lora ? lora->via.str.size : 0,
                         salt ? salt->via.str.ptr : NULL, salt ? salt->via.str.size : 0);
}

static void store(struct mock_fold *f, const msgpack_object *event) {
    const msgpack_object_array *names = &field(event, "block_hashes", 1)->via.array;
    const msgpack_object_array *tokens = &field(event, "token_ids", 3)->via.array;
    const msgpack_object *parent = field(event, "parent_block_hash", 2);
    size_t size = field(event, "block_size", 4)->via.u64;
    cr_assert(names->size * size == tokens->size);
    struct mock_fold_block before = {.seed = seed_of(event)};
    if (parent) {
        cr_assert(find(f, name_in(parent)), "a block after one that isn't there");
        before = *find(f, name_in(parent));
    }
    for (uint32_t i = 0; i < names->size; i++) {
        uint32_t ids[1024];
        uint64_t prefix = before.prefix;
        cr_assert(size <= 1024);
        for (size_t k = 0; k < size; k++)
            ids[k] = (uint32_t)tokens->ptr[i * size + k].via.u64;
        kvr_hash_tokens(ids, size, size, before.seed, parent || i ? &prefix : NULL, &before.prefix);
        before.name = name_in(&names->ptr[i]);
        before.copies = 1;
        before.cpu = false;
        add(f, before);
    }
}

static void forget_unheld(struct mock_fold *f, struct mock_fold_block *b) {
    if (!b->copies && !b->cpu) *b = f->blocks[--f->n];
}

// A block that is known by its name is in the CPU's memory, too, or isn't any more.
static void set_cpu(struct mock_fold *f, const msgpack_object *event, bool is_there) {
    const msgpack_object_array *names = &field(event, "block_hashes", 1)->via.array;
    for (uint32_t i = 0; i < names->size; i++) {
        struct mock_fold_block *b = find(f, name_in(&names->ptr[i]));
        cr_assert(b && b->cpu != is_there);
        b->cpu = is_there;
        forget_unheld(f, b);
    }
}

static void remove_all(struct mock_fold *f, const msgpack_object *event) {
    const msgpack_object_array *names = &field(event, "block_hashes", 1)->via.array;
    for (uint32_t i = 0; i < names->size; i++) {
        struct mock_fold_block *b = find(f, name_in(&names->ptr[i]));
        cr_assert(b && b->copies, "a block is removed that isn't there");
        b->copies--;
        forget_unheld(f, b);
    }
}

static void fold_event(struct mock_fold *f, const msgpack_object *event) {
    const msgpack_object *type = field(event, "type", 0), *kind = field(event, "group_idx", 9);
    if (is_text(type, "BlockRemoved")) kind = field(event, "group_idx", 3);
    bool other = kind && kind->via.u64; // the group of the noise
    bool stored = is_text(type, "BlockStored");
    if (is_text(field(event, "medium", stored ? 6 : 2), "CPU")) {
        set_cpu(f, event, stored);
    } else if (stored && !other) {
        store(f, event);
    } else if (is_text(type, "BlockRemoved") && !other) {
        remove_all(f, event);
    } else if (is_text(type, "AllBlocksCleared")) {
        f->n = 0;
        f->cleared++;
    } else {
        f->unknown++;
    }
}

bool mock_fold_batch(struct mock_fold *f, const char *payload, size_t len) {
    msgpack_unpacked unpacked;
    size_t at = 0;
    msgpack_unpacked_init(&unpacked);
    bool fine =
        msgpack_unpack_next(&unpacked, payload, len, &at) == MSGPACK_UNPACK_SUCCESS && at == len;
    for (uint32_t i = 0; fine && i < unpacked.data.via.array.ptr[1].via.array.size; i++)
        fold_event(f, &unpacked.data.via.array.ptr[1].via.array.ptr[i]);
    msgpack_unpacked_destroy(&unpacked);
    return fine;
}

void mock_fold_free(struct mock_fold *f) {
    free(f->blocks);
    *f = (struct mock_fold){0};
}

static void fold_next(struct mock_fold *f, struct mock_message *m) {
    cr_assert(m->got && m->seq == f->next, "batch %" PRIu64 " instead of %" PRIu64, m->seq,
              f->next);
    cr_assert(mock_fold_batch(f, m->payload, m->len));
    f->next++;
    mock_message_free(m);
}

void mock_fold_follow(struct mock_fold *f, struct mock_stream *s, const struct mock_process *p,
                      size_t rank) {
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    while (mock_rank_number(p, rank, "pending") + mock_rank_number(p, rank, "running") > 0) {
        cr_assert(kvr_clock_ms() < deadline, "the engine is never done");
        support_sleep_ms(2);
    }
    for (uint64_t end = mock_rank_number(p, rank, "next_seq"); f->next < end;) {
        struct mock_message m = mock_stream_next(s, MOCK_PATIENCE_MS);
        fold_next(f, &m);
    }
}

void mock_fold_replay(struct mock_fold *f, struct mock_stream *s) {
    mock_stream_ask(s, f->next);
    for (;;) {
        struct mock_message m = mock_stream_reply(s, MOCK_PATIENCE_MS);
        bool end = mock_message_is_end(&m);
        if (!end) fold_next(f, &m);
        mock_message_free(&m);
        if (end) return;
    }
}

static int ascending(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void check_tier(const struct mock_fold *f, const json_t *held, bool cpu) {
    char **mine = mock_take(f->n, sizeof *mine);
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (cpu ? f->blocks[i].cpu : f->blocks[i].copies > 0)
            cr_assert(asprintf(&mine[n++], "%016" PRIx64, f->blocks[i].prefix) > 0);
    if (n) qsort(mine, n, sizeof *mine, ascending);
    cr_assert(json_array_size(held) == n, "%zu blocks held, %zu told", json_array_size(held), n);
    for (size_t i = 0; i < n; i++) {
        cr_assert_str_eq(mine[i], json_string_value(json_array_get(held, i)));
        free(mine[i]);
    }
    free(mine);
}

void mock_fold_check(const struct mock_fold *f, const struct mock_process *p, size_t rank) {
    json_t *cache = mock_http_json(p, "/mock/cache");
    const json_t *row = json_array_get(json_object_get(cache, "ranks"), rank);
    size_t copies = 0;
    for (size_t i = 0; i < f->n; i++)
        copies += f->blocks[i].copies;
    check_tier(f, json_object_get(row, "blocks"), false);
    check_tier(f, json_object_get(row, "cpu"), true);
    cr_assert((size_t)json_integer_value(json_object_get(row, "copies")) == copies);
    json_decref(cache);
}

struct mock_watch mock_watch_start(const char *options, bool live) {
    struct mock_watch w = {.engine = mock_process_start(options)};
    w.stream = mock_stream_open(&w.engine, 0, live);
    w.told.next = live ? w.stream.seq + 1 : 0;
    return w;
}

void mock_watch_check(struct mock_watch *w) {
    mock_fold_follow(&w->told, &w->stream, &w->engine, 0);
    mock_fold_check(&w->told, &w->engine, 0);
}

void mock_watch_end(struct mock_watch *w) {
    mock_fold_free(&w->told);
    mock_stream_close(&w->stream);
    mock_process_end(&w->engine, SIGTERM);
}
