// SPDX-License-Identifier: Apache-2.0
// See event_decode.h. The fields of all event types are in one table, so that the two forms of an event, by
// place and by name, are read by the same code.
#include "event_decode.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/alloc.h"

struct bridge_decoder {
    uint64_t *hashes;
    uint32_t *tokens;
    size_t cap_hashes, cap_tokens;
    // To find hashes that come twice in one event. A place is taken if its stamp is the present one.
    uint64_t *seen;
    uint32_t *stamps;
    size_t cap_seen; // a power of two
    uint32_t stamp;
    bool no_memory;
};

struct bridge_decoder *bridge_decoder_new(void) {
    return calloc(1, sizeof(struct bridge_decoder));
}

void bridge_decoder_free(struct bridge_decoder *d) {
    if (!d) return;
    free(d->hashes);
    free(d->tokens);
    free(d->seen);
    free(d->stamps);
    free(d);
}

size_t bridge_decoder_bytes(const struct bridge_decoder *d) {
    return sizeof *d + d->cap_hashes * sizeof *d->hashes + d->cap_tokens * sizeof *d->tokens +
           d->cap_seen * (sizeof *d->seen + sizeof *d->stamps);
}

// ---- Batches -------------------------------------------------------------------------------------

static bool is_key(const struct bridge_msgpack_value *v, const char *word) {
    return v->kind == BRIDGE_MSGPACK_STR &&
           bridge_text_is((struct kvr_bytes){(const char *)v->bytes, v->n}, word);
}

static bool batch_field(struct bridge_msgpack *s, struct bridge_batch *b, unsigned field,
                        unsigned *had) {
    struct bridge_msgpack start = *s;
    struct bridge_msgpack_value v;
    if (!bridge_msgpack_next(s, &v)) return false;
    *had |= 1u << field;
    switch (field) {
    case 0:
        b->time = v.kind == BRIDGE_MSGPACK_FLOAT ? v.real : (double)v.number;
        return v.kind == BRIDGE_MSGPACK_FLOAT || v.kind == BRIDGE_MSGPACK_INT;
    case 1:
        if (v.kind != BRIDGE_MSGPACK_ARRAY) return false;
        b->events = *s;
        b->left = v.n;
        *s = start;
        return bridge_msgpack_skip_within(s, 1);
    default:
        b->has_rank = v.kind == BRIDGE_MSGPACK_INT;
        b->rank = (uint32_t)v.number;
        return v.kind == BRIDGE_MSGPACK_NIL ||
               (b->has_rank && !v.negative && v.number <= UINT32_MAX);
    }
}

// An unknown part of a batch: a value, or a key and its value.
static bool pass_over(struct bridge_msgpack *s, unsigned values) {
    bool good = true;
    while (good && values--)
        good = bridge_msgpack_skip_within(s, 1);
    return good;
}

// Each byte is walked over here, once: what is well-formed needs no other look at it.
bool bridge_decode_batch(const void *payload, size_t n, struct bridge_batch *b) {
    static const char *const names[] = {"ts", "events", "data_parallel_rank"};
    struct bridge_msgpack s = {payload, (const uint8_t *)payload + n};
    struct bridge_msgpack_value outer, key;
    unsigned had = 0;
    *b = (struct bridge_batch){0};
    if (!n || !bridge_msgpack_next(&s, &outer)) return false;
    bool array = outer.kind == BRIDGE_MSGPACK_ARRAY;
    if (!array && outer.kind != BRIDGE_MSGPACK_MAP) return false;
    for (uint32_t i = 0; i < outer.n; i++) {
        struct bridge_msgpack whole = s;
        unsigned field = array ? i : 0;
        if (!array && !bridge_msgpack_next(&s, &key)) return false;
        while (!array && field < 3 && !is_key(&key, names[field]))
            field++;
        if (field >= 3) s = whole;
        if (field < 3 ? !batch_field(&s, b, field, &had) : !pass_over(&s, array ? 1 : 2))
            return false;
    }
    return s.at == s.end && (had & 3u) == 3;
}

