// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memrchr
#include "router_stream.h"

#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"

// What is seen of a line: n bytes of "data:", then perhaps a space, then the first of JSON.
enum { SEEN_WORD = 5, SEEN_ALL };

void router_stream_begin(struct router_stream *s, bool events) {
    *s = (struct router_stream){.events = events, .ended = 2};
}

void router_stream_free(struct router_stream *s) {
    if (s->held) evbuffer_free(s->held);
    s->held = NULL;
}

// ---- Looking at what passes ----------------------------------------------------------------------

static void count_events(struct router_stream *s, const char *bytes, size_t n) {
    for (const char *p = bytes, *end = bytes + n; p < end; p++) {
        if (s->at == SEEN_ALL) {
            p = memchr(p, '\n', (size_t)(end - p));
            if (!p) return;
        }
        if (*p == '\n')
            s->at = 0;
        else if (s->at < SEEN_WORD)
            s->at = *p == "data:"[s->at] ? s->at + 1 : SEEN_ALL;
        else if (*p != ' ') {
            s->n_events += *p == '{';
            s->at = SEEN_ALL;
        }
    }
}

static void count_ends(struct router_stream *s, const char *bytes, size_t n) {
    unsigned ends = 0;
    while (n && ends < 2 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
        ends += bytes[--n] == '\n';
    if (ends == 2)
        s->ended = 2;
    else
        s->ended = n ? ends : s->ended + ends > 2 ? 2 : s->ended + ends;
}

static const char usage_name[] = "completion_tokens";
enum { USAGE_NAME_LENGTH = sizeof usage_name - 1 };

static enum router_usage_state in_text(struct router_stream *s, char c) {
    if (c == '\n') return ROUTER_USAGE_OUTSIDE; // JSON has none in texts: the line wasn't JSON
    if (c == '"')
        return s->matched == USAGE_NAME_LENGTH ? ROUTER_USAGE_NAMED : ROUTER_USAGE_OUTSIDE;
    bool goes_on = s->matched < USAGE_NAME_LENGTH && c == usage_name[s->matched];
    s->matched = goes_on ? s->matched + 1 : USAGE_NAME_LENGTH + 1;
    return c == '\\' ? ROUTER_USAGE_ESCAPED : ROUTER_USAGE_TEXT;
}

static enum router_usage_state outside(struct router_stream *s, char c) {
    s->matched = 0;
    return c == '"' ? ROUTER_USAGE_TEXT : ROUTER_USAGE_OUTSIDE;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum router_usage_state step(struct router_stream *s, char c) {
    bool digit = c >= '0' && c <= '9';
    switch (s->usage) {
    case ROUTER_USAGE_TEXT:
        return in_text(s, c);
    case ROUTER_USAGE_ESCAPED:
        return ROUTER_USAGE_TEXT;
    case ROUTER_USAGE_NAMED:
        return is_space(c) ? ROUTER_USAGE_NAMED : c == ':' ? ROUTER_USAGE_VALUE : outside(s, c);
    case ROUTER_USAGE_VALUE:
        if (is_space(c)) return ROUTER_USAGE_VALUE;
        s->number = c - '0';
        return digit ? ROUTER_USAGE_NUMBER : outside(s, c);
    case ROUTER_USAGE_NUMBER:
        if (digit && s->number < (int64_t)1 << 40) s->number = s->number * 10 + (c - '0');
        if (digit) return ROUTER_USAGE_NUMBER;
        s->tokens = s->number;
        s->said = true;
        return outside(s, c);
    default:
        return outside(s, c);
    }
}

static void look_for_usage(struct router_stream *s, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        s->usage = step(s, bytes[i]);
}

static void look(struct router_stream *s, struct evbuffer *bytes) {
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

static bool hold(struct router_stream *s, struct evbuffer *in) {
    if (!evbuffer_get_length(in)) return true;
    if (!s->held && !(s->held = evbuffer_new())) return false;
    return h1_buffer_move(in, s->held, evbuffer_get_length(in));
}

bool router_stream_pass(struct router_stream *s, struct evbuffer *in, struct evbuffer *out) {
    if (s->events) {
        size_t lines = whole_lines(in), n = evbuffer_get_length(in);
        size_t waiting = s->held ? evbuffer_get_length(s->held) : 0;
        if (!lines && waiting + n <= ROUTER_STREAM_MAX_HELD) return hold(s, in);
        if (waiting) {
            look(s, s->held);
            evbuffer_add_buffer(out, s->held);
        }
        if (lines && lines < n && n - lines <= ROUTER_STREAM_MAX_HELD) {
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

void router_stream_end(struct router_stream *s, struct evbuffer *out) {
    if (!s->held || !evbuffer_get_length(s->held)) return;
    look(s, s->held);
    evbuffer_add_buffer(out, s->held);
}

void router_stream_break(struct router_stream *s, struct evbuffer *out, const char *code,
                         const char *message) {
    if (s->held) evbuffer_drain(s->held, evbuffer_get_length(s->held));
    evbuffer_add(out, "\n\n", 2 - s->ended);
    evbuffer_add_printf(
        out,
        "data: {\"error\":{\"message\":\"%s\",\"type\":\"upstream_error\",\"code\":\"%s\"}}\n\n",
        message, code);
}

// ---- Tokens --------------------------------------------------------------------------------------

int64_t router_stream_tokens(const struct router_stream *s) {
    if (s->said) return s->tokens;
    return s->events ? (int64_t)s->n_events : -1;
}
