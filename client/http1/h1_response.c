// SPDX-License-Identifier: Apache-2.0
// See h1_response.h.
#include "h1_response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "h1_buffer.h"

enum { HEAD, NONE, LENGTH, CHUNK_LINE, CHUNK, CHUNK_END, TRAILER, TO_END };

void reply_begin(struct reply *r, bool bodiless) {
    *r = (struct reply){.head.length = -1, .bodiless = bodiless, .at = HEAD};
}

void reply_forget(struct reply *r) {
    h1_head_free(&r->head);
}

// ---- The head ------------------------------------------------------------------------------------

static bool is_token(unsigned char c) {
    return c > ' ' && c < 127 && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

// "Name: value", in place. False: no header.
static bool read_header(char *line, size_t n, struct h1_header *out) {
    size_t name = 0;
    while (name < n && is_token((unsigned char)line[name]))
        name++;
    if (!name || name == n || line[name] != ':') return false;
    line[name] = 0;
    char *value = line + name + 1, *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    for (char *c = value; c < end; c++)
        if ((unsigned char)*c < ' ' && *c != '\t') return false;
    *out = (struct h1_header){line, value};
    return true;
}

// "HTTP/1.1 200 OK": the status, or 0.
static int read_status(const char *line, size_t n, bool *old) {
    if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1')) return 0;
    *old = line[7] == '0';
    if (line[8] != ' ' || (n > 12 && line[12] != ' ')) return 0;
    int status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9') return 0;
        status = status * 10 + (line[i] - '0');
    }
    return status >= 100 && status < 600 ? status : 0;
}

static int64_t read_length(const char *text) {
    int64_t n = 0;
    if (!*text) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > INT64_MAX / 100) return -1;
        n = n * 10 + (*text - '0');
    }
    return n;
}

static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t len = strcspn(at, " \t,");
        if (len == n && !strncasecmp(at, word, n)) return true;
        at += len;
    }
    return false;
}

// How the body comes.
static bool read_frame(struct reply *r, bool old) {
    bool chunked = false;
    r->head.keep = !old;
    for (size_t i = 0; i < r->head.n_headers; i++) {
        const char *name = r->head.headers[i].name, *value = r->head.headers[i].value;
        if (!strcasecmp(name, "Content-Length")) {
            if (r->head.length >= 0) return false;
            r->head.length = read_length(value);
            if (r->head.length < 0) return false;
        } else if (!strcasecmp(name, "Transfer-Encoding")) {
            if (chunked || old || strcasecmp(value, "chunked") != 0) return false;
            chunked = true;
        } else if (!strcasecmp(name, "Connection")) {
            if (has_word(value, "close")) r->head.keep = false;
            if (old && has_word(value, "keep-alive")) r->head.keep = true;
        }
    }
    if (chunked && r->head.length >= 0) return false;
    if (r->bodiless || r->head.status == 204 || r->head.status == 304)
        r->at = NONE;
    else if (chunked)
        r->at = CHUNK_LINE;
    else if (r->head.length >= 0)
        r->at = LENGTH;
    else
        r->at = TO_END;
    r->left = r->head.length;
    if (r->at == TO_END) r->head.keep = false;
    return true;
}

// The head's `n` bytes, its empty line included, are at the front of `in`.
static enum reply_step take_head(struct reply *r, struct evbuffer *in, size_t n) {
    size_t lines = 0;
    bool old = false;
    char *bytes = malloc(n + 1);
    if (!bytes) return REPLY_BAD;
    evbuffer_remove(in, bytes, n);
    bytes[n] = 0;
    for (size_t i = 0; i < n; i++)
        lines += bytes[i] == '\n';
    // One piece of memory: the headers, and behind them their text.
    struct h1_header *headers = malloc(lines * sizeof *headers + n + 1);
    char *text = headers ? (char *)(headers + lines) : NULL;
    if (text) memcpy(text, bytes, n + 1);
    free(bytes);
    if (!text) return REPLY_BAD;
    r->head.headers = headers;
    for (char *line = text, *end = text + n; line < end;) {
        char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf || lf == line || lf[-1] != '\r') return REPLY_BAD;
        size_t len = (size_t)(lf - 1 - line);
        if (line == text) {
            if (!(r->head.status = read_status(line, len, &old))) return REPLY_BAD;
        } else if (len) {
            if (!read_header(line, len, &headers[r->head.n_headers])) return REPLY_BAD;
            r->head.n_headers++;
        }
        line = lf + 1;
    }
    if (r->head.status == 101) return REPLY_BAD;
    if (r->head.status < 200) {
        bool bodiless = r->bodiless;
        reply_forget(r);
        reply_begin(r, bodiless);
        return reply_head(r, in);
    }
    return read_frame(r, old) ? REPLY_DONE : REPLY_BAD;
}

