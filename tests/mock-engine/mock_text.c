// SPDX-License-Identifier: Apache-2.0
// From tokens to text; see mock_text.h.
#include "mock_text.h"

#include <string.h>

#include "mock_memory.h"

// How many bytes at the end belong to a character that isn't complete.
static size_t incomplete(struct evbuffer *b) {
    size_t n = evbuffer_get_length(b), back = n < 3 ? n : 3;
    const unsigned char *bytes = evbuffer_pullup(b, -1);
    for (size_t i = 1; i <= back; i++) {
        unsigned char c = bytes[n - i];
        if (c < 0x80) return 0;
        if (c < 0xc0) continue;
        size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        return needs > i ? i : 0;
    }
    return 0;
}

void mock_text_start(struct mock_text *t, const struct mock_tokens *prompt,
                     const struct mock_stops *stops) {
    *t = (struct mock_text){.stops = stops, .unsure = evbuffer_new(), .held = evbuffer_new()};
    for (size_t i = 0; i < prompt->n; i++) {
        char bytes[MOCK_SPELLING_SIZE];
        evbuffer_add(t->unsure, bytes, mock_vocabulary_spell(prompt->ids[i], bytes));
    }
    // A prompt that ends with a whole character is no part of what follows.
    if (!incomplete(t->unsure)) evbuffer_drain(t->unsure, evbuffer_get_length(t->unsure));
}

void mock_text_free(struct mock_text *t) {
    if (t->unsure) evbuffer_free(t->unsure);
    if (t->held) evbuffer_free(t->held);
    *t = (struct mock_text){0};
}

// The first stop string in what is held; *at: where it begins.
static const char *find_stop(struct mock_text *t, size_t *at) {
    const char *found = NULL;
    for (size_t i = 0; i < t->stops->n; i++) {
        const char *stop = t->stops->texts[i];
        struct evbuffer_ptr p = evbuffer_search(t->held, stop, strlen(stop), NULL);
        if (p.pos < 0 || (found && (size_t)p.pos >= *at)) continue;
        found = stop;
        *at = (size_t)p.pos;
    }
    return found;
}

static size_t longest_stop(const struct mock_stops *s) {
    size_t longest = 0;
    for (size_t i = 0; i < s->n; i++)
        if (strlen(s->texts[i]) > longest) longest = strlen(s->texts[i]);
    return longest;
}

// Moves to `out` all but the last `keep` bytes, and no part of a character.
static void let_go(struct mock_text *t, size_t keep, struct evbuffer *out) {
    size_t n = evbuffer_get_length(t->held);
    if (n <= keep) return;
    const unsigned char *bytes = evbuffer_pullup(t->held, -1);
    size_t go = n - keep;
    while (go > 0 && go < n && (bytes[go] & 0xc0) == 0x80)
        go--;
    evbuffer_remove_buffer(t->held, out, go);
}

static const char *pass_on(struct mock_text *t, bool may_stop, struct evbuffer *out) {
    size_t at = 0;
    const char *found = may_stop ? find_stop(t, &at) : NULL;
    if (found) {
        evbuffer_remove_buffer(t->held, out, at + (t->stops->included ? strlen(found) : 0));
        evbuffer_drain(t->held, evbuffer_get_length(t->held));
        return found;
    }
    size_t longest = longest_stop(t->stops);
    let_go(t, longest ? longest - 1 : 0, out);
    return NULL;
}

const char *mock_text_token(struct mock_text *t, uint32_t id, bool may_stop, struct evbuffer *out) {
    char bytes[MOCK_SPELLING_SIZE];
    evbuffer_add(t->unsure, bytes, mock_vocabulary_spell(id, bytes));
    if (!incomplete(t->unsure)) evbuffer_add_buffer(t->held, t->unsure);
    return pass_on(t, may_stop, out);
}

void mock_text_end(struct mock_text *t, struct evbuffer *out) {
    evbuffer_add_buffer(out, t->held);
}

static size_t character_length(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// Prompts may bring any bytes that a token of an answer has, in any order.
void mock_text_decode(const struct mock_tokens *tokens, struct evbuffer *out) {
    struct evbuffer *all = evbuffer_new();
    for (size_t i = 0; i < tokens->n; i++) {
        char bytes[MOCK_SPELLING_SIZE];
        evbuffer_add(all, bytes, mock_vocabulary_spell(tokens->ids[i], bytes));
    }
    size_t n = evbuffer_get_length(all);
    const unsigned char *bytes = n ? evbuffer_pullup(all, -1) : NULL;
    for (size_t at = 0, len; at < n; at += len ? len : 1) {
        len = character_length(bytes[at]);
        for (size_t i = 1; i < len; i++)
            if (at + i >= n || (bytes[at + i] & 0xc0) != 0x80) len = 0;
        evbuffer_add(out, len ? (const char *)bytes + at : "\xef\xbf\xbd", len ? len : 3);
        if (len) continue;
        while (at + 1 < n && (bytes[at + 1] & 0xc0) == 0x80)
            at++;
    }
    evbuffer_free(all);
}
