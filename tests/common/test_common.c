// SPDX-License-Identifier: Apache-2.0
// What the library and the programs share: the table against a plain array, with growth that fails; the
// arena; numbers and their spelling; metrics as text.
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>

#include "client/common/arena.h"
#include "client/common/hex.h"
#include "client/common/prometheus.h"
#include "client/common/random.h"
#include "client/common/table.h"
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
