// SPDX-License-Identifier: Apache-2.0
#include "router_identity.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/router/router_config.h"

// What isn't fit for CLIENT SETNAME or a URL is left out.
static void keep_plain(char *text) {
    char *to = text;
    for (const char *c = text; *c; c++)
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
            strchr(".-_:", *c))
            *to++ = *c;
    *to = 0;
}

void router_identity(const struct router_config *c, char out[ROUTER_IDENTITY_SIZE]) {
    char host[65] = "";
    const char *listen = *c->listen ? c->listen : c->tls_listen, *port = NULL;
    size_t n = strcspn(listen, " ");
    for (size_t i = 0; i < n; i++)
        if (listen[i] == ':') port = listen + i + 1;
    if (gethostname(host, sizeof host - 1) != 0) snprintf(host, sizeof host, "host");
    if (!strncmp(listen, "unix:", 5)) port = NULL;
    snprintf(out, ROUTER_IDENTITY_SIZE, "%s:%.*s:%ld", host,
             port ? (int)(n - (size_t)(port - listen)) : 4, port ? port : "unix", (long)getpid());
    keep_plain(out);
}

const char *router_identity_of(const char *name) {
    size_t n = strlen(ROUTER_IDENTITY_PREFIX);
    return strncmp(name, ROUTER_IDENTITY_PREFIX, n) == 0 ? name + n : NULL;
}
