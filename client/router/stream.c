// SPDX-License-Identifier: Apache-2.0
// See stream.h.
#define _GNU_SOURCE // memrchr
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"

// What is seen of a line: n bytes of "data:", then perhaps a space, then the first of JSON.
enum { WORD = 5, SKIP };

void stream_begin(struct stream *s, bool events) {
    *s = (struct stream){.events = events, .ended = 2};
}

void stream_free(struct stream *s) {
    if (s->held) evbuffer_free(s->held);
    s->held = NULL;
}

// ---- Looking at what passes ----------------------------------------------------------------------

static void count_events(struct stream *s, const char *bytes, size_t n) {
    for (const char *p = bytes, *end = bytes + n; p < end; p++) {
        if (s->at == SKIP) {
            p = memchr(p, '\n', (size_t)(end - p));
            if (!p) return;
        }
        if (*p == '\n')
            s->at = 0;
        else if (s->at < WORD)
            s->at = *p == "data:"[s->at] ? s->at + 1 : SKIP;
        else if (*p != ' ') {
            s->n_events += *p == '{';
            s->at = SKIP;
        }
    }
}

static void count_ends(struct stream *s, const char *bytes, size_t n) {
    unsigned ends = 0;
    while (n && ends < 2 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
        ends += bytes[--n] == '\n';
    if (ends == 2)
        s->ended = 2;
    else
        s->ended = n ? ends : s->ended + ends > 2 ? 2 : s->ended + ends;
}

static const char usage_name[] = "completion_tokens";
enum { NAME_LEN = sizeof usage_name - 1 };

static enum usage_state in_text(struct stream *s, char c) {
    if (c == '\n') return USAGE_OUTSIDE; // JSON has none in texts: the line wasn't JSON
    if (c == '"') return s->matched == NAME_LEN ? USAGE_NAMED : USAGE_OUTSIDE;
    bool goes_on = s->matched < NAME_LEN && c == usage_name[s->matched];
    s->matched = goes_on ? s->matched + 1 : NAME_LEN + 1;
    return c == '\\' ? USAGE_ESCAPED : USAGE_TEXT;
}

static enum usage_state outside(struct stream *s, char c) {
    s->matched = 0;
    return c == '"' ? USAGE_TEXT : USAGE_OUTSIDE;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum usage_state step(struct stream *s, char c) {
    bool digit = c >= '0' && c <= '9';
    switch (s->usage) {
    case USAGE_TEXT:
        return in_text(s, c);
    case USAGE_ESCAPED:
        return USAGE_TEXT;
    case USAGE_NAMED:
        return is_space(c) ? USAGE_NAMED : c == ':' ? USAGE_VALUE : outside(s, c);
    case USAGE_VALUE:
        if (is_space(c)) return USAGE_VALUE;
        s->number = c - '0';
        return digit ? USAGE_NUMBER : outside(s, c);
    case USAGE_NUMBER:
        if (digit && s->number < (int64_t)1 << 40) s->number = s->number * 10 + (c - '0');
        if (digit) return USAGE_NUMBER;
        s->tokens = s->number;
        s->said = true;
        return outside(s, c);
    default:
        return outside(s, c);
    }
}

static void look_for_usage(struct stream *s, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        s->usage = step(s, bytes[i]);
}

static void look(struct stream *s, struct evbuffer *bytes) {
    struct evbuffer_iovec v;
    struct evbuffer_ptr at;
    size_t n = evbuffer_get_length(bytes);
    evbuffer_ptr_set(bytes, &at, 0, EVBUFFER_PTR_SET);
    for (size_t seen = 0; seen < n; seen += v.iov_len) {
        if (evbuffer_peek(bytes, -1, &at, &v, 1) < 1) return;
        if (s->events) {
            count_events(s, v.iov_base, v.iov_len);
            count_ends(s, v.iov_base, v.iov_len);
        }
        look_for_usage(s, v.iov_base, v.iov_len);
        if (evbuffer_ptr_set(bytes, &at, v.iov_len, EVBUFFER_PTR_ADD)) return;
    }
}

// ---- Lines ---------------------------------------------------------------------------------------

// How many bytes there are up to the end of the last line.
static size_t whole_lines(struct evbuffer *bytes) {
    struct evbuffer_iovec v;
    struct evbuffer_ptr at;
    size_t n = evbuffer_get_length(bytes), last = 0;
    evbuffer_ptr_set(bytes, &at, 0, EVBUFFER_PTR_SET);
    for (size_t seen = 0; seen < n; seen += v.iov_len) {
        if (evbuffer_peek(bytes, -1, &at, &v, 1) < 1) break;
        const char *lf = memrchr(v.iov_base, '\n', v.iov_len);
        if (lf) last = seen + (size_t)(lf - (const char *)v.iov_base) + 1;
        if (evbuffer_ptr_set(bytes, &at, v.iov_len, EVBUFFER_PTR_ADD)) break;
    }
    return last;
}

static bool hold(struct stream *s, struct evbuffer *in) {
    if (!evbuffer_get_length(in)) return true;
    if (!s->held && !(s->held = evbuffer_new())) return false;
    return h1_buffer_move(in, s->held, evbuffer_get_length(in));
}

bool stream_pass(struct stream *s, struct evbuffer *in, struct evbuffer *out) {
    if (s->events) {
        size_t lines = whole_lines(in), n = evbuffer_get_length(in);
        size_t waiting = s->held ? evbuffer_get_length(s->held) : 0;
        if (!lines && waiting + n <= STREAM_HOLD) return hold(s, in);
        if (waiting) {
            look(s, s->held);
            evbuffer_add_buffer(out, s->held);
        }
        if (lines && lines < n && n - lines <= STREAM_HOLD) {
            struct evbuffer *whole = evbuffer_new();
            bool good = whole && h1_buffer_move(in, whole, lines);
            if (good) {
                look(s, whole);
                evbuffer_add_buffer(out, whole);
            }
            if (whole) evbuffer_free(whole);
            return good && hold(s, in);
        }
    }
    look(s, in);
    return !evbuffer_add_buffer(out, in);
}

void stream_end(struct stream *s, struct evbuffer *out) {
    if (!s->held || !evbuffer_get_length(s->held)) return;
    look(s, s->held);
    evbuffer_add_buffer(out, s->held);
}

void stream_break(struct stream *s, struct evbuffer *out, const char *code, const char *message) {
    if (s->held) evbuffer_drain(s->held, evbuffer_get_length(s->held));
    evbuffer_add(out, "\n\n", 2 - s->ended);
    evbuffer_add_printf(
        out,
        "data: {\"error\":{\"message\":\"%s\",\"type\":\"upstream_error\",\"code\":\"%s\"}}\n\n",
        message, code);
}

// ---- Tokens --------------------------------------------------------------------------------------

int64_t stream_tokens(const struct stream *s) {
    if (s->said) return s->tokens;
    return s->events ? (int64_t)s->n_events : -1;
}
