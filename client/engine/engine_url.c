// SPDX-License-Identifier: Apache-2.0
#include "engine_url.h"

#include <stdbool.h>
#include <string.h>

#include "client/http1/h1_address.h"

static bool ends_in_version(const char *url) {
    static const char version[] = "/v1";
    size_t n = strlen(url), m = sizeof version - 1;
    while (n && url[n - 1] == '/')
        n--;
    return n >= m && !memcmp(url + n - m, version, m);
}

const char *engine_url_fault(const char *url) {
    if (!h1_is_url(url)) return "an engine's URL is http[s]://HOST:PORT";
    return ends_in_version(url) ? "an engine's URL goes without /v1" : NULL;
}
