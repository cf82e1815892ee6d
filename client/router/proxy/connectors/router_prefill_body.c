// SPDX-License-Identifier: Apache-2.0
#include "router_prefill_body.h"

#include <stdlib.h>
#include <string.h>

void router_prefill_body_whole(struct router_edits *e) {
    router_edits_set(e, "stream", "false");
    router_edits_remove(e, "stream_options"); // an error without a stream
}

void router_prefill_body_short(const char *body, const struct router_members *m,
                               struct router_edits *e) {
    static const char name[] = "max_completion_tokens";
    router_prefill_body_whole(e);
    router_edits_set(e, "max_tokens", "1");
    // Unknown to completions: only where the client says it.
    if (router_members_find(m, body, name)) router_edits_set(e, name, "1");
    router_edits_remove(e, "min_tokens"); // more than the maximum is an error
}

struct router_slice router_slice_member(struct router_slice object, const char *name) {
    struct router_slice found = {NULL, 0};
    struct router_members m;
    if (!object.text || !router_members_read(&m, object.text, object.n)) return found;
    const struct router_member *at = router_members_find(&m, object.text, name);
    if (at) found = (struct router_slice){object.text + at->value, at->end - at->value};
    router_members_free(&m);
    return found;
}

struct router_slice router_slice_only(struct router_slice array) {
    struct router_slice found = {NULL, 0};
    struct router_members m;
    if (!array.text || array.n < 2 || *array.text != '[' || array.text[array.n - 1] != ']')
        return found;
    // Between the brackets is one object, or what can't be read as one.
    if (!router_members_read(&m, array.text + 1, array.n - 2)) return found;
    router_members_free(&m);
    return (struct router_slice){array.text + 1, array.n - 2};
}

bool router_slice_is(struct router_slice value, const char *json) {
    return value.text && value.n == strlen(json) && !memcmp(value.text, json, value.n);
}

int64_t router_slice_number(struct router_slice value, int64_t otherwise) {
    int64_t number = 0;
    if (!value.text || !value.n || value.n > 18) return otherwise;
    for (size_t i = 0; i < value.n; i++) {
        if (value.text[i] < '0' || value.text[i] > '9') return otherwise;
        number = number * 10 + (value.text[i] - '0');
    }
    return number;
}

char *router_slice_copy(struct router_slice value) {
    return value.text ? strndup(value.text, value.n) : NULL;
}

static char *text_of(struct evbuffer *bytes) {
    size_t n = evbuffer_get_length(bytes);
    char *text = malloc(n + 1);
    if (!text) return NULL;
    evbuffer_copyout(bytes, text, n);
    text[n] = 0;
    return text;
}

char *router_slice_edit(struct router_slice object, const struct router_edits *e) {
    struct router_members m;
    char *text = NULL;
    if (!object.text || !router_members_read(&m, object.text, object.n)) return NULL;
    struct evbuffer *whole = evbuffer_new();
    bool good = whole && !evbuffer_add_reference(whole, object.text, object.n, NULL, NULL);
    struct evbuffer *edited = good ? router_edits_apply(e, whole, &m) : NULL;
    if (edited) {
        text = text_of(edited);
        evbuffer_free(edited);
    }
    if (whole) evbuffer_free(whole);
    router_members_free(&m);
    return text;
}
