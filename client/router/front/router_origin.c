// SPDX-License-Identifier: Apache-2.0
#include "router_origin.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/common/config.h"
#include "client/http1/h1_address.h"

enum { ORIGIN_MAX_HOST = 256 };

// The host of "host:port" or "[address]:port" without its port; the size, 0 if it is none.
static size_t host_of(const char *text, char out[ORIGIN_MAX_HOST]) {
    bool brackets = *text == '[';
    size_t n = strcspn(text + brackets, brackets ? "]" : ":/");
    if (n >= ORIGIN_MAX_HOST) return 0;
    memcpy(out, text + brackets, n);
    while (n && out[n - 1] == '.')
        n--;
    out[n] = 0;
    return n;
}

static bool is_listed(const char *names, const char *host, size_t n) {
    size_t len;
    for (const char *at = names; (len = kvr_config_word(&at)); at += len)
        if ((len == 1 && *at == '*') || (len == n && !strncasecmp(at, host, n))) return true;
    return false;
}

// Nobody can register a name without a dot, or one under localhost.
static bool is_public_name(const char *host, size_t n) {
    static const char local[] = ".localhost";
    size_t m = sizeof local - 1;
    return strchr(host, '.') && !h1_is_ip(host) && !(n > m && !strcasecmp(host + n - m, local));
}

struct router_refusal router_origin_check(const struct h1_exchange *x, const char *names,
                                          bool known) {
    const struct h1_head *head = &x->head;
    const char *host = h1_find_header(head, "host"), *origin = h1_find_header(head, "origin");
    char name[ORIGIN_MAX_HOST] = "";
    size_t n = host ? host_of(host, name) : 0;
    if (host && is_public_name(name, n) && !is_listed(names, name, n) && h1_exchange_is_loopback(x))
        return (struct router_refusal){
            421, "HOST", "this name isn't one of the router's: add it to the setting hosts"};
    if (!origin || known) return (struct router_refusal){.code = NULL};
    const char *from = strstr(origin, "://");
    if (from && host && !strcasecmp(from + 3, host)) return (struct router_refusal){.code = NULL};
    n = from ? host_of(from + 3, name) : 0;
    if (n && is_listed(names, name, n)) return (struct router_refusal){.code = NULL};
    return (struct router_refusal){403, "ORIGIN",
                                   "a page of another origin asks: add its host to the setting "
                                   "hosts or its origin to cors, or give tokens (token_file)"};
}

struct router_refusal router_origin_check_type(const struct h1_head *head, bool lenient) {
    static const char json[] = "application/json";
    const char *type = h1_find_header(head, "content-type");
    size_t n = sizeof json - 1;
    bool good =
        type ? !strncasecmp(type, json, n) && (!type[n] || strchr("; \t", type[n])) : lenient;
    if (good) return (struct router_refusal){.code = NULL};
    return (struct router_refusal){
        415, "MEDIATYPE",
        "the body isn't said to be JSON: add the header Content-Type: application/json"};
}
