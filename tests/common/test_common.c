// SPDX-License-Identifier: Apache-2.0
// What the library and the programs share: the table against a plain array, with growth that fails; the
// arena; numbers and their spelling; lists of words; metrics as text; signs in text.
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/arena.h"
#include "client/common/config.h"
#include "client/common/hex.h"
#include "client/common/log.h"
#include "client/common/prometheus.h"
#include "client/common/random.h"
#include "client/common/scan.h"
#include "client/common/spares.h"
#include "client/common/table.h"
#include "client/common/utf8.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"

enum { TABLE_KEYS = 300, TABLE_STEPS = 20000 };

struct table_entry {
    struct kvr_table_item item; // first: what the table finds is the entry
    char key[12];
    bool in;
};

Test(table, as_an_array_would) {
    static struct table_entry entries[TABLE_KEYS];
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_table t;
    uint64_t state = support_seed();
    size_t count = 0;
    cr_assert(kvr_table_init(&t, &alloc, kvr_random(&state)) == 0);
    mem.one_in = 2; // a table that can't grow still takes all
    for (int i = 0; i < TABLE_KEYS; i++)
        snprintf(entries[i].key, sizeof entries[i].key, "key %d", i);
    for (int step = 0; step < TABLE_STEPS; step++) {
        struct table_entry *e = &entries[kvr_random(&state) % TABLE_KEYS];
        struct kvr_bytes key = {e->key, strlen(e->key)};
        cr_assert(kvr_table_find(&t, key) == (e->in ? &e->item : NULL), "step %d", step);
        if (e->in)
            kvr_table_remove(&t, &e->item);
        else
            kvr_table_add(&t, &e->item, key);
        e->in = !e->in;
        count += e->in ? 1 : (size_t)-1;
        cr_assert(t.count == count, "step %d", step);
    }
    kvr_table_free(&t);
    support_alloc_check_freed(&mem, __func__);
}

Test(arena, gives_back_all_at_once) {
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_arena a;
    uint64_t state = support_seed();
    kvr_arena_init(&a, &alloc);
    for (int round = 0; round < 50; round++) {
        unsigned char *taken[100];
        size_t size[100];
        for (int i = 0; i < 100; i++) {
            size[i] = kvr_random(&state) % (i % 10 ? 100 : 9000);
            taken[i] = kvr_arena_take(&a, size[i]);
            cr_assert(taken[i] && (uintptr_t)taken[i] % _Alignof(max_align_t) == 0);
            memset(taken[i], i, size[i]);
        }
        for (int i = 0; i < 100; i++)
            for (size_t k = 0; k < size[i]; k++)
                cr_assert(taken[i][k] == i, "another piece's bytes");
        kvr_arena_empty(&a);
        cr_assert(a.bytes == 0);
    }
    mem.one_in = 1;
    cr_assert(!kvr_arena_take(&a, 1 << 20));
    cr_assert(!kvr_arena_take(&a, SIZE_MAX));
    kvr_arena_free(&a);
    support_alloc_check_freed(&mem, __func__);
}

enum { SPARE_PIECES = 200, SPARE_STEPS = 40000 };

// Pieces of all sizes, filled with what only they have, over memory that fails; each still has it when it is
// resized or given back.
Test(spares, hand_out_what_nobody_has) {
    static struct {
        uint8_t *p;
        size_t n;
    } pieces[SPARE_PIECES];
    struct support_alloc mem = {0};
    struct kvr_alloc below = support_alloc_use(&mem);
    struct kvr_spares s;
    uint64_t state = support_seed();
    kvr_spares_init(&s, &below);
    struct kvr_alloc a = kvr_spares_alloc(&s);
    mem.one_in = 10;
    for (size_t step = 0; step < SPARE_STEPS; step++) {
        size_t k = kvr_random(&state) % SPARE_PIECES;
        uint8_t mark = (uint8_t)(k + 1);
        for (size_t i = 0; i < pieces[k].n; i++)
            cr_assert(pieces[k].p[i] == mark, "step %zu", step);
        size_t most = kvr_random(&state) % 3 ? 600 : 3 * KVR_SPARE_MAX;
        size_t n = kvr_random(&state) % 3 ? 1 + kvr_random(&state) % most : 0;
        uint8_t *p = n || pieces[k].p ? a.resize(a.ctx, pieces[k].p, n) : NULL;
        cr_assert(s.bytes <= KVR_SPARES_MAX);
        if (n && !p) continue; // it is as it was
        for (size_t i = 0; i < n && i < pieces[k].n; i++)
            cr_assert(p[i] == mark, "step %zu", step);
        cr_assert(!p || (uintptr_t)p % _Alignof(max_align_t) == 0);
        pieces[k].p = p;
        pieces[k].n = n;
        if (n) memset(p, mark, n);
    }
    for (size_t k = 0; k < SPARE_PIECES; k++)
        kvr_alloc_free(&a, pieces[k].p);
    kvr_spares_free(&s);
    support_alloc_check_freed(&mem, __func__);
}

