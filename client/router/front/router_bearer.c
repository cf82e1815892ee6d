// SPDX-License-Identifier: Apache-2.0
#include "router_bearer.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BEARER_MAX_TOKENS = 64, BEARER_MAX_TOKEN = 256 };

struct router_bearer {
    bool open; // to everybody
    size_t n;
    struct {
        size_t n;
        char text[BEARER_MAX_TOKEN];
    } tokens[BEARER_MAX_TOKENS];
};

// A line each; empty ones and those that begin with # don't count. False: too many, or too long a one.
static bool read_lines(struct router_bearer *b, FILE *f) {
    char line[BEARER_MAX_TOKEN + 2];
    bool good = true;
    while (good && fgets(line, sizeof line, f)) {
        size_t n = strcspn(line, "\r\n");
        if (!n || line[0] == '#') continue;
        good = n < BEARER_MAX_TOKEN && b->n < BEARER_MAX_TOKENS;
        if (!good) break;
        b->tokens[b->n].n = n;
        memcpy(b->tokens[b->n++].text, line, n);
    }
    OPENSSL_cleanse(line, sizeof line);
    return good;
}

struct router_bearer *router_bearer_read(const char *path, char *error, size_t error_size) {
    struct router_bearer *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    if (!*path) {
        b->open = true;
        return b;
    }
    FILE *f = fopen(path, "r");
    bool good = f && read_lines(b, f);
    if (good && b->n) {
        fclose(f);
        return b;
    }
    snprintf(error, error_size, "token_file %.200s: %s", path,
             !f     ? strerror(errno)
             : good ? "no token in it"
                    : "too many tokens, or too long a one");
    if (f) fclose(f);
    router_bearer_free(b);
    return NULL;
}

void router_bearer_free(struct router_bearer *b) {
    if (!b) return;
    OPENSSL_cleanse(b, sizeof *b);
    free(b);
}

bool router_bearer_admits(const struct router_bearer *b, const char *authorization) {
    int same = 0;
    if (b->open) return true;
    if (!authorization || strncasecmp(authorization, "bearer ", 7) != 0) return false;
    const char *value = authorization + 7 + strspn(authorization + 7, " ");
    size_t n = strlen(value);
    for (size_t i = 0; i < b->n; i++)
        same |= b->tokens[i].n == n && CRYPTO_memcmp(b->tokens[i].text, value, n) == 0;
    return same;
}
