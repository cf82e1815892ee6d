// SPDX-License-Identifier: Apache-2.0
#include "router_prompt.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router_convert.h"
#include "router_json.h"
#include "router_prompt_text.h"

enum { PROMPT_MAX_CHOICES = 128 };

void router_prompt_free(struct router_prompt *p) {
    free(p->hashes);
    *p = (struct router_prompt){0};
}

bool router_prompt_config_copy(struct router_prompt_config *to,
                               const struct router_prompt_config *from) {
    *to = *from;
    to->lora.p = strndup(from->lora.n ? from->lora.p : "", from->lora.n);
    to->space.p = strndup(from->space.n ? from->space.p : "", from->space.n);
    return to->lora.p && to->space.p;
}

void router_prompt_config_free(struct router_prompt_config *c) {
    free((char *)c->lora.p);
    free((char *)c->space.p);
    *c = (struct router_prompt_config){.block_size = 0};
}

uint64_t router_prompt_seed(const json_t *body, const struct router_prompt_config *how) {
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

// ---- All of it -----------------------------------------------------------------------------------

static int64_t number_of(const json_t *body, const char *name, int64_t most) {
    const json_t *value = json_object_get(body, name);
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    return n < 0 ? 0 : n > most ? most : n;
}

// How long the answer will be, where that is said or certain. Most answers end far before the limit that
// is in max_tokens, and the mean of late ones, which the pool knows, is a better guess than that.
// agent_hints.osl is how Dynamo's clients say what they expect.
static int64_t answer_length(enum router_prompt_kind kind, const json_t *body) {
    static const char *const limits[] = {"max_completion_tokens", "max_tokens", "max_output_tokens",
                                         "max_new_tokens"};
    const int64_t limit = KVR_MAX_TOKENS / PROMPT_MAX_CHOICES;
    const json_t *hints = json_object_get(json_object_get(body, "nvext"), "agent_hints");
    if (!router_prompt_traits[kind].writes) return 1; // 0 would be: not known
    if (kind == ROUTER_PROMPT_GENERATE) body = json_object_get(body, "sampling_params");
    int64_t n = number_of(body, "n", PROMPT_MAX_CHOICES);
    int64_t each = number_of(hints, "osl", limit), most = 0;
    for (size_t i = 0; !most && i < sizeof limits / sizeof *limits; i++)
        most = number_of(body, limits[i], limit);
    int64_t least = number_of(body, "min_tokens", limit);
    if (!least) least = number_of(body, "min_new_tokens", limit);
    bool fixed = json_is_true(json_object_get(body, "ignore_eos")) || least >= most;
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
    const char *const *fields = router_prompt_traits[kind].fields;
    const json_t *given = json_object_get(body, "prompt_token_ids");
    struct prompt_source s = {0};
    if (!json_is_array(given))
        for (given = NULL; !given && *fields; fields++)
            given = json_object_get(body, *fields);
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

// Whether the engine's own tokens are those of its text, or of a chat that it is made.
static bool asks_tokens(enum router_prompt_kind kind, const struct prompt_source *s) {
    return router_prompt_traits[kind].asks_tokens &&
           (s->text || !*router_prompt_traits[kind].fields);
}

static bool read_text(struct router_prompt *p, enum router_prompt_kind kind, const json_t *body,
                      const struct prompt_source *s, const struct router_prompt_config *how) {
    struct router_text_pieces t = {.salt = router_prompt_seed(body, how), .size = chunk_of(how)};
    XXH3_state_t state;
    if (how->way == ROUTER_PROMPT_TEXT && how->block_size) {
        XXH3_INITSTATE(&state);
        XXH3_64bits_reset_withSeed(&state, t.salt);
        t.state = &state;
    }
    if (s->text)
        router_pieces_put(&t, json_string_value(s->text), json_string_length(s->text));
    else
        router_prompt_text(&t, kind, body);
    if (t.failed) {
        free(t.hashes);
        return false;
    }
    p->hashes = t.hashes;
    p->n = t.n;
    p->isl = tokens_in(t.bytes + router_prompt_other_bytes(kind, body), how);
    p->tokenize =
        how->way == ROUTER_PROMPT_TOKENIZE && t.bytes && how->block_size && asks_tokens(kind, s);
    return true;
}

// What came before is where the response is that it goes on from, so this isn't the prompt's beginning.
static bool goes_on(enum router_prompt_kind kind, const json_t *body) {
    return kind == ROUTER_PROMPT_RESPONSES &&
           json_is_string(json_object_get(body, "previous_response_id"));
}

bool router_prompt_read(struct router_prompt *p, enum router_prompt_kind kind, const json_t *body,
                        const struct router_prompt_config *how) {
    struct router_prompt_config only_length = *how;
    struct prompt_source s = source_of(kind, body);
    *p = (struct router_prompt){.stream = json_is_true(json_object_get(body, "stream"))};
    bool good;
    only_length.way = ROUTER_PROMPT_IDS;
    if (goes_on(kind, body)) how = &only_length;
    if (s.ids) {
        p->isl = (int64_t)json_array_size(s.ids);
        good = hash_ids(p, s.ids, router_prompt_seed(body, how), how);
    } else {
        good = read_text(p, kind, body, &s, how);
    }
    if (s.all) p->isl = length_of_all(&s, how);
    if (p->isl > KVR_MAX_TOKENS) p->isl = KVR_MAX_TOKENS;
    p->osl = answer_length(kind, body);
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

static bool is_plain_chat(const json_t *messages) {
    size_t i, k;
    json_t *message, *part;
    json_array_foreach(messages, i, message)
        json_array_foreach(json_object_get(message, "content"), k,
                           part) if (!json_is_string(json_object_get(part, "text"))) return false;
    return true;
}

bool router_prompt_is_plain(enum router_prompt_kind kind, const json_t *body) {
    switch (kind) {
    case ROUTER_PROMPT_CHAT:
        return is_plain_chat(json_object_get(body, "messages"));
    case ROUTER_PROMPT_MESSAGES:
        return router_convert_messages_plain(body);
    case ROUTER_PROMPT_RESPONSES:
        return router_convert_responses_plain(body);
    default:
        return false;
    }
}

json_t *router_prompt_tokenize_rest(const json_t *body) {
    json_t *rest = json_object();
    // Nothing else is looked at, and what else stands there may be large.
    if (json_is_string(json_object_get(body, "cache_salt"))) copy_field(rest, body, "cache_salt");
    if (json_is_integer(json_object_get(body, "truncate_prompt_tokens")))
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

static void add_chat(json_t *question, const json_t *body) {
    static const char *const fields[] = {"messages",
                                         "tools",
                                         "chat_template",
                                         "chat_template_kwargs",
                                         "add_generation_prompt",
                                         "continue_final_message",
                                         "add_special_tokens",
                                         "mm_processor_kwargs",
                                         "media_io_kwargs"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        copy_field(question, body, fields[i]);
    add_template_fields(question, body);
}

// A chat that stands for the body; it is taken, and may be NULL: no memory.
static bool add_converted(json_t *question, json_t *chat, const json_t *body) {
    if (!chat) return false;
    json_object_update(question, chat);
    json_decref(chat);
    copy_field(question, body, "chat_template_kwargs");
    return true;
}

static bool add_prompt(json_t *question, enum router_prompt_kind kind, const json_t *body) {
    const struct prompt_source s = source_of(kind, body);
    switch (kind) {
    case ROUTER_PROMPT_CHAT:
        add_chat(question, body);
        return true;
    case ROUTER_PROMPT_BATCH:
        add_chat(question, body);
        json_object_set(question, "messages", json_array_get(json_object_get(body, "messages"), 0));
        return true;
    case ROUTER_PROMPT_MESSAGES:
        return add_converted(question, router_convert_messages(body), body);
    case ROUTER_PROMPT_RESPONSES:
        // vLLM tokenizes the template's text anew, and so puts its first token before it once more.
        json_object_set_new(question, "add_special_tokens", json_true());
        return add_converted(question, router_convert_responses(body), body);
    default:
        json_object_set(question, "prompt", (json_t *)s.text);
        copy_field(question, body, "add_special_tokens");
        return true;
    }
}

struct evbuffer *router_prompt_tokenize_request(enum router_prompt_kind kind, const json_t *body) {
    struct evbuffer *out = evbuffer_new();
    json_t *question = json_object();
    copy_field(question, body, "model");
    bool good = out && question && add_prompt(question, kind, body) &&
                !json_dump_callback(question, add_dumped, out, JSON_COMPACT);
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
    if (!ids) ids = json_object_get(told, "token_ids");
    truncate_ids(ids, body);
    bool good = count_ids(ids) != SIZE_MAX && hash_ids(p, ids, router_prompt_seed(body, how), how);
    if (good) {
        p->tokenize = false;
        p->isl = (int64_t)json_array_size(ids);
    }
    json_decref(told);
    return good;
}