Test(numbers, are_those_of_the_sources) {
    char text[KVR_HEX_DIGITS + 1] = "";
    uint64_t state = 1234567; // the first numbers of splitmix64 from this state, as published
    cr_expect(kvr_random(&state) == 6457827717110365317u);
    cr_expect(kvr_random(&state) == 3203168211198807973u);
    for (int i = 0; i < 1000; i++) {
        double u = kvr_random_unit(&state);
        cr_expect(u >= 0 && u < 1);
    }
    kvr_hex(text, 0x0123456789abcdef);
    cr_expect_str_eq(text, "0123456789abcdef");
}

Test(common, bytes_in_percent) {
    static const struct {
        const char *text;
        int value;
    } cases[] = {{"%01", 1},
                 {"%2f", '/'},
                 {"%2F", '/'},
                 {"%aF9", 0xaf},
                 {"%ff", 255},
                 {"%00", -1},
                 {"%0", -1},
                 {"%", -1},
                 {"", -1},
                 {"a2f", -1},
                 {"%g0", -1},
                 {"%0g", -1},
                 {"%:0", -1},
                 {"%@0", -1},
                 {"%/0", -1},
                 {"%`0", -1},
                 {"%G0", -1},
                 {"%\x10"
                  "0",
                  -1},
                 {"%\xe1"
                  "0",
                  -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(kvr_percent_value(cases[i].text, strlen(cases[i].text)) == cases[i].value, "%s",
                  cases[i].text);
    cr_expect(kvr_percent_value("%2f", 2) == -1, "it isn't there as a whole");
    for (int c = 0; c < 256; c++) {
        bool digit = c && strchr("0123456789abcdefABCDEF", c);
        cr_expect((kvr_hex_value((char)c) >= 0) == digit, "%d", c);
        if (digit) cr_expect(kvr_hex_value((char)c) == (int)strtol((char[]){(char)c, 0}, NULL, 16));
    }
}

static const char *text_of(struct evbuffer *b) {
    evbuffer_add(b, "", 1);
    return (const char *)evbuffer_pullup(b, -1);
}

static const char *write_page(struct kvr_prom *p) {
    const struct kvr_prom_label labels[] = {{"worker", "a\"b\\c\nd"}, {"rank", "0"}};
    kvr_prom_family(p, "requests", KVR_PROM_COUNTER, "by worker");
    kvr_prom_sample(p, KVR_PROM_COUNTER, labels, 2, -1);
    kvr_prom_one(p, "balance", KVR_PROM_GAUGE, "may be negative", -5);
    return kvr_prom_end(p);
}

Test(utf8, sizes_of_characters) {
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc3\xa9", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4}, // U+10FFFF
        {"\xed\x9f\xbf", 3},     // before the surrogates
        {"\xee\x80\x80", 3},     // after them
        {"", 0},
        {"\x80", 0},
        {"\xbf", 0},
        {"\xc3", 0},             // cut
        {"\xc3(", 0},            // not continued
        {"\xe2\x82", 0},         // cut
        {"\xc0\x80", 0},         // longer than needed
        {"\xc1\xbf", 0},         // the same
        {"\xe0\x9f\xbf", 0},     // the same
        {"\xf0\x8f\xbf\xbf", 0}, // the same
        {"\xed\xa0\x80", 0},     // a surrogate
        {"\xed\xbf\xbf", 0},     // another
        {"\xf4\x90\x80\x80", 0}, // above U+10FFFF
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(kvr_utf8_size(cases[i].bytes, strlen(cases[i].bytes)), cases[i].size, "%zu",
                     i);
}

// What others have written can't end a line, nor move a terminal's cursor.
Test(logs, lines_are_ours) {
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"the engine at http://a", "the engine at http://a"},
        {"a\n2024 error b", "a\\x0a2024 error b"},
        {"\x1b[2J\r\t\x7f", "\\x1b[2J\\x0d\\x09\\x7f"},
        {"\xc2\x85\xc2\x9b", "\\xc2\\x85\\xc2\\x9b"}, // C1: next line, and what ESC [ is
        {"\xc3\xa9 \xe2\x82\xac", "\xc3\xa9 \xe2\x82\xac"},
        {"\xff\xc3", "\\xff\\xc3"},
    };
    char line[100];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kvr_log_escape(line, sizeof line, cases[i].text);
        cr_expect_str_eq(line, cases[i].line);
    }
    for (size_t room = 1; room < 20; room++) { // cut, but never in the middle of a character
        memset(line, 'x', sizeof line);
        kvr_log_escape(line, room, "\xe2\x82\xac\xe2\x82\xac\n\n");
        size_t n = strlen(line);
        cr_expect(n < room && (n <= 6 ? n % 3 == 0 : (n - 6) % 4 == 0), "%zu: %zu", room, n);
    }
}

