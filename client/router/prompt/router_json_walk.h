// SPDX-License-Identifier: Apache-2.0
// JSON that is walked over and not parsed: where its signs, texts and values are. Nothing is allocated, and what is
// no JSON is seen by whoever expects a sign that isn't there. For bodies and events of which only places are wanted.
//
//     struct router_json_walk w = {text, text + n};
//     router_json_take(&w, '{') … router_json_skip_text(&w) … router_json_skip_value(&w)
#ifndef ROUTER_JSON_WALK_H
#define ROUTER_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "client/common/scan.h"

struct router_json_walk {
    const char *at, *end;
};

static inline bool router_json_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The next sign that is no blank, which stays; 0: there is none.
static inline char router_json_next(struct router_json_walk *w) {
    while (w->at < w->end && router_json_blank(*w->at))
        w->at++;
    return w->at < w->end ? *w->at : 0;
}

// Goes behind that sign, if it is the next one.
static inline bool router_json_take(struct router_json_walk *w, char c) {
    if (router_json_next(w) != c) return false;
    w->at++;
    return true;
}

// From a text's first quote to behind its last one. False: it has none.
static inline bool router_json_skip_text(struct router_json_walk *w) {
    const char *at = w->at + 1, *end = w->end;
    while ((at = kvr_scan_text(at, end, false)) < end && *at != '"')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    w->at = at < end ? at + 1 : end;
    return at < end;
}

// From the bracket of an object or a list to behind the one that closes it.
static inline bool router_json_skip_nested(struct router_json_walk *w) {
    size_t depth = 0;
    while (w->at < w->end) {
        char c = *w->at;
        if (c == '"') {
            if (!router_json_skip_text(w)) return false;
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        w->at++;
        if (!depth) return true;
    }
    return false;
}

static inline bool router_json_ends_word(char c) {
    return router_json_blank(c) || c == ',' || c == '}' || c == ']' || c == ':' || c == '"' ||
           c == '{' || c == '[';
}

// Behind the next value. False: there is none, or it has no end.
static inline bool router_json_skip_value(struct router_json_walk *w) {
    char c = router_json_next(w);
    if (c == '"') return router_json_skip_text(w);
    if (c == '{' || c == '[') return router_json_skip_nested(w);
    const char *begin = w->at;
    while (w->at < w->end && !router_json_ends_word(*w->at))
        w->at++;
    return w->at > begin;
}

#endif
