// SPDX-License-Identifier: Apache-2.0
// The page in a real browser, headless; skipped where there is no chromium.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rtest_fleet.h"
#include "tests/support/support_home.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_process.h"

enum { MOST = 1 << 20 };

// The document as it is after some seconds of the page's own time; to be freed.
static char *browse(void) {
    char url[60], profile[200];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", rtest_port());
    snprintf(profile, sizeof profile, "--user-data-dir=%s/chromium", support_home());
    const char *argv[] = {"chromium",
                          "--headless",
                          "--no-sandbox",
                          "--disable-gpu",
                          "--disable-dev-shm-usage",
                          "--virtual-time-budget=3000",
                          profile,
                          "--dump-dom",
                          url,
                          NULL};
    char *text = calloc(1, MOST);
    support_run(argv, RTEST_WAIT_MS, text, MOST);
    char *script = strstr(text, "<script>"); // not what the page could say, but what it says
    if (script) *script = 0;
    return text;
}

Test(page, shows_the_fleet, .fini = rtest_cluster_down, .timeout = 120) {
    support_needs_program("chromium", "chromium");
    rtest_redis();
    rtest_router(0, (const char *[]){"--engine", "http://10.0.0.1:8000", "--engine",
                                     "http://10.0.0.2:8000 name=<b>bold</b>", NULL});
    rtest_await_ready(0);
    json_decref(rtest_json(rtest_post(rtest_port(), "/v1/select", "{}"), 200));
    support_sleep_ms(1200); // it has looked again
    char *page = browse();
    cr_assert(strstr(page, "All is well."), "%s", page);
    cr_assert(strstr(page, "2 of 2 workers can be chosen.")); // what was looked at
    cr_assert(strstr(page, "2 of 2<") && strstr(page, "10.0.0.1:8000"));
    cr_assert(strstr(page, "expected hits") && strstr(page, "first token"));
    cr_assert(strstr(page, "&lt;b&gt;bold") && !strstr(page, "<b>bold"));
    free(page);
    rtest_kill_redis(SIGKILL);
    support_sleep_ms(500);
    page = browse();
    cr_assert(!strstr(page, "All is well.") && strstr(page, "Redis is away: "), "%s", page);
    cr_assert(strstr(page, "10.0.0.1:8000")); // what is known stays
    free(page);
}

// A dead engine is the first thing that is said, and by its name.
Test(page, a_dead_engine_comes_first, .fini = rtest_fleet_down, .timeout = 120) {
    support_needs_program("chromium", "chromium");
    char line[80];
    rtest_fleet_up(2, "--time-scale 0", 2, NULL);
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    for (int i = 0; i < 4; i++)
        rtest_ask_well(0, "a b c", 2, true);
    support_sleep_ms(1200);
    char *page = browse();
    snprintf(line, sizeof line, "Worker 127.0.0.1:%d doesn't answer", rtest_fleet.engines[0].port);
    const char *verdict = strstr(page, "1 thing is wrong."), *said = strstr(page, line);
    cr_assert(verdict && said && verdict < said && !strstr(page, "All is well."), "%s", page);
    cr_assert(said < strstr(page, "Time to the first token"));
    free(page);
}

Test(page, asks_for_a_token, .fini = rtest_cluster_down, .timeout = 120) {
    support_needs_program("chromium", "chromium");
    char file[200];
    snprintf(file, sizeof file, "%s/tokens", support_home());
    FILE *f = fopen(file, "w");
    fputs("secret\n", f);
    fclose(f);
    rtest_redis();
    rtest_router(0, (const char *[]){"--token_file", file, NULL});
    char *page = browse();
    cr_assert(strstr(page, "only to who has a token") && strstr(page, "<form id=\"ask\">"));
    free(page);
}

Test(page, needs_nothing_from_elsewhere, .fini = rtest_cluster_down) {
    rtest_redis();
    rtest_router(0, NULL);
    struct support_response r = rtest_get(rtest_port(), "/");
    cr_assert_eq(r.status, 200);
    cr_assert(strstr(r.head, "default-src 'none'"));
    cr_assert(strstr(r.body, "<noscript>") && strstr(r.body, "v1/status"));
    cr_assert(!strstr(r.body, "http://") && !strstr(r.body, "https://") &&
              !strstr(r.body, "//cdn"));
    support_response_free(&r);
}

// ---- The page with a status of the test's choosing -----------------------------------------------

