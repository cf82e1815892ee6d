// SPDX-License-Identifier: Apache-2.0
// See h1_parse.h.
#include "h1_parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "h1_buffer.h"

// ---- The head ------------------------------------------------------------------------------------

int64_t h1_head_end(const char *bytes, size_t n, size_t *seen) {
    size_t i = *seen;
    for (const char *lf; i < n; i++) {
        if (!(lf = memchr(bytes + i, '\n', n - i))) break;
        i = (size_t)(lf - bytes);
        if (i == 0 || bytes[i - 1] != '\r') return -1;
        // An empty line before a request is passed over (RFC 9112, 2.2): one.
        if (i >= 3 && bytes[i - 2] == '\n' && bytes[i - 3] == '\r') return (int64_t)i + 1;
    }
    *seen = n;
    return 0;
}

// tchar of RFC 9110, 5.6.2.
static bool is_token(char c) {
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool all(const char *s, bool (*good)(char c)) {
    while (*s && good(*s))
        s++;
    return !*s;
}

static bool is_visible(char c) {
    return c > ' ' && c < 127;
}

static bool is_text(char c) {
    return (unsigned char)c >= ' ' ? c != 127 : c == '\t';
}

static char *trim(char *s) {
    while (*s == ' ' || *s == '\t')
        s++;
    size_t n = strlen(s);
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
        s[--n] = 0;
    return s;
}

static int bad(const char **reason, const char *text) {
    *reason = text;
    return 400;
}

static int read_request_line(struct h1_head *h, char *line, const char **reason) {
    static const struct {
        const char *verb;
        enum h1_method method;
    } methods[] = {{"GET", H1_GET}, {"HEAD", H1_HEAD}, {"POST", H1_POST}};
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version) return bad(reason, "the request line isn't one of HTTP/1.1");
    *target++ = 0;
    *version++ = 0;
    if (!*line || !all(line, is_token)) return bad(reason, "the method is no word");
    if (!*target || !all(target, is_visible)) return bad(reason, "characters in the target");
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        *reason = "only HTTP/1.1 and 1.0";
        bool other = strncmp(version, "HTTP/", 5) == 0 && isdigit((unsigned char)version[5]) &&
                     version[6] == '.' && isdigit((unsigned char)version[7]) && !version[8];
        return other ? 505 : 400;
    }
    h->old = version[7] == '0';
    h->keep = !h->old;
    h->verb = line;
    h->method = H1_OTHER;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(line, methods[i].verb) == 0) h->method = methods[i].method;
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        target = strchr(target, ':') + 3;
        target += strcspn(target, "/");
        if (!*target) return bad(reason, "the target has no path");
    } else if (*target != '/' && strcmp(target, "*") != 0) {
        return bad(reason, "the target has no path");
    }
    char *query = strchr(target, '?');
    if (query) *query++ = 0;
    h->path = target;
    h->query = query;
    return 0;
}

static bool read_length(int64_t *length, const char *value) {
    if (!*value || strlen(value) > 15) return false;
    for (*length = 0; isdigit((unsigned char)*value); value++)
        *length = *length * 10 + (*value - '0');
    return !*value;
}

// Whether a list such as that of Connection names `word`.
static bool lists(const char *value, const char *word) {
    for (size_t n = strlen(word); *value; value += strcspn(value, ",")) {
        value += strspn(value, ", \t");
        size_t len = strcspn(value, ", \t");
        if (len == n && strncasecmp(value, word, n) == 0) return true;
    }
    return false;
}

struct counts {
    unsigned lengths, codings, hosts;
};

// The headers that decide how the request is read.
static int read_framing(struct h1_head *h, const struct h1_header *f, struct counts *seen,
                        const char **reason) {
    if (strcasecmp(f->name, "content-length") == 0) {
        if (seen->lengths++) return bad(reason, "Content-Length is repeated");
        if (!read_length(&h->length, f->value)) return bad(reason, "Content-Length is no length");
    } else if (strcasecmp(f->name, "transfer-encoding") == 0) {
        if (seen->codings++) return bad(reason, "Transfer-Encoding is repeated");
        if (h->old) return bad(reason, "Transfer-Encoding with HTTP/1.0");
        h->chunked = true;
        if (strcasecmp(f->value, "chunked") != 0) {
            *reason = "no Transfer-Encoding but chunked";
            return 501;
        }
    } else if (strcasecmp(f->name, "host") == 0) {
        if (seen->hosts++) return bad(reason, "Host is repeated");
    } else if (strcasecmp(f->name, "connection") == 0) {
        if (lists(f->value, "close")) h->keep = false;
        if (h->old && lists(f->value, "keep-alive")) h->keep = true;
    } else if (strcasecmp(f->name, "expect") == 0) {
        h->expects = true;
        if (strcasecmp(f->value, "100-continue") != 0) {
            *reason = "nothing can be expected but 100-continue";
            return 417;
        }
    }
    return 0;
}

