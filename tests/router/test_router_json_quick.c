// SPDX-License-Identifier: Apache-2.0
// What is read quickly is what jansson reads: nothing else, and nothing that it refuses.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/router/prompt/router_json_quick.h"

enum { QUICK_ROUNDS = 60000, QUICK_ROOM = 4096 };

// As text, with the order of names and all digits.
static char *told(const json_t *value) {
    return json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}

// Whether it was read quickly.
static bool compare(const char *text, size_t n, const char *from) {
    json_error_t error;
    json_t *quick = router_json_quick(text, n);
    json_t *usual = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    bool was = quick != NULL;
    cr_assert(!quick || usual, "%s: jansson refuses %.*s", from, (int)n, text);
    if (quick) {
        char *a = told(quick), *b = told(usual);
        cr_assert(json_equal(quick, usual) && a && b && !strcmp(a, b), "%s: %s is %s", from, b, a);
        free(a);
        free(b);
    }
    json_decref(quick);
    json_decref(usual);
    return was;
}

Test(json_quick, plain_bodies) {
    static const char *const texts[] = {
        "{}",
        " \t\r\n{ } ",
        "{\"a\":[],\"b\":{},\"c\":[[],[{}]]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"?\"}],\"max_tokens\":4}",
        "{\"t\":true,\"f\":false,\"n\":null,\"l\":[true,false,null]}",
        "{\"i\":[0,-0,7,-7,999999999999999999,-999999999999999999]}",
        "{\"r\":[0.0,-0.0,0.7,1.5,-2.25,0.1,123456789.123456,99999999999999.9,0.00000000000001]}",
        "{\"e\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\uFFFD\"}",
        "{\"u\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\"}",
        "{\"\":\"\",\"\\n\":\"a name with an escape\",\"\\u00e9\":{\"\\t\":\"\\t\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_expect(compare(texts[i], strlen(texts[i]), "plain"), "not quick: %s", texts[i]);
}

Test(json_quick, left_to_jansson) {
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "1",
        "\"x\"",
        "{",
        "}",
        "{]",
        "[}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{,}",
        "{\"a\":1}x",
        "{\"a\":1}{}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":1,\"\\u0062\":2}}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1.5.5}",
        "{\"a\":1e5}",
        "{\"a\":1.5E-5}",
        "{\"a\":-01.5}",
        "{\"a\":1000000000000000000}",
        "{\"a\":0.1000000000000001}",
        "{\"a\":18446744073709551615}",
        "{\"a\":tru}",
        "{\"a\":truex}",
        "{\"a\":nul",
        "{\"a\":NaN}",
        "{\"a\":\"",
        "{\"a\":\"x",
        "{\"a\":\"\\",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u00",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud83d\\ude00\"}",
        "{\"a\":\"\\ud83d\"}",
        "{\"a\":\"a\nb\"}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xed\xa0\xbd\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xe2\x82\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}",
        "\xef\xbb\xbf{}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_expect(!compare(texts[i], strlen(texts[i]), "unusual"), "quick: %s", texts[i]);
    cr_expect(!compare("{}\0", 3, "NUL"));
    cr_expect(!compare("{\"a\":\"\0\"}", 9, "NUL"));
    cr_expect(!compare("\0{}", 3, "NUL"));
}

Test(json_quick, depth) {
    for (size_t depth = 1; depth < 70; depth++) {
        char text[400] = "{\"a\":";
        size_t n = 5;
        for (size_t i = 1; i < depth; i++)
            text[n++] = '[';
        text[n++] = '1';
        for (size_t i = 1; i < depth; i++)
            text[n++] = ']';
        text[n++] = '}';
        cr_expect(compare(text, n, "deep") == (depth <= ROUTER_JSON_QUICK_DEPTH), "%zu", depth);
    }
}

// ---- At random -----------------------------------------------------------------------------------

struct quick_maker {
    unsigned seed;
    char text[QUICK_ROOM];
    size_t n;
};

static unsigned draw(struct quick_maker *m, unsigned below) {
    return (unsigned)rand_r(&m->seed) % below;
}

static void put(struct quick_maker *m, const char *text) {
    size_t n = strlen(text);
    if (m->n + n >= QUICK_ROOM) return;
    memcpy(m->text + m->n, text, n);
    m->n += n;
}

static void put_one_of(struct quick_maker *m, const char *const *texts, size_t n) {
    put(m, texts[draw(m, (unsigned)n)]);
}

static void put_text(struct quick_maker *m) {
    static const char *const pieces[] = {"a",
                                         "name",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\u0041",
                                         "\\u20ac",
                                         "\xc3\xa9",
                                         "\xf0\x9f\x98\x80",
                                         "\\ud83d",
                                         "\\ud83d\\ude00",
                                         "{\"",
                                         "[1,",
                                         " "};
    put(m, "\"");
    for (unsigned n = draw(m, 5); n--;)
        put_one_of(m, pieces, draw(m, 8) ? 9 : sizeof pieces / sizeof *pieces);
    put(m, "\"");
}

static void put_blank(struct quick_maker *m) {
    static const char *const blanks[] = {"", "", "", "", " ", "\n", "\t ", "\r\n"};
    put_one_of(m, blanks, sizeof blanks / sizeof *blanks);
}

static void put_value(struct quick_maker *m, unsigned depth) {
    static const char *const others[] = {"0",
                                         "-1",
                                         "42",
                                         "0.7",
                                         "-12.75",
                                         "1e3",
                                         "true",
                                         "false",
                                         "null",
                                         "123456789012345678",
                                         "0.123456789012345"};
    char name[16];
    unsigned kind = draw(m, depth < 5 ? 4 : 2), n = draw(m, 4);
    put_blank(m);
    if (kind == 0) {
        put_one_of(m, others, sizeof others / sizeof *others);
    } else if (kind == 1) {
        put_text(m);
    } else {
        put(m, kind == 2 ? "{" : "[");
        for (unsigned i = 0; i < n; i++) {
            snprintf(name, sizeof name, "\"k%u\":", draw(m, 20));
            if (i) put(m, ",");
            if (kind == 2) put(m, name);
            put_value(m, depth + 1);
        }
        put_blank(m);
        put(m, kind == 2 ? "}" : "]");
    }
    put_blank(m);
}

Test(json_quick, the_same_as_jansson) {
    struct quick_maker m = {.seed = (unsigned)time(NULL)};
    char from[40];
    size_t quick = 0;
    snprintf(from, sizeof from, "seed %u", m.seed);
    printf("json_quick: %s\n", from);
    for (int i = 0; i < QUICK_ROUNDS; i++) {
        m.n = 0;
        put(&m, "{\"x\":");
        put_value(&m, 0);
        put(&m, "}");
        for (unsigned n = i % 2 ? draw(&m, 4) : 0; n--;) // and with mistakes
            m.text[draw(&m, (unsigned)m.n)] = "{}[],:\"\\0-.eu\x80\x01 tn"[draw(&m, 18)];
        quick += compare(m.text, m.n - (i % 7 == 0 && m.n > 3 ? draw(&m, 3) : 0), from);
    }
    cr_expect(quick > QUICK_ROUNDS / 10, "%s: only %zu were quick", from, quick);
}
