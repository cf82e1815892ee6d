// SPDX-License-Identifier: Apache-2.0
#include "router_members.h"

#include <stdlib.h>
#include <string.h>

#include "router_json_walk.h"

// A name with escapes could be another one's, so such a body isn't edited.
static bool read_member(struct router_json_walk *w, const char *text, struct router_member *m) {
    if (router_json_next(w) != '"') return false;
    m->name = (size_t)(w->at + 1 - text);
    if (!router_json_skip_text(w)) return false;
    m->name_size = (size_t)(w->at - text) - m->name - 1;
    if (memchr(text + m->name, '\\', m->name_size)) return false;
    if (!router_json_take(w, ':') || !router_json_next(w)) return false;
    m->value = (size_t)(w->at - text);
    if (!router_json_skip_value(w)) return false;
    m->end = (size_t)(w->at - text);
    return true;
}

static bool read_all(struct router_json_walk *w, const char *text, struct router_members *m) {
    if (!router_json_take(w, '{')) return false;
    for (bool more = router_json_next(w) != '}'; more; more = router_json_take(w, ',')) {
        if (m->n == ROUTER_MAX_MEMBERS || !read_member(w, text, &m->all[m->n])) return false;
        m->n++;
    }
    if (router_json_next(w) != '}') return false;
    m->close = (size_t)(w->at++ - text);
    return !router_json_next(w) && w->at == w->end;
}

bool router_members_read(struct router_members *m, const char *text, size_t n) {
    struct router_json_walk w = {text, text + n};
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) w.at += 3;
    *m = (struct router_members){.all = malloc(ROUTER_MAX_MEMBERS * sizeof *m->all)};
    if (m->all && read_all(&w, text, m)) {
        struct router_member *less = realloc(m->all, (m->n ? m->n : 1) * sizeof *less);
        if (less) m->all = less;
        return true;
    }
    router_members_free(m);
    return false;
}

void router_members_free(struct router_members *m) {
    free(m->all);
    *m = (struct router_members){.all = NULL};
}

const struct router_member *router_members_find(const struct router_members *m, const char *text,
                                                const char *name) {
    size_t size = strlen(name);
    for (size_t i = m->n; i-- > 0;)
        if (m->all[i].name_size == size && !memcmp(text + m->all[i].name, name, size))
            return &m->all[i];
    return NULL;
}
