// SPDX-License-Identifier: Apache-2.0
#include "router_prompt.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/alloc.h"
#include "router_json.h"

enum { PROMPT_MAX_CHOICES = 128 };

void router_prompt_free(struct router_prompt *p) {
    free(p->hashes);
    *p = (struct router_prompt){0};
}

static uint64_t salt_of(const json_t *body, const struct router_prompt_config *how) {
    const json_t *salt = json_object_get(body, "cache_salt");
    struct kvr_bytes space = how->space;
    if (json_is_string(salt))
        space = (struct kvr_bytes){json_string_value(salt), json_string_length(salt)};
    return kvr_hash_salt(how->lora.p, how->lora.n, space.p, space.n);
}

// ---- Token ids -----------------------------------------------------------------------------------

// An array of whole numbers that are ids; of anything else SIZE_MAX.
static size_t count_ids(const json_t *ids) {
    size_t i;
    json_t *id;
    if (!json_is_array(ids)) return SIZE_MAX;
    json_array_foreach(ids, i, id) {
        json_int_t n = json_is_integer(id) ? json_integer_value(id) : -1;
        if (n < 0 || n > UINT32_MAX) return SIZE_MAX;
    }
    return json_array_size(ids);
}

static size_t block_limit(size_t n) {
    return n < KVR_MAX_BLOCKS ? n : KVR_MAX_BLOCKS;
}

// The full blocks of `ids`, which are such.
static bool hash_ids(struct router_prompt *p, const json_t *ids, uint64_t salt,
                     const struct router_prompt_config *how) {
    size_t size = how->block_size, n = size ? block_limit(json_array_size(ids) / size) : 0;
    if (!n) return true;
    uint32_t *block = malloc(size * sizeof *block);
    uint64_t *hashes = malloc(n * sizeof *hashes);
    if (!block || !hashes) {
        free(block);
        free(hashes);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < size; k++)
            block[k] = (uint32_t)json_integer_value(json_array_get(ids, i * size + k));
        kvr_hash_tokens(block, size, size, salt, i ? &hashes[i - 1] : NULL, &hashes[i]);
    }
    free(block);
    p->hashes = hashes;
    p->n = n;
    return true;
}

// ---- Text ----------------------------------------------------------------------------------------

// Pieces of a text, hashed as they come: nothing is put together in memory but the piece that is
// not full yet.
struct text_pieces {
    XXH3_state_t *state; // NULL: only counting
    uint64_t salt;
    size_t size, filled; // bytes of a piece; of the present one
    uint64_t *hashes;
    size_t n, room;
    int64_t bytes;
    bool failed;
};

static void end_piece(struct text_pieces *t) {
    t->failed =
        kvr_alloc_grow(&kvr_alloc_default, &t->hashes, &t->room, t->n + 1, sizeof *t->hashes);
    if (t->failed) return;
    uint64_t block = XXH3_64bits_digest(t->state);
    t->hashes[t->n] = t->n ? kvr_hash_chain(t->hashes[t->n - 1], block) : block;
    t->n++;
    t->filled = 0;
    XXH3_64bits_reset_withSeed(t->state, t->salt);
}

static void put(struct text_pieces *t, const char *bytes, size_t n) {
    t->bytes += (int64_t)n;
    if (!t->state) return;
    while (n && !t->failed && t->n < KVR_MAX_BLOCKS) {
        size_t part = t->size - t->filled < n ? t->size - t->filled : n;
        XXH3_64bits_update(t->state, bytes, part);
        bytes += part;
        n -= part;
        t->filled += part;
        if (t->filled == t->size) end_piece(t);
    }
}

// Every value ends with a byte that no text has, so that "ab" "c" isn't "a" "bc".
static void put_text(struct text_pieces *t, const json_t *text) {
    put(t, json_string_value(text), json_string_length(text));
    put(t, "\xff", 1);
}

static int put_dumped(const char *bytes, size_t n, void *pieces) {
    put(pieces, bytes, n);
    return 0;
}

static void put_json(struct text_pieces *t, const json_t *value) {
    if (json_is_string(value)) {
        put_text(t, value);
        return;
    }
    json_dump_callback(value, put_dumped, t, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    put(t, "\xff", 1);
}

static void put_content(struct text_pieces *t, const json_t *content) {
    size_t i;
    json_t *part;
    if (!json_is_array(content)) {
        put_json(t, content);
        return;
    }
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text");
        put_json(t, json_is_string(text) ? text : part);
    }
}

