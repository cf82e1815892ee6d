// SPDX-License-Identifier: Apache-2.0
// See h1_parse.h.
#include "h1_parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/common/hex.h"
#include "h1_buffer.h"

// What differs between the directions.
static const struct {
    bool empty_line; // before the first line one is passed over (RFC 9112, 2.2)
    bool interim;    // those with 1xx come before the message
    bool host;       // must be named
    bool extras;     // chunk extensions and trailers are passed over
} rules[] = {
    [H1_REQUEST] = {.empty_line = true, .host = true},
    [H1_RESPONSE] = {.interim = true, .extras = true},
};

// ---- Characters ----------------------------------------------------------------------------------

// tchar of RFC 9110, 5.6.2.
static bool is_token(char c) {
    return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_visible(char c) {
    return c > ' ' && c < 127;
}

static bool is_text(char c) {
    return (unsigned char)c >= ' ' ? c != 127 : c == '\t';
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool all(const char *s, bool (*good)(char c)) {
    while (*s && good(*s))
        s++;
    return !*s;
}

static char *trim(char *s) {
    while (is_blank(*s))
        s++;
    size_t n = strlen(s);
    while (n && is_blank(s[n - 1]))
        s[--n] = 0;
    return s;
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

// Almost all names differ in their first letter: those needn't be compared.
static bool is_name(const char *name, const char *wanted) {
    return !((*name ^ *wanted) & ~0x20) && !strcasecmp(name, wanted);
}

// ---- The first line ------------------------------------------------------------------------------

static int bad(const char **reason, const char *text) {
    *reason = text;
    return 400;
}

// "HTTP/1.1" or "HTTP/1.0"; 505: another version of it.
static int read_version(struct h1_head *h, const char *version, const char **reason) {
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        bool other = strncmp(version, "HTTP/", 5) == 0 && isdigit((unsigned char)version[5]) &&
                     version[6] == '.' && isdigit((unsigned char)version[7]) && !version[8];
        *reason = "only HTTP/1.1 and 1.0";
        return other ? 505 : 400;
    }
    h->old = version[7] == '0';
    h->keep = !h->old;
    return 0;
}

static int read_target(struct h1_head *h, char *target, const char **reason) {
    if (!*target || !all(target, is_visible)) return bad(reason, "characters in the target");
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

// "GET /path HTTP/1.1"
static int read_request_line(struct h1_head *h, char *line, const char **reason) {
    static const struct {
        const char *verb;
        enum h1_method method;
    } methods[] = {{"GET", H1_GET}, {"HEAD", H1_HEAD}, {"POST", H1_POST}, {"DELETE", H1_DELETE}};
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version) return bad(reason, "the request line isn't one of HTTP/1.1");
    *target++ = 0;
    *version++ = 0;
    if (!*line || !all(line, is_token)) return bad(reason, "the method is no word");
    h->verb = line;
    h->method = H1_OTHER;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(line, methods[i].verb) == 0) h->method = methods[i].method;
    if (strcmp(line, "CONNECT") ==
        0) { // its target is no path, so it isn't one more method that no route has
        *reason = "there are no tunnels here";
        return 501;
    }
    int status = read_target(h, target, reason);
    return status ? status : read_version(h, version, reason);
}

// "HTTP/1.1 200 OK"
static int read_status_line(struct h1_head *h, char *line, const char **reason) {
    char *code = strchr(line, ' ');
    if (!code) return bad(reason, "the status line isn't one of HTTP/1.1");
    *code++ = 0;
    int status = read_version(h, line, reason);
    if (status) return status;
    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)code[i])) return bad(reason, "the status is no number");
        h->status = h->status * 10 + (code[i] - '0');
    }
    if ((code[3] && code[3] != ' ') || !all(code + 3, is_text))
        return bad(reason, "characters after the status");
    // 101: nobody here asks for another protocol.
    if (h->status < 100 || h->status > 599 || h->status == 101)
        return bad(reason, "a status that is none");
    return 0;
}

// ---- Headers -------------------------------------------------------------------------------------

// The headers that decide how a message is read.
enum h1_framing {
    H1_CONTENT_LENGTH,
    H1_TRANSFER_ENCODING,
    H1_HOST,
    H1_EXPECT,
    H1_CONNECTION,
    H1_FRAMINGS
};