// ---- Fields --------------------------------------------------------------------------------------

enum event_field {
    EVENT_FIELD_TYPE,
    EVENT_FIELD_HASHES,
    EVENT_FIELD_PARENT,
    EVENT_FIELD_TOKENS,
    EVENT_FIELD_BLOCK_SIZE,
    EVENT_FIELD_LORA_ID,
    EVENT_FIELD_MEDIUM,
    EVENT_FIELD_LORA_NAME,
    EVENT_FIELD_EXTRA,
    EVENT_FIELD_GROUP,
    EVENT_FIELD_KIND,
    EVENT_FIELD_LOCALITY,
    EVENT_FIELD_SALT,
    N_EVENT_FIELDS,
};

static const char *const field_names[N_EVENT_FIELDS] = {
    "type",       "block_hashes",       "parent_block_hash",
    "token_ids",  "block_size",         "lora_id",
    "medium",     "lora_name",          "extra_keys",
    "group_idx",  "kv_cache_spec_kind", "locality",
    "cache_salt",
};

// Where the fields stand in an event that is an array, the tag at 0; those after them are ignored.
static const enum event_field stored_places[] = {
    EVENT_FIELD_TYPE,       EVENT_FIELD_HASHES,  EVENT_FIELD_PARENT, EVENT_FIELD_TOKENS,
    EVENT_FIELD_BLOCK_SIZE, EVENT_FIELD_LORA_ID, EVENT_FIELD_MEDIUM, EVENT_FIELD_LORA_NAME,
    EVENT_FIELD_EXTRA,      EVENT_FIELD_GROUP,   EVENT_FIELD_KIND};
static const enum event_field removed_places[] = {EVENT_FIELD_TYPE, EVENT_FIELD_HASHES,
                                                  EVENT_FIELD_MEDIUM, EVENT_FIELD_GROUP};

// The values of an event's fields, found but not read yet: at NULL, it isn't there. Token ids are most of an
// event, and are read when they are found, if they are plain numbers.
struct event_fields {
    struct bridge_msgpack at[N_EVENT_FIELDS];
    bool tokens_read;
    uint32_t n_tokens;
};

// Steps into an array and makes room for its elements in *items.
static bool open_array(struct bridge_decoder *d, struct bridge_msgpack *s, uint32_t max,
                       void *items, size_t *cap, size_t width, uint32_t *n) {
    struct bridge_msgpack_value v;
    if (!s->at) return false;
    bridge_msgpack_next(s, &v);
    if (v.kind != BRIDGE_MSGPACK_ARRAY || v.n > max) return false;
    *n = v.n;
    if (kvr_alloc_grow(&kvr_alloc_default, items, cap, v.n, width) == 0) return true;
    d->no_memory = true;
    return false;
}

static bool read_hash(struct bridge_msgpack *s, uint64_t *hash) {
    struct bridge_msgpack_value v;
    bridge_msgpack_next(s, &v);
    if (v.kind == BRIDGE_MSGPACK_INT) {
        *hash = v.number;
        return true;
    }
    if (v.kind != BRIDGE_MSGPACK_BIN || v.n < 1 || v.n > BRIDGE_MAX_DIGEST) return false;
    *hash = 0;
    for (uint32_t i = v.n > 8 ? v.n - 8 : 0; i < v.n; i++)
        *hash = *hash << 8 | v.bytes[i];
    return true;
}

static bool read_hashes(struct bridge_decoder *d, struct bridge_msgpack s, struct bridge_event *e) {
    uint32_t n;
    if (!open_array(d, &s, BRIDGE_MAX_HASHES, &d->hashes, &d->cap_hashes, sizeof *d->hashes, &n))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!read_hash(&s, &d->hashes[i])) return false;
    e->hashes = d->hashes;
    e->n_hashes = n;
    return true;
}