// Any bytes are a value, and no two values look the same.
Test(prometheus, labels_are_utf8) {
    static const char *const values[] = {
        "w\xff", "w\xfe", "w\xef\xbf\xbd", "w\xef\xbf\xbd\x66\x66", "w\\xff", "w\xc3\xa9",
    };
    enum { VALUES = sizeof values / sizeof *values };
    char *texts[VALUES];
    for (size_t i = 0; i < VALUES; i++) {
        struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
        kvr_prom_family(&p, "n", KVR_PROM_GAUGE, "of one");
        kvr_prom_sample(&p, KVR_PROM_GAUGE, (struct kvr_prom_label[]){{"w", values[i]}}, 1, 1);
        texts[i] = strdup(text_of(p.out));
        for (size_t at = 0, n = strlen(texts[i]), size; at < n; at += size)
            cr_assert((size = kvr_utf8_size(texts[i] + at, n - at)), "%zu", i);
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(texts[i], texts[k]);
        evbuffer_free(p.out);
    }
    cr_expect(strstr(texts[0], "{w=\"w\xef\xbf\xbd"
                               "ff\"} 1\n"),
              "%s", texts[0]);
    cr_expect(strstr(texts[5], "{w=\"w\xc3\xa9\"} 1\n"), "%s", texts[5]);
    for (size_t i = 0; i < VALUES; i++)
        free(texts[i]);
}

Test(prometheus, counters_and_gauges) {
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
    cr_expect_str_eq(write_page(&p), "text/plain; version=0.0.4; charset=utf-8");
    cr_expect_str_eq(
        text_of(p.out),
        "# HELP x_requests_total by worker\n# TYPE x_requests_total counter\n"
        "x_requests_total{worker=\"a\\\"b\\\\c\\nd\",rank=\"0\"} 18446744073709551615\n"
        "# HELP x_balance may be negative\n# TYPE x_balance gauge\nx_balance -5\n");
    evbuffer_free(p.out);
}