// Writes the page as served by router 0, with its status as `change` makes it and not asked for again, and
// with a script more at its end; shows it in a window so wide. Returns the document after that.
static char *browse_changed(void (*change)(json_t *), const char *script, int width) {
    struct support_response page = rtest_get(rtest_port(), "/");
    json_t *status = rtest_json(rtest_get(rtest_port(), "/v1/status"), 200);
    char path[250], url[260], profile[250], window[40];
    change(status);
    char *text = json_dumps(status, JSON_COMPACT | JSON_ENSURE_ASCII);
    char *at = strstr(page.body, "<script>"), *end = strstr(page.body, "</body>");
    cr_assert(text && at && end && !strstr(text, "</"));
    support_path(path, sizeof path, "page.html");
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    fwrite(page.body, 1, (size_t)(at - page.body), f);
    fprintf(f, "<script>window.fetch = async () => new Response(JSON.stringify(%s));</script>",
            text);
    fwrite(at, 1, (size_t)(end - at), f);
    fprintf(f, "<pre id=told></pre><script>%s</script></body></html>", script);
    fclose(f);
    free(text);
    json_decref(status);
    support_response_free(&page);

    snprintf(url, sizeof url, "file://%s", path);
    snprintf(profile, sizeof profile, "--user-data-dir=%s/chromium", support_home());
    snprintf(window, sizeof window, "--window-size=%d,900", width);
    const char *argv[] = {"chromium",
                          "--headless",
                          "--no-sandbox",
                          "--disable-gpu",
                          "--disable-dev-shm-usage",
                          "--virtual-time-budget=6000",
                          profile,
                          window,
                          "--dump-dom",
                          url,
                          NULL};
    char *document = calloc(1, MOST);
    support_run(argv, RTEST_WAIT_MS, document, MOST);
    return document;
}

// Three hundred workers with long names, of which some are in trouble.
static void crowd(json_t *status) {
    json_t *workers =
        json_object_get(json_array_get(json_object_get(status, "pools"), 0), "workers");
    json_t *first = json_array_get(workers, 0);
    for (int i = 0; i < 300; i++) {
        char name[100];
        json_t *w = json_deep_copy(first);
        snprintf(name, sizeof name, "inference-node-%d-gpu-%d.zone-a.cluster.example.internal",
                 i / 8, i % 8);
        json_object_set_new(w, "worker", json_string(name));
        if (i == 250) json_object_set_new(w, "state", json_string("expired"));
        if (i == 270) json_object_set_new(w, "circuit", json_string("open"));
        json_object_set_new(w, "capacity", json_integer(1000));
        json_object_set_new(w, "decode_blocks", json_integer(3 * i));
        json_array_append_new(workers, w);
    }
}

static void router_with_an_engine(void) {
    rtest_redis();
    rtest_router(0, (const char *[]){"--engine", "http://10.0.0.1:8000", NULL});
    rtest_await_ready(0);
}

Test(page, hundreds_of_workers_in_a_narrow_window, .fini = rtest_cluster_down, .timeout = 120) {
    static const char script[] =
        "setTimeout(() => {"
        "const names = () => [...document.querySelectorAll('.workers tbody th span')].map(e => "
        "e.textContent.replace('inference-node-', ''));"
        "const told = [document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'too wide',"
        "names().length, names()[0].slice(0, 8), names()[1].slice(0, 8)];"
        "const input = document.querySelector('input[type=search]'); input.value = 'node-3-gpu';"
        "input.dispatchEvent(new Event('input')); told.push(names().length);"
        "document.getElementById('told').textContent = 'TOLD ' + told.join(' ');"
        "}, 2500)";
    support_needs_program("chromium", "chromium");
    router_with_an_engine();
    char *page = browse_changed(crowd, script, 390);
    // Fifty rows at first, the two that are in trouble on top; the filter finds eight.
    cr_assert(strstr(page, ">TOLD fits 50 31-gpu-2 33-gpu-6 8<"), "%s",
              strstr(page, "id=\"told\""));
    free(page);
}

