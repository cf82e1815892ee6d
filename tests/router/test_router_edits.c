// SPDX-License-Identifier: Apache-2.0
// Bodies with some members changed: all else stays byte for byte.
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/router/prompt/router_edits.h"

static char *apply(const struct router_edits *e, const char *text) {
    struct evbuffer *body = evbuffer_new();
    struct router_members m;
    evbuffer_add(body, text, strlen(text));
    cr_assert(router_members_read(&m, text, strlen(text)), "%s", text);
    struct evbuffer *out = router_edits_apply(e, body, &m);
    cr_assert(out);
    size_t n = evbuffer_get_length(out);
    char *copy = calloc(1, n + 1);
    evbuffer_remove(out, copy, n);
    evbuffer_free(out);
    evbuffer_free(body);
    router_members_free(&m);
    return copy;
}

Test(router_edits, set_remove_and_put) {
    struct router_edits e = {.n = 0};
    router_edits_set(&e, "stream", "false");
    router_edits_remove(&e, "stream_options");
    router_edits_put(&e, "kv", "a", strdup("[1,2]"));
    router_edits_put(&e, "kv", "b", strdup("null"));
    router_edits_put(&e, "kv", "a", strdup("[3]"));
    router_edits_set_number(&e, "max_tokens", 1);
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"seed\":18446744073709551615, \"t\": 1e-400 ,\"stream\":true,\"s\":\"\\\"}\"}",
         "{\"seed\":18446744073709551615, \"t\": 1e-400,\"s\":\"\\\"}\",\"stream\":false,"
         "\"kv\":{\"b\":null,\"a\":[3]},\"max_tokens\":1}"},
        {" {} \n", "{\"stream\":false,\"kv\":{\"b\":null,\"a\":[3]},\"max_tokens\":1}"},
        {"\xef\xbb\xbf{\"stream\":1,\"x\":[{\"stream\":2}],\"stream_options\":{},\"stream\":3}",
         "{\"x\":[{\"stream\":2}],\"stream\":false,\"kv\":{\"b\":null,\"a\":[3]},\"max_tokens\":"
         "1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = apply(&e, cases[i].in);
        cr_expect_str_eq(out, cases[i].out);
        free(out);
    }
    router_edits_free(&e);
}

// Two parts of the proxy each have something for one object.
Test(router_edits, put_into_what_is_set) {
    static const struct {
        const char *set, *out;
    } cases[] = {
        {"{\"do\":true}", "{\"kv\":{\"do\":true,\"ids\":[1]}}"},
        {" { } ", "{\"kv\":{\"ids\":[1]}}"},
        {"null", "{\"kv\":{\"ids\":[1]}}"},
        {NULL, "{\"kv\":{\"ids\":[1]}}"},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct router_edits e = {.n = 0};
        const char *set = cases[i / 2].set;
        if (i % 2) router_edits_put(&e, "kv", "ids", strdup("[1]"));
        if (set)
            router_edits_set(&e, "kv", set);
        else
            router_edits_remove(&e, "kv");
        if (i % 2 == 0) router_edits_put(&e, "kv", "ids", strdup("[1]"));
        char *out = apply(&e, "{\"kv\":0}");
        cr_expect_str_eq(out, cases[i / 2].out);
        free(out);
        router_edits_free(&e);
    }
}

Test(router_edits, what_cannot_be_edited) {
    static const char *const texts[] = {"",
                                        "[]",
                                        "{",
                                        "{\"a\":1",
                                        "{1:2}",
                                        "{\"a\":}",
                                        "{\"\\u0061\":1}",
                                        "{\"a\":1} x",
                                        "{,}",
                                        "{\"a\":[1}",
                                        "{\"a\" 1}",
                                        "\"a\"",
                                        "null",
                                        "{\"a\":1,}",
                                        "{\"a\":\"x}"};
    struct router_members m;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cr_expect(!router_members_read(&m, texts[i], strlen(texts[i])), "%s", texts[i]);
        cr_expect(!m.all && !m.n && !m.close);
    }
    struct router_edits e = {.n = 0};
    router_edits_put(&e, "a", "b", NULL);
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, "{}", 2);
    cr_assert(router_members_read(&m, "{}", 2));
    cr_expect_null(router_edits_apply(&e, body, &m), "there was no memory");
    router_members_free(&m);
    router_edits_free(&e);
    evbuffer_free(body);
}

static json_t *random_value(unsigned *seed, int depth) {
    static const char *const texts[] = {"", "a\"b", "\\", "}{", "],", "\xc3\xa4"};
    switch (rand_r(seed) % (depth ? 6 : 4)) {
    case 0:
        return json_integer(rand_r(seed));
    case 1:
        return json_string(texts[rand_r(seed) % 6]);
    case 2:
        return json_null();
    case 3:
        return json_real(rand_r(seed) / 3.0);
    case 4: {
        json_t *a = json_array();
        for (int n = rand_r(seed) % 4; n--;)
            json_array_append_new(a, random_value(seed, depth - 1));
        return a;
    }
    default: {
        json_t *o = json_object();
        for (int n = rand_r(seed) % 4; n--;) {
            char name[4] = {(char)('a' + rand_r(seed) % 6)};
            json_object_set_new(o, name, random_value(seed, depth - 1));
        }
        return o;
    }
    }
}

// Beside jansson, which parses and writes all of it.
Test(router_edits, random) {
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    unsigned seed = (unsigned)time(NULL);
    fprintf(stderr, "seed %u\n", seed);
    for (int round = 0; round < 3000; round++) {
        json_t *object = json_object(), *expected;
        struct router_edits e = {.n = 0};
        for (int n = rand_r(&seed) % 6; n--;)
            json_object_set_new(object, names[rand_r(&seed) % 6], random_value(&seed, 3));
        expected = json_deep_copy(object);
        char *text = json_dumps(object, rand_r(&seed) % 2 ? JSON_INDENT(2) : JSON_COMPACT);
        for (int n = rand_r(&seed) % 5; n--;) {
            const char *name = names[rand_r(&seed) % 6];
            json_t *value = random_value(&seed, 2);
            char *json = json_dumps(value, JSON_ENCODE_ANY);
            if (rand_r(&seed) % 3) {
                router_edits_set(&e, name, json);
                json_object_set(expected, name, value);
            } else {
                router_edits_remove(&e, name);
                json_object_del(expected, name);
            }
            free(json);
            json_decref(value);
        }
        char *out = apply(&e, text);
        json_t *got = json_loads(out, 0, NULL);
        cr_assert(got && json_equal(got, expected), "seed %u: %s → %s", seed, text, out);
        json_decref(got);
        json_decref(object);
        json_decref(expected);
        router_edits_free(&e);
        free(out);
        free(text);
    }
}
