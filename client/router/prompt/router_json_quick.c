// SPDX-License-Identifier: Apache-2.0
#include "router_json_quick.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/hex.h"
#include "client/common/utf8.h"
#include "router_json_walk.h"

enum { QUICK_WHOLE_DIGITS = 18, QUICK_REAL_DIGITS = 15 };

// A text's bytes: in the body itself, or unescaped in `unescaped`.
struct quick_text {
    const char *at;
    size_t n;
};

struct quick_reader {
    struct router_json_walk w;
    unsigned depth;
    char *unescaped; // NULL: none was needed; as large as the body
    size_t size;
};

static json_t *read_any(struct quick_reader *r);

// ---- Texts ---------------------------------------------------------------------------------------

// The code point of \uXXXX, if it is none of a pair; 0: something else.
static uint32_t read_unit(const char *at, const char *end) {
    uint32_t unit = 0;
    if (end - at < 4) return 0;
    for (int i = 0; i < 4; i++) {
        int digit = kvr_hex_value(at[i]);
        if (digit < 0) return 0;
        unit = unit * 16 + (uint32_t)digit;
    }
    return unit >= 0xd800 && unit < 0xe000 ? 0 : unit;
}

static char *put_unit(char *out, uint32_t unit) {
    if (unit < 0x80) {
        *out++ = (char)unit;
        return out;
    }
    if (unit < 0x800) {
        *out++ = (char)(0xc0 | unit >> 6);
    } else {
        *out++ = (char)(0xe0 | unit >> 12);
        *out++ = (char)(0x80 | (unit >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (unit & 0x3f));
    return out;
}

// Behind the backslash. NULL: something unusual.
static char *unescape(struct quick_reader *r, char *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    struct router_json_walk *w = &r->w;
    if (w->at == w->end) return NULL;
    char c = *w->at++;
    if (c == 'u') {
        uint32_t unit = read_unit(w->at, w->end);
        w->at += 4;
        return unit ? put_unit(out, unit) : NULL;
    }
    const char *known = c ? strchr(from, c) : NULL;
    if (!known) return NULL;
    *out++ = to[known - from];
    return out;
}

// Bytes that stand for themselves. False: what isn't UTF-8 is among them.
static bool skip_plain(struct router_json_walk *w) {
    const char *at = kvr_scan_text(w->at, w->end, true);
    while (at < w->end && (unsigned char)*at > 127) {
        size_t size = kvr_utf8_size(at, (size_t)(w->end - at));
        if (!size) return false;
        at += size;
        if (at < w->end && (unsigned char)*at < 128) at = kvr_scan_text(at, w->end, true);
    }
    w->at = at;
    return true;
}

static bool read_escaped(struct quick_reader *r, const char *from, struct quick_text *out) {
    struct router_json_walk *w = &r->w;
    if (!r->unescaped && !(r->unescaped = malloc(r->size))) return false;
    char *at = r->unescaped;
    for (;;) {
        size_t n = (size_t)(w->at - from);
        memcpy(at, from, n);
        at += n;
        if (w->at == w->end || (*w->at != '"' && *w->at != '\\')) return false;
        if (*w->at++ == '"') break;
        if (!(at = unescape(r, at))) return false;
        from = w->at;
        if (!skip_plain(w)) return false;
    }
    *out = (struct quick_text){r->unescaped, (size_t)(at - r->unescaped)};
    return true;
}

// At its first quote. What it gives lasts until the next one.
static bool read_text(struct quick_reader *r, struct quick_text *out) {
    struct router_json_walk *w = &r->w;
    const char *from = ++w->at;
    if (!skip_plain(w) || w->at == w->end) return false;
    if (*w->at != '"') return read_escaped(r, from, out);
    *out = (struct quick_text){from, (size_t)(w->at++ - from)};
    return true;
}

// ---- Numbers -------------------------------------------------------------------------------------

static bool is_digit(const struct router_json_walk *w) {
    return w->at < w->end && *w->at >= '0' && *w->at <= '9';
}

static size_t read_digits(struct router_json_walk *w, size_t max, int64_t *n) {
    size_t digits = 0;
    for (; is_digit(w) && digits < max; w->at++, digits++)
        *n = *n * 10 + (*w->at - '0');
    return digits;
}

// With so few digits both the whole of them and the power of ten are exact, and so their quotient is rounded once:
// to what strtod says.
static json_t *read_number(struct quick_reader *r) {
    static const double powers[QUICK_REAL_DIGITS + 1] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    struct router_json_walk *w = &r->w;
    bool minus = *w->at == '-';
    w->at += minus;
    const char *from = w->at;
    int64_t n = 0;
    size_t digits = read_digits(w, QUICK_WHOLE_DIGITS, &n), behind = 0;
    if (!digits || (*from == '0' && digits > 1)) return NULL;
    bool real = w->at < w->end && *w->at == '.';
    if (real) {
        w->at++;
        if (digits >= QUICK_REAL_DIGITS) return NULL;
        if (!(behind = read_digits(w, QUICK_REAL_DIGITS - digits, &n))) return NULL;
    }
    if (w->at < w->end && (*w->at == 'e' || *w->at == 'E' || *w->at == '.' || is_digit(w)))
        return NULL;
    if (!real) return json_integer(minus ? -n : n);
    double value = (double)n / powers[behind];
    return json_real(minus ? -value : value);
}

// ---- Values --------------------------------------------------------------------------------------

static bool read_item(struct quick_reader *r, json_t *list) {
    json_t *value = read_any(r);
    return value && !json_array_append_new(list, value);
}

static bool read_member(struct quick_reader *r, json_t *object) {
    struct quick_text name;
    size_t before = json_object_size(object);
    if (router_json_next(&r->w) != '"' || !read_text(r, &name)) return false;
    // The name is copied before its value is read, which may take the place of what was unescaped.
    char copy[64], *kept = name.n <= sizeof copy ? copy : malloc(name.n);
    if (!kept) return false;
    memcpy(kept, name.at, name.n);
    json_t *value = router_json_take(&r->w, ':') ? read_any(r) : NULL;
    bool good = value && !json_object_setn_new_nocheck(object, kept, name.n, value);
    if (kept != copy) free(kept);
    return good && json_object_size(object) == before + 1;
}

static json_t *read_container(struct quick_reader *r, json_t *into, char close,
                              bool (*read)(struct quick_reader *r, json_t *into)) {
    bool good = into && ++r->depth <= ROUTER_JSON_QUICK_DEPTH;
    r->w.at++;
    if (good && !router_json_take(&r->w, close)) {
        do
            good = read(r, into);
        while (good && router_json_take(&r->w, ','));
        good = good && router_json_take(&r->w, close);
    }
    r->depth--;
    if (good) return into;
    json_decref(into);
    return NULL;
}

static json_t *read_word(struct quick_reader *r, const char *word, json_t *value) {
    size_t n = strlen(word);
    if ((size_t)(r->w.end - r->w.at) < n || memcmp(r->w.at, word, n) != 0) return NULL;
    r->w.at += n;
    return value;
}

static json_t *read_any(struct quick_reader *r) {
    struct quick_text text;
    char c = router_json_next(&r->w);
    switch (c) {
    case '{':
        return read_container(r, json_object(), '}', read_member);
    case '[':
        return read_container(r, json_array(), ']', read_item);
    case '"':
        return read_text(r, &text) ? json_stringn_nocheck(text.at, text.n) : NULL;
    case 't':
        return read_word(r, "true", json_true());
    case 'f':
        return read_word(r, "false", json_false());
    case 'n':
        return read_word(r, "null", json_null());
    default:
        return c == '-' || (c >= '0' && c <= '9') ? read_number(r) : NULL;
    }
}

json_t *router_json_quick(const char *text, size_t n) {
    struct quick_reader r = {.w = {text, text + n}, .size = n};
    json_t *value = router_json_next(&r.w) == '{' ? read_any(&r) : NULL;
    bool whole = !router_json_next(&r.w) && r.w.at == r.w.end;
    free(r.unescaped);
    if (value && whole) return value;
    json_decref(value);
    return NULL;
}
