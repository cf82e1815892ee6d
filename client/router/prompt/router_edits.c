// SPDX-License-Identifier: Apache-2.0
#include "router_edits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Gathering -----------------------------------------------------------------------------------

static bool is_same(const struct router_edit *e, const char *name, const char *member) {
    if (strcmp(e->name, name) != 0) return false;
    return member && e->member ? !strcmp(e->member, member) : !member && !e->member;
}

static void forget(struct router_edits *e, const char *name, const char *member) {
    size_t kept = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (is_same(&e->all[i], name, member))
            free(e->all[i].json);
        else
            e->all[kept++] = e->all[i];
    }
    e->n = kept;
}

static void add(struct router_edits *e, const char *name, const char *member, char *json) {
    forget(e, name, member);
    if (e->n == ROUTER_MAX_EDITS) {
        free(json);
        e->failed = true;
        return;
    }
    e->all[e->n++] = (struct router_edit){name, member, json};
}

static void add_or_fail(struct router_edits *e, const char *name, const char *member, char *json) {
    if (json)
        add(e, name, member, json);
    else
        e->failed = true;
}

void router_edits_set(struct router_edits *e, const char *name, const char *json) {
    add_or_fail(e, name, NULL, strdup(json));
}

void router_edits_set_number(struct router_edits *e, const char *name, long long n) {
    char text[24];
    snprintf(text, sizeof text, "%lld", n);
    router_edits_set(e, name, text);
}

void router_edits_remove(struct router_edits *e, const char *name) {
    add(e, name, NULL, NULL);
}

void router_edits_put(struct router_edits *e, const char *name, const char *member, char *json) {
    add_or_fail(e, name, member, json);
}

void router_edits_free(struct router_edits *e) {
    for (size_t i = 0; i < e->n; i++)
        free(e->all[i].json);
    *e = (struct router_edits){.n = 0};
}

// ---- Applying ------------------------------------------------------------------------------------

static bool is_edited(const struct router_edits *e, const char *name, size_t size) {
    for (size_t i = 0; i < e->n; i++)
        if (strlen(e->all[i].name) == size && !memcmp(e->all[i].name, name, size)) return true;
    return false;
}

static bool has_members(const struct router_edits *e, const char *name) {
    for (size_t i = 0; i < e->n; i++)
        if (e->all[i].member && !strcmp(e->all[i].name, name)) return true;
    return false;
}

static bool is_first(const struct router_edits *e, size_t at) {
    for (size_t i = 0; i < at; i++)
        if (!strcmp(e->all[i].name, e->all[at].name)) return false;
    return true;
}

// The value that was set under this name; NULL: none was.
static const char *whole_of(const struct router_edits *e, const char *name) {
    for (size_t i = 0; i < e->n; i++)
        if (!e->all[i].member && !strcmp(e->all[i].name, name)) return e->all[i].json;
    return NULL;
}

// Of the members of an object {…}, how many bytes; *at: where they begin. 0: it has none, or is none.
static size_t find_members(const char *object, const char **at) {
    size_t n = object ? strlen(object) : 0;
    while (n && strchr(" \t\r\n", object[n - 1]))
        n--;
    if (n < 2 || *object != '{' || object[n - 1] != '}') return 0;
    *at = object + 1;
    n -= 2;
    return strspn(*at, " \t\r\n") < n ? n : 0;
}

// What was set under the name of the one at `at`, and all that was put there.
static bool add_object(const struct router_edits *e, size_t at, struct evbuffer *out) {
    const char *sign = "", *members = NULL, *name = e->all[at].name;
    size_t n = find_members(whole_of(e, name), &members);
    bool good = !evbuffer_add(out, "{", 1) && (!n || !evbuffer_add(out, members, n));
    if (n) sign = ",";
    for (size_t i = 0; i < e->n; i++) {
        const struct router_edit *g = &e->all[i];
        if (!g->member || strcmp(g->name, name) != 0) continue;
        good = good && evbuffer_add_printf(out, "%s\"%s\":%s", sign, g->member, g->json) > 0;
        sign = ",";
    }
    return good && !evbuffer_add(out, "}", 1);
}