// A token id, or the first of a pair of them (what SGLang's EAGLE caches are keyed by).
static bool read_token(struct bridge_msgpack *s, uint32_t *token) {
    struct bridge_msgpack_value v, second;
    bridge_msgpack_next(s, &v);
    if (v.kind == BRIDGE_MSGPACK_ARRAY) {
        if (v.n != 2) return false;
        bridge_msgpack_next(s, &v);
        if (v.kind != BRIDGE_MSGPACK_INT) return false;
        bridge_msgpack_next(s, &second);
        if (second.kind != BRIDGE_MSGPACK_INT) return false;
    }
    *token = (uint32_t)v.number;
    return v.kind == BRIDGE_MSGPACK_INT && !v.negative && v.number <= UINT32_MAX;
}

static bool read_tokens(struct bridge_decoder *d, const struct event_fields *f,
                        struct bridge_event *e) {
    struct bridge_msgpack s = f->at[EVENT_FIELD_TOKENS];
    uint32_t n = f->n_tokens;
    if (!f->tokens_read) {
        if (!open_array(d, &s, BRIDGE_MAX_TOKENS, &d->tokens, &d->cap_tokens, sizeof *d->tokens,
                        &n))
            return false;
        for (uint32_t i = 0; i < n; i++)
            if (!read_token(&s, &d->tokens[i])) return false;
    }
    e->tokens = d->tokens;
    e->n_tokens = n;
    return true;
}

// Notes where a field is, and steps over it.
static void pass_field(struct bridge_decoder *d, struct bridge_msgpack *s, enum event_field field,
                       struct event_fields *f) {
    struct bridge_msgpack in = f->at[field] = *s;
    if (field == EVENT_FIELD_TOKENS) {
        f->tokens_read = open_array(d, &in, BRIDGE_MAX_TOKENS, &d->tokens, &d->cap_tokens,
                                    sizeof *d->tokens, &f->n_tokens) &&
                         bridge_msgpack_take_u32s(&in, d->tokens, f->n_tokens) == f->n_tokens;
        if (f->tokens_read) {
            *s = in;
            return;
        }
    }
    bridge_msgpack_skip(s);
}

static bool read_string(struct bridge_msgpack s, struct kvr_bytes *out) {
    struct bridge_msgpack_value v;
    if (!s.at) return true;
    bridge_msgpack_next(&s, &v);
    if (v.kind == BRIDGE_MSGPACK_STR) *out = (struct kvr_bytes){(const char *)v.bytes, v.n};
    return v.kind == BRIDGE_MSGPACK_STR || v.kind == BRIDGE_MSGPACK_NIL;
}

static bool read_number(struct bridge_msgpack s, uint32_t most, bool *has, uint32_t *out) {
    struct bridge_msgpack_value v;
    *has = false;
    if (!s.at) return true;
    bridge_msgpack_next(&s, &v);
    if (v.kind == BRIDGE_MSGPACK_NIL) return true;
    if (v.kind != BRIDGE_MSGPACK_INT || v.negative || v.number > most) return false;
    *has = true;
    *out = (uint32_t)v.number;
    return true;
}

// A name, or, in that place of SGLang's arrays, a map that may have the salt.
static bool read_lora_name(struct bridge_msgpack s, struct bridge_event *e) {
    struct bridge_msgpack_value v, key;
    struct bridge_msgpack head = s;
    if (!s.at) return true;
    bridge_msgpack_next(&head, &v);
    if (v.kind != BRIDGE_MSGPACK_MAP) return read_string(s, &e->lora);
    for (uint32_t i = 0; i < v.n; i++) {
        struct bridge_msgpack whole = head;
        bridge_msgpack_next(&head, &key);
        if (is_key(&key, "cache_salt")) {
            e->salt = (struct kvr_bytes){0};
            if (!read_string(head, &e->salt)) return false;
        }
        head = whole;
        bridge_msgpack_skip(&head);
        bridge_msgpack_skip(&head);
    }
    return true;
}

static bool read_extra(struct bridge_msgpack s, struct bridge_event *e) {
    struct bridge_msgpack_value v;
    if (!s.at) return true;
    bridge_msgpack_next(&s, &v);
    if (v.kind == BRIDGE_MSGPACK_NIL) return true;
    if (v.kind != BRIDGE_MSGPACK_ARRAY) return false;
    e->extra = s;
    e->n_extra = v.n;
    return true;
}