static int read_content_length(struct h1_head *h, const char *value, const char **reason) {
    static const char what[] = "Content-Length is no length";
    if (!*value || strlen(value) > 15) return bad(reason, what);
    for (h->length = 0; isdigit((unsigned char)*value); value++)
        h->length = h->length * 10 + (*value - '0');
    return *value ? bad(reason, what) : 0;
}

static int read_transfer_encoding(struct h1_head *h, const char *value, const char **reason) {
    if (h->old) return bad(reason, "Transfer-Encoding with HTTP/1.0");
    h->chunked = true;
    if (strcasecmp(value, "chunked") == 0) return 0;
    *reason = "no Transfer-Encoding but chunked";
    return 501;
}

static int read_expect(struct h1_head *h, const char *value, const char **reason) {
    h->expects = true;
    if (strcasecmp(value, "100-continue") == 0) return 0;
    *reason = "nothing can be expected but 100-continue";
    return 417;
}

static int read_connection(struct h1_head *h, const char *value, const char **reason) {
    (void)reason;
    if (lists(value, "close")) h->keep = false;
    if (h->old && lists(value, "keep-alive")) h->keep = true;
    return 0;
}

static const struct {
    const char *name;
    unsigned kinds;       // of messages that it matters to
    const char *repeated; // why a second one is refused; NULL: it isn't
    int (*read)(struct h1_head *h, const char *value, const char **reason);
} framings[H1_FRAMINGS] = {
    [H1_CONTENT_LENGTH] = {"content-length", 1 << H1_REQUEST | 1 << H1_RESPONSE,
                           "Content-Length is repeated", read_content_length},
    [H1_TRANSFER_ENCODING] = {"transfer-encoding", 1 << H1_REQUEST | 1 << H1_RESPONSE,
                              "Transfer-Encoding is repeated", read_transfer_encoding},
    [H1_HOST] = {"host", 1 << H1_REQUEST, "Host is repeated", NULL},
    [H1_EXPECT] = {"expect", 1 << H1_REQUEST, NULL, read_expect},
    [H1_CONNECTION] = {"connection", 1 << H1_REQUEST | 1 << H1_RESPONSE, NULL, read_connection},
};

// seen: a bit for each of enum h1_framing.
static int read_framing(struct h1_head *h, const struct h1_header *f, unsigned *seen,
                        const char **reason) {
    for (size_t i = 0; i < H1_FRAMINGS; i++) {
        if (!(framings[i].kinds & 1u << h->kind) || !is_name(f->name, framings[i].name)) continue;
        if (framings[i].repeated && *seen & 1u << i) return bad(reason, framings[i].repeated);
        *seen |= 1u << i;
        return framings[i].read ? framings[i].read(h, f->value, reason) : 0;
    }
    return 0;
}

static int read_header(struct h1_head *h, char *line, unsigned *seen, const char **reason) {
    char *colon = strchr(line, ':');
    if (is_blank(*line)) return bad(reason, "a folded header line");
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

// ---- The head ------------------------------------------------------------------------------------

// Its length with the empty line at its end; 0 if that isn't there yet, −1 if it can't become a head.
static int64_t find_end(const char *bytes, size_t n, size_t *seen) {
    size_t i = *seen;
    for (const char *lf; i < n; i++) {
        if (!(lf = memchr(bytes + i, '\n', n - i))) break;
        i = (size_t)(lf - bytes);
        if (i == 0 || bytes[i - 1] != '\r') return -1;
        if (i >= 3 && bytes[i - 2] == '\n' && bytes[i - 3] == '\r') return (int64_t)i + 1;
    }
    *seen = n;
    return 0;
}

// Takes a head apart, in place: its n bytes are ended by the empty line, and that by a NUL.
static int read_head(struct h1_head *h, char *text, size_t n, const char **reason) {
    unsigned seen = 0;
    char *line = text, *end = text + n;
    if (memchr(text, 0, n)) return bad(reason, "NUL in the head");
    if (rules[h->kind].empty_line && n > 2 && text[0] == '\r' && text[1] == '\n') line += 2;
    for (bool first = true;; first = false) {
        char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf || lf == line || lf[-1] != '\r') return bad(reason, "a line without CR LF");
        lf[-1] = 0;
        char *next = lf + 1;
        if (!*line) break;
        if (strchr(line, '\r')) return bad(reason, "CR within a line");
        int status = !first                  ? read_header(h, line, &seen, reason)
                     : h->kind == H1_REQUEST ? read_request_line(h, line, reason)
                                             : read_status_line(h, line, reason);
        if (status) return status;
        if (next == end) return bad(reason, "no end of the head");
        line = next;
    }
    if (!h->path && !h->status) return bad(reason, "no first line");
    if (seen & 1u << H1_CONTENT_LENGTH && seen & 1u << H1_TRANSFER_ENCODING)
        return bad(reason, "Content-Length beside Transfer-Encoding");
    if (rules[h->kind].host && !h->old && !(seen & 1u << H1_HOST)) return bad(reason, "no Host");
    // RFC 9112, 6.3: a request that says no length has no body.
    if (h->kind == H1_REQUEST && h->length < 0) h->length = 0;
    return 0;
}

