// SPDX-License-Identifier: Apache-2.0
// Keys, and what they choose: rows, order, filter, pages.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ttest_fill.h"

static struct top_view view;
static struct top_ui ui;

static void begin(size_t workers, size_t pools) {
    struct top_config c = {.sort = TOP_BY_WORKER};
    top_view_init(&view, 1000);
    for (size_t i = 0; i < pools; i++) {
        char key[8];
        snprintf(key, sizeof key, "p%zu", i);
        struct top_pool *p = top_view_pool(&view, kvr_text(key));
        cr_assert(p);
        ttest_info(p, 1000, "workers 1");
        ttest_workers(p, workers);
    }
    top_ui_init(&ui, &c);
    cr_assert(top_ui_update(&ui, &view));
}

static void end_ui(void) {
    top_ui_free(&ui);
    top_view_free(&view);
}

static void press(const char *keys) {
    for (; *keys; keys++)
        top_ui_key(&ui, &view, (unsigned char)*keys);
}

static const char *name_at(size_t i) {
    return i < ui.rows.n ? ui.rows.items[i].worker->name : "";
}

Test(top_ui, sorts, .fini = end_ui) {
    begin(12, 1);
    cr_expect_str_eq(name_at(0), "w0");
    cr_expect_str_eq(name_at(2), "w10", "by the alphabet");
    while (ui.sort != TOP_BY_REQUESTS)
        press("s");
    cr_expect_str_eq(name_at(0), "w11");
    cr_expect_str_eq(name_at(11), "w0");
    press("r");
    cr_expect_str_eq(name_at(0), "w0");
    press("r");
    for (int i = 0; i < TOP_ORDERS; i++) { // each has every worker
        press("s");
        cr_expect(ui.rows.n == 12);
    }
    cr_expect(ui.sort == TOP_BY_REQUESTS);
    press("S");
    cr_expect(ui.sort == TOP_BY_ROLE);
    top_ui_key(&ui, &view, TOP_KEY_RIGHT);
    cr_expect(ui.sort == TOP_BY_REQUESTS);
    while (ui.sort != TOP_BY_TTFT)
        press("s");
    cr_expect_str_eq(name_at(11), "w0", "what isn't known stands last");
}

Test(top_ui, filters, .fini = end_ui) {
    begin(12, 1);
    press("/W1");
    cr_expect(ui.typing && ui.rows.n == 3); // w1, w10, w11
    press("1");
    cr_expect(ui.rows.n == 1);
    top_ui_key(&ui, &view, TOP_KEY_BACKSPACE);
    cr_expect(ui.rows.n == 3);
    press("\r");
    cr_expect(!ui.typing && ui.rows.n == 3);
    press("/zzz");
    cr_expect(ui.rows.n == 0);
    top_ui_key(&ui, &view, TOP_KEY_DOWN); // means nothing to who types
    top_ui_key(&ui, &view, TOP_KEY_ESCAPE);
    cr_expect(!ui.typing && ui.rows.n == 3, "as before");
    press("\033");
    cr_expect(ui.rows.n == 12, "none");
    press("/ZONE=A\r");
    cr_expect(ui.rows.n == 12, "labels, too");
    press("\033/");
    for (int i = 0; i < 2 * TOP_MAX_FILTER; i++)
        top_ui_key(&ui, &view, 0x65e5);
    cr_expect(strlen(ui.filter) < TOP_MAX_FILTER && strlen(ui.filter) % 3 == 0);
    top_ui_key(&ui, &view, TOP_KEY_BACKSPACE);
    cr_expect(strlen(ui.filter) % 3 == 0, "whole characters");
}

// The chosen worker is the same one after others have come, in whatever order.
Test(top_ui, keeps_to_the_chosen_worker, .fini = end_ui) {
    begin(12, 1);
    top_ui_key(&ui, &view, TOP_KEY_DOWN);
    press("jj");
    cr_expect_str_eq(ui.chosen, "w11");
    ttest_workers(view.pools[0], 14);
    cr_assert(top_ui_update(&ui, &view));
    cr_expect_str_eq(ui.chosen, "w11");
    press("r");
    cr_expect_str_eq(ui.chosen, "w11");
    cr_expect_str_eq(name_at(ui.row), "w11");
    ttest_workers(view.pools[0], 5); // it is gone
    cr_assert(top_ui_update(&ui, &view));
    cr_expect(ui.row < 5);
    ttest_workers(view.pools[0], 0);
    cr_assert(top_ui_update(&ui, &view));
    cr_expect(ui.row == 0 && !top_ui_worker(&ui, &view));
    press("jk\r");
    cr_expect(ui.page == TOP_PAGE_WORKERS);
}

Test(top_ui, moves, .fini = end_ui) {
    begin(100, 1);
    ui.page_rows = 20;
    press("k");
    cr_expect(ui.row == 0);
    top_ui_key(&ui, &view, TOP_KEY_PAGE_DOWN);
    cr_expect(ui.row == 20);
    top_ui_key(&ui, &view, TOP_KEY_END);
    cr_expect(ui.row == 99);
    press("j");
    cr_expect(ui.row == 99);
    top_ui_key(&ui, &view, TOP_KEY_PAGE_UP);
    cr_expect(ui.row == 79);
    top_ui_key(&ui, &view, TOP_KEY_HOME);
    cr_expect(ui.row == 0);
}

Test(top_ui, pages, .fini = end_ui) {
    begin(5, 3);
    press("j\r");
    cr_expect(ui.page == TOP_PAGE_WORKER);
    cr_expect_str_eq(top_ui_worker(&ui, &view)->name, "w1");
    press("?");
    cr_expect(ui.page == TOP_PAGE_HELP);
    press("?\033");
    cr_expect(ui.page == TOP_PAGE_WORKER);
    ttest_workers(view.pools[0], 1); // gone: then there is nothing to show, and nobody else instead
    cr_assert(top_ui_update(&ui, &view));
    cr_expect(!top_ui_worker(&ui, &view));
    press("\033w");
    cr_expect(ui.page == TOP_PAGE_QUEUE);
    press("jjjk");
    cr_expect(ui.scroll == 2);
    press("w");
    cr_expect(ui.page == TOP_PAGE_WORKERS && ui.scroll == 0);
    press("\t");
    cr_expect(ui.pool == 1);
    press("\t\t");
    cr_expect(ui.pool == 0);
    top_ui_key(&ui, &view, TOP_KEY_TAB_BACK);
    cr_expect(ui.pool == 2);
    press("ok\r");
    cr_expect(ui.pool == 1 && ui.page == TOP_PAGE_WORKERS);
    press("p");
    cr_expect(ui.paused);
    press(" ");
    cr_expect(!ui.paused && !ui.quit);
    cr_expect(!top_ui_key(&ui, &view, 0x1f600) && !top_ui_key(&ui, &view, 0xffffffff));
    press("q");
    cr_expect(ui.quit);
}

Test(top_ui, without_a_pool, .fini = end_ui) {
    begin(0, 0);
    press("jk\t\rswo\r/x\r?\033\033");
    for (uint32_t k = TOP_KEY_UP; k <= TOP_KEY_TAB_BACK; k++)
        top_ui_key(&ui, &view, k);
    cr_expect(!top_ui_pool(&ui, &view) && !top_ui_worker(&ui, &view));
}