static bool read_lora_id(struct bridge_msgpack s, struct bridge_event *e) {
    struct bridge_msgpack_value v;
    if (!s.at) return true;
    bridge_msgpack_next(&s, &v);
    e->has_lora_id = v.kind == BRIDGE_MSGPACK_INT;
    e->lora_id = (int64_t)v.number;
    return e->has_lora_id || v.kind == BRIDGE_MSGPACK_NIL;
}

// ---- Events --------------------------------------------------------------------------------------

bool bridge_kind_indexed(struct kvr_bytes kind) {
    return bridge_text_is(kind, "full_attention") || bridge_text_is(kind, "mla_attention") ||
           bridge_text_is(kind, "sink_full_attention");
}

static bool next_stamp(struct bridge_decoder *d, size_t n) {
    size_t cap = d->cap_seen ? d->cap_seen : 256;
    while (cap < n * 2)
        cap *= 2;
    if (cap != d->cap_seen) {
        uint64_t *seen = malloc(cap * sizeof *seen);
        uint32_t *stamps = calloc(cap, sizeof *stamps);
        if (!seen || !stamps) {
            free(seen);
            free(stamps);
            d->no_memory = true;
            return false;
        }
        free(d->seen);
        free(d->stamps);
        d->seen = seen;
        d->stamps = stamps;
        d->cap_seen = cap;
        d->stamp = 0;
    }
    if (++d->stamp == 0) {
        memset(d->stamps, 0, d->cap_seen * sizeof *d->stamps);
        d->stamp = 1;
    }
    return true;
}

// Whether a hash comes twice, or is its own parent. Few are compared with each other.
static bool repeats(struct bridge_decoder *d, const struct bridge_event *e) {
    for (size_t i = 0; e->has_parent && i < e->n_hashes; i++)
        if (e->hashes[i] == e->parent) return true;
    if (e->n_hashes <= 8) {
        for (size_t i = 1; i < e->n_hashes; i++)
            for (size_t j = 0; j < i; j++)
                if (e->hashes[i] == e->hashes[j]) return true;
        return false;
    }
    if (!next_stamp(d, e->n_hashes)) return true;
    for (size_t i = 0; i < e->n_hashes; i++) {
        size_t at = (size_t)((e->hashes[i] * 0x9e3779b97f4a7c15u) >> 32);
        for (;; at++) {
            at &= d->cap_seen - 1;
            if (d->stamps[at] != d->stamp) break;
            if (d->seen[at] == e->hashes[i]) return true;
        }
        d->stamps[at] = d->stamp;
        d->seen[at] = e->hashes[i];
    }
    return false;
}

static bool read_parent(struct bridge_msgpack s, struct bridge_event *e) {
    struct bridge_msgpack_value v;
    struct bridge_msgpack head = s;
    if (!s.at) return true;
    bridge_msgpack_next(&head, &v);
    e->has_parent = v.kind != BRIDGE_MSGPACK_NIL;
    return !e->has_parent || read_hash(&s, &e->parent);
}

static bool read_stored(struct bridge_decoder *d, const struct event_fields *f,
                        struct bridge_event *e) {
    bool has_size, good;
    good =
        f->at[EVENT_FIELD_TOKENS].at && f->at[EVENT_FIELD_BLOCK_SIZE].at &&
        read_hashes(d, f->at[EVENT_FIELD_HASHES], e) && read_parent(f->at[EVENT_FIELD_PARENT], e) &&
        read_tokens(d, f, e) &&
        read_number(f->at[EVENT_FIELD_BLOCK_SIZE], BRIDGE_MAX_TOKENS, &has_size, &e->block_size) &&
        has_size && read_lora_id(f->at[EVENT_FIELD_LORA_ID], e) &&
        read_string(f->at[EVENT_FIELD_SALT], &e->salt) &&
        read_lora_name(f->at[EVENT_FIELD_LORA_NAME], e) &&
        read_extra(f->at[EVENT_FIELD_EXTRA], e) && read_string(f->at[EVENT_FIELD_KIND], &e->kind);
    if (!good) return false;
    // Groups that aren't indexed leave blocks out. Of others each block's tokens must be there, or
    // none at all.
    bool sparse = e->kind.p && !bridge_kind_indexed(e->kind);
    if (e->n_tokens && !e->block_size) return false;
    if (e->n_tokens && !sparse && (uint64_t)e->n_hashes * e->block_size != e->n_tokens)
        return false;
    return !repeats(d, e);
}

