// SPDX-License-Identifier: Apache-2.0
// Engines from a file, and settings of all kinds of sources.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtest_watch.h"
#include "tests/support/support_home.h"

static char file[200];
static size_t wanted;
static uint64_t count;

static void begin(void) {
    dtest_watch_open();
    support_path(file, sizeof file, "engines");
}

static void end(void) {
    dtest_watch_close_discovery();
    dtest_watch_close();
}

static void write_file(const char *text) {
    char part[220];
    snprintf(part, sizeof part, "%s.part", file);
    FILE *f = fopen(part, "w");
    fputs(text, f);
    fclose(f);
    cr_assert_eq(rename(part, file), 0);
}

static bool are_there(void) {
    return dtest_watch.there == wanted;
}

static void until_there(size_t n) {
    wanted = n;
    dtest_watch_until(are_there);
}

static bool have_failed(void) {
    return dtest_watch_stats().failures >= count;
}

static bool has_changed(void) {
    return dtest_watch.changed >= count;
}

Test(discovery_file, lines_are_engines, .init = begin, .fini = end) {
    write_file("# mine\n\nhttp://10.0.0.1:8000\n"
               "  http://10.0.0.2:8000/llm\tname=gpu1 role=prefill ranks=2 capacity=9 pool=other "
               "label=zone=a label=gen=h100\r\nhttps://10.0.0.3\n");
    dtest_watch_look("file://%s every=100 pool=demo ranks=4", file);
    until_there(3);
    cr_assert_str_eq(dtest_watch_at("https://10.0.0.3")->name, "10.0.0.3");
    const struct dtest_seen *a = dtest_watch_at("http://10.0.0.1:8000");
    const struct dtest_seen *b = dtest_watch_at("http://10.0.0.2:8000/llm");
    cr_assert(a && b);
    cr_assert_str_eq(a->name, "10.0.0.1:8000");
    cr_assert_str_eq(a->pool, "demo");
    cr_assert_eq(a->ranks, 4);
    cr_assert_str_eq(b->name, "gpu1");
    cr_assert_str_eq(b->pool, "other");
    cr_assert_eq(b->role, KVR_ROLE_PREFILL);
    cr_assert_eq(b->ranks, 2);
    cr_assert_eq(b->capacity, 9);
    cr_assert_str_eq(b->labels, "zone=a gen=h100");
    write_file("http://10.0.0.1:8000 role=decode\n");
    until_there(1);
    cr_assert_eq(dtest_watch.changed, 1);
    cr_assert_eq(a->role, KVR_ROLE_DECODE);
    write_file("http://10.0.0.1:8000 state=draining\nhttp://10.0.0.3:8000 state=draining\n");
    count = 2;
    dtest_watch_until(has_changed);
    cr_assert(a->leaving);
    cr_assert_eq(dtest_watch.there, 1); // nobody knew the other
    write_file("# nobody\n");
    until_there(0);
}

// What is wrong leaves what was.
Test(discovery_file, broken_files_change_nothing, .init = begin, .fini = end) {
    static const char *const broken[] = {
        "",
        "10.0.0.9:8000\n",
        "http://10.0.0.9:8000 role=king\n",
        "http://10.0.0.9:8000 nonsense\n",
        "http://10.0.0.9:8000 colour=red\n",
        "http://10.0.0.9:8000\nhttp://10.0.0.9:8000\n",
        "http://10.0.0.9:8000 name=a\nhttp://10.0.0.8:8000 name=a\n",
        "http://1:1\nhttp://2:1\nhttp://3:1\nhttp://4:1\n",
        "http://10.0.0.9:8000 label=\n",
    };
    write_file("http://10.0.0.1:8000\n");
    dtest_watch_look("file://%s every=100 max=3", file);
    until_there(1);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        count = dtest_watch_stats().failures + 1;
        write_file(broken[i]);
        dtest_watch_until(have_failed);
        cr_assert(dtest_watch_stats().failing, "%s", broken[i]);
        cr_assert_eq(dtest_watch.there, 1, "%s", broken[i]);
    }
    count = dtest_watch_stats().failures + 2;
    unlink(file);
    dtest_watch_until(have_failed);
    mkdir(file, 0700);
    count = dtest_watch_stats().failures + 2;
    dtest_watch_until(have_failed);
    rmdir(file);
    write_file("http://10.0.0.1:8000 ranks=2\n");
    count = 1;
    dtest_watch_until(has_changed);
    cr_assert_eq(dtest_watch.lost, 0);
    cr_assert_eq(dtest_watch.found, 1);
}

static bool takes(const char *source, const char *name, const char *value) {
    struct discovery_configs all = {NULL, 0};
    char error[300] = "";
    struct kvr_config_error e = {error, sizeof error};
    bool good = discovery_configs_entry(&all, source, NULL, NULL, &e) &&
                (!name || discovery_configs_entry(&all, source, name, value, &e)) &&
                discovery_configs_complete(&all, &e);
    cr_assert(good == !*error, "%s", error);
    discovery_configs_free(&all);
    return good;
}

Test(discovery_settings, what_is_taken) {
    static const char *const good[] = {
        "dns://a.b:1",         "dns://engines.ns.svc.cluster.local.:8000",
        "srv://_h._t.x",       "file:///x",
        "kubernetes://ns/svc", "kubernetes:///svc",
        "kubernetes://svc"};
    static const char *const bad[] = {"",
                                      "x",
                                      "dns://",
                                      "dns://a",
                                      "dns://:80",
                                      "dns://a:0",
                                      "dns://a:99999",
                                      "dns://a:b",
                                      "dns://a/b:1",
                                      "srv://a",
                                      "file://x",
                                      "kubernetes://",
                                      "http://a:1",
                                      "kubernetes://a/b/c"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(takes(good[i], NULL, NULL), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!takes(bad[i], NULL, NULL), "%s", bad[i]);
    cr_assert(takes("kubernetes://ns/", "selector", "app=llm"));
    cr_assert(!takes("kubernetes://a/b", "api", "http://1.2.3.4"));
    cr_assert(!takes("dns://a:1", "every", "99"));
    cr_assert(!takes("dns://a:1", "max", "0"));
    cr_assert(!takes("dns://a:1", "prefix", "x"));
    cr_assert(!takes("dns://a:1", "nonsense", "x"));
}