static int read_field(struct h1_head *h, char *line, struct counts *seen, const char **reason) {
    char *colon = strchr(line, ':');
    if (*line == ' ' || *line == '\t') return bad(reason, "a folded header line");
    if (!colon) return bad(reason, "a header line without a colon");
    *colon = 0;
    if (!*line || !all(line, is_token)) return bad(reason, "a header's name is no word");
    char *value = trim(colon + 1);
    if (!all(value, is_text)) return bad(reason, "control characters in a header");
    if (h->n_headers == H1_MAX_HEADERS) {
        *reason = "too many headers";
        return 431;
    }
    struct h1_header *f = &h->headers[h->n_headers++];
    *f = (struct h1_header){line, value};
    return read_framing(h, f, seen, reason);
}

int h1_head_read(struct h1_head *h, char *text, size_t n, const char **reason) {
    struct counts seen = {0, 0, 0};
    char *line = text, *end = text + n;
    size_t lines = 0;
    *h = (struct h1_head){.length = 0};
    if (memchr(text, 0, n)) return bad(reason, "NUL in the head");
    for (const char *c = text; (c = memchr(c, '\n', (size_t)(end - c))); c++)
        lines++;
    if (lines > H1_MAX_HEADERS) lines = H1_MAX_HEADERS;
    if (!(h->headers = malloc((lines + 1) * sizeof *h->headers))) {
        *reason = "no memory";
        return 503;
    }
    if (n > 2 && text[0] == '\r' && text[1] == '\n') line += 2;
    for (bool first = true;; first = false) {
        char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf || lf == line || lf[-1] != '\r') return bad(reason, "a line without CR LF");
        lf[-1] = 0;
        char *next = lf + 1;
        if (!*line) break;
        if (strchr(line, '\r')) return bad(reason, "CR within a line");
        int status =
            first ? read_request_line(h, line, reason) : read_field(h, line, &seen, reason);
        if (status) return status;
        if (next == end) return bad(reason, "no end of the head");
        line = next;
    }
    if (!h->path) return bad(reason, "no request line");
    if (seen.lengths && seen.codings) return bad(reason, "Content-Length beside Transfer-Encoding");
    if (!h->old && !seen.hosts) return bad(reason, "no Host");
    return 0;
}

void h1_head_free(struct h1_head *h) {
    free(h->headers);
    h->headers = NULL;
    h->n_headers = 0;
}

const char *h1_find_header(const struct h1_head *h, const char *name) {
    for (size_t i = 0; i < h->n_headers; i++)
        if (strcasecmp(h->headers[i].name, name) == 0) return h->headers[i].value;
    return NULL;
}

// ---- Chunks --------------------------------------------------------------------------------------

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// One byte of what is around the data. False: it doesn't belong there.
static bool step(struct h1_chunks *c, char byte) {
    int digit;
    switch (c->state) {
    case CHUNK_SIZE:
        if ((digit = hex_digit(byte)) >= 0) {
            c->left = c->left * 16 + (unsigned)digit;
            return ++c->digits <= 8;
        }
        c->state = CHUNK_SIZE_LF;
        return byte == '\r' && c->digits;
    case CHUNK_SIZE_LF:
        c->state = c->left ? CHUNK_DATA : CHUNK_LAST_CR;
        return byte == '\n';
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return byte == '\r';
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->digits = 0;
        return byte == '\n';
    case CHUNK_LAST_CR:
        c->state = CHUNK_LAST_LF;
        return byte == '\r';
    case CHUNK_LAST_LF:
        c->state = CHUNK_DONE;
        return byte == '\n';
    default:
        return false;
    }
}

int h1_chunks_read(struct h1_chunks *c, struct evbuffer *in, struct evbuffer *out) {
    while (c->state != CHUNK_DONE) {
        size_t there = evbuffer_get_length(in);
        char around[64]; // several bytes at a time, since each evbuffer_remove costs
        if (!there) return 0;
        if (c->state == CHUNK_DATA) {
            size_t n = there < c->left ? there : (size_t)c->left;
            if (!h1_buffer_move(in, out, n)) return -1;
            c->left -= n;
            if (!c->left) c->state = CHUNK_DATA_CR;
            continue;
        }
        ev_ssize_t n = evbuffer_copyout(in, around, sizeof around), used = 0;
        while (used < n && c->state != CHUNK_DATA && c->state != CHUNK_DONE)
            if (!step(c, around[used++])) return -1;
        evbuffer_drain(in, (size_t)used);
    }
    return 1;
}

// ---- Statuses ------------------------------------------------------------------------------------

const char *h1_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}
