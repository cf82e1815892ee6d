// SPDX-License-Identifier: Apache-2.0
#include "router_bearer.h"

#include <errno.h>
#include <kvroute/hash.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { BEARER_MAX_TOKENS = 1 << 16, BEARER_MAX_TOKEN = 256, BEARER_MAX_LINE = 1400 };

static const struct {
    const char *name;
    unsigned class;
} bearer_classes[] = {
    {"user", ROUTER_USER}, {"frontend", ROUTER_FRONTEND}, {"operator", ROUTER_OPERATOR}};

struct bearer_token {
    unsigned classes;
    struct router_tenant *tenant; // NULL: nobody is named
    uint64_t hash;
    size_t number; // of its line, among those with tokens
    size_t n;
    char text[];
};

// Tokens are found by their hashes, whose seed nobody knows: how long a search takes tells nothing of the tokens
// that there are. One that is in several lines has several places, up to the next free one.
struct router_bearer {
    bool open; // to everybody
    uint64_t seed;
    size_t n, room; // room: a power of two, more than twice n; 0: there are no places yet
    struct bearer_token **places; // NULL: free
};

static unsigned class_of(const char *word, size_t n) {
    for (size_t i = 0; i < sizeof bearer_classes / sizeof *bearer_classes; i++)
        if (strlen(bearer_classes[i].name) == n && !memcmp(bearer_classes[i].name, word, n))
            return bearer_classes[i].class;
    return 0;
}

// A byte order mark, or a letter that looks like another one, would be part of a token that nobody ever sends.
static bool is_sendable(const char *token, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (token[i] <= ' ' || token[i] > '~') return false;
    return true;
}

// What stands before a token, as far as it was read.
struct bearer_words {
    unsigned classes;
    struct kvr_bytes service, flow; // class= and flow=
};

static bool is_named(const char *word, size_t n, const char *name) {
    size_t m = strlen(name);
    return n >= m && !memcmp(word, name, m);
}

// Names between commas, none empty or too long.
static bool are_names(struct kvr_bytes list) {
    for (size_t at = 0, n; at <= list.n; at += n + 1) {
        const char *comma = memchr(list.p + at, ',', list.n - at);
        n = comma ? (size_t)(comma - list.p) - at : list.n - at;
        if (!n || n > KVR_MAX_ID) return false;
    }
    return true;
}

static const char *take_word(struct bearer_words *w, const char *word, size_t n) {
    unsigned class = class_of(word, n);
    if (is_named(word, n, "class=")) {
        w->service = (struct kvr_bytes){word + 6, n - 6};
        return are_names(w->service) ? NULL : "class= takes names, separated by commas";
    }
    if (is_named(word, n, "flow=")) {
        w->flow = (struct kvr_bytes){word + 5, n - 5};
        return w->flow.n && w->flow.n <= KVR_MAX_ID ? NULL : "flow= takes a name";
    }
    w->classes |= class;
    return class ? NULL : "before a token come user, frontend or operator";
}

static bool is_word(const char *word, size_t n) {
    return class_of(word, n) || is_named(word, n, "class=") || is_named(word, n, "flow=");
}

static void set_place(struct router_bearer *b, struct bearer_token *t) {
    size_t i = t->hash & (b->room - 1);
    while (b->places[i])
        i = (i + 1) & (b->room - 1);
    b->places[i] = t;
}

static bool make_room(struct router_bearer *b) {
    if (b->room > 2 * b->n + 1) return true;
    struct router_bearer more = *b;
    more.room = b->room ? 2 * b->room : 64;
    if (!(more.places = calloc(more.room, sizeof *more.places))) return false;
    for (size_t i = 0; i < b->room; i++)
        if (b->places[i]) set_place(&more, b->places[i]);
    free(b->places);
    *b = more;
    return true;
}

static void free_token(struct bearer_token *t) {
    router_tenant_give_back(t->tenant);
    OPENSSL_cleanse(t, sizeof *t + t->n);
    free(t);
}

static bool keep_token(struct router_bearer *b, const struct bearer_words *w, const char *token,
                       size_t n) {
    bool named = w->service.n || w->flow.n;
    struct bearer_token *t = make_room(b) ? calloc(1, sizeof *t + n) : NULL;
    if (!t) return false;
    t->classes = w->classes ? w->classes : ROUTER_USER;
    t->hash = XXH3_64bits_withSeed(token, n, b->seed);
    t->number = b->n;
    t->n = n;
    memcpy(t->text, token, n);
    if (named && !(t->tenant = router_tenant_new(w->service, w->flow))) {
        free_token(t);
        return false;
    }
    set_place(b, t);
    b->n++;
    return true;
}

