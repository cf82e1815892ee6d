// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "module/core/rule/policy.h"

static const char SYNTAX[] = "syntax error";
static const char MISSING[] = "an argument is missing";
static const char NOT_A_NUMBER[] = "value is not a number";
static const char OUT_OF_RANGE[] = "value is out of range";
static const char NO_MEMORY[] = "out of memory";

bool mod_args_fail(struct mod_args *a, const char *error) {
    if (!a->error) {
        a->error = error;
        a->wrong = error == SYNTAX ? a->at : 0;
    }
    return false;
}

bool mod_args_end(struct mod_args *a) {
    return a->at == a->argc || mod_args_fail(a, SYNTAX);
}

bool mod_bytes_are(struct kvr_bytes b, const char *word) {
    return b.n == strlen(word) && strncasecmp(b.p, word, b.n) == 0;
}

bool mod_args_bytes(struct mod_args *a, struct kvr_bytes *out) {
    if (a->at == a->argc) return mod_args_fail(a, MISSING);
    *out = mod_bytes_of(a->argv[a->at++]);
    return true;
}

bool mod_args_name(struct mod_args *a, size_t max, struct kvr_bytes *out) {
    if (!mod_args_bytes(a, out)) return false;
    return (out->n > 0 && out->n <= max) || mod_args_fail(a, "name is empty or too long");
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

bool mod_args_u64(struct mod_args *a, uint64_t min, uint64_t max, uint64_t *out) {
    struct kvr_bytes b;
    if (!mod_args_bytes(a, &b)) return false;
    if (!parse_u64(b, out)) return mod_args_fail(a, NOT_A_NUMBER);
    return (*out >= min && *out <= max) || mod_args_fail(a, OUT_OF_RANGE);
}

bool mod_args_i64(struct mod_args *a, int64_t min, int64_t max, int64_t *out) {
    uint64_t v;
    if (!mod_args_u64(a, (uint64_t)min, (uint64_t)max, &v)) return false;
    *out = (int64_t)v;
    return true;
}

// 0 to 15, or 255 for what is no hex digit.
static unsigned hex_digit(char c) {
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f') return (unsigned)(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return (unsigned)(c - 'A' + 10);
    return 255;
}

bool mod_hex_read(const char *digits, uint64_t *out) {
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        unsigned d = hex_digit(digits[i]);
        if (d > 15) return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

void mod_hex_write(uint64_t hash, char digits[16]) {
    for (int i = 15; i >= 0; i--, hash >>= 4)
        digits[i] = "0123456789abcdef"[hash & 15];
}

bool mod_args_hash(struct mod_args *a, uint64_t *out) {
    struct kvr_bytes b;
    if (!mod_args_bytes(a, &b)) return false;
    if (b.n == sizeof *out) {
        memcpy(out, b.p, sizeof *out);
        return true;
    }
    if (b.n == 16 && mod_hex_read(b.p, out)) return true;
    return mod_args_fail(a, "a hash is 16 hex digits or 8 bytes");
}

bool mod_args_is(struct mod_args *a, const char *word) {
    if (a->at == a->argc || !mod_bytes_are(mod_bytes_of(a->argv[a->at]), word)) return false;
    a->at++;
    return true;
}

int mod_args_word(struct mod_args *a, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (mod_args_is(a, words[i])) return (int)i;
    mod_args_fail(a, mod_args_left(a) ? SYNTAX : MISSING);
    return -1;
}

// ---- Options -------------------------------------------------------------------------------------

static bool parse_u32(struct mod_args *a, uint64_t min, uint64_t max, uint32_t *out) {
    uint64_t v;
    if (!mod_args_u64(a, min, max, &v)) return false;
    *out = (uint32_t)v;
    return true;
}

static bool parse_signed(struct mod_args *a, double min, double max, int64_t *out) {
    struct kvr_bytes b;
    uint64_t v;
    if (!mod_args_bytes(a, &b)) return false;
    bool minus = b.n && *b.p == '-';
    if (minus) b = (struct kvr_bytes){b.p + 1, b.n - 1};
    if (!parse_u64(b, &v)) return mod_args_fail(a, NOT_A_NUMBER);
    if (v > INT64_MAX) return mod_args_fail(a, OUT_OF_RANGE);
    *out = minus ? -(int64_t)v : (int64_t)v;
    return ((double)*out >= min && (double)*out <= max) || mod_args_fail(a, OUT_OF_RANGE);
}

static bool parse_double(struct mod_args *a, double min, double max, double *out) {
    struct kvr_bytes b;
    char text[64];
    if (!mod_args_bytes(a, &b)) return false;
    if (b.n == 0 || b.n >= sizeof text) return mod_args_fail(a, NOT_A_NUMBER);
    for (size_t i = 0; i < b.n; i++) {
        char c = b.p[i];
        bool digit = c >= '0' && c <= '9';
        bool sign = (c == '-' || c == '+') && i > 0;
        if (!digit && !sign && c != '.' && c != 'e' && c != 'E')
            return mod_args_fail(a, NOT_A_NUMBER);
    }
    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    char *end;
    double v = strtod(text, &end);
    if (*end || end == text) return mod_args_fail(a, NOT_A_NUMBER);
    if (!(v >= min && v <= max)) return mod_args_fail(a, OUT_OF_RANGE);
    *out = v;
    return true;
}

static bool parse_names(struct mod_args *a, const struct kvr_bytes **out, size_t *n) {
    uint64_t count;
    if (!mod_args_u64(a, 0, UINT64_MAX, &count)) return false;
    if (count > mod_args_left(a)) return mod_args_fail(a, "fewer names than announced");
    struct kvr_bytes *names = mod_arena_array(a->arena, count, sizeof *names);
    if (!names) return mod_args_fail(a, NO_MEMORY);
    for (size_t i = 0; i < count; i++)
        names[i] = mod_bytes_of(a->argv[a->at++]);
    *out = names;
    *n = count;
    return true;
}

static bool parse_labels(struct mod_args *a, const struct kvr_bytes **out, size_t *n) {
    if (!parse_names(a, out, n)) return false;
    if (*n > KVR_MAX_LABELS) return mod_args_fail(a, "more labels than 64");
    for (size_t i = 0; i < *n; i++)
        if ((*out)[i].n < 1 || (*out)[i].n > KVR_MAX_LABEL)
            return mod_args_fail(a, "a label has 1 to 128 bytes");
    return true;
}

static bool parse_state(struct mod_args *a, enum kvr_state *out) {
    int i = mod_args_word(a, kvr_state_names, KVR_EXPIRED);
    if (i >= 0) *out = (enum kvr_state)i;
    return i >= 0;
}

static bool parse_role(struct mod_args *a, enum kvr_role *out) {
    int i = mod_args_word(a, kvr_role_names, KVR_ROLE_DECODE + 1);
    if (i >= 0) *out = (enum kvr_role)i;
    return i >= 0;
}

static bool parse_policy(struct mod_args *a, int *out) {
    struct kvr_bytes name;
    if (!mod_args_bytes(a, &name)) return false;
    *out = kvr_policy_find(name.p, name.n);
    return *out >= 0 || mod_args_fail(a, "no such policy");
}

static bool parse_address(struct mod_args *a, size_t max, struct kvr_bytes *out) {
    return mod_args_bytes(a, out) && (out->n <= max || mod_args_fail(a, "address is too long"));
}

static bool parse_option(struct mod_args *a, const struct mod_option *o, char *fields) {
    void *at = fields + o->at;
    switch (o->kind) {
    case MOD_OPTION_FLAG:
        *(bool *)at = true;
        return true;
    case MOD_OPTION_I64:
        return mod_args_i64(a, (int64_t)o->min, (int64_t)o->max, at);
    case MOD_OPTION_SIGNED:
        return parse_signed(a, o->min, o->max, at);
    case MOD_OPTION_U64:
        return mod_args_u64(a, (uint64_t)o->min, (uint64_t)o->max, at);
    case MOD_OPTION_U32:
        return parse_u32(a, (uint64_t)o->min, (uint64_t)o->max, at);
    case MOD_OPTION_DOUBLE:
        return parse_double(a, o->min, o->max, at);
    case MOD_OPTION_TIME:
        return mod_args_i64(a, 0, INT64_MAX, at);
    case MOD_OPTION_HASH:
        return mod_args_hash(a, at);
    case MOD_OPTION_NAME:
        return mod_args_name(a, (size_t)o->max, at);
    case MOD_OPTION_ADDRESS:
        return parse_address(a, (size_t)o->max, at);
    case MOD_OPTION_NAMES:
        return parse_names(a, at, (size_t *)(fields + o->count_at));
    case MOD_OPTION_LABELS:
        return parse_labels(a, at, (size_t *)(fields + o->count_at));
    case MOD_OPTION_STATE:
        return parse_state(a, at);
    case MOD_OPTION_POLICY:
        return parse_policy(a, at);
    case MOD_OPTION_ROLE:
        return parse_role(a, at);
    case MOD_OPTION_RANK:
        return mod_args_name(a, (size_t)o->max, at) &&
               parse_u32(a, 0, UINT32_MAX, (uint32_t *)(fields + o->count_at));
    }
    return false;
}

static bool next_option(struct mod_args *a, const struct mod_option *options, size_t n,
                        size_t *which) {
    for (*which = 0; *which < n; ++*which)
        if (mod_args_is(a, options[*which].word)) return true;
    return mod_args_fail(a, SYNTAX);
}

bool mod_args_options(struct mod_args *a, const struct mod_option *options, size_t n, void *fields,
                      unsigned *seen) {
    *seen = 0;
    while (mod_args_left(a) && !a->error) {
        size_t i;
        if (!next_option(a, options, n, &i)) return false;
        a->option = options[i].word;
        if (*seen & 1u << i) return mod_args_fail(a, "an option is given twice");
        *seen |= 1u << i;
        if ((options[i].effect || options[i].kind == MOD_OPTION_TIME) && !a->effect)
            return mod_args_fail(a, "this option is for replication only");
        if (!parse_option(a, &options[i], fields)) return false;
        a->option = NULL;
    }
    return !a->error;
}
