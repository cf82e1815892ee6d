// SPDX-License-Identifier: Apache-2.0
// An answer as it comes; see sse.h.
#include "completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void calib_completion_begin(struct calib_completion *s) {
    *s = (struct calib_completion){.cached = -1, .keeps = true};
}

static void wrong(struct calib_completion *s, const char *what) {
    snprintf(s->why, sizeof s->why, "%.*s", (int)sizeof s->why - 1, what);
    s->state = CALIB_WRONG;
}

// ---- Events --------------------------------------------------------------------------------------

// What follows "name" and its colon in a line of JSON; NULL if it isn't there.
static const char *member(const char *line, const char *name) {
    size_t n = strlen(name);
    for (const char *at = line; (at = strstr(at, name)); at += n) {
        if (at == line || at[-1] != '"' || at[n] != '"') continue;
        const char *value = at + n + 1 + strspn(at + n + 1, " ");
        if (*value == ':') return value + 1 + strspn(value + 1, " ");
    }
    return NULL;
}

static void take_event(struct calib_completion *s) {
    static const char mark[] = "data:";
    s->event[s->n_event] = 0;
    s->event[strcspn(s->event, "\r\n")] = 0;
    s->n_event = 0;
    if (strncmp(s->event, mark, sizeof mark - 1) != 0) return;
    const char *data = s->event + sizeof mark - 1, *value;
    data += strspn(data, " ");
    if (strcmp(data, "[DONE]") == 0) s->ended = true;
    if ((value = member(data, "text")) && value[0] == '"' && value[1] != '"') s->tokens++;
    if ((value = member(data, "cached_tokens"))) s->cached = strtoll(value, NULL, 10);
    if ((value = member(data, "system_fingerprint")) && *value == '"') {
        int n = (int)strcspn(value + 1, "\"");
        snprintf(s->engine, sizeof s->engine, "%.*s", n, value + 1);
    }
    if ((value = member(data, "error")) && *value == '{') wrong(s, data);
}

static size_t take_body(struct calib_completion *s, const char *b, size_t n) {
    if (n > s->left) n = (size_t)s->left;
    s->left -= n;
    for (size_t i = 0; i < n && s->state != CALIB_WRONG; i++) {
        if (s->n_event + 1 == sizeof s->event) {
            wrong(s, "an event without an end");
            return n;
        }
        s->event[s->n_event++] = b[i];
        if (b[i] == '\n') take_event(s);
    }
    if (!s->left && s->state != CALIB_WRONG)
        s->state = s->state == CALIB_PLAIN ? CALIB_DONE : CALIB_CHUNK_END;
    return n;
}

// ---- HTTP ----------------------------------------------------------------------------------------

static void take_head(struct calib_completion *s) {
    const char *length = NULL;
    bool chunked = false;
    int status = strncmp(s->line, "HTTP/1.1 ", 9) == 0 ? atoi(s->line + 9) : 0;
    for (const char *at = strstr(s->line, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, "content-length:", 15) == 0) length = at + 15;
        if (strncasecmp(at, "transfer-encoding: chunked", 26) == 0) chunked = true;
        if (strncasecmp(at, "connection: close", 17) == 0) s->keeps = false;
    }
    if (status != 200) {
        s->line[strcspn(s->line, "\r\n")] = 0;
        wrong(s, s->line);
    } else if (chunked) {
        s->state = CALIB_SIZE;
    } else if (length) {
        s->left = strtoull(length, NULL, 10);
        s->state = s->left ? CALIB_PLAIN : CALIB_DONE;
    } else {
        wrong(s, "a body without a length");
    }
}

static void take_line(struct calib_completion *s) {
    if (s->state == CALIB_HEAD) {
        if (s->n_line < 4 || memcmp(s->line + s->n_line - 4, "\r\n\r\n", 4) != 0) return;
        take_head(s);
    } else if (s->state == CALIB_SIZE) {
        s->left = strtoull(s->line, NULL, 16);
        s->state = s->left ? CALIB_CHUNK : CALIB_TRAILER;
    } else if (s->state == CALIB_CHUNK_END) {
        s->state = CALIB_SIZE;
    } else if (s->line[0] == '\r') { // the end of the trailers
        s->state = CALIB_DONE;
    }
    s->n_line = 0;
}

void calib_completion_read(struct calib_completion *s, const char *bytes, size_t n) {
    for (size_t i = 0; i < n && s->state != CALIB_WRONG;) {
        if (s->state == CALIB_DONE) {
            wrong(s, "more than was asked for");
        } else if (s->state == CALIB_PLAIN || s->state == CALIB_CHUNK) {
            i += take_body(s, bytes + i, n - i);
        } else if (s->n_line + 1 == sizeof s->line) {
            wrong(s, "a line without an end");
        } else {
            s->line[s->n_line++] = bytes[i++];
            s->line[s->n_line] = 0;
            if (s->line[s->n_line - 1] == '\n') take_line(s);
        }
    }
}
