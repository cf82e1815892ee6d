// SPDX-License-Identifier: Apache-2.0
// A cursor over a command's arguments.
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "args.h"

static const char SYNTAX[] = "syntax error";
static const char NOT_A_NUMBER[] = "value is not a number";
static const char OUT_OF_RANGE[] = "value is out of range";
static const char NO_MEMORY[] = "out of memory";

bool args_fail(struct args *a, const char *error) {
    if (!a->error) a->error = error;
    return false;
}

bool args_end(struct args *a) {
    return a->at == a->argc || args_fail(a, SYNTAX);
}

struct kvr_bytes bytes_of(const RedisModuleString *s) {
    struct kvr_bytes b;
    b.p = RedisModule_StringPtrLen(s, &b.n);
    return b;
}

bool bytes_are(struct kvr_bytes b, const char *word) {
    return b.n == strlen(word) && strncasecmp(b.p, word, b.n) == 0;
}

struct kvr_bytes args_peek(const struct args *a) {
    if (a->at < a->argc) return bytes_of(a->argv[a->at]);
    return (struct kvr_bytes){"", 0};
}

bool args_bytes(struct args *a, struct kvr_bytes *out) {
    if (a->at == a->argc) return args_fail(a, SYNTAX);
    *out = bytes_of(a->argv[a->at++]);
    return true;
}

bool args_name(struct args *a, size_t longest, struct kvr_bytes *out) {
    if (!args_bytes(a, out)) return false;
    return (out->n > 0 && out->n <= longest) || args_fail(a, "name is empty or too long");
}

static bool parse_u64(struct kvr_bytes b, uint64_t *out) {
    if (b.n == 0 || b.n > 20) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < b.n; i++) {
        unsigned digit = (unsigned char)b.p[i] - (unsigned)'0';
        if (digit > 9 || v > UINT64_MAX / 10 || v * 10 > UINT64_MAX - digit) return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool args_u64(struct args *a, uint64_t least, uint64_t most, uint64_t *out) {
    struct kvr_bytes b;
    if (!args_bytes(a, &b)) return false;
    if (!parse_u64(b, out)) return args_fail(a, NOT_A_NUMBER);
    return (*out >= least && *out <= most) || args_fail(a, OUT_OF_RANGE);
}

bool args_i64(struct args *a, int64_t least, int64_t most, int64_t *out) {
    uint64_t v;
    if (!args_u64(a, (uint64_t)least, (uint64_t)most, &v)) return false;
    *out = (int64_t)v;
    return true;
}

bool args_double(struct args *a, double least, double most, double *out) {
    struct kvr_bytes b;
    char text[64];
    if (!args_bytes(a, &b)) return false;
    if (b.n == 0 || b.n >= sizeof text) return args_fail(a, NOT_A_NUMBER);
    for (size_t i = 0; i < b.n; i++) {
        char c = b.p[i];
        bool digit = c >= '0' && c <= '9';
        bool sign = (c == '-' || c == '+') && i > 0;
        if (!digit && !sign && c != '.' && c != 'e' && c != 'E') return args_fail(a, NOT_A_NUMBER);
    }
    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text) return args_fail(a, NOT_A_NUMBER);
    if (!(v >= least && v <= most)) return args_fail(a, OUT_OF_RANGE);
    *out = v;
    return true;
}

// 0 to 15, or 255 for what is no hex digit.
static unsigned hex_digit(char c) {
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f') return (unsigned)(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return (unsigned)(c - 'A' + 10);
    return 255;
}

bool hex_read(const char *digits, uint64_t *out) {
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        unsigned d = hex_digit(digits[i]);
        if (d > 15) return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

void hex_write(uint64_t hash, char digits[16]) {
    for (int i = 15; i >= 0; i--, hash >>= 4)
        digits[i] = "0123456789abcdef"[hash & 15];
}

bool args_hash(struct args *a, uint64_t *out) {
    struct kvr_bytes b;
    if (!args_bytes(a, &b)) return false;
    if (b.n == sizeof *out) {
        memcpy(out, b.p, sizeof *out);
        return true;
    }
    if (b.n == 16 && hex_read(b.p, out)) return true;
    return args_fail(a, "a hash is 16 hex digits or 8 bytes");
}

bool args_names(struct args *a, const struct kvr_bytes **out, size_t *n) {
    uint64_t count;
    if (!args_u64(a, 0, UINT64_MAX, &count)) return false;
    if (count > args_left(a)) return args_fail(a, "fewer names than announced");
    struct kvr_bytes *names = arena_array(a->arena, count, sizeof *names);
    if (!names) return args_fail(a, NO_MEMORY);
    for (size_t i = 0; i < count; i++)
        names[i] = bytes_of(a->argv[a->at++]);
    *out = names;
    *n = count;
    return true;
}

bool args_labels(struct args *a, const struct kvr_bytes **out, size_t *n) {
    if (!args_names(a, out, n)) return false;
    if (*n > KVR_MAX_LABELS) return args_fail(a, "more labels than 64");
    for (size_t i = 0; i < *n; i++)
        if ((*out)[i].n < 1 || (*out)[i].n > KVR_MAX_LABEL)
            return args_fail(a, "a label has 1 to 128 bytes");
    return true;
}

bool args_is(struct args *a, const char *word) {
    if (a->at == a->argc || !bytes_are(bytes_of(a->argv[a->at]), word)) return false;
    a->at++;
    return true;
}

int args_word(struct args *a, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (args_is(a, words[i])) return (int)i;
    args_fail(a, SYNTAX);
    return -1;
}

int args_option(struct args *a, const char *const *words, size_t n, unsigned *seen) {
    if (a->at == a->argc || a->error) return -1;
    int i = args_word(a, words, n);
    if (i < 0) return -1;
    if (*seen & 1u << i) {
        args_fail(a, "an option is given twice");
        return -1;
    }
    *seen |= 1u << i;
    return i;
}
