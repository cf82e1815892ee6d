// SPDX-License-Identifier: Apache-2.0
// Bodies that engines can read: what of them the router reads.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/prompt/router_loose_json.h"

static json_t *parse(const char *text, size_t n) {
    char why[100] = "";
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, text, n);
    json_t *value = router_loose_json_parse(body, why, sizeof why);
    cr_assert(evbuffer_get_length(body) == n && (!n || !memcmp(evbuffer_pullup(body, -1), text, n)),
              "the body is changed");
    cr_assert((value == NULL) == (*why && !value), "no reason");
    evbuffer_free(body);
    return value;
}

Test(loose_json, what_engines_read) {
    static const struct {
        const char *text, *model, *prompt;
    } cases[] = {
        {"\xef\xbb\xbf{\"model\":\"m\",\"prompt\":\"x\"}", "m", "x"},
        {"{\"seed\":18446744073709551615,\"model\":\"m\",\"prompt\":\"x\"}", "m", "x"},
        {"{\"seed\":-99999999999999999999999999999999,\"model\":\"m\"}", "m", NULL},
        {"{\"model\":\"m\",\"prompt\":\"cut \\ud83d\"}", "m", "cut \xef\xbf\xbd"},
        {"{\"model\":\"m\",\"prompt\":\"\\uDE00 \\ud83d\\ud83d\\ude00\"}", "m",
         "\xef\xbf\xbd \xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"{\"model\":\"m\",\"prompt\":\"\xed\xa0\xbd.\"}", "m", "\xef\xbf\xbd."},
        {"{\"t\":NaN,\"u\":Infinity,\"v\":[-Infinity],\"model\":\"m\"}", "m", NULL},
        {"{\"top_p\":1e400,\"x\":-1.5E+999,\"model\":\"m\"}", "m", NULL},
        {"{\"t\":NaN,\"prompt\":\"say NaN, \\\\ \\\"1e400\\\" 18446744073709551615\"}", NULL,
         "say NaN, \\ \"1e400\" 18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = parse(cases[i].text, strlen(cases[i].text));
        cr_assert(value, "%s", cases[i].text);
        const char *model = json_string_value(json_object_get(value, "model")),
                   *prompt = json_string_value(json_object_get(value, "prompt"));
        cr_assert(cases[i].model ? model && !strcmp(model, cases[i].model) : !model, "%zu", i);
        cr_assert(cases[i].prompt ? prompt && !strcmp(prompt, cases[i].prompt) : !prompt, "%zu: %s",
                  i, prompt);
        json_decref(value);
    }
}

// Other encodings have no names for the router, but go on.
Test(loose_json, wide_characters) {
    static const char le[] = "{\0}\0", be[] = "\0{\0}", marked[] = "\xff\xfe{\0}\0";
    json_t *a = parse(le, 4), *b = parse(be, 4), *c = parse(marked, 6);
    cr_assert(json_is_object(a) && json_is_object(b) && json_is_object(c));
    cr_assert(json_object_size(a) + json_object_size(b) + json_object_size(c) == 0);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

Test(loose_json, what_nobody_reads) {
    static const char *const cases[] = {"",
                                        "x",
                                        "{",
                                        "[1]",
                                        "{\"a\":NaNs}",
                                        "{\"a\":\"\\",
                                        "{\"a\":\"\\u",
                                        "{\"a\":\"\\ud83d",
                                        "{\"a\":\"\\ud83d\\u",
                                        "{\"a\":1e400",
                                        "{\"a\":--1}",
                                        "{\"a\":\"\xed",
                                        "{\"a\":\"\xff\"}",
                                        "{\"a\":Infinit}",
                                        "\xef\xbb\xbf",
                                        "-Infinity",
                                        "{\"a\":\"\n\"}"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert(!parse(cases[i], strlen(cases[i])), "%s", cases[i]);
}

// Wherever it ends, reading stays within it.
Test(loose_json, cut_anywhere) {
    static const char all[] = "\xef\xbb\xbf{\"a\":\"\\ud83d\\ude00\\ud83d\xed\xa0\xbd\\\\\",\"b\":"
                              "[NaN,-Infinity,1e400,18446744073709551616]}";
    for (size_t n = 0; n < sizeof all - 1; n++) {
        char *exact = malloc(n + 1);
        memcpy(exact, all, n);
        cr_assert(!parse(exact, n), "%zu", n);
        free(exact);
    }
    json_decref(parse(all, sizeof all - 1));
}
