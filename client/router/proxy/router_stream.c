// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memrchr
#include "router_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/scan.h"
#include "client/http1/h1_buffer.h"

// What is seen of a line: n bytes of "data:", then perhaps a space, then the first of JSON.
enum { SEEN_WORD = 5, SEEN_ALL };

void router_stream_begin(struct router_stream *s, bool events, enum router_answer_form form) {
    *s = (struct router_stream){
        .events = events, .form = form, .ended = 2, .tokens = -1, .input = -1, .cached = -1};
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
            s->n_events += *p == '{' && s->form == ROUTER_ANSWER_OPENAI;
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

static const struct {
    const char *text;
    size_t n;
    enum router_said_word word;
} said_words[] = {
    {"completion_tokens", 17, ROUTER_SAID_TOKENS},
    {"output_tokens", 13, ROUTER_SAID_TOKENS},
    {"prompt_tokens", 13, ROUTER_SAID_INPUT},
    {"input_tokens", 12, ROUTER_SAID_INPUT},
    {"cached_tokens", 13, ROUTER_SAID_CACHED},
    {"cache_read_input_tokens", 23, ROUTER_SAID_CACHED},
    {"finish_reason", 13, ROUTER_SAID_FINISH},
    {"stop_reason", 11, ROUTER_SAID_STOP},
    {"type", 4, ROUTER_SAID_TYPE},
    {"id", 2, ROUTER_SAID_ID},
    {"store", 5, ROUTER_SAID_STORE},
};

static enum router_said_word word_of(const char *text, size_t n) {
    for (size_t i = 0; i < sizeof said_words / sizeof *said_words; i++)
        if (said_words[i].n == n && !memcmp(text, said_words[i].text, n)) return said_words[i].word;
    return ROUTER_SAID_NONE;
}

static bool text_is(const struct router_stream *s, const char *word) {
    size_t n = strlen(word);
    return s->matched == n && !memcmp(s->text, word, n);
}

static bool text_begins(const struct router_stream *s, const char *word) {
    size_t n = strlen(word);
    return s->matched >= n && !memcmp(s->text, word, n);
}

static bool text_ends(const struct router_stream *s, const char *word) {
    size_t n = strlen(word);
    return s->matched >= n && !memcmp(s->text + s->matched - n, word, n);
}

// The names of types are those of one form only, but none is that of something else in another.
static void take_type(struct router_stream *s) {
    static const char *const last[] = {"message_stop",        "response.completed",
                                       "response.incomplete", "response.failed",
                                       "response.cancelled",  "error"};
    bool finishes = s->finishes && s->form == ROUTER_ANSWER_OPENAI;
    if (finishes && text_is(s, "abort")) s->aborted = true;
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        s->over |= text_is(s, last[i]);
    // The delta of an event has a type, too; the one of a message has no text.
    if (s->form == ROUTER_ANSWER_OPENAI || s->counted || !text_ends(s, "delta")) return;
    s->counted = !text_is(s, "message_delta");
    s->stops |= !s->counted;
    s->n_events += s->counted;
}

static void take_id(struct router_stream *s) {
    if (*s->id || !text_begins(s, "resp") || s->matched >= sizeof s->id) return;
    memcpy(s->id, s->text, s->matched);
    s->id[s->matched] = 0;
}

// A text that is the value of one of the names.
// Responses tell a request's metadata and tools again, and messages have what tools are given: there a client
// could make an engine look bad by what it says.
static void take_text(struct router_stream *s) {
    if (s->word == ROUTER_SAID_FINISH && s->form == ROUTER_ANSWER_OPENAI)
        s->aborted |= text_is(s, "abort");
    else if (s->word == ROUTER_SAID_TYPE)
        take_type(s);
    else if (s->word == ROUTER_SAID_ID)
        take_id(s);
}

// A text is over: the value of a name, or it may be a name itself.
static enum router_usage_state end_text(struct router_stream *s) {
    bool value = s->word != ROUTER_SAID_NONE;
    if (value && s->matched <= sizeof s->text) take_text(s);
    s->word = value ? ROUTER_SAID_NONE : word_of(s->text, s->matched);
    return s->word == ROUTER_SAID_NONE ? ROUTER_USAGE_OUTSIDE : ROUTER_USAGE_NAMED;
}

static enum router_usage_state outside(struct router_stream *s, char c) {
    s->word = ROUTER_SAID_NONE;
    s->matched = 0;
    if (c == '\n') s->counted = false;
    if (c == '}') s->finishes = false;
    return c == '"' ? ROUTER_USAGE_TEXT : ROUTER_USAGE_OUTSIDE;
}

static enum router_usage_state in_text(struct router_stream *s, char c) {
    if (c == '\n') return outside(s, c); // JSON has none in texts: the line wasn't JSON
    if (c == '"') return end_text(s);
    if (s->matched < sizeof s->text) s->text[s->matched] = c;
    if (s->matched <= sizeof s->text) s->matched++;
    return c == '\\' ? ROUTER_USAGE_ESCAPED : ROUTER_USAGE_TEXT;
}

// Most bytes are within texts, and most of the rest tells nothing: these are passed in one go, with texts that are here
// to their end and are no name that means something.
static const char *pass_outside(const char *at, const char *end) {
    for (;; at++) {
        at = kvr_scan_for(at, end, '"', '\n', '}');
        if (at == end || *at != '"') return at;
        const char *from = at + 1, *last = kvr_scan_text(from, end, false);
        if (last == end || *last != '"' || word_of(from, (size_t)(last - from))) return at;
        at = last;
    }
}

static const char *pass_text(struct router_stream *s, const char *at, const char *end) {
    const char *from = at;
    at = kvr_scan_text(at, end, false);
    size_t n = (size_t)(at - from), room = sizeof s->text + 1 - s->matched;
    size_t kept = n < room ? n : room;
    if (kept && s->matched < sizeof s->text)
        memcpy(s->text + s->matched, from, kept - (kept == room));
    s->matched += kept;
    return at;
}

static bool is_of_numbers(enum router_said_word word) {
    return word == ROUTER_SAID_TOKENS || word == ROUTER_SAID_INPUT || word == ROUTER_SAID_CACHED;
}

// A name's value begins; of a text and of a number it is kept whose it is.
static enum router_usage_state in_value(struct router_stream *s, char c) {
    enum router_said_word word = s->word;
    if (word == ROUTER_SAID_STORE && (c == 't' || c == 'f')) {
        s->stores = c == 't';
        s->says_store = true;
    }
    if (word == ROUTER_SAID_STOP && s->stops) s->aborted |= c == 'n';
    enum router_usage_state next = outside(s, c);
    if (c == '{' && word == ROUTER_SAID_FINISH) s->finishes = true;
    s->number = c - '0';
    if (is_of_numbers(word) && c >= '0' && c <= '9') next = ROUTER_USAGE_NUMBER;
    if (next != ROUTER_USAGE_OUTSIDE) s->word = word;
    return next;
}

static void take_number(struct router_stream *s) {
    if (s->word == ROUTER_SAID_INPUT)
        s->input = s->number;
    else if (s->word == ROUTER_SAID_CACHED)
        s->cached = s->number;
    else
        s->tokens = s->number;
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
        return is_space(c) ? ROUTER_USAGE_VALUE : in_value(s, c);
    case ROUTER_USAGE_NUMBER:
        if (digit && s->number < (int64_t)1 << 40) s->number = s->number * 10 + (c - '0');
        if (digit) return ROUTER_USAGE_NUMBER;
        take_number(s);
        return outside(s, c);
    default:
        return outside(s, c);
    }
}