static enum bridge_event_type read_event(struct bridge_decoder *d, const struct event_fields *f,
                                         struct bridge_event *e) {
    struct kvr_bytes type = {0};
    if (!f->at[EVENT_FIELD_TYPE].at || !read_string(f->at[EVENT_FIELD_TYPE], &type) || !type.p)
        return BRIDGE_EVENT_BAD;
    if (bridge_text_is(type, "AllBlocksCleared")) return BRIDGE_EVENT_CLEARED;
    bool stored = bridge_text_is(type, "BlockStored");
    if (!stored && !bridge_text_is(type, "BlockRemoved")) return BRIDGE_EVENT_UNKNOWN;
    d->no_memory = false;
    bool good = read_string(f->at[EVENT_FIELD_MEDIUM], &e->medium) &&
                read_number(f->at[EVENT_FIELD_GROUP], INT32_MAX, &e->has_group, &e->group) &&
                read_string(f->at[EVENT_FIELD_LOCALITY], &e->locality) &&
                (stored ? read_stored(d, f, e) : read_hashes(d, f->at[EVENT_FIELD_HASHES], e));
    if (d->no_memory) return BRIDGE_EVENT_NOMEM;
    return !good ? BRIDGE_EVENT_BAD : stored ? BRIDGE_EVENT_STORED : BRIDGE_EVENT_REMOVED;
}

// An array: which places it has depends on the tag.
static void find_by_place(struct bridge_decoder *d, struct bridge_msgpack *s, uint32_t n,
                          struct event_fields *f) {
    const enum event_field *places = stored_places;
    size_t n_places = sizeof stored_places / sizeof *stored_places;
    struct bridge_msgpack tag = *s;
    struct bridge_msgpack_value v;
    if (n && bridge_msgpack_next(&tag, &v) && is_key(&v, "BlockRemoved")) {
        places = removed_places;
        n_places = sizeof removed_places / sizeof *removed_places;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i < n_places)
            pass_field(d, s, places[i], f);
        else
            bridge_msgpack_skip(s);
    }
}

static void find_by_name(struct bridge_decoder *d, struct bridge_msgpack *s, uint32_t n,
                         struct event_fields *f) {
    struct bridge_msgpack_value key;
    for (uint32_t i = 0; i < n; i++) {
        struct bridge_msgpack whole = *s;
        bridge_msgpack_next(s, &key);
        *s = whole;
        bridge_msgpack_skip(s);
        unsigned k = 0;
        while (k < N_EVENT_FIELDS && !is_key(&key, field_names[k]))
            k++;
        if (k < N_EVENT_FIELDS)
            pass_field(d, s, (enum event_field)k, f);
        else
            bridge_msgpack_skip(s);
    }
}

enum bridge_event_type bridge_decode_event(struct bridge_decoder *d, struct bridge_batch *b,
                                           struct bridge_event *e) {
    struct event_fields f = {0};
    struct bridge_msgpack_value v;
    *e = (struct bridge_event){0};
    if (!b->left) return BRIDGE_EVENT_END;
    b->left--;
    struct bridge_msgpack start = b->events;
    bridge_msgpack_next(&b->events, &v);
    if (v.kind == BRIDGE_MSGPACK_ARRAY) {
        find_by_place(d, &b->events, v.n, &f);
    } else if (v.kind == BRIDGE_MSGPACK_MAP) {
        find_by_name(d, &b->events, v.n, &f);
    } else {
        b->events = start;
        bridge_msgpack_skip(&b->events);
    }
    return e->type = read_event(d, &f, e);
}
