// SPDX-License-Identifier: Apache-2.0
#include "router_token_ids.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "router_json_walk.h"

// Behind the bracket that opens the list. False: there is no such field.
static bool find_list(struct router_json_walk *w, const char *name) {
    size_t n = strlen(name), depth = 0;
    while (w->at < w->end) {
        if (*w->at != '"') {
            depth += *w->at == '{' || *w->at == '[';
            depth -= *w->at == '}' || *w->at == ']';
            w->at++;
            continue;
        }
        const char *text = w->at + 1;
        if (!router_json_skip_text(w)) return false;
        if (depth != 1 || (size_t)(w->at - text) != n + 1 || memcmp(text, name, n) != 0) continue;
        struct router_json_walk value = *w;
        if (!router_json_take(&value, ':') || !router_json_take(&value, '[')) continue;
        *w = value;
        return true;
    }
    return false;
}

enum { IDS_USUAL_BYTES = 6 }; // of one with its comma

struct id_list {
    uint32_t *ids;
    size_t n, room;
};

// False: no memory.
static bool grow_ids(struct id_list *l) {
    uint32_t *more = realloc(l->ids, 2 * l->room * sizeof *more);
    if (!more) return false;
    l->ids = more;
    l->room *= 2;
    return true;
}

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && router_json_blank(*at))
        at++;
    return at;
}

enum { IDS_STEP = 8 };

// How many digits these eight bytes begin with; *x: what they say. All of them at once: two neighbours become one
// number below 100, two of these one below 10,000, and so on.
static size_t read_digits(const char bytes[IDS_STEP], uint64_t *x) {
    uint64_t w;
    memcpy(&w, bytes, sizeof w);
    w = le64toh(w) ^ 0x3030303030303030; // the first digit is the lowest byte: 0 to 9
    uint64_t others = ((w + 0x7676767676767676) | w) & 0x8080808080808080; // right up to the first
    size_t n = others ? (size_t)__builtin_ctzll(others) / 8 : IDS_STEP;
    if (!n) return 0;
    w <<= 8 * (IDS_STEP - n); // zeros come before them
    w = (w * 10 + (w >> 8)) & 0x00ff00ff00ff00ff;
    w = (w * 100 + (w >> 16)) & 0x0000ffff0000ffff;
    *x = (w * 10000 + (w >> 32)) & 0xffffffff;
    return n;
}

// One by one, up to the first that makes it too large.
static const char *read_further_digits(const char *at, const char *end, uint64_t *x) {
    for (unsigned digit; at < end && *x <= UINT32_MAX; at++) {
        if ((digit = (unsigned char)*at - (unsigned)'0') > 9) break;
        *x = 10 * *x + digit;
    }
    return at;
}

enum ids_outcome { IDS_READ, IDS_NONE, IDS_NO_MEMORY };

// Numbers as JSON writes them, up to the closing bracket. NONE: something else is in the list, or they are too
// large. It is most of what choosing for others costs, so nothing in it goes through memory.
static enum ids_outcome read_ids(struct router_json_walk *w, struct id_list *l) {
    const char *at = w->at, *end = w->end;
    for (;; at++) {
        at = skip_blanks(at, end);
        const char *from = at;
        uint64_t x = 0;
        size_t n = end - at < IDS_STEP ? 0 : read_digits(at, &x);
        at += n;
        if (!n || n == IDS_STEP) at = read_further_digits(at, end, &x);
        if (x > UINT32_MAX) return IDS_NONE;
        if (at == from || (*from == '0' && at - from > 1)) return IDS_NONE;
        if (l->n == l->room && !grow_ids(l)) return IDS_NO_MEMORY;
        l->ids[l->n++] = (uint32_t)x;
        at = skip_blanks(at, end);
        if (at == end || *at != ',') break;
    }
    w->at = at;
    return at < end && *at == ']' ? IDS_READ : IDS_NONE;
}

bool router_token_ids_extract(char *text, size_t *n, const char *name, uint32_t **ids,
                              size_t *n_ids) {
    struct router_json_walk w = {text, text + *n};
    *ids = NULL;
    *n_ids = 0;
    if (!find_list(&w, name)) return true;
    char *list = text + (w.at - text);
    struct id_list l = {.room = (size_t)(w.end - w.at) / IDS_USUAL_BYTES + 16};
    l.ids = malloc(l.room * sizeof *l.ids);
    enum ids_outcome how = l.ids ? read_ids(&w, &l) : IDS_NO_MEMORY;
    if (how == IDS_READ) {
        memmove(list, w.at, (size_t)(w.end - w.at));
        *n -= (size_t)(w.at - list);
        *ids = l.ids;
        *n_ids = l.n;
        return true;
    }
    free(l.ids);
    return how == IDS_NONE;
}
