// SPDX-License-Identifier: Apache-2.0
// One batch of cache events; see mock_events.h.
#include "mock_events.h"

#include <string.h>

static const struct mock_schema schemas[] = {
    // is_signed, rank, map, medium, lora_name, extra_keys, group, kind, locality, sglang, merges,
    // replay_topic, name
    {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "0.9.0"},
    {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "0.9.1"},
    {0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, "0.10.2"},
    {0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, "0.14"},
    {0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, "0.17"},
    {0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, "0.20"},
    {0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, "0.22"},
    {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, "sglang-0"},
    {1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, "sglang"},
    {1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, "sglang-map"},
    {0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, "0.24"},
    {0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, "0.26"},
    {0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, "0.28"},
};
enum { N_SCHEMAS = sizeof schemas / sizeof *schemas };

const struct mock_schema *mock_schema_at(size_t i) {
    return i < N_SCHEMAS ? &schemas[i] : NULL;
}

const struct mock_schema *mock_schema_find(const char *name) {
    for (size_t i = 0; i < N_SCHEMAS; i++)
        if (!strcmp(schemas[i].name, name)) return &schemas[i];
    return NULL;
}

void mock_events_init(struct mock_events *e, const struct mock_schema *schema, bool binary) {
    *e = (struct mock_events){.schema = schema, .binary = binary};
    msgpack_sbuffer_init(&e->body);
}

void mock_events_free(struct mock_events *e) {
    msgpack_sbuffer_destroy(&e->body);
}

// ---- Words ---------------------------------------------------------------------------------------

static void pack_text(msgpack_packer *p, const char *text) {
    if (!text) {
        msgpack_pack_nil(p);
        return;
    }
    msgpack_pack_str(p, strlen(text));
    msgpack_pack_str_body(p, text, strlen(text));
}

// A digest of 32 bytes whose last 8, big-endian, are the hash as a number.
static void pack_digest(msgpack_packer *p, uint64_t hash) {
    unsigned char digest[32];
    for (size_t i = 0; i < sizeof digest; i++)
        digest[i] = (unsigned char)(i < 24 ? hash >> (i % 8 * 8) ^ i * 37 : hash >> (31 - i) * 8);
    msgpack_pack_bin(p, sizeof digest);
    msgpack_pack_bin_body(p, digest, sizeof digest);
}

static void pack_hash(const struct mock_events *e, msgpack_packer *p, uint64_t hash) {
    if (e->binary)
        pack_digest(p, hash);
    else if (e->schema->is_signed)
        msgpack_pack_int64(p, (int64_t)hash);
    else
        msgpack_pack_uint64(p, hash);
}

static void pack_hashes(const struct mock_events *e, msgpack_packer *p, const uint64_t *hashes,
                        size_t n) {
    msgpack_pack_array(p, n);
    for (size_t i = 0; i < n; i++)
        pack_hash(e, p, hashes[i]);
}

// An event is written field by field; in an array the name of a field says nothing, and is left out.
struct event_writer {
    const struct mock_events *e;
    msgpack_packer packer;
};

static void open_event(struct event_writer *w, struct mock_events *e, const char *type,
                       size_t fields) {
    *w = (struct event_writer){.e = e};
    msgpack_packer_init(&w->packer, &e->body, msgpack_sbuffer_write);
    e->n++;
    if (e->schema->map) {
        msgpack_pack_map(&w->packer, fields + 1);
        pack_text(&w->packer, "type");
    } else {
        msgpack_pack_array(&w->packer, fields + 1);
    }
    pack_text(&w->packer, type);
}

static msgpack_packer *field(struct event_writer *w, const char *name) {
    if (w->e->schema->map) pack_text(&w->packer, name);
    return &w->packer;
}

// ---- Events --------------------------------------------------------------------------------------

// The adapter's name goes into every block's keys, a salt into those of a sequence's first alone.
static void pack_extra_keys(msgpack_packer *p, const struct mock_events_stored *s) {
    if (!s->names.lora && !s->names.salt) {
        msgpack_pack_nil(p);
        return;
    }
    msgpack_pack_array(p, s->n);
    for (size_t i = 0; i < s->n; i++) {
        bool salted = s->names.salt && !s->parent && i == 0;
        if (!s->names.lora && !salted) {
            msgpack_pack_nil(p);
            continue;
        }
        msgpack_pack_array(p, (s->names.lora != NULL) + salted);
        if (s->names.lora) pack_text(p, s->names.lora);
        if (salted) pack_text(p, s->names.salt);
    }
}

static void pack_metadata(msgpack_packer *p, const char *salt) {
    msgpack_pack_map(p, 1);
    pack_text(p, "cache_salt");
    pack_text(p, salt);
}

// Where blocks are, and the group of layers they are of.
struct block_place {
    const char *medium, *kind; // kind NULL: it isn't told
    int group;
    size_t window;
};

static const struct block_place gpu = {.medium = "GPU", .kind = "full_attention"};
static const struct block_place cpu = {.medium = "CPU"};
static const struct block_place window = {
    .medium = "GPU", .kind = "sliding_window", .group = 1, .window = 128};

// Which optional fields there are. Maps leave out what is unset, where the real ones do.
struct stored_fields {
    bool lora_name, salt, metadata, extra_keys, group, kind, locality;
    size_t n;
};

