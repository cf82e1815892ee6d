// SPDX-License-Identifier: Apache-2.0
// The page in a real browser, headless; skipped where there is no chromium.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stand.h"
#include "tests/support/home.h"
#include "tests/support/needs.h"

enum { MOST = 1 << 20 };

static struct stand s;

static void down(void) {
    stand_down(&s);
}

// The document as it is after some seconds of the page's own time; to be freed.
static char *browse(void) {
    char url[60], profile[200], path[200];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.routers[0].port);
    snprintf(profile, sizeof profile, "--user-data-dir=%s/chromium", home_path());
    snprintf(path, sizeof path, "%s/page.dom", home_path());
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
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stand_process p = {.pid = stand_spawn(argv, fd)};
    stand_wait(&p);
    char *text = calloc(1, MOST);
    cr_assert(pread(fd, text, MOST - 1, 0) > 0);
    close(fd);
    char *script = strstr(text, "<script>"); // not what the page could say, but what it says
    if (script) *script = 0;
    return text;
}

Test(page, shows_the_fleet, .fini = down, .timeout = 120) {
    needs_program("chromium", "chromium");
    stand_redis(&s);
    stand_router(&s, 0,
                 (const char *[]){"--engine", "http://10.0.0.1:8000", "--engine",
                                  "http://10.0.0.2:8000 name=<b>bold</b>", NULL});
    stand_await_ready(&s, 0);
    json_decref(http_json(http_post(s.routers[0].port, "/v1/select", "{}"), 200));
    sleep_ms(1200); // it has looked again
    char *page = browse();
    cr_assert(strstr(page, "All is well."), "%s", page);
    cr_assert(strstr(page, "2 of 2") && strstr(page, "10.0.0.1:8000"));
    cr_assert(strstr(page, "expected hits") && strstr(page, "first token"));
    cr_assert(strstr(page, "&lt;b&gt;bold") && !strstr(page, "<b>bold"));
    free(page);
    stand_kill(&s.redis, SIGKILL);
    sleep_ms(500);
    page = browse();
    cr_assert(strstr(page, "Degraded: Redis is away."), "%s", page);
    cr_assert(strstr(page, "10.0.0.1:8000")); // what is known stays
    free(page);
}

Test(page, asks_for_a_token, .fini = down, .timeout = 120) {
    needs_program("chromium", "chromium");
    char file[200];
    snprintf(file, sizeof file, "%s/tokens", home_path());
    FILE *f = fopen(file, "w");
    fputs("secret\n", f);
    fclose(f);
    stand_redis(&s);
    stand_router(&s, 0, (const char *[]){"--token_file", file, NULL});
    char *page = browse();
    cr_assert(strstr(page, "only to who has a token") && strstr(page, "<form id=\"ask\">"));
    free(page);
}

Test(page, needs_nothing_from_elsewhere, .fini = down) {
    stand_redis(&s);
    stand_router(&s, 0, NULL);
    struct response r = http_get(s.routers[0].port, "/");
    cr_assert_eq(r.status, 200);
    cr_assert(strstr(r.head, "default-src 'none'"));
    cr_assert(!strstr(r.body, "http://") && !strstr(r.body, "https://") &&
              !strstr(r.body, "//cdn"));
    response_free(&r);
}