Test(prometheus, openmetrics_names_families_without_total) {
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
    p.open = kvr_prom_wants_open("application/openmetrics-text; version=1.0.0,text/plain;q=0.5");
    cr_assert(p.open && !kvr_prom_wants_open("text/plain") && !kvr_prom_wants_open(NULL));
    cr_expect_str_eq(write_page(&p), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    const char *text = text_of(p.out);
    cr_expect(strstr(text, "# TYPE x_requests counter\n") && strstr(text, "\nx_requests_total{"));
    cr_expect_str_eq(text + strlen(text) - 6, "# EOF\n");
    evbuffer_free(p.out);
}

Test(prometheus, a_histogram_counts_up) {
    static const struct kvr_prom_label route = {"route", "chat"};
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
    struct kvr_prom_histogram h = {0};
    kvr_prom_observe(&h, 100); // bounds belong to the lower bucket
    kvr_prom_observe(&h, 101);
    kvr_prom_observe(&h, 61000000);
    kvr_prom_family(&p, "took_seconds", KVR_PROM_HISTOGRAM, "of all");
    kvr_prom_sample_histogram(&p, &route, 1, &h);
    const char *text = text_of(p.out);
    cr_expect(strstr(text, "x_took_seconds_bucket{route=\"chat\",le=\"0.0001\"} 1\n"));
    cr_expect(strstr(text, "x_took_seconds_bucket{route=\"chat\",le=\"0.00025\"} 2\n"));
    cr_expect(strstr(text, "x_took_seconds_bucket{route=\"chat\",le=\"60.0\"} 2\n"));
    cr_expect(strstr(text, "x_took_seconds_bucket{route=\"chat\",le=\"+Inf\"} 3\n"));
    cr_expect(strstr(text, "x_took_seconds_count{route=\"chat\"} 3\n"));
    cr_expect(strstr(text, "x_took_seconds_sum{route=\"chat\"} 61.000201\n"));
    evbuffer_free(p.out);
}

Test(config, kinds_of_sections) {
    const char *name = NULL;
    cr_expect(kvr_config_is("thing a b", "thing", &name));
    cr_expect_str_eq(name, "a b");
    cr_expect(kvr_config_is("thing \t a", "thing", &name));
    cr_expect_str_eq(name, "a");
    cr_expect(kvr_config_is("thing", "thing", &name));
    cr_expect_str_eq(name, "");
    cr_expect_not(kvr_config_is("things a", "thing", &name));
    cr_expect_not(kvr_config_is("thin", "thing", &name));
    cr_expect_not(kvr_config_is("", "thing", &name));
}

Test(config, lists_of_words) {
    static const char list[] = "  llama-70b\t llama * ";
    static const size_t sizes[] = {9, 5, 1, 0};
    const char *at = list;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = kvr_config_word(&at);
        cr_expect_eq(n, sizes[i]);
        at += n;
    }
    cr_expect(kvr_config_lists(list, "llama") && kvr_config_lists(list, "*"));
    cr_expect(!kvr_config_lists(list, "llama-") && !kvr_config_lists(list, "lama"));
    cr_expect(!kvr_config_lists(list, "") && !kvr_config_lists("", "") &&
              !kvr_config_lists("", "llama"));
}

// A name that is nearly one is asked about: one that has two letters too many, too few, or others.
Test(config, names_that_are_nearly_right) {
    struct {
        char one[8], other[8];
    } what = {.one = ""};
    const struct kvr_setting words[] = {{"token_file", KVR_SETTING_TEXT, 0, 8, NULL, 0, 0},
                                        {"tokens", KVR_SETTING_TEXT, 8, 8, NULL, 0, 0},
                                        {.name = NULL}};
    static const char *const cases[][2] = {
        {"token-file", "no setting token-file: is token_file meant?"},
        {"tokenfile", "no setting tokenfile: is token_file meant?"},
        {"token_files_", "no setting token_files_: is token_file meant?"},
        {"toke", "no setting toke: is tokens meant?"},
        {"tok", "no setting tok: --help lists them"},
        {"token_files__", "no setting token_files__: --help lists them"},
        {"", "no setting : --help lists them"},
        {"tokens_tokens_tokens_tokens_tokens_tokens_tokens_tokens_tokens_tokens",
         "no setting tokens_tokens_tokens_tokens_tokens_tokens_tokens_tokens_toke: --help"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        struct kvr_config_error e = {text, sizeof text};
        cr_expect_not(kvr_config_set(&what, words, cases[i][0], "x", &e));
        cr_expect(strstr(text, cases[i][1]), "%s", text);
        cr_expect(!*what.one && !*what.other);
    }
}

// Of bytes of chance, at every length and place: as one would look byte by byte. They end with the memory, so that a
// sanitizer sees who reads behind them.
Test(scan, as_byte_by_byte) {
    enum { SCAN_MAX = 80, SCAN_ROUNDS = 20000 };
    static const char signs[] = "\"\\\n}\x1f\x7f\x80\xff \t";
    uint64_t state = support_seed();
    for (int round = 0; round < SCAN_ROUNDS; round++) {
        size_t n = kvr_random(&state) % SCAN_MAX;
        char *text = malloc(n ? n : 1), *end = text + n;
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + kvr_random(&state) % 26);
        for (size_t k = kvr_random(&state) % 4; n && k; k--)
            text[kvr_random(&state) % n] = signs[kvr_random(&state) % (sizeof signs - 1)];
        for (int ascii = 0; ascii < 2; ascii++) {
            const char *at = text;
            while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= ' ' &&
                   (!ascii || (unsigned char)*at < 128))
                at++;
            cr_assert_eq(kvr_scan_text(text, end, ascii), at, "round %d", round);
        }
        const char *at = text;
        while (at < end && *at != '"' && *at != '\n' && *at != '}')
            at++;
        cr_assert_eq(kvr_scan_for(text, end, '"', '\n', '}'), at, "round %d", round);
        free(text);
    }
}
