// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // wcwidth
#include "top_screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "client/common/utf8.h"

enum { MAX_PRINT = 1024, ELLIPSIS = 0x2026, FULL_BLOCK = 0x2588, LOWER_EIGHTH = 0x2581 };

bool top_screen_resize(struct top_screen *s, int rows, int cols) {
    rows = rows < 1 ? 1 : rows > TOP_MAX_ROWS ? TOP_MAX_ROWS : rows;
    cols = cols < 1 ? 1 : cols > TOP_MAX_COLS ? TOP_MAX_COLS : cols;
    free(s->cells);
    s->cells = malloc((size_t)rows * (size_t)cols * sizeof *s->cells);
    s->rows = s->cells ? rows : 0;
    s->cols = s->cells ? cols : 0;
    top_screen_clear(s);
    return s->cells != NULL;
}

void top_screen_free(struct top_screen *s) {
    free(s->cells);
    *s = (struct top_screen){.rows = 0};
}

void top_screen_clear(struct top_screen *s) {
    size_t n = (size_t)s->rows * (size_t)s->cols;
    for (size_t i = 0; i < n; i++)
        s->cells[i] = (struct top_cell){' ', TOP_PLAIN};
}

static struct top_cell *cell(const struct top_screen *s, int row, int col) {
    bool is_there = row >= 0 && row < s->rows && col >= 0 && col < s->cols;
    return is_there ? &s->cells[(size_t)row * (size_t)s->cols + (size_t)col] : NULL;
}

static void set(struct top_screen *s, int row, int col, uint32_t c, unsigned style) {
    struct top_cell *at = cell(s, row, col);
    if (at) *at = (struct top_cell){c, (uint8_t)style};
}

// ---- Text ----------------------------------------------------------------------------------------

static uint32_t decoded(const char *text, size_t n) {
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)text[0] & first[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)text[i] & 0x3f);
    return c;
}

// The next character as this screen shows it, and its columns; what can't be shown is a '?'. 0: the text has ended.
static size_t next_character(const struct top_screen *s, const char *text, uint32_t *c,
                             int *width) {
    size_t n = kvr_utf8_size(text, *text ? strnlen(text, 4) : 0);
    if (!*text) return 0;
    *c = n ? decoded(text, n) : '?';
    *width = *c < 0x7f ? 1 : s->utf8 ? wcwidth((wchar_t)*c) : -1;
    if (*width < 0 || *c < ' ') {
        *c = '?';
        *width = 1;
    }
    return n ? n : 1;
}

static int width_of(const struct top_screen *s, const char *text) {
    uint32_t c;
    int width, all = 0;
    for (size_t n; (n = next_character(s, text, &c, &width)) > 0 && all <= TOP_MAX_COLS; text += n)
        all += width;
    return all;
}

int top_screen_put(struct top_screen *s, int row, int col, int width, unsigned style,
                   const char *text) {
    uint32_t c;
    int taken = 0, next;
    if (width > s->cols - col) width = s->cols - col;
    if (width <= 0) return 0;
    bool cut = width_of(s, text) > width;
    for (size_t n; (n = next_character(s, text, &c, &next)) > 0; text += n) {
        if (!next) continue; // what combines with the character before would need a cell of two
        if (taken + next > width - cut) break;
        set(s, row, col + taken, c, style);
        if (next == 2) set(s, row, col + taken + 1, 0, style);
        taken += next;
    }
    if (cut) set(s, row, col + taken++, s->utf8 ? ELLIPSIS : '~', style);
    return taken;
}

int top_screen_print(struct top_screen *s, int row, int col, unsigned style, const char *format,
                     ...) {
    char text[MAX_PRINT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return top_screen_put(s, row, col, s->cols, style, text);
}

void top_screen_right(struct top_screen *s, int row, int col, int width, unsigned style,
                      const char *text) {
    int n = width_of(s, text);
    top_screen_put(s, row, n < width ? col + width - n : col, width, style, text);
}

// ---- Pictures ------------------------------------------------------------------------------------

void top_screen_bar(struct top_screen *s, int row, int col, int width, double part,
                    unsigned style) {
    if (!(part > 0) || width <= 0) return;
    if (part > 1) part = 1;
    int eighths = (int)(part * width * 8 + 0.5);
    if (!eighths) eighths = 1; // what isn't nothing is seen
    for (int i = 0; i < width && eighths > 0; i++, eighths -= 8) {
        if (!s->utf8)
            set(s, row, col + i, eighths >= 4 ? '#' : '-', style);
        else // from the full block on, each is an eighth narrower
            set(s, row, col + i, (uint32_t)(FULL_BLOCK + 8 - (eighths < 8 ? eighths : 8)), style);
    }
}

void top_screen_spark(struct top_screen *s, int row, int col, double part, unsigned style) {
    static const char ascii[] = "_.-:=+*#";
    if (part < 0 || part != part) return;
    int level = part >= 1 ? 7 : (int)(part * 8);
    set(s, row, col, s->utf8 ? (uint32_t)(LOWER_EIGHTH + level) : (unsigned char)ascii[level],
        style);
}

void top_screen_reverse(struct top_screen *s, int row) {
    for (int col = 0; col < s->cols; col++) {
        struct top_cell *at = cell(s, row, col);
        if (at) at->style |= TOP_REVERSED;
    }
}

// ---- Out again -----------------------------------------------------------------------------------

size_t top_screen_encode(uint32_t c, char out[4]) {
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[n] | c);
    return n;
}

void top_screen_line(const struct top_screen *s, int row, char *out, size_t size) {
    size_t n = 0, end = 0;
    for (int col = 0; col < s->cols && n + 4 < size; col++) {
        const struct top_cell *at = cell(s, row, col);
        if (!at || !at->c) continue;
        n += top_screen_encode(at->c, out + n);
        if (at->c != ' ') end = n;
    }
    out[end] = 0;
}
