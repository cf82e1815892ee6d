// SPDX-License-Identifier: Apache-2.0
// See rtest_prompt.h.
#include "rtest_prompt.h"

#include <criterion/criterion.h>
#include <string.h>

#include "client/router/prompt/router_json.h"

json_t *rtest_body(const char *text) {
    char why[100] = "";
    struct evbuffer *b = evbuffer_new();
    evbuffer_add(b, text, strlen(text));
    json_t *body = router_json_parse(b, why, sizeof why);
    cr_assert(body, "%s: %s", text, why);
    evbuffer_free(b);
    return body;
}

struct router_prompt rtest_prompt(enum router_prompt_kind kind, const char *text,
                                  const struct router_prompt_config *how) {
    struct router_prompt p;
    json_t *body = rtest_body(text);
    cr_assert(router_prompt_read(&p, kind, body, how));
    json_decref(body);
    return p;
}