static bool add_edits(const struct router_edits *e, const char *sign, struct evbuffer *out) {
    for (size_t i = 0; i < e->n; i++) {
        const struct router_edit *g = &e->all[i];
        bool object = has_members(e, g->name);
        if (!is_first(e, i) || (!g->json && !object)) continue;
        if (evbuffer_add_printf(out, "%s\"%s\":", sign, g->name) < 0) return false;
        if (object ? !add_object(e, i, out) : evbuffer_add(out, g->json, strlen(g->json)) != 0)
            return false;
        sign = ",";
    }
    return true;
}

// The client's body goes when the answer begins, and an engine may answer before it has read all. So its bytes
// stay as long as pieces of them are on their way.
struct kept_bytes {
    struct evbuffer *bytes;
    size_t pieces; // and one while they are added
};

static struct kept_bytes *keep(struct evbuffer *body) {
    struct kept_bytes *k = malloc(sizeof *k);
    if (!k) return NULL;
    *k = (struct kept_bytes){evbuffer_new(), 1};
    if (k->bytes && !evbuffer_add_buffer_reference(k->bytes, body)) return k;
    if (k->bytes) evbuffer_free(k->bytes);
    free(k);
    return NULL;
}

static void let_go(const void *bytes, size_t n, void *kept) {
    struct kept_bytes *k = kept;
    (void)bytes;
    (void)n;
    if (--k->pieces) return;
    evbuffer_free(k->bytes);
    free(k);
}

static bool add_piece(struct evbuffer *out, const char *text, size_t n, struct kept_bytes *k) {
    k->pieces++;
    if (!evbuffer_add_reference(out, text, n, let_go, k)) return true;
    k->pieces--;
    return false;
}

// From the brace to the last member that stays, without those between that don't.
static bool add_rest(const struct router_edits *e, const char *text, const struct router_members *m,
                     struct evbuffer *out, struct kept_bytes *k, const char **sign) {
    *sign = "";
    for (size_t i = 0; i < m->n; i++) {
        const struct router_member *at = &m->all[i];
        if (is_edited(e, text + at->name, at->name_size)) continue;
        size_t from = at->name - 1, last = i;
        while (last + 1 < m->n &&
               !is_edited(e, text + m->all[last + 1].name, m->all[last + 1].name_size))
            last++;
        if (evbuffer_add(out, *sign, strlen(*sign)) ||
            !add_piece(out, text + from, m->all[last].end - from, k))
            return false;
        *sign = ",";
        i = last;
    }
    return true;
}

struct evbuffer *router_edits_none(struct evbuffer *body) {
    const char *text = (const char *)evbuffer_pullup(body, -1);
    struct kept_bytes *k = text ? keep(body) : NULL;
    struct evbuffer *out = k ? evbuffer_new() : NULL;
    bool good = out && add_piece(out, text, evbuffer_get_length(body), k);
    if (out && !good) evbuffer_free(out);
    if (k) let_go(text, 0, k);
    return good ? out : NULL;
}

struct evbuffer *router_edits_apply(const struct router_edits *e, struct evbuffer *body,
                                    const struct router_members *m) {
    const char *text = (const char *)evbuffer_pullup(body, -1), *sign;
    struct kept_bytes *k = text && m->close && !e->failed ? keep(body) : NULL;
    struct evbuffer *out = k ? evbuffer_new() : NULL;
    bool good = out && !evbuffer_add(out, "{", 1) && add_rest(e, text, m, out, k, &sign) &&
                add_edits(e, sign, out) && !evbuffer_add(out, "}", 1);
    if (out && !good) evbuffer_free(out);
    if (k) let_go(text, 0, k);
    return good ? out : NULL;
}
