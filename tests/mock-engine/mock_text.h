// SPDX-License-Identifier: Apache-2.0
// From tokens to text, piece by piece, as an engine's detokenizer does it: what a chunk brings is what has
// become certain by its tokens.
//
// The bytes of a character come when the last of them is there. An engine primes its detokenizer with
// the prompt; if that ends in the middle of a character, the prompt is text that isn't certain yet, and
// comes out with the first character that is complete. Real engines do that, too, so a stream must not
// be continued after a token without text.
//
// With stop strings, as much of the text is held back as the longest of them could have begun in.
#ifndef MOCK_TEXT_H
#define MOCK_TEXT_H

#include <event2/buffer.h>
#include <stdbool.h>

#include "mock_vocabulary.h"

enum { MOCK_MAX_STOPS = 4 };

struct mock_stops {
    const char *texts[MOCK_MAX_STOPS]; // must outlive the text
    size_t n;
    bool included; // the one that is found is a part of the answer
};

struct mock_text {
    const struct mock_stops *stops;
    struct evbuffer *unsure; // the bytes of a character, and what is before it and not out
    struct evbuffer *held;   // because of stop strings
};

void mock_text_start(struct mock_text *t, const struct mock_tokens *prompt,
                     const struct mock_stops *stops);
void mock_text_free(struct mock_text *t);
// Adds what the token makes certain to `out`. may_stop: stop strings count; returns the one that has been
// found, and then nothing comes any more; or NULL.
const char *mock_text_token(struct mock_text *t, uint32_t id, bool may_stop, struct evbuffer *out);
void mock_text_end(struct mock_text *t, struct evbuffer *out); // what was held back
// The whole text of some tokens; U+FFFD for what is no whole character.
void mock_text_decode(const struct mock_tokens *tokens, struct evbuffer *out);

#endif
