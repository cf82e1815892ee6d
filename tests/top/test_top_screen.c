// SPDX-License-Identifier: Apache-2.0
// The screen in memory, and numbers as texts.
#include <criterion/criterion.h>
#include <locale.h>
#include <string.h>

#include "client/top/top_parts.h"
#include "client/top/top_screen.h"
#include "client/top/top_text.h"

static struct top_screen screen;

static void row_is(int row, const char *want) {
    char line[4 * TOP_MAX_COLS + 1];
    top_screen_line(&screen, row, line, sizeof line);
    cr_expect_str_eq(line, want);
}

static void begin(int rows, int cols, bool utf8) {
    screen.utf8 = utf8;
    if (utf8) cr_assert(setlocale(LC_CTYPE, "C.UTF-8"));
    cr_assert(top_screen_resize(&screen, rows, cols));
}

static void end_screen(void) {
    top_screen_free(&screen);
}

Test(top_screen, text_is_cut, .fini = end_screen) {
    begin(3, 10, true);
    cr_expect(top_screen_put(&screen, 0, 0, 10, TOP_PLAIN, "ten digits") == 10);
    row_is(0, "ten digits");
    cr_expect(top_screen_put(&screen, 1, 8, 10, TOP_PLAIN, "abc") == 2);
    row_is(1, "        a…");
    top_screen_right(&screen, 2, 0, 5, TOP_PLAIN, "ab");
    top_screen_right(&screen, 2, 6, 4, TOP_PLAIN, "toolong");
    row_is(2, "   ab too…");
    // Where there is nothing, nothing happens.
    cr_expect(top_screen_put(&screen, 0, 10, 5, TOP_PLAIN, "x") == 0);
    top_screen_put(&screen, 3, 0, 5, TOP_PLAIN, "x");
    top_screen_put(&screen, -1, 0, 5, TOP_PLAIN, "x");
    top_screen_bar(&screen, 0, 8, 5, 1, TOP_BAR);
    row_is(0, "ten digi██");
}

Test(top_screen, wide_characters_take_two_columns, .fini = end_screen) {
    begin(3, 6, true);
    cr_expect(top_screen_put(&screen, 0, 0, 6, TOP_PLAIN, "日本x") == 5);
    row_is(0, "日本x");
    top_screen_put(&screen, 1, 0, 4, TOP_PLAIN, "日本語");
    row_is(1, "日…");
    top_screen_put(&screen, 2, 0, 6, TOP_PLAIN, "a\033b\xff"); // never to a terminal
    row_is(2, "a?b?");
}

Test(top_screen, ascii_alone, .fini = end_screen) {
    begin(4, 8, false);
    top_screen_put(&screen, 0, 0, 8, TOP_PLAIN, "müsli");
    row_is(0, "m?sli");
    top_screen_put(&screen, 1, 0, 4, TOP_PLAIN, "longer");
    row_is(1, "lon~");
    top_screen_bar(&screen, 2, 0, 8, 0.5, TOP_BAR);
    row_is(2, "####");
    for (int i = 0; i < 8; i++)
        top_screen_spark(&screen, 3, i, i / 7.0, TOP_PLAIN);
    row_is(3, "_.-:=+*#");
}

Test(top_screen, bars_and_sparks, .fini = end_screen) {
    begin(5, 8, true);
    top_screen_bar(&screen, 0, 0, 4, 0.53, TOP_BAR);
    row_is(0, "██▏");
    top_screen_bar(&screen, 1, 0, 4, 7, TOP_BAR);
    row_is(1, "████");
    top_screen_bar(&screen, 2, 0, 4, 0.0001, TOP_BAR);
    row_is(2, "▏");
    top_screen_bar(&screen, 3, 0, 4, 0, TOP_BAR);
    row_is(3, "");
    top_screen_spark(&screen, 4, 0, 0, TOP_PLAIN);
    top_screen_spark(&screen, 4, 1, -1, TOP_PLAIN);
    top_screen_spark(&screen, 4, 2, 1, TOP_PLAIN);
    row_is(4, "▁ █");
}

Test(top_screen, sizes_are_bounded, .fini = end_screen) {
    begin(0, -3, true);
    cr_expect(screen.rows == 1 && screen.cols == 1);
    begin(1, 100000, true);
    cr_expect(screen.cols == TOP_MAX_COLS);
}

Test(top_screen, numbers) {
    static const struct {
        int64_t n;
        const char *want;
    } counts[] = {{-1, "-"},        {0, "0"},          {999, "999"},
                  {1000, "1.0k"},   {12345, "12.3k"},  {999499, "999k"},
                  {999500, "1.0M"}, {1000000, "1.0M"}, {INT64_MAX, "9.2E"}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        cr_expect_str_eq(top_count_text(counts[i].n).s, counts[i].want);
    cr_expect_str_eq(top_bytes_text(1500).s, "1.5 kB");
    cr_expect_str_eq(top_bytes_text(-1).s, "-");
    cr_expect_str_eq(top_real_text(0.25).s, "0.2");
    cr_expect_str_eq(top_percent_text(0.612).s, "61.2%");
    cr_expect_str_eq(top_percent_text(1).s, "100%");
    cr_expect_str_eq(top_percent_text(-1).s, "-");
    cr_expect_str_eq(top_time_text(250).s, "250ms");
    cr_expect_str_eq(top_time_text(2500).s, "2.5s");
    cr_expect_str_eq(top_time_text(600000).s, "10m");
    cr_expect_str_eq(top_time_text(36000000).s, "10h");
    cr_expect_str_eq(top_time_text((int64_t)86400000 * 12).s, "12d");
    cr_expect_str_eq(top_time_text(-1).s, "-");
}

// Where there is too little room, the columns of the highest rank go first; what is left over makes others wider.
Test(top_screen, columns) {
    static const struct top_column columns[] = {
        {"A", 10, 20, 0, false}, {"B", 5, 5, 2, false}, {"C", 5, 5, 1, false}};
    struct top_layout l = top_layout_of(columns, 3, 40);
    cr_expect(l.width[0] == 20 && l.width[1] == 5 && l.width[2] == 5 && l.at[2] == 27);
    l = top_layout_of(columns, 3, 22);
    cr_expect(l.width[0] == 10 && l.width[1] == 5 && l.width[2] == 5 && l.at[2] == 17);
    l = top_layout_of(columns, 3, 21);
    cr_expect(l.width[0] == 15 && l.width[1] == 0 && l.width[2] == 5);
    l = top_layout_of(columns, 3, 4);
    cr_expect(l.width[0] == 10 && l.width[1] == 0 && l.width[2] == 0);
}
