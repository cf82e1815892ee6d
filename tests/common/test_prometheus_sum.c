// SPDX-License-Identifier: Apache-2.0
// Pages of several processes as one: compared with sums that are kept in plain arrays.
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/prometheus.h"
#include "client/common/prometheus_sum.h"
#include "client/common/random.h"
#include "tests/support/support_alloc.h"

static const struct kvr_prom_rule rules[] = {
    {"x_most", KVR_PROM_MAX}, {"x_least", KVR_PROM_MIN}, {NULL, KVR_PROM_ADD}};

static char *text_of_page(struct evbuffer *page) {
    evbuffer_add(page, "", 1);
    return (char *)evbuffer_pullup(page, -1);
}

static void add_page(struct kvr_prom_sum *s, struct evbuffer *page) {
    cr_assert(
        kvr_prom_sum_add(s, (const char *)evbuffer_pullup(page, -1), evbuffer_get_length(page)));
}

// ---- Against plain arrays ------------------------------------------------------------------------

enum { SUM_KEYS = 12, SUM_PAGES = 5 };

// Names that a reader of lines could take apart in the wrong place.
static const char *const keys[SUM_KEYS] = {"a",    "a b",    "a\"} 7",  "a\n# HELP x_most z",
                                           "\\",   "{le=\"", "",        "x 1",
                                           "\xff", "é",      "a_total", "# TYPE"};

struct page_model {
    bool there[SUM_KEYS];
    uint64_t counted[SUM_KEYS];
    int64_t most[SUM_KEYS], least[SUM_KEYS], now[SUM_KEYS];
    struct kvr_prom_histogram took;
};

static void fill(struct page_model *m, uint64_t *random) {
    memset(m, 0, sizeof *m);
    for (size_t k = 0; k < SUM_KEYS; k++) {
        m->there[k] = kvr_random(random) % 3;
        m->counted[k] = kvr_random(random) >> (8 + kvr_random(random) % 56);
        m->most[k] = (int64_t)(kvr_random(random) % 2000) - 1000;
        m->least[k] = (int64_t)(kvr_random(random) % 2000) - 1000;
        m->now[k] = (int64_t)(kvr_random(random) % 2000) - 1000;
    }
    for (size_t n = kvr_random(random) % 20; n--;)
        kvr_prom_observe(&m->took, (int64_t)(kvr_random(random) % 100000000));
}

static void write_series(struct kvr_prom *p, const struct page_model *m, const char *name,
                         enum kvr_prom_type type, const int64_t *values) {
    kvr_prom_family(p, name, type, "of keys");
    for (size_t k = 0; k < SUM_KEYS; k++)
        if (m->there[k])
            kvr_prom_sample(p, type, (struct kvr_prom_label[]){{"key", keys[k]}}, 1, values[k]);
}

static void write_model(struct kvr_prom *p, const struct page_model *m, bool lasting) {
    write_series(p, m, "counted", KVR_PROM_COUNTER, (const int64_t *)m->counted);
    if (!lasting) write_series(p, m, "most", KVR_PROM_GAUGE, m->most);
    if (!lasting) write_series(p, m, "least", KVR_PROM_GAUGE, m->least);
    kvr_prom_family(p, "took_seconds", KVR_PROM_HISTOGRAM, "of all");
    kvr_prom_sample_histogram(p, NULL, 0, &m->took);
    if (!lasting) write_series(p, m, "now", KVR_PROM_GAUGE, m->now);
}

