// SPDX-License-Identifier: Apache-2.0
// The names that the library has: every one that a program could clash with begins with kvr_, and the
// shared library shows what the public headers declare, all of it and nothing else.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SYMBOLS = 2000, SYMBOL_SIZE = 100 };

struct symbols {
    char name[MAX_SYMBOLS][SYMBOL_SIZE];
    size_t n;
};

static void add(struct symbols *s, const char *name, size_t n) {
    cr_assert(s->n < MAX_SYMBOLS && n < SYMBOL_SIZE);
    snprintf(s->name[s->n++], SYMBOL_SIZE, "%.*s", (int)n, name);
}

static bool has(const struct symbols *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->name[i], name)) return true;
    return false;
}

// What nm says is defined there; but for what a sanitizer adds.
static void defined_in(struct symbols *s, const char *options, const char *library) {
    char command[400], line[400], name[200], type;
    snprintf(command, sizeof command, "nm -gP --defined-only %s '%s'", options, library);
    FILE *f = popen(command, "r");
    cr_assert(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%199s %c ", name, &type) == 2 && strncmp(name, "__", 2) != 0)
            add(s, name, strlen(name));
    cr_assert(pclose(f) == 0 && s->n > 0, "%s", command);
}

// The name before the first parenthesis of each KVR_API declaration.
static void declared_in(struct symbols *s, const char *header) {
    static char text[100000];
    FILE *f = fopen(header, "r");
    cr_assert(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    for (const char *at = text; (at = strstr(at, "\nKVR_API "));) {
        const char *end = at += strcspn(at, "(");
        while (at[-1] == '_' || (at[-1] >= 'a' && at[-1] <= 'z'))
            at--;
        add(s, at, (size_t)(end - at));
    }
}

Test(symbols, all_begin_with_kvr) {
    static struct symbols found;
    defined_in(&found, "", KVROUTE_STATIC_LIBRARY);
    for (size_t i = 0; i < found.n; i++)
        cr_expect(!strncmp(found.name[i], "kvr_", 4), "%s", found.name[i]);
}

Test(symbols, the_shared_library_shows_what_is_declared) {
    static struct symbols found, declared;
    defined_in(&found, "-D", KVROUTE_SHARED_LIBRARY);
    declared_in(&declared, KVROUTE_HEADERS "/client.h");
    declared_in(&declared, KVROUTE_HEADERS "/publisher.h");
    cr_assert(declared.n > 40, "%zu", declared.n);
    for (size_t i = 0; i < found.n; i++)
        cr_expect(has(&declared, found.name[i]), "%s is shown", found.name[i]);
    for (size_t i = 0; i < declared.n; i++)
        cr_expect(has(&found, declared.name[i]), "%s isn't shown", declared.name[i]);
}
