// SPDX-License-Identifier: Apache-2.0
// A stream of server-sent events, taken apart for tests.
#ifndef MOCK_SSE_H
#define MOCK_SSE_H

#include "mock_process.h"

struct mock_sse {
    json_t *chunks; // those with choices, without the one that only says who speaks
    json_t *prompt; // prompt_token_ids, or NULL
    json_t *usage;  // of the last chunk, or NULL
    json_t *error;  // or NULL
    bool done;      // [DONE] came, and last
};

// Posts, and fails the test if what comes isn't a whole stream.
struct mock_sse mock_sse_post(const struct mock_process *p, const char *path, const char *body);
void mock_sse_free(struct mock_sse *s);

const json_t *mock_sse_choice(const struct mock_sse *s, size_t chunk);
const char *mock_sse_text(const struct mock_sse *s, size_t chunk); // whatever there is, or ""
char *mock_sse_join(const struct mock_sse *s,
                    const char *key);                  // text, content or reasoning; to be freed
const char *mock_sse_finish(const struct mock_sse *s); // of the last chunk
// prompt and all ids up to the chunk, that included; a new reference.
json_t *mock_sse_ids(const struct mock_sse *s, size_t chunk);

#endif
