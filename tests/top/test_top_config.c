// SPDX-License-Identifier: Apache-2.0
// What kvroute-top is told, and what it doesn't take.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/top/top_config.h"
#include "tests/support/support_home.h"

enum { MAX_TOP_ARGS = 10, TOP_ERROR = 300 };

static bool read_words(struct top_config *c, const char *const *words, char error[TOP_ERROR]) {
    char *argv[MAX_TOP_ARGS + 2] = {(char *)"kvroute-top"};
    int n = 1;
    bool help;
    while (n <= MAX_TOP_ARGS && words[n - 1]) {
        argv[n] = (char *)words[n - 1];
        n++;
    }
    *error = 0;
    return top_config_read(c, n, argv, &help, error, TOP_ERROR);
}

Test(top_config, defaults) {
    struct top_config c;
    char error[TOP_ERROR];
    unsetenv("NO_COLOR");
    cr_assert(read_words(&c, (const char *const[]){NULL}, error), "%s", error);
    cr_expect_str_eq(c.redis, "redis://127.0.0.1:6379");
    cr_expect(c.n_pools == 0 && c.refresh == 1000 && c.sort == TOP_BY_WORKER);
    cr_expect(c.color && !c.once && !c.json && !c.ascii && !c.reverse && !*c.filter);
    setenv("NO_COLOR", "", 1);
    cr_expect(read_words(&c, (const char *const[]){NULL}, error) && c.color);
    setenv("NO_COLOR", "1", 1);
    cr_expect(read_words(&c, (const char *const[]){NULL}, error) && !c.color);
}

Test(top_config, flags) {
    struct top_config c;
    char error[TOP_ERROR];
    const char *words[] = {"--pool", "a",    "--once",     "--pool=b b", "--pool", "a",
                           "--sort", "ttft", "--no-color", "--reverse",  NULL};
    cr_assert(read_words(&c, words, error), "%s", error);
    cr_expect(c.n_pools == 2 && c.once && !c.json && !c.color && c.reverse);
    cr_expect_str_eq(c.pools[0], "a");
    cr_expect_str_eq(c.pools[1], "b b");
    cr_expect(c.sort == TOP_BY_TTFT);
    const char *spelled[] = {"--json", "yes",           "--ascii=yes", "--color",
                             "no",     "--refresh=250", NULL};
    cr_assert(read_words(&c, spelled, error), "%s", error);
    cr_expect(c.json && c.once && c.ascii && !c.color && c.refresh == 250);
}

Test(top_config, a_file) {
    struct top_config c;
    char error[TOP_ERROR], path[200];
    support_path(path, sizeof path, "top.ini");
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("[top]\npool = x\npool = y\nfilter = zone=a\n", f) >= 0 && !fclose(f));
    cr_assert(read_words(&c, (const char *const[]){"--config", path, NULL}, error), "%s", error);
    cr_expect(c.n_pools == 2);
    cr_expect_str_eq(c.filter, "zone=a");
}

Test(top_config, refusals) {
    static const char *const wrong[][4] = {
        {"--refresh", "99"}, {"--refresh", "x"}, {"--sort", "size"}, {"--pool", ""},
        {"--size", "1"},     {"once"},           {"--redis"},        {"--once", "--json=maybe"},
        {"--pools", "a"},
    };
    struct top_config c;
    char error[TOP_ERROR], key[TOP_MAX_KEY + 1];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect(!read_words(&c, wrong[i], error) && *error, "%s", wrong[i][0]);
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    cr_expect(!read_words(&c, (const char *const[]){"--pool", key, NULL}, error) && *error);
}