// Many classes with long names, and somebody who waits.
static void crowd_queue(json_t *status) {
    json_error_t error;
    json_t *pool = json_array_get(json_object_get(status, "pools"), 0), *classes;
    json_t *q = json_loads("{\"known\":true,\"waiting\":12,\"tokens\":34000,\"estimate_ms\":4200,"
                           "\"admitted\":5,\"refused\":6,\"limited\":7,\"instances\":2,"
                           "\"instances_wanted\":3,\"classes\":[],\"first\":[{\"request\":\"r\","
                           "\"class\":\"chat\",\"flow\":\"<b>acme\",\"position\":0,"
                           "\"waited_ms\":1500,\"blocks\":9}]}",
                           0, &error);
    cr_assert(q, "%s", error.text);
    classes = json_object_get(q, "classes");
    for (int i = 0; i < 8; i++) {
        char name[80];
        snprintf(name, sizeof name, "class-number-%d-with-a-name-of-many-words-and-no-blank", i);
        json_array_append_new(classes, json_pack("{s:s,s:i,s:f,s:i,s:i,s:i,s:i,s:i,s:i,s:i}",
                                                 "class", i ? name : "<i>chat", "priority", 5 - i,
                                                 "weight", 2.5, "waiting", i, "tokens", 1000 * i,
                                                 "oldest_ms", 700, "admitted", 1, "refused", 2,
                                                 "max_waiting", i ? 100 : 0, "room", i ? 80 : 100));
    }
    json_object_set_new(pool, "queue", q);
}

static const char look_at_the_queue[] =
    "setTimeout(() => {"
    "const queue = document.querySelector('section[aria-label=\"queue of kvroute\"]');"
    "queue.querySelector('details').open = true;"
    "const rows = queue.querySelectorAll('tbody');"
    "const told = [document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'too wide',"
    "queue.hidden ? 'hidden' : 'shown', rows[0].children.length, rows[1].children.length,"
    "queue.querySelectorAll('b, tbody i').length];"
    "document.getElementById('told').textContent = 'TOLD ' + told.join(' ') + '.';"
    "}, 2500)";

// A queue is told of by its figures, its classes and who is next; names are text.
Test(page, the_queue_of_a_pool, .fini = rtest_cluster_down, .timeout = 120) {
    static const int widths[] = {1280, 390};
    support_needs_program("chromium", "chromium");
    router_with_an_engine();
    for (int i = 0; i < 2; i++) {
        char *page = browse_changed(crowd_queue, look_at_the_queue, widths[i]);
        cr_assert(strstr(page, ">TOLD fits shown 8 1 0.<"), "%s", strstr(page, "id=\"told\""));
        cr_assert(strstr(page, "some 4200 ms") && strstr(page, "&lt;i&gt;chat") &&
                  strstr(page, "7 of 100"));
        free(page);
    }
}

static void without_queue(json_t *status) {
    json_t *pool = json_array_get(json_object_get(status, "pools"), 0);
    json_object_set_new(json_object_get(pool, "queue"), "known", json_false());
}

// A module that has no queue: nothing is said of one.
Test(page, a_pool_without_a_queue, .fini = rtest_cluster_down, .timeout = 120) {
    support_needs_program("chromium", "chromium");
    router_with_an_engine();
    char *page = browse_changed(without_queue, look_at_the_queue, 1280);
    cr_assert(strstr(page, ">TOLD fits hidden 0 0 0.<"), "%s", strstr(page, "id=\"told\""));
    free(page);
}

// Deque's axe, if somebody has it: KVROUTE_AXE is the path of its axe.min.js.
static void keep(json_t *status) {
    (void)status;
}

Test(page, axe_finds_nothing, .fini = rtest_cluster_down, .timeout = 240) {
    support_needs_program("chromium", "chromium");
    const char *path = getenv("KVROUTE_AXE");
    if (!path) cr_skip_test("no KVROUTE_AXE: the path of axe-core's axe.min.js");
    FILE *f = fopen(path, "r");
    cr_assert(f != NULL, "%s can't be read", path);
    char *script = calloc(1, 2 * MOST);
    size_t n = fread(script, 1, 2 * MOST - 1000, f);
    fclose(f);
    cr_assert(n > 0 && !strstr(script, "</script"));
    strcat(script,
           ";setTimeout(() => axe.run().then(r => {"
           "document.getElementById('told').textContent = 'TOLD ' + r.violations.length + ' ' "
           "+ r.violations.map(v => v.id).join(' ') + '.';"
           "}), 1500)");
    router_with_an_engine();
    static const int widths[] = {1280, 390};
    for (int i = 0; i < 6; i++) {
        char *page = browse_changed(i < 2   ? keep
                                    : i < 4 ? crowd
                                            : crowd_queue,
                                    script, widths[i % 2]);
        cr_assert(strstr(page, ">TOLD 0 .<"), "%s", strstr(page, "id=\"told\""));
        free(page);
    }
    free(script);
}