enum reply_step reply_head(struct reply *r, struct evbuffer *in) {
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    if (end.pos < 0) return evbuffer_get_length(in) > REPLY_MAX_HEAD ? REPLY_BAD : REPLY_MORE;
    if (end.pos > REPLY_MAX_HEAD) return REPLY_BAD;
    enum reply_step step = take_head(r, in, (size_t)end.pos + 4);
    if (step == REPLY_BAD) r->head.status = 0;
    return step;
}

// ---- The body ------------------------------------------------------------------------------------

// Takes up to what is left; whether that was all of it.
static bool move(struct reply *r, struct evbuffer *in, struct evbuffer *out) {
    size_t there = evbuffer_get_length(in);
    size_t n = (uint64_t)r->left < there ? (size_t)r->left : there;
    if (!h1_buffer_move(in, out, n)) n = 0; // it is tried again
    r->left -= (int64_t)n;
    return !r->left;
}

// Copies the first line to `line`, without its end, and drains it. DONE: it is there.
static enum reply_step take_line(struct evbuffer *in, char line[REPLY_MAX_LINE + 2]) {
    ev_ssize_t n = evbuffer_copyout(in, line, REPLY_MAX_LINE + 2);
    char *lf = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
    if (!lf) return n >= REPLY_MAX_LINE + 2 ? REPLY_BAD : REPLY_MORE;
    if (lf == line || lf[-1] != '\r') return REPLY_BAD;
    lf[-1] = 0;
    evbuffer_drain(in, (size_t)(lf + 1 - line));
    return memchr(line, '\r', (size_t)(lf - 1 - line)) ? REPLY_BAD : REPLY_DONE;
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// "1f" or "1f;name=value"; -1: neither.
static int64_t chunk_size(const char *line) {
    int64_t n = 0;
    const char *at = line;
    for (; digit(*at) >= 0; at++) {
        if (n >> 55) return -1;
        n = n * 16 + digit(*at);
    }
    if (at == line) return -1;
    at += strspn(at, " \t");
    return !*at || *at == ';' ? n : -1;
}

static enum reply_step chunk_begins(struct reply *r, struct evbuffer *in) {
    char line[REPLY_MAX_LINE + 2];
    enum reply_step step = take_line(in, line);
    if (step != REPLY_DONE) return step;
    r->left = chunk_size(line);
    if (r->left < 0) return REPLY_BAD;
    r->at = r->left ? CHUNK : TRAILER;
    return REPLY_DONE;
}

static enum reply_step chunk_ends(struct reply *r, struct evbuffer *in) {
    char end[2];
    if (evbuffer_get_length(in) < 2) return REPLY_MORE;
    evbuffer_remove(in, end, 2);
    if (end[0] != '\r' || end[1] != '\n') return REPLY_BAD;
    r->at = CHUNK_LINE;
    return REPLY_DONE;
}

// Lines after the last chunk: passed over, up to an empty one.
static enum reply_step trailer(struct reply *r, struct evbuffer *in) {
    char line[REPLY_MAX_LINE + 2];
    enum reply_step step = take_line(in, line);
    if (step != REPLY_DONE) return step;
    r->trailer += strlen(line) + 2;
    if (!*line) r->at = NONE;
    return r->trailer > REPLY_MAX_HEAD ? REPLY_BAD : REPLY_DONE;
}

enum reply_step reply_body(struct reply *r, struct evbuffer *in, struct evbuffer *out) {
    for (;;) {
        enum reply_step step = REPLY_DONE;
        switch (r->at) {
        case NONE:
            return REPLY_DONE;
        case TO_END:
            h1_buffer_move(in, out, evbuffer_get_length(in));
            return REPLY_MORE;
        case LENGTH:
            return move(r, in, out) ? REPLY_DONE : REPLY_MORE;
        case CHUNK:
            if (!move(r, in, out)) return REPLY_MORE;
            r->at = CHUNK_END;
            break;
        case CHUNK_END:
            step = chunk_ends(r, in);
            break;
        case TRAILER:
            step = trailer(r, in);
            break;
        default:
            step = chunk_begins(r, in);
        }
        if (step != REPLY_DONE) return step;
    }
}

enum reply_step reply_closed(const struct reply *r) {
    return r->at == NONE || r->at == TO_END || (r->at == LENGTH && !r->left) ? REPLY_DONE
                                                                             : REPLY_BAD;
}
