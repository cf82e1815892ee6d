// SPDX-License-Identifier: Apache-2.0
// What the pages look like, in a screen without a terminal.
#include <criterion/criterion.h>
#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/top/top_report.h"
#include "ttest_fill.h"

static struct top_view view;
static struct top_ui ui;
static struct top_screen screen;
static const struct top_moments_now now = {10000, 1700000010};

static struct top_pool *begin(size_t workers, int rows, int cols, bool utf8) {
    struct top_config c = {.sort = TOP_BY_WORKER};
    cr_assert(setlocale(LC_CTYPE, "C.UTF-8"));
    top_view_init(&view, 1000);
    struct top_pool *p = top_view_pool(&view, kvr_text("chat"));
    cr_assert(p);
    ttest_connected(p, 1, "10.0.0.1:6379", 1000);
    ttest_info(p, 1000,
               "selects 100 select_blocks 1000 overlap_blocks 400 expected_blocks 500 waiting 0 "
               "refused 0 admitted 0 version 7 workers 1 instances 2 eligible 2 requests 5");
    ttest_info(p, 3000,
               "selects 150 select_blocks 1200 overlap_blocks 550 expected_blocks 660 waiting 9 "
               "waiting_tokens 4000 refused 10 admitted 4 version 99 workers 12 instances 24 "
               "eligible 22 requests 77 blocks 12345 holdings 40000 memory_bytes 1500000 "
               "maxrequests 8 policy delay open_circuits 1");
    ttest_workers(p, workers);
    top_ui_init(&ui, &c);
    cr_assert(top_ui_update(&ui, &view));
    screen.utf8 = utf8;
    cr_assert(top_screen_resize(&screen, rows, cols));
    return p;
}

static void end_draw(void) {
    top_screen_free(&screen);
    top_ui_free(&ui);
    top_view_free(&view);
}

static void draw(void) {
    top_draw(&screen, &ui, &view, now);
}

// The row that has this text; -1: none has.
static int row_with(const char *text) {
    char line[4 * TOP_MAX_COLS + 1];
    for (int row = 0; row < screen.rows; row++) {
        top_screen_line(&screen, row, line, sizeof line);
        if (strstr(line, text)) return row;
    }
    return -1;
}