static struct stored_fields fields_of(const struct mock_schema *schema,
                                      const struct mock_events_names *names,
                                      const struct block_place *where) {
    bool keys = names->lora || names->salt;
    struct stored_fields f = {
        .lora_name = schema->lora_name && !(schema->sglang && !names->lora),
        .salt = schema->sglang && schema->map && names->salt,
        .metadata = schema->sglang && !schema->map && names->salt,
        .extra_keys = schema->extra_keys && (keys || !schema->map),
        .group = schema->group,
        .kind = schema->kind && (where->kind || !schema->map),
        .locality = schema->locality,
    };
    f.n = 5u + schema->medium + f.lora_name + f.salt + f.metadata + f.extra_keys + f.group +
          (f.kind ? 1u + (!schema->map || where->window) : 0u) + f.locality;
    return f;
}

static void store(struct mock_events *e, const struct mock_events_stored *s,
                  const struct block_place *where) {
    const struct mock_schema *schema = e->schema;
    struct stored_fields f = fields_of(schema, &s->names, where);
    struct event_writer w;
    open_event(&w, e, "BlockStored", f.n);
    pack_hashes(e, field(&w, "block_hashes"), s->hashes, s->n);
    msgpack_packer *p = field(&w, "parent_block_hash");
    if (s->parent)
        pack_hash(e, p, *s->parent);
    else
        msgpack_pack_nil(p);
    msgpack_pack_array(field(&w, "token_ids"), s->n * s->block_size);
    for (size_t i = 0; i < s->n * s->block_size; i++)
        msgpack_pack_uint32(p, s->tokens[i]);
    msgpack_pack_uint64(field(&w, "block_size"), s->block_size);
    field(&w, "lora_id");
    if (s->names.lora && !schema->sglang)
        msgpack_pack_int(p, s->names.lora_id);
    else
        msgpack_pack_nil(p);
    if (schema->medium) pack_text(field(&w, "medium"), where->medium);
    if (f.salt) pack_text(field(&w, "cache_salt"), s->names.salt);
    if (f.lora_name) pack_text(field(&w, "lora_name"), s->names.lora);
    if (f.metadata) pack_metadata(&w.packer, s->names.salt);
    if (f.extra_keys) pack_extra_keys(field(&w, "extra_keys"), s);
    if (f.group) msgpack_pack_int(field(&w, "group_idx"), where->group);
    if (f.kind) pack_text(field(&w, "kv_cache_spec_kind"), where->kind);
    if (f.kind && where->window)
        msgpack_pack_uint64(field(&w, "kv_cache_spec_sliding_window"), where->window);
    else if (f.kind && !schema->map)
        msgpack_pack_nil(&w.packer);
    if (f.locality) pack_text(field(&w, "locality"), "LOCAL");
}

void mock_events_store(struct mock_events *e, const struct mock_events_stored *s) {
    store(e, s, &gpu);
}

static void removed(struct mock_events *e, uint64_t hash, const struct block_place *where) {
    const struct mock_schema *schema = e->schema;
    struct event_writer w;
    open_event(&w, e, "BlockRemoved", 1u + schema->medium + schema->group + schema->locality);
    pack_hashes(e, field(&w, "block_hashes"), &hash, 1);
    if (schema->medium) pack_text(field(&w, "medium"), where->medium);
    if (schema->group) msgpack_pack_int(field(&w, "group_idx"), where->group);
    if (schema->locality) pack_text(field(&w, "locality"), "LOCAL");
}

void mock_events_remove(struct mock_events *e, uint64_t hash) {
    removed(e, hash, &gpu);
}

// vLLM's own form for this: no tokens, a block size of 0, and a name that is known from before.
void mock_events_offload(struct mock_events *e, uint64_t hash) {
    store(e, &(struct mock_events_stored){.hashes = &hash, .n = 1}, &cpu);
}

void mock_events_unload(struct mock_events *e, uint64_t hash) {
    removed(e, hash, &cpu);
}

void mock_events_join(struct mock_events *e, struct mock_events *after) {
    if (after->n) msgpack_sbuffer_write(&e->body, after->body.data, after->body.size);
    e->n += after->n;
    after->n = 0;
    msgpack_sbuffer_clear(&after->body);
}

void mock_events_clear(struct mock_events *e) {
    struct event_writer w;
    open_event(&w, e, "AllBlocksCleared", 0);
}

void mock_events_noise(struct mock_events *e) {
    struct event_writer w;
    open_event(&w, e, "BlockMigrated", 2);
    pack_hashes(e, field(&w, "block_hashes"), &(uint64_t){1}, 1);
    pack_text(field(&w, "to"), "elsewhere");
    if (!e->schema->kind) return;
    const uint32_t tokens[] = {1, 2, 3, 4};
    const uint64_t hash = 77;
    struct mock_events_stored s = {.hashes = &hash, .n = 1, .block_size = 4, .tokens = tokens};
    store(e, &s, &window);
    removed(e, hash, &window);
}

void mock_events_finish(struct mock_events *e, double time, uint32_t rank, msgpack_sbuffer *out) {
    msgpack_packer p;
    msgpack_sbuffer_init(out);
    msgpack_packer_init(&p, out, msgpack_sbuffer_write);
    msgpack_pack_array(&p, 2u + e->schema->rank);
    msgpack_pack_double(&p, time);
    msgpack_pack_array(&p, e->n);
    if (e->body.size) msgpack_sbuffer_write(out, e->body.data, e->body.size);
    if (e->schema->rank) msgpack_pack_uint32(&p, rank);
    msgpack_sbuffer_clear(&e->body);
    e->n = 0;
}
