// SPDX-License-Identifier: Apache-2.0
// Token ids taken out of a body, beside what a JSON parser makes of the same body.
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/prompt/router_token_ids.h"

// What router_token_ids_extract leaves of a text, and how many ids it takes (−1: none are taken).
static long lift(const char *text, char **left, uint32_t **ids) {
    size_t n = strlen(text), n_ids;
    *left = strdup(text);
    cr_assert(router_token_ids_extract(*left, &n, "tokens", ids, &n_ids));
    (*left)[n] = 0;
    return *ids ? (long)n_ids : -1;
}

Test(token_ids, takes_lists_of_ids) {
    static const struct {
        const char *text, *left;
        long n;
        uint32_t last;
    } cases[] = {
        {"{\"tokens\":[1,2,3]}", "{\"tokens\":[]}", 3, 3},
        {" { \"a\" : [ 1 ] , \"tokens\" : [ 0 , 4294967295 ] , \"b\":2}",
         " { \"a\" : [ 1 ] , \"tokens\" : [] , \"b\":2}", 2, 4294967295},
        {"{\"x\":\"tokens\",\"tokens\":[7]}", "{\"x\":\"tokens\",\"tokens\":[]}", 1, 7},
        {"{\"x\\\"tokens\":[1],\"tokens\":[9]}", "{\"x\\\"tokens\":[1],\"tokens\":[]}", 1, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *left;
        uint32_t *ids;
        cr_assert_eq(lift(cases[i].text, &left, &ids), cases[i].n, "%s", cases[i].text);
        cr_assert_str_eq(left, cases[i].left);
        cr_assert_eq(ids[cases[i].n - 1], cases[i].last);
        free(left);
        free(ids);
    }
}

Test(token_ids, leaves_everything_else) {
    static const char *const texts[] = {
        "",
        "{}",
        "[1,2]",
        "{\"tokens\":[]}",
        "{\"tokens\":[-1]}",
        "{\"tokens\":[1.5]}",
        "{\"tokens\":[1e3]}",
        "{\"tokens\":[01]}",
        "{\"tokens\":[4294967296]}",
        "{\"tokens\":[99999999999999999999999]}",
        "{\"tokens\":[1,]}",
        "{\"tokens\":[1 2]}",
        "{\"tokens\":[1,[2]]}",
        "{\"tokens\":[\"1\"]}",
        "{\"tokens\":[1",
        "{\"tokens\":[1,",
        "{\"tokens\":[",
        "{\"tokens\"",
        "{\"tokens",
        "{\"tokens\":{\"tokens\":[1]}}",
        "{\"a\":{\"tokens\":[1]}}",
        "{\"token\":[1],\"tokenss\":[2]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *left;
        uint32_t *ids;
        cr_assert_eq(lift(texts[i], &left, &ids), -1, "%s", texts[i]);
        cr_assert_str_eq(left, texts[i]);
        free(left);
    }
}

// Bodies of chance, half of them cut or with a byte changed: where ids are taken, a parser must find the
// same ids in the whole and an empty list in what is left; and what it refuses is refused still.
Test(token_ids, agrees_with_a_parser) {
    static const char alphabet[] = "{}[],:\" 0123456789-.e\\tokens";
    uint64_t state = 1795500000;
    size_t taken = 0;
    for (int round = 0; round < 200000; round++) {
        char text[200];
        size_t n = (size_t)snprintf(text, sizeof text, "{\"tokens\":[");
        for (int k = 0; k < 5; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", k ? "," : "",
                                  (unsigned)(state >> 33) >> (state >> 59));
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "],\"isl\":5}");
        for (unsigned change = (unsigned)(state >> 40) % 3; change; change--) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            text[(state >> 33) % n] = alphabet[(state >> 20) % (sizeof alphabet - 1)];
        }
        char *left;
        uint32_t *ids;
        long got = lift(text, &left, &ids);
        json_t *whole = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        json_t *rest = json_loads(left, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_eq(!whole, !rest, "%s became %s", text, left);
        if (got >= 0 && whole) {
            const json_t *list = json_object_get(whole, "tokens");
            cr_assert_eq(json_array_size(list), (size_t)got, "%s", text);
            for (long i = 0; i < got; i++)
                cr_assert_eq(json_integer_value(json_array_get(list, (size_t)i)), ids[i]);
            cr_assert_eq(json_array_size(json_object_get(rest, "tokens")), 0);
            taken++;
        }
        json_decref(whole);
        json_decref(rest);
        free(left);
        free(ids);
    }
    cr_assert_gt(taken, 10000);
}

// More of them than a body of that length usually has.
Test(token_ids, short_ones) {
    enum { TOKENS_MANY = 50000 };
    char *text = malloc(2 * TOKENS_MANY + 20), *at = text, *left;
    uint32_t *ids;
    at += sprintf(at, "{\"tokens\":[");
    for (int i = 0; i < TOKENS_MANY; i++)
        at += sprintf(at, "%s%d", i ? "," : "", i % 10);
    strcpy(at, "]}");
    cr_assert_eq(lift(text, &left, &ids), TOKENS_MANY);
    cr_assert_str_eq(left, "{\"tokens\":[]}");
    for (int i = 0; i < TOKENS_MANY; i++)
        cr_assert_eq(ids[i], (uint32_t)(i % 10));
    free(left);
    free(ids);
    free(text);
}