static void join_model(struct page_model *to, const struct page_model *m) {
    for (size_t k = 0; k < SUM_KEYS; k++) {
        if (!m->there[k]) continue;
        bool had = to->there[k];
        to->there[k] = true;
        to->counted[k] = m->counted[k] + (had ? to->counted[k] : 0);
        to->now[k] = m->now[k] + (had ? to->now[k] : 0);
        if (!had || m->most[k] > to->most[k]) to->most[k] = m->most[k];
        if (!had || m->least[k] < to->least[k]) to->least[k] = m->least[k];
    }
    for (size_t i = 0; i <= KVR_PROM_BUCKETS; i++)
        to->took.in[i] += m->took.in[i];
    to->took.n += m->took.n;
    to->took.sum_us += m->took.sum_us;
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Lines in order: where keys come in another order, so do their lines.
static char *sorted(struct evbuffer *page) {
    char *text = text_of_page(page), *lines[400], *rest = NULL;
    size_t n = 0, size = strlen(text) + 1, at = 0;
    char *out = calloc(1, size);
    for (char *l = strtok_r(text, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest))
        lines[n++] = l;
    qsort(lines, n, sizeof *lines, compare_lines);
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(out + at, size - at, "%s\n", lines[i]);
    return out;
}

static void compare(const struct kvr_prom_sum *s, const struct page_model *m, bool open,
                    bool lasting, uint64_t seed) {
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_", .open = open};
    struct evbuffer *out = evbuffer_new();
    write_model(&p, m, lasting);
    if (lasting)
        kvr_prom_sum_write_lasting(s, out);
    else
        kvr_prom_sum_write(s, out, open);
    char *want = sorted(p.out), *is = sorted(out);
    cr_assert_str_eq(is, want, "KVROUTE_SEED=%" PRIu64, seed);
    free(want);
    free(is);
    evbuffer_free(p.out);
    evbuffer_free(out);
}

Test(prometheus_sum, is_that_of_plain_arrays) {
    const char *given = getenv("KVROUTE_SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (given ? 1 : 100); seed++) {
        uint64_t random = seed;
        struct page_model sum = {.took = {.n = 0}}, one;
        struct kvr_prom_sum *s = kvr_prom_sum_new(&kvr_alloc_default, rules);
        for (size_t i = 0; i < 1 + seed % SUM_PAGES; i++) {
            struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
            fill(&one, &random);
            write_model(&p, &one, false);
            add_page(s, p.out);
            evbuffer_free(p.out);
            join_model(&sum, &one);
        }
        compare(s, &sum, false, false, seed);
        compare(s, &sum, true, false, seed);
        compare(s, &sum, false, true, seed);
        kvr_prom_sum_free(s);
    }
}

// A page of one is that page, to the last byte: also its order.
Test(prometheus_sum, of_one_page_is_that_page) {
    uint64_t random = 7;
    struct page_model m;
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
    struct evbuffer *out = evbuffer_new();
    struct kvr_prom_sum *s = kvr_prom_sum_new(&kvr_alloc_default, rules);
    fill(&m, &random);
    write_model(&p, &m, false);
    add_page(s, p.out);
    kvr_prom_sum_write(s, out, false);
    cr_assert_str_eq(text_of_page(out), text_of_page(p.out));
    kvr_prom_sum_free(s);
    evbuffer_free(out);
    evbuffer_free(p.out);
}

// ---- What isn't as expected ----------------------------------------------------------------------

Test(prometheus_sum, other_lines_are_passed_over) {
    static const char page[] = "x_early 1\n"
                               "# HELP x_n_total of\n# TYPE x_n_total counter\n"
                               "x_n_total 3\n\nx_n_total\nx_n_total 3x\nx_n_total -\n# a comment\n"
                               "x_n_total{a=\"b\"} 1.5\nx_n_total 4";
    struct evbuffer *out = evbuffer_new();
    struct kvr_prom_sum *s = kvr_prom_sum_new(&kvr_alloc_default, rules);
    cr_assert(kvr_prom_sum_add(s, page, sizeof page - 1) && kvr_prom_sum_add(s, NULL, 0));
    kvr_prom_sum_write(s, out, false);
    cr_assert_str_eq(text_of_page(out), "# HELP x_n_total of\n# TYPE x_n_total counter\n"
                                        "x_n_total 7\nx_n_total{a=\"b\"} 1.500000\n");
    kvr_prom_sum_free(s);
    evbuffer_free(out);
}

Test(prometheus_sum, without_memory_says_so) {
    uint64_t random = 11;
    struct page_model m;
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "x_"};
    fill(&m, &random);
    write_model(&p, &m, false);
    bool good = false;
    for (uint64_t at = 1; !good; at++) {
        struct support_alloc t = {.fail_at = at};
        struct kvr_alloc a = support_alloc_use(&t);
        struct kvr_prom_sum *s = kvr_prom_sum_new(&a, rules);
        good = s && kvr_prom_sum_add(s, (const char *)evbuffer_pullup(p.out, -1),
                                     evbuffer_get_length(p.out));
        // Growing the table is as well as it can be: without it all is right, too.
        cr_assert(good || t.failures == 1);
        kvr_prom_sum_free(s);
        support_alloc_check_freed(&t, "prometheus_sum");
        if (good && t.failures) good = false;
    }
    evbuffer_free(p.out);
}
