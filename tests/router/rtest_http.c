// SPDX-License-Identifier: Apache-2.0
// See rtest_http.h.
#include "rtest_http.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

void rtest_say(int fd, const char *text) {
    support_http_send(fd, text, strlen(text));
}

struct support_response rtest_get(int port, const char *path) {
    return support_http(port, "GET", path, NULL, NULL, RTEST_WAIT_MS);
}

struct support_response rtest_post(int port, const char *path, const char *body) {
    return support_http(port, "POST", path, "Content-Type: application/json\r\n", body,
                        RTEST_WAIT_MS);
}

bool rtest_is_served(struct support_response r) {
    bool served = r.status == 200;
    support_response_free(&r);
    return served;
}

json_t *rtest_json(struct support_response r, int status) {
    json_error_t error;
    cr_assert_eq(r.status, status, "%d instead of %d: %s", r.status, status, r.body);
    json_t *body = json_loadb(r.body, r.n, 0, &error);
    cr_assert(body, "no JSON: %s", r.body);
    support_response_free(&r);
    return body;
}

const char *rtest_text(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    cr_assert(text, "no %s", name);
    return text;
}

const char *rtest_error_code(struct support_response r, int status) {
    static char code[64];
    json_t *body = rtest_json(r, status);
    const char *text = json_string_value(json_object_get(json_object_get(body, "error"), "code"));
    snprintf(code, sizeof code, "%s", text ? text : "");
    json_decref(body);
    return code;
}