static void look_for_usage(struct router_stream *s, const char *bytes, size_t n) {
    for (const char *at = bytes, *end = bytes + n; at < end;) {
        if (s->usage == ROUTER_USAGE_TEXT)
            at = pass_text(s, at, end);
        else if (s->usage == ROUTER_USAGE_OUTSIDE)
            at = pass_outside(at, end);
        if (at < end) s->usage = step(s, *at++);
    }
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

// As each API says it. Anthropic's names the event, too.
static void add_error(const struct router_stream *s, struct evbuffer *out, const char *code,
                      const char *message) {
    static const char *const formats[] = {
        [ROUTER_ANSWER_OPENAI] = "data: {\"error\":{\"message\":\"%s\",\"type\":"
                                 "\"upstream_error\",\"code\":\"%s\"}}\n\n",
        [ROUTER_ANSWER_MESSAGES] = "event: error\ndata: {\"type\":\"error\",\"error\":{"
                                   "\"type\":\"api_error\",\"message\":\"%s (%s)\"}}\n\n",
        [ROUTER_ANSWER_RESPONSES] = "event: error\ndata: {\"type\":\"error\",\"message\":\"%s\","
                                    "\"code\":\"%s\",\"param\":null}\n\n",
    };
    char text[400];
    snprintf(text, sizeof text, formats[s->form], message, code);
    evbuffer_add(out, text, strlen(text));
}

void router_stream_break(struct router_stream *s, struct evbuffer *out, const char *code,
                         const char *message) {
    if (s->held) evbuffer_drain(s->held, evbuffer_get_length(s->held));
    evbuffer_add(out, "\n\n", 2 - s->ended);
    add_error(s, out, code, message);
}

// ---- Tokens --------------------------------------------------------------------------------------

// Some say a first number when they begin, and the whole one at the end.
int64_t router_stream_tokens(const struct router_stream *s) {
    int64_t seen = (int64_t)s->n_events;
    if (s->tokens < 0 ||
        (s->events && s->form != ROUTER_ANSWER_OPENAI && !s->over && seen > s->tokens))
        return s->events ? seen : -1;
    return s->tokens;
}

bool router_stream_aborted(const struct router_stream *s) {
    return s->aborted;
}

bool router_stream_complete(const struct router_stream *s) {
    bool unread = s->held && evbuffer_get_length(s->held); // its last line has no end
    return !s->events || s->form == ROUTER_ANSWER_OPENAI || s->over || unread;
}