static const char *add_token(struct router_bearer *b, const struct bearer_words *w,
                             const char *token, size_t n) {
    if (is_word(token, n)) return "a class without a token";
    if (n >= BEARER_MAX_TOKEN) return "too long a token";
    if (!is_sendable(token, n)) return "bytes that no header has: a token is plain ASCII";
    if (b->n == BEARER_MAX_TOKENS) return "too many tokens";
    return keep_token(b, w, token, n) ? NULL : "no memory";
}

// NULL, or what is wrong with it. Nothing of a line is repeated: it may be a token.
static const char *read_line(struct router_bearer *b, const char *line) {
    static const char blanks[] = " \t\r\n";
    struct bearer_words w = {0};
    for (bool first = true;; first = false) {
        line += strspn(line, blanks);
        size_t n = strcspn(line, blanks);
        const char *next = line + n + strspn(line + n, blanks), *wrong;
        if ((!n || *line == '#') && first) return NULL;
        if (!*next) return add_token(b, &w, line, n);
        if ((wrong = take_word(&w, line, n))) return wrong;
        line = next;
    }
}

static bool read_lines(struct router_bearer *b, FILE *f, char *error, size_t error_size) {
    char line[BEARER_MAX_LINE];
    const char *wrong = NULL;
    for (int number = 1; !wrong && fgets(line, sizeof line, f); number++) {
        wrong = strlen(line) < sizeof line - 1 ? read_line(b, line) : "too long a line";
        if (wrong) snprintf(error, error_size, "line %d: %s", number, wrong);
    }
    OPENSSL_cleanse(line, sizeof line);
    if (!wrong && !b->n) snprintf(error, error_size, "no token in it");
    return !wrong && b->n;
}

struct router_bearer *router_bearer_read(const char *path, char *error, size_t error_size) {
    struct router_bearer *b = calloc(1, sizeof *b);
    char why[80];
    if (!b) return NULL;
    if (!*path) {
        b->open = true;
        return b;
    }
    if (getrandom(&b->seed, sizeof b->seed, 0) != sizeof b->seed)
        b->seed = (uint64_t)(uintptr_t)b; // there is no entropy yet: the address isn't known either
    FILE *f = fopen(path, "r");
    if (!f) snprintf(why, sizeof why, "%s", strerror(errno));
    bool good = f && read_lines(b, f, why, sizeof why);
    if (f) fclose(f);
    if (good) return b;
    snprintf(error, error_size, "token_file %.200s: %s", path, why);
    router_bearer_free(b);
    return NULL;
}

void router_bearer_free(struct router_bearer *b) {
    if (!b) return;
    for (size_t i = 0; i < b->room; i++)
        if (b->places[i]) free_token(b->places[i]);
    free(b->places);
    free(b);
}

bool router_bearer_is_open(const struct router_bearer *b) {
    return b->open;
}

unsigned router_bearer_key_classes(const struct router_bearer *b, const char *value,
                                   struct router_tenant **tenant) {
    unsigned classes = 0;
    size_t first = SIZE_MAX; // that names somebody
    if (tenant) *tenant = NULL;
    if (b->open) return ROUTER_CLASSES;
    size_t n = strlen(value);
    uint64_t hash = XXH3_64bits_withSeed(value, n, b->seed);
    for (size_t i = hash & (b->room - 1); b->places[i]; i = (i + 1) & (b->room - 1)) {
        const struct bearer_token *t = b->places[i];
        if (t->hash != hash || t->n != n || CRYPTO_memcmp(t->text, value, n) != 0) continue;
        classes |= t->classes;
        if (!tenant || !t->tenant || t->number > first) continue;
        *tenant = t->tenant;
        first = t->number;
    }
    return classes;
}

unsigned router_bearer_classes(const struct router_bearer *b, const char *authorization,
                               struct router_tenant **tenant) {
    static const char scheme[] = "bearer ";
    size_t n = sizeof scheme - 1;
    bool given = authorization && !strncasecmp(authorization, scheme, n);
    return router_bearer_key_classes(
        b, given ? authorization + n + strspn(authorization + n, " ") : "", tenant);
}

const char *router_bearer_lacks(unsigned classes) {
    switch (classes & ROUTER_CLASSES) {
    case ROUTER_USER:
        return "this needs a token of the class user";
    case ROUTER_FRONTEND:
        return "this needs a token of the class frontend";
    case ROUTER_OPERATOR:
        return "this needs a token of the class operator";
    case ROUTER_USER | ROUTER_FRONTEND:
        return "this needs a token of the class user or frontend";
    default:
        return "this needs a token of the class frontend or operator";
    }
}
