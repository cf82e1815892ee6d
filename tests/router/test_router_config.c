// SPDX-License-Identifier: Apache-2.0
// The settings that packages install: every word is there, and what they call the default is it.
#include <criterion/criterion.h>
#include <string.h>

#include "client/router/router_config.h"
#include "client/router/router_processors.h"
#include "rtest_cluster.h"
#include "tests/support/support_sample.h"

TestSuite(router_config);

static void read_sample(struct router_config *o, bool set) {
    char *argv[] = {(char *)"kvroute-router", (char *)"--config",
                    (char *)support_sample(KVROUTE_SAMPLE, set, NULL), NULL};
    char error[400] = "";
    bool help;
    cr_assert(router_config_read(o, 3, argv, &help, error, sizeof error), "%s", error);
}

// A default that is made later is what the file says, or nothing.
static void is_late(char *text, const char *value) {
    cr_expect_str_eq(text, value);
    memset(text, 0, strlen(value));
}

Test(router_config, what_is_installed_are_the_defaults) {
    struct router_config plain, said;
    cr_expect_null(support_sample_lacks(KVROUTE_SAMPLE, router_config_usage), "%s is missing",
                   support_sample_lacks(KVROUTE_SAMPLE, router_config_usage));
    read_sample(&plain, false);
    read_sample(&said, true);
    is_late(said.trace_ratio, "1");
    is_late(said.service_name, "kvroute-router");
    is_late(said.engine_insecure, "no");
    cr_assert(plain.n_pools == 1 && said.n_pools == 1);
    cr_expect(said.pools->bootstrap_port == 8998);
    said.pools->bootstrap_port = plain.pools->bootstrap_port;
    cr_expect_arr_eq(said.pools, plain.pools, sizeof *said.pools);
    cr_assert(plain.n_engines == 1 && said.n_engines == 1);
    cr_expect_arr_eq(said.engines, plain.engines, sizeof *said.engines);
    cr_assert(plain.sources.n == 1 && said.sources.n == 1);
    cr_expect_arr_eq(said.sources.items, plain.sources.items, sizeof *said.sources.items);
    router_config_free(&plain);
    router_config_free(&said);
    cr_expect_arr_eq(&said, &plain, sizeof said);
}

// ---- Processes -----------------------------------------------------------------------------------

static bool read_processes(struct router_config *o, const char *value, char error[400]) {
    char *argv[] = {(char *)"kvroute-router", (char *)"--processes", (char *)value, NULL};
    bool help;
    return router_config_read(o, 3, argv, &help, error, 400);
}

Test(router_config, processes) {
    static const char *const wrong[] = {"0", "65", "-1", "many", "", "2x"};
    struct router_config o;
    char error[400];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect(!read_processes(&o, wrong[i], error) && strstr(error, "processes"), "%s: %s",
                  wrong[i], error);
    cr_assert(read_processes(&o, "64", error) && o.processes == 64);
    router_config_free(&o);
    cr_assert(read_processes(&o, "auto", error));
    cr_assert_eq(o.processes, router_processors(ROUTER_PROCESSORS_LIMIT));
    router_config_free(&o);
}

Test(router_config, processors_are_as_many_as_a_container_may_use) {
    static const struct {
        const char *limit;
        size_t most; // 0: none
    } files[] = {{"max 100000\n", 0},  {"100000 100000\n", 1}, {"50000 100000\n", 1},
                 {"1000 100000\n", 1}, {"6400000 100000", 64}, {"", 0},
                 {"nonsense", 0},      {"100000 0\n", 0},      {"100000", 0}};
    size_t all = router_processors("/nowhere");
    cr_assert_geq(all, 1);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t most = files[i].most, n = router_processors(rtest_write("cpu.max", files[i].limit));
        cr_expect_eq(n, most && most < all ? most : all, "%s: %zu", files[i].limit, n);
    }
}

// What all have together is what was said, or a little more; none refuses what the router may take.
Test(router_config, limits_are_divided) {
    struct router_config o;
    char error[400];
    cr_assert(read_processes(&o, "3", error));
    router_config_divide(&o);
    cr_expect(o.max_connections == 6667 && o.max_requests == 3334 && o.retry_burst == 4);
    cr_expect(o.max_kept == ((256 << 20) + 2) / 3 && o.max_queued == ((256 << 20) + 2) / 3);
    cr_expect(o.max_body == 16 << 20 && o.retry_percent == 20);
    router_config_free(&o);
    cr_assert(read_processes(&o, "64", error));
    o.retry_burst = 0;
    router_config_divide(&o);
    cr_expect(o.max_queued == 16 << 20 && o.retry_burst == 0, "a body finds room");
    o.max_queued = 1000;
    router_config_divide(&o);
    cr_expect_eq(o.max_queued, 1000, "as little as was said");
    router_config_free(&o);
}