// What a template makes text of; of what else there is, ids and the like, it doesn't.
static void put_message(struct text_pieces *t, const json_t *message) {
    static const char *const others[] = {"name", "reasoning_content", "tool_calls", "tool_call_id"};
    const json_t *role = json_object_get(message, "role");
    const json_t *content = json_object_get(message, "content");
    put(t, "\xfe", 1);
    if (role) put_json(t, role);
    if (content && !json_is_null(content)) put_content(t, content);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const json_t *value = json_object_get(message, others[i]);
        if (value && !json_is_null(value)) put_json(t, value);
    }
}

static void put_chat(struct text_pieces *t, const json_t *body) {
    const json_t *tools = json_object_get(body, "tools");
    const json_t *messages = json_object_get(body, "messages");
    size_t i;
    json_t *message;
    if (tools && !json_is_null(tools)) put_json(t, tools);
    json_array_foreach(messages, i, message) put_message(t, message);
}

// ---- All of it -----------------------------------------------------------------------------------

static int64_t number_of(const json_t *body, const char *name, int64_t most) {
    const json_t *value = json_object_get(body, name);
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    return n < 0 ? 0 : n > most ? most : n;
}

// How long the answer will be, where that is said or certain. Most answers end far before the limit that
// is in max_tokens, and the mean of late ones, which the pool knows, is a better guess than that.
// agent_hints.osl is how Dynamo's clients say what they expect.
static int64_t answer_length(const json_t *body) {
    const int64_t limit = KVR_MAX_TOKENS / PROMPT_MAX_CHOICES;
    const json_t *hints = json_object_get(json_object_get(body, "nvext"), "agent_hints");
    int64_t n = number_of(body, "n", PROMPT_MAX_CHOICES);
    int64_t each = number_of(hints, "osl", limit);
    int64_t most = number_of(body, "max_completion_tokens", limit);
    if (!most) most = number_of(body, "max_tokens", limit);
    bool fixed = json_is_true(json_object_get(body, "ignore_eos")) ||
                 number_of(body, "min_tokens", limit) >= most;
    if (!each && fixed) each = most;
    return each * (n > 1 ? n : 1);
}

// Of several prompts the first one is looked at; the length of the others is counted.
struct prompt_source {
    const json_t *ids;  // or NULL
    const json_t *text; // or NULL
    const json_t *all;  // the array that they are the first of; NULL: alone
};

static struct prompt_source source_of(enum router_prompt_kind kind, const json_t *body) {
    const json_t *given = json_object_get(body, "prompt_token_ids");
    struct prompt_source s = {0};
    if (!json_is_array(given) && kind != ROUTER_PROMPT_CHAT)
        given = json_object_get(body, kind == ROUTER_PROMPT_EMBEDDING ? "input" : "prompt");
    const json_t *first = json_array_get(given, 0);
    if (json_is_array(first) || json_is_string(first)) {
        s.all = given;
        given = first;
    }
    if (json_is_string(given))
        s.text = given;
    else if (count_ids(given) != SIZE_MAX)
        s.ids = given;
    return s;
}

static size_t chunk_of(const struct router_prompt_config *how) {
    return how->chunk ? how->chunk : (size_t)how->block_size * ROUTER_TOKEN_BYTES;
}

// What so many bytes may be in tokens.
static int64_t tokens_in(int64_t bytes, const struct router_prompt_config *how) {
    if (!how->block_size) return (bytes + ROUTER_TOKEN_BYTES - 1) / ROUTER_TOKEN_BYTES;
    return (int64_t)((double)bytes * how->block_size / (double)chunk_of(how) + 0.999);
}

static int64_t length_of_all(const struct prompt_source *s,
                             const struct router_prompt_config *how) {
    int64_t tokens = 0;
    size_t i;
    json_t *one;
    json_array_foreach(s->all, i, one) {
        if (json_is_array(one)) tokens += (int64_t)json_array_size(one);
        if (json_is_string(one)) tokens += tokens_in((int64_t)json_string_length(one), how);
    }
    return tokens;
}

static bool read_text(struct router_prompt *p, enum router_prompt_kind kind, const json_t *body,
                      const struct prompt_source *s, const struct router_prompt_config *how) {
    struct text_pieces t = {.salt = salt_of(body, how), .size = chunk_of(how)};
    if (how->way == ROUTER_PROMPT_TEXT && how->block_size) {
        if (!(t.state = XXH3_createState())) return false;
        XXH3_64bits_reset_withSeed(t.state, t.salt);
    }
    if (s->text)
        put(&t, json_string_value(s->text), json_string_length(s->text));
    else if (kind == ROUTER_PROMPT_CHAT)
        put_chat(&t, body);
    if (t.state) XXH3_freeState(t.state);
    if (t.failed) {
        free(t.hashes);
        return false;
    }
    p->hashes = t.hashes;
    p->n = t.n;
    p->isl = tokens_in(t.bytes, how);
    p->tokenize = how->way == ROUTER_PROMPT_TOKENIZE && t.bytes && how->block_size;
    return true;
}