// Takes the n bytes of a head out of `in`, into one piece of memory with the headers before the text.
static char *take_text(struct h1_head *h, struct evbuffer *in, const char *bytes, size_t n) {
    size_t lines = 0;
    for (const char *c = bytes, *end = bytes + n; (c = memchr(c, '\n', (size_t)(end - c))); c++)
        lines++;
    if (lines > H1_MAX_HEADERS) lines = H1_MAX_HEADERS;
    h->headers = malloc(lines * sizeof *h->headers + n + 1);
    if (!h->headers) return NULL;
    char *text = (char *)(h->headers + lines);
    memcpy(text, bytes, n);
    text[n] = 0;
    evbuffer_drain(in, n);
    return text;
}

int h1_head_take(struct h1_head *h, enum h1_kind kind, struct evbuffer *in, size_t max,
                 size_t *seen, const char **reason) {
    for (;;) {
        size_t there = evbuffer_get_length(in), look = there < max ? there : max;
        *h = (struct h1_head){.kind = kind, .length = -1};
        if (!there) return H1_INCOMPLETE;
        const char *bytes = (const char *)evbuffer_pullup(in, (ev_ssize_t)look);
        int64_t n = bytes ? find_end(bytes, look, seen) : 0;
        if (n < 0) return bad(reason, "a bare line feed");
        if (!n && there < max && bytes) return H1_INCOMPLETE;
        *reason = bytes ? "the head is larger than max_header" : "no memory";
        if (!n) return bytes ? 431 : 503;
        char *text = take_text(h, in, bytes, (size_t)n);
        *reason = text ? NULL : "no memory";
        if (!text) return 503;
        *seen = 0;
        int status = read_head(h, text, (size_t)n, reason);
        if (status || !rules[kind].interim || h->status >= 200) return status;
        h1_head_free(h);
    }
}

void h1_head_free(struct h1_head *h) {
    free(h->headers);
    h->headers = NULL;
    h->n_headers = 0;
}

const char *h1_find_header(const struct h1_head *h, const char *name) {
    for (size_t i = 0; i < h->n_headers; i++)
        if (is_name(h->headers[i].name, name)) return h->headers[i].value;
    return NULL;
}

bool h1_wants_upgrade(const struct h1_head *h, const char *protocol) {
    bool hop = false, named = false;
    for (size_t i = 0; i < h->n_headers; i++) {
        const struct h1_header *f = &h->headers[i];
        hop |= is_name(f->name, "connection") && lists(f->value, "upgrade");
        named |= is_name(f->name, "upgrade") && lists(f->value, protocol);
    }
    return hop && named;
}

// ---- Bodies --------------------------------------------------------------------------------------

void h1_body_begin(struct h1_body *b, struct h1_head *h, bool headless) {
    *b = (struct h1_body){.kind = h->kind, .state = H1_END};
    if (headless || h->status == 204 || h->status == 304) return;
    if (h->chunked) {
        b->state = H1_CHUNK_SIZE;
    } else if (h->length > 0) {
        b->state = H1_LENGTH;
        b->left = h->length;
    } else if (h->length < 0) {
        b->state = H1_TO_CLOSE;
        h->keep = false;
    }
}

