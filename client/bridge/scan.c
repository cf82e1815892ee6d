// SPDX-License-Identifier: Apache-2.0
// See scan.h.
#include "scan.h"

#include <string.h>

static uint64_t big_endian(const uint8_t *p, unsigned width) {
    uint64_t x = 0;
    for (unsigned i = 0; i < width; i++)
        x = x << 8 | p[i];
    return x;
}

static bool take(struct scan *s, unsigned width, uint64_t *x) {
    if ((size_t)(s->end - s->at) < width) return false;
    *x = big_endian(s->at, width);
    s->at += width;
    return true;
}

static bool take_bytes(struct scan *s, struct scan_value *v, enum scan_kind kind, uint64_t n) {
    if ((uint64_t)(s->end - s->at) < n) return false;
    v->kind = kind;
    v->bytes = s->at;
    v->n = (uint32_t)n;
    s->at += n;
    return true;
}

// Every element takes a byte at least, every pair two.
static bool take_container(struct scan *s, struct scan_value *v, enum scan_kind kind, uint64_t n) {
    uint64_t left = (uint64_t)(s->end - s->at);
    if (n > (kind == SCAN_MAP ? left / 2 : left)) return false;
    v->kind = kind;
    v->n = (uint32_t)n;
    return true;
}

static bool take_int(struct scan *s, struct scan_value *v, unsigned width, bool is_signed) {
    if (!take(s, width, &v->number)) return false;
    v->kind = SCAN_INT;
    v->negative = is_signed && v->number >> (8 * width - 1);
    if (v->negative && width < 8) v->number |= UINT64_MAX << (8 * width);
    return true;
}

static bool take_float(struct scan *s, struct scan_value *v, unsigned width) {
    uint64_t bits;
    if (!take(s, width, &bits)) return false;
    v->kind = SCAN_FLOAT;
    if (width == 8) {
        memcpy(&v->real, &bits, sizeof v->real);
    } else {
        uint32_t narrow = (uint32_t)bits;
        float f;
        memcpy(&f, &narrow, sizeof f);
        v->real = (double)f;
    }
    return true;
}

static bool take_sized(struct scan *s, struct scan_value *v, enum scan_kind kind, unsigned width) {
    uint64_t n;
    if (!take(s, width, &n)) return false;
    if (kind == SCAN_ARRAY || kind == SCAN_MAP) return take_container(s, v, kind, n);
    return take_bytes(s, v, kind, kind == SCAN_EXT ? n + 1 : n); // an ext's type is a byte more
}

bool scan_next(struct scan *s, struct scan_value *v) {
    if (s->at == s->end) return false;
    uint8_t head = *s->at++;
    v->negative = false;
    v->number = 0;
    if (head < 0x80) {
        v->kind = SCAN_INT;
        v->number = head;
        return true;
    }
    if (head >= 0xe0) {
        v->kind = SCAN_INT;
        v->number = (uint64_t)(int64_t)(int8_t)head;
        v->negative = true;
        return true;
    }
    if (head < 0x90) return take_container(s, v, SCAN_MAP, head & 15u);
    if (head < 0xa0) return take_container(s, v, SCAN_ARRAY, head & 15u);
    if (head < 0xc0) return take_bytes(s, v, SCAN_STR, head & 31u);
    switch (head) {
    case 0xc0:
        v->kind = SCAN_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        v->kind = SCAN_BOOL;
        v->number = head & 1u;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(s, v, SCAN_BIN, 1u << (head - 0xc4));
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return take_sized(s, v, SCAN_EXT, 1u << (head - 0xc7));
    case 0xca:
        return take_float(s, v, 4);
    case 0xcb:
        return take_float(s, v, 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_int(s, v, 1u << (head - 0xcc), false);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_int(s, v, 1u << (head - 0xd0), true);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_bytes(s, v, SCAN_EXT, (1u << (head - 0xd4)) + 1u);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(s, v, SCAN_STR, 1u << (head - 0xd9));
    case 0xdc:
    case 0xdd:
        return take_sized(s, v, SCAN_ARRAY, 2u << (head - 0xdc));
    case 0xde:
    case 0xdf:
        return take_sized(s, v, SCAN_MAP, 2u << (head - 0xde));
    default: // 0xc1
        return false;
    }
}

bool scan_skip(struct scan *s) {
    uint64_t left[SCAN_DEPTH + 1] = {1}; // values still to come, at each depth
    unsigned depth = 0;
    while (left[depth] || depth) {
        struct scan_value v;
        if (!left[depth]) {
            depth--;
            continue;
        }
        left[depth]--;
        if (!scan_next(s, &v)) return false;
        if (v.kind != SCAN_ARRAY && v.kind != SCAN_MAP) continue;
        if (depth == SCAN_DEPTH) return false;
        left[++depth] = v.kind == SCAN_MAP ? (uint64_t)v.n * 2 : v.n;
    }
    return true;
}

bool scan(const void *payload, size_t n) {
    struct scan s = {payload, (const uint8_t *)payload + n};
    return n && scan_skip(&s) && s.at == s.end;
}
