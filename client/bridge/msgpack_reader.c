// SPDX-License-Identifier: Apache-2.0
#include "msgpack_reader.h"

#include <string.h>

static uint64_t big_endian(const uint8_t *p, unsigned width) {
    uint64_t x = 0;
    for (unsigned i = 0; i < width; i++)
        x = x << 8 | p[i];
    return x;
}

static bool take(struct bridge_msgpack *s, unsigned width, uint64_t *x) {
    if ((size_t)(s->end - s->at) < width) return false;
    *x = big_endian(s->at, width);
    s->at += width;
    return true;
}

static bool take_bytes(struct bridge_msgpack *s, struct bridge_msgpack_value *v,
                       enum bridge_msgpack_kind kind, uint64_t n) {
    if ((uint64_t)(s->end - s->at) < n) return false;
    v->kind = kind;
    v->bytes = s->at;
    v->n = (uint32_t)n;
    s->at += n;
    return true;
}

// Every element takes a byte at least, every pair two.
static bool take_container(struct bridge_msgpack *s, struct bridge_msgpack_value *v,
                           enum bridge_msgpack_kind kind, uint64_t n) {
    uint64_t left = (uint64_t)(s->end - s->at);
    if (n > (kind == BRIDGE_MSGPACK_MAP ? left / 2 : left)) return false;
    v->kind = kind;
    v->n = (uint32_t)n;
    return true;
}

static bool take_int(struct bridge_msgpack *s, struct bridge_msgpack_value *v, unsigned width,
                     bool is_signed) {
    if (!take(s, width, &v->number)) return false;
    v->kind = BRIDGE_MSGPACK_INT;
    v->negative = is_signed && v->number >> (8 * width - 1);
    if (v->negative && width < 8) v->number |= UINT64_MAX << (8 * width);
    return true;
}

static bool take_float(struct bridge_msgpack *s, struct bridge_msgpack_value *v, unsigned width) {
    uint64_t bits;
    if (!take(s, width, &bits)) return false;
    v->kind = BRIDGE_MSGPACK_FLOAT;
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

static bool take_sized(struct bridge_msgpack *s, struct bridge_msgpack_value *v,
                       enum bridge_msgpack_kind kind, unsigned width) {
    uint64_t n;
    if (!take(s, width, &n)) return false;
    if (kind == BRIDGE_MSGPACK_ARRAY || kind == BRIDGE_MSGPACK_MAP)
        return take_container(s, v, kind, n);
    return take_bytes(s, v, kind,
                      kind == BRIDGE_MSGPACK_EXT ? n + 1 : n); // an ext's type is a byte more
}

bool bridge_msgpack_next(struct bridge_msgpack *s, struct bridge_msgpack_value *v) {
    if (s->at == s->end) return false;
    uint8_t head = *s->at++;
    v->negative = false;
    v->number = 0;
    if (head < 0x80) {
        v->kind = BRIDGE_MSGPACK_INT;
        v->number = head;
        return true;
    }
    if (head >= 0xe0) {
        v->kind = BRIDGE_MSGPACK_INT;
        v->number = (uint64_t)(int64_t)(int8_t)head;
        v->negative = true;
        return true;
    }
    if (head < 0x90) return take_container(s, v, BRIDGE_MSGPACK_MAP, head & 15u);
    if (head < 0xa0) return take_container(s, v, BRIDGE_MSGPACK_ARRAY, head & 15u);
    if (head < 0xc0) return take_bytes(s, v, BRIDGE_MSGPACK_STR, head & 31u);
    switch (head) {
    case 0xc0:
        v->kind = BRIDGE_MSGPACK_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        v->kind = BRIDGE_MSGPACK_BOOL;
        v->number = head & 1u;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(s, v, BRIDGE_MSGPACK_BIN, 1u << (head - 0xc4));
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return take_sized(s, v, BRIDGE_MSGPACK_EXT, 1u << (head - 0xc7));
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
        return take_bytes(s, v, BRIDGE_MSGPACK_EXT, (1u << (head - 0xd4)) + 1u);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(s, v, BRIDGE_MSGPACK_STR, 1u << (head - 0xd9));
    case 0xdc:
    case 0xdd:
        return take_sized(s, v, BRIDGE_MSGPACK_ARRAY, 2u << (head - 0xdc));
    case 0xde:
    case 0xdf:
        return take_sized(s, v, BRIDGE_MSGPACK_MAP, 2u << (head - 0xde));
    default: // 0xc1
        return false;
    }
}

// The bytes of a whole number that isn't negative, by its first byte; 0: it is something else.
static size_t natural_width(uint8_t head) {
    if (head == 0xce) return 5;
    if (head == 0xcd) return 3;
    if (head < 0x80) return 1;
    if (head == 0xcc) return 2;
    return head == 0xcf ? 9 : 0;
}

// Steps over such numbers, up to *left of them.
static void skip_naturals(struct bridge_msgpack *s, uint64_t *left) {
    const uint8_t *at = s->at;
    uint64_t n = *left;
    for (; n && at < s->end; n--) {
        size_t width = natural_width(*at);
        if (!width || (size_t)(s->end - at) < width) break;
        at += width;
    }
    s->at = at;
    *left = n;
}

uint32_t bridge_msgpack_take_u32s(struct bridge_msgpack *s, uint32_t *out, uint32_t n) {
    const uint8_t *at = s->at;
    uint32_t i = 0;
    for (; i < n && at < s->end; i++) {
        size_t width = natural_width(*at);
        if (!width || width > 5 || (size_t)(s->end - at) < width) break;
        if (width == 5)
            out[i] = (uint32_t)big_endian(at + 1, 4);
        else
            out[i] = width == 1 ? *at : (uint32_t)big_endian(at + 1, (unsigned)width - 1);
        at += width;
    }
    s->at = at;
    return i;
}

bool bridge_msgpack_skip_within(struct bridge_msgpack *s, unsigned depth) {
    uint64_t left[BRIDGE_MSGPACK_MAX_DEPTH + 1]; // values still to come, at each depth
    unsigned top = depth;
    left[depth] = 1;
    while (left[depth] || depth > top) {
        struct bridge_msgpack_value v;
        if (!left[depth]) {
            depth--;
            continue;
        }
        left[depth]--;
        if (!bridge_msgpack_next(s, &v)) return false;
        if (v.kind != BRIDGE_MSGPACK_ARRAY && v.kind != BRIDGE_MSGPACK_MAP) continue;
        if (depth == BRIDGE_MSGPACK_MAX_DEPTH) return false;
        left[++depth] = v.kind == BRIDGE_MSGPACK_MAP ? (uint64_t)v.n * 2 : v.n;
        skip_naturals(s, &left[depth]);
    }
    return true;
}

bool bridge_msgpack_skip(struct bridge_msgpack *s) {
    return bridge_msgpack_skip_within(s, 0);
}