// The state that follows one byte of what is around the data; −1: the byte doesn't belong there.
//
//     SIZE ─> [EXT ─>] LF ─> DATA ─> CRLF ─> DATA_LF ─> SIZE …
//                       └─ size 0 ─> TRAILER_START ─> LAST_LF ─> END
//                                      └─> TRAILER ─> TRAILER_LF ─> TRAILER_START …
static int next_state(struct h1_body *b, char byte) {
    bool extras = rules[b->kind].extras;
    int digit;
    switch (b->state) {
    case H1_CHUNK_SIZE:
        if ((digit = kvr_hex_value(byte)) >= 0) {
            b->left = b->left * 16 + digit;
            return ++b->digits <= 8 ? H1_CHUNK_SIZE : -1;
        }
        if (!b->digits) return -1;
        if (byte == '\r') return H1_CHUNK_LF;
        return extras && (is_blank(byte) || byte == ';') ? H1_CHUNK_EXT : -1;
    case H1_CHUNK_EXT:
        if (byte == '\r') return H1_CHUNK_LF;
        return is_text(byte) && ++b->extras <= H1_MAX_EXTENSION ? H1_CHUNK_EXT : -1;
    case H1_CHUNK_LF:
        if (byte != '\n') return -1;
        b->digits = 0;
        b->extras = 0;
        return b->left ? H1_CHUNK_DATA : H1_TRAILER_START;
    case H1_CHUNK_CRLF:
        return byte == '\r' ? H1_CHUNK_DATA_LF : -1;
    case H1_CHUNK_DATA_LF:
        return byte == '\n' ? H1_CHUNK_SIZE : -1;
    case H1_TRAILER_START:
        if (byte == '\r') return H1_LAST_LF;
        b->extras++;
        return extras && is_token(byte) ? H1_TRAILER : -1;
    case H1_TRAILER:
        if (++b->extras > H1_MAX_TRAILERS) return -1;
        if (byte == '\r') return H1_TRAILER_LF;
        return is_text(byte) ? H1_TRAILER : -1;
    case H1_TRAILER_LF:
        b->extras++;
        return byte == '\n' ? H1_TRAILER_START : -1;
    case H1_LAST_LF:
        return byte == '\n' ? H1_END : -1;
    default:
        return -1;
    }
}

// Up to what is left of the data.
static bool move_data(struct h1_body *b, struct evbuffer *in, struct evbuffer *out) {
    size_t there = evbuffer_get_length(in);
    size_t n = (int64_t)there < b->left ? there : (size_t)b->left;
    if (!h1_buffer_move(in, out, n)) return false;
    b->left -= (int64_t)n;
    if (!b->left) b->state = b->state == H1_LENGTH ? H1_END : H1_CHUNK_CRLF;
    return true;
}

// What is around the data, several bytes at a time, since each evbuffer_copyout costs.
static bool read_chunk_framing(struct h1_body *b, struct evbuffer *in) {
    char bytes[64];
    ev_ssize_t n = evbuffer_copyout(in, bytes, sizeof bytes), used = 0;
    while (used < n && b->state != H1_CHUNK_DATA && b->state != H1_END) {
        int next = next_state(b, bytes[used++]);
        if (next < 0) return false;
        b->state = (enum h1_body_state)next;
    }
    evbuffer_drain(in, (size_t)used);
    return true;
}

enum h1_step h1_body_read(struct h1_body *b, struct evbuffer *in, struct evbuffer *out) {
    while (b->state != H1_END) {
        size_t there = evbuffer_get_length(in);
        if (!there) return H1_MORE;
        if (b->state == H1_TO_CLOSE) return h1_buffer_move(in, out, there) ? H1_MORE : H1_NO_MEMORY;
        if (b->state == H1_LENGTH || b->state == H1_CHUNK_DATA) {
            if (!move_data(b, in, out)) return H1_NO_MEMORY;
        } else if (!read_chunk_framing(b, in)) {
            return H1_BAD;
        }
    }
    return H1_DONE;
}

enum h1_step h1_body_closed(const struct h1_body *b) {
    return b->state == H1_END || b->state == H1_TO_CLOSE ? H1_DONE : H1_BAD;
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
        {421, "Misdirected Request"},
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