bool router_prompt_read(struct router_prompt *p, enum router_prompt_kind kind, const json_t *body,
                        const struct router_prompt_config *how) {
    struct prompt_source s = source_of(kind, body);
    *p = (struct router_prompt){.stream = json_is_true(json_object_get(body, "stream"))};
    bool good;
    if (s.ids) {
        p->isl = (int64_t)json_array_size(s.ids);
        good = hash_ids(p, s.ids, salt_of(body, how), how);
    } else {
        good = read_text(p, kind, body, &s, how);
    }
    if (s.all) p->isl = length_of_all(&s, how);
    if (p->isl > KVR_MAX_TOKENS) p->isl = KVR_MAX_TOKENS;
    p->osl = kind == ROUTER_PROMPT_EMBEDDING ? 1 : answer_length(body); // 0 would be: not known
    return good;
}

// ---- /tokenize -----------------------------------------------------------------------------------

static void copy_field(json_t *to, const json_t *from, const char *name) {
    json_t *value = json_object_get(from, name);
    if (value) json_object_set(to, name, value);
}

static int add_dumped(const char *bytes, size_t n, void *out) {
    return evbuffer_add(out, bytes, n);
}

// A chat gives these to its template, but /tokenize looks for them among the template's own arguments.
// An effort of "none" turns thinking off there, unless the client has said what he wants.
static void add_template_fields(json_t *question, const json_t *body) {
    static const char *const fields[] = {"reasoning_effort", "documents"};
    const json_t *effort = json_object_get(body, "reasoning_effort");
    json_t *given = json_object_get(body, "chat_template_kwargs");
    json_t *all = json_is_object(given) ? json_copy(given) : json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!json_is_null(json_object_get(body, fields[i]))) copy_field(all, body, fields[i]);
    if (json_is_string(effort) && !json_object_get(all, "enable_thinking"))
        json_object_set_new(all, "enable_thinking",
                            json_boolean(strcmp(json_string_value(effort), "none") != 0));
    if (json_object_size(all))
        json_object_set_new(question, "chat_template_kwargs", all);
    else
        json_decref(all);
}

json_t *router_prompt_tokenize_rest(const json_t *body) {
    json_t *rest = json_object();
    copy_field(rest, body, "cache_salt");
    copy_field(rest, body, "truncate_prompt_tokens");
    return rest;
}

// Engines keep the last so many, and /tokenize doesn't know of it.
static void truncate_ids(json_t *ids, const json_t *body) {
    size_t most = (size_t)number_of(body, "truncate_prompt_tokens", KVR_MAX_TOKENS);
    size_t n = json_array_size(ids);
    json_t *last = most && n > most ? json_array() : NULL;
    for (size_t i = n - most; last && i < n; i++)
        json_array_append(last, json_array_get(ids, i));
    if (!last) return;
    json_array_clear(ids);
    json_array_extend(ids, last);
    json_decref(last);
}

struct evbuffer *router_prompt_tokenize_request(enum router_prompt_kind kind, const json_t *body) {
    static const char *const chat[] = {"messages",
                                       "tools",
                                       "chat_template",
                                       "chat_template_kwargs",
                                       "add_generation_prompt",
                                       "continue_final_message",
                                       "add_special_tokens",
                                       "mm_processor_kwargs",
                                       "media_io_kwargs"};
    struct evbuffer *out = evbuffer_new();
    json_t *question = json_object();
    copy_field(question, body, "model");
    if (kind == ROUTER_PROMPT_CHAT) {
        for (size_t i = 0; i < sizeof chat / sizeof *chat; i++)
            copy_field(question, body, chat[i]);
        add_template_fields(question, body);
    } else {
        const struct prompt_source s = source_of(kind, body);
        json_object_set(question, "prompt", (json_t *)s.text);
        copy_field(question, body, "add_special_tokens");
    }
    bool good = out && question && !json_dump_callback(question, add_dumped, out, JSON_COMPACT);
    json_decref(question);
    if (good) return out;
    if (out) evbuffer_free(out);
    return NULL;
}

bool router_prompt_tokenize_response(struct router_prompt *p, struct evbuffer *answer,
                                     const json_t *body, const struct router_prompt_config *how) {
    char why[100];
    json_t *told = router_json_parse(answer, why, sizeof why);
    json_t *ids = json_object_get(told, "tokens");
    truncate_ids(ids, body);
    bool good = count_ids(ids) != SIZE_MAX && hash_ids(p, ids, salt_of(body, how), how);
    if (good) {
        p->tokenize = false;
        p->isl = (int64_t)json_array_size(ids);
    }
    json_decref(told);
    return good;
}