static void shows(const char *text) {
    char line[4 * TOP_MAX_COLS + 1];
    if (row_with(text) >= 0) return;
    for (int row = 0; row < screen.rows; row++) {
        top_screen_line(&screen, row, line, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
    cr_expect(false, "no \"%s\"", text);
}

static void press(uint32_t key) {
    top_ui_key(&ui, &view, key);
    draw();
}

Test(top_draw, the_first_page, .fini = end_draw) {
    begin(12, 24, 80, true);
    draw();
    static const char *const texts[] = {
        "kvroute-top  chat",
        "redis 10.0.0.1:6379",
        "version 99",
        "policy delay",
        "workers 12",
        "eligible 22/24",
        "circuits open 1",
        "requests 77",
        "blocks 12.3k",
        "held 40.0k",
        "memory 1.5 MB",
        "hit rate 75.0%",
        "of all 45.8%",
        "expected 80.0%",
        "selects 25/s",
        "admitted 2/s",
        "refused 5/s",
        "waiting 9, 4.0k tokens",
        "WORKER^",
        "?:help",
        "w1                 ready    closed     2/16 ▊             128    200 ▋        10ms",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts - 1; i++)
        shows(texts[i]);
    cr_expect(row_with("w0 ") < row_with("w1 ") && row_with("w1 ") < row_with("w10 "));
    cr_expect(row_with("w9") == -1 || row_with("w9") < 23);
    shows("1/12");
}

Test(top_draw, rows_of_workers, .fini = end_draw) {
    begin(3, 24, 160, false);
    draw();
    shows("WORKER^");
    shows("LABELS");
    shows("zone=a");
    char line[4 * TOP_MAX_COLS + 1];
    top_screen_line(&screen, row_with("w2 "), line, sizeof line);
    cr_expect(strstr(line, "ready") && strstr(line, "both") && strstr(line, "4/16 #") &&
                  strstr(line, "256") && strstr(line, " 400 #") && strstr(line, "10"),
              "%s", line);
    for (const char *c = line; *c; c++)
        cr_expect(*c >= ' ' && *c <= '~');
}

Test(top_draw, any_size, .fini = end_draw) {
    begin(40, 1, 1, true);
    for (int rows = 1; rows < 30; rows++)
        for (int cols = 1; cols < 200; cols += 7)
            for (unsigned page = TOP_PAGE_WORKERS; page <= TOP_PAGE_HELP; page++) {
                cr_assert(top_screen_resize(&screen, rows, cols));
                ui.page = (enum top_page)page;
                ui.row = (size_t)cols % 40;
                ui.scroll = (size_t)rows;
                draw();
            }
}

Test(top_draw, scrolls_to_the_chosen, .fini = end_draw) {
    begin(1000, 24, 80, true);
    draw();
    cr_expect(row_with("w0 ") > 0);
    press(TOP_KEY_END);
    cr_expect(row_with("w0 ") < 0 && row_with("w999") > 0);
    shows("1000/1000");
    int row = row_with("w999");
    cr_expect(screen.cells[(size_t)row * 80].style & TOP_REVERSED);
    press(TOP_KEY_PAGE_UP);
    press(TOP_KEY_HOME);
    cr_expect(row_with("w0 ") > 0);
    press('/');
    press('9');
    press('9');
    shows("filter: 99_");
    press('\r');
    shows("filter: 99 ");
    cr_expect(row_with("w99 ") > 0 && row_with("w1 ") < 0);
}

Test(top_draw, away, .fini = end_draw) {
    struct top_pool *p = begin(3, 24, 80, true);
    ttest_away(p, 1, 8000);
    draw();
    shows("Redis is away since");
    shows("(2.0s); this is how it was then");
    cr_expect(row_with("w1 ") > 0 && row_with("requests 77") > 0);
    ttest_connected(p, 2, "10.0.0.2:6379", 9000);
    draw();
    cr_expect(row_with("away") < 0);
    shows("redis 10.0.0.2:6379");
    shows("failovers 1");
    shows("took 2.3s");
    shows("before 10.0.0.1:6379");
    struct kvr_result r = ttest_failure(KVR_CODE_NOPOOL, "there is no such pool");
    top_view_info(p, &r, 9500);
    draw();
    shows("NOPOOL there is no such pool");
}

Test(top_draw, one_worker, .fini = end_draw) {
    struct top_pool *p = begin(3, 30, 120, true);
    press('j');
    press('\r');
    static const char *const texts[] = {
        "address http://h", "state ready",  "circuit closed", "ranks 2", "capacity 1.0k a rank",
        "speed learnt",     "ttl for ever", "labels zone=a",  "RANK",    "EPOCH",
        "limit 16"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        shows(texts[i]);
    ttest_workers(p, 1);
    cr_assert(top_ui_update(&ui, &view));
    draw();
    shows("w1 is gone");
}

static void fill_queue(struct top_pool *p) {
    const struct kvr_class c = {.name = kvr_text("batch"),
                                .priority = -5,
                                .weight = 2.5,
                                .waiting = 4,
                                .tokens = 900,
                                .oldest = 1500,
                                .admitted = 10,
                                .room = 50};
    const struct kvr_flow f = {.name = kvr_text("tenant-a"),
                               .weight = 1,
                               .max_requests = 10,
                               .rate = 1000,
                               .burst = 2000,
                               .requests = 5,
                               .left = 500};
    const struct kvr_queued q = {.request = kvr_text("r-17"),
                                 .service_class = kvr_text("batch"),
                                 .flow = kvr_text("tenant-a"),
                                 .position = 0,
                                 .waited = 1500,
                                 .blocks = 33};
    top_view_classes(p, &(struct kvr_result){.code = KVR_CODE_OK, .classes = &c, .n = 1});
    top_view_flows(p, &(struct kvr_result){.code = KVR_CODE_OK, .flows = &f, .n = 1}, true);
    top_view_queue(
        p, &(struct kvr_result){.code = KVR_CODE_OK, .queued = &q, .n = 1, .queue = {1, 900, 250}});
}

Test(top_draw, the_queue, .fini = end_draw) {
    struct top_pool *p = begin(3, 30, 100, false);
    fill_queue(p);
    press('w');
    shows("CLASS");
    shows("batch");
    shows("tenant-a");
    shows("5/10 ###");
    shows("1.5k/2.0k #####");
    shows("r-17");
    shows("waiting 9, 4.0k tokens");
    shows("room in 250ms");
    press(TOP_KEY_END);
    cr_expect(row_with("r-17") >= 0 || row_with("?:help") >= 0);
}

Test(top_draw, all_pools_and_help, .fini = end_draw) {
    begin(3, 24, 80, true);
    cr_assert(top_view_pool(&view, kvr_text("embed\033")));
    press('o');
    shows("chat");
    shows("22/24");
    shows("embed\\x1b");
    shows("away");
    press('?');
    shows("Keys");
    for (int row = 0; row < screen.rows; row++) // in 80 columns nothing of it is cut
        cr_expect(row_with("…") < 0);
    press('\033');
    shows("embed");
}

Test(top_draw, nothing_yet, .fini = end_draw) {
    begin(0, 24, 80, true);
    ui.pool = 5;
    draw();
    shows("looking for pools");
    strcpy(view.trouble, "there is no pool yet");
    draw();
    shows("there is no pool yet");
}

// ---- For scripts ---------------------------------------------------------------------------------

static char *printed(bool json) {
    struct top_config c = {.sort = TOP_BY_REQUESTS};
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    cr_assert(f);
    cr_expect(json ? top_report_json(&view, &c, f) : top_report_text(&view, &c, true, 160, now, f));
    cr_assert(fclose(f) == 0);
    return text;
}

Test(top_draw, text_for_scripts, .fini = end_draw) {
    struct top_pool *p = begin(1000, 24, 80, true);
    fill_queue(p);
    char *text = printed(false);
    cr_expect(strncmp(text, "pool chat\nredis 10.0.0.1:6379  ", 30) == 0);
    cr_expect(strstr(text, "\nw999 ") && strstr(text, "\nw0 ") && strstr(text, "r-17"));
    cr_expect(strstr(text, "\nw999 ") < strstr(text, "\nw0 "));
    cr_expect(!strchr(text, '\033') && !strstr(text, " \n"));
    free(text);
}

Test(top_draw, json, .fini = end_draw) {
    struct top_pool *p = begin(12, 24, 80, true);
    json_error_t error;
    const char *name, *state;
    double hit_rate;
    json_int_t requests, n_requests;
    fill_queue(p);
    cr_assert(top_view_pool(&view, kvr_text("never answered")));
    char *text = printed(true);
    json_t *j = json_loads(text, 0, &error);
    cr_assert(j, "%s: %s", error.text, text);
    cr_expect(json_array_size(json_object_get(j, "pools")) == 2);
    cr_assert(json_unpack(j, "{s:[{s:s, s:{s:I}, s:{s:F}, s:[{s:s, s:I}]}, {s:{s:n}}]}", "pools",
                          "pool", &name, "info", "requests", &n_requests, "rates", "hit_rate",
                          &hit_rate, "workers", "worker", &state, "requests", &requests, "info",
                          "requests") == 0,
              "%s", text);
    cr_expect_str_eq(name, "chat");
    cr_expect_str_eq(state, "w11");
    cr_expect(n_requests == 77 && hit_rate > 0.749 && hit_rate < 0.751 && requests == 22);
    json_decref(j);
    free(text);
}

// What no server says, but could.
static void say_extremes(struct top_pool *p, int64_t n, double d) {
    struct kvr_rank ranks[2] = {{.requests = n,
                                 .prefill_tokens = n,
                                 .decode_blocks = n,
                                 .held = {n, n, n},
                                 .ttft = d,
                                 .tpot = d}};
    ranks[1] = ranks[0];
    const struct kvr_worker w = {.name = kvr_text("w"),
                                 .capacity = n,
                                 .ttl_left = n,
                                 .ranks = ranks,
                                 .n_ranks = 2,
                                 .failures = n,
                                 .speed = d,
                                 .max_requests = n,
                                 .drain_left = n};
    const struct kvr_class c = {.name = kvr_text("c"),
                                .priority = n,
                                .weight = d,
                                .waiting = n,
                                .tokens = n,
                                .oldest = n,
                                .admitted = n,
                                .refused = n,
                                .max_waiting = n,
                                .room = n};
    const struct kvr_flow f = {.name = kvr_text("f"),
                               .weight = d,
                               .max_requests = n,
                               .rate = n,
                               .burst = n,
                               .requests = n,
                               .waiting = n,
                               .left = -n};
    const struct kvr_queued q = {.position = n, .waited = n, .blocks = n};
    top_view_workers(p, &(struct kvr_result){.code = KVR_CODE_OK, .workers = &w, .n = 1});
    top_view_classes(p, &(struct kvr_result){.code = KVR_CODE_OK, .classes = &c, .n = 1});
    top_view_flows(p, &(struct kvr_result){.code = KVR_CODE_OK, .flows = &f, .n = 1}, true);
    top_view_queue(
        p, &(struct kvr_result){.code = KVR_CODE_OK, .queued = &q, .n = 1, .queue = {n, n, n}});
}

Test(top_draw, extremes, .fini = end_draw) {
    static const int64_t numbers[] = {INT64_MAX, -INT64_MAX, 0, INT64_MAX};
    struct top_pool *p = begin(1, 40, 200, true);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[200];
        long long n = (long long)numbers[i];
        snprintf(text, sizeof text,
                 "waiting %lld selects %lld select_blocks %lld overlap_blocks %lld "
                 "memory_bytes %lld maxrequests %lld",
                 n, n, n, n, n, n);
        ttest_info(p, 4000 + (int64_t)i, text);
        say_extremes(p, numbers[i], i % 2 ? 1e300 : -1e300);
        cr_assert(top_ui_update(&ui, &view));
        for (unsigned page = TOP_PAGE_WORKERS; page <= TOP_PAGE_HELP; page++) {
            ui.page = (enum top_page)page;
            draw();
        }
        free(printed(true));
        free(printed(false));
    }
}
