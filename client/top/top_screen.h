// SPDX-License-Identifier: Apache-2.0
// A screen in memory: what is drawn goes here first, whether it then goes to a terminal, to a file, or to a test. All
// that doesn't fit is cut. Text is UTF-8; a screen that isn't shows '?' for what ASCII hasn't.
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum top_style {
    TOP_PLAIN,
    TOP_DIM,
    TOP_BOLD,
    TOP_GOOD,
    TOP_WARN,
    TOP_BAD,
    TOP_BAR,
    TOP_HEAD, // of a table
    TOP_STYLES,
    TOP_REVERSED = 0x80, // with any of these
};

struct top_cell {
    uint32_t c; // 0: the second half of the character before
    uint8_t style;
};

enum { TOP_MAX_ROWS = 70000, TOP_MAX_COLS = 1000 };

struct top_screen {
    int rows, cols;
    struct top_cell *cells;
    bool utf8;
};

// Makes it of that size (less, where that is above the limits) and empty. False: no memory, it has no rows then.
bool top_screen_resize(struct top_screen *s, int rows, int cols);
void top_screen_free(struct top_screen *s);
void top_screen_clear(struct top_screen *s);

// Writes a text at a place, at most `width` columns of it (a text that is longer ends with an ellipsis), and returns how many it took.
int top_screen_put(struct top_screen *s, int row, int col, int width, unsigned style,
                   const char *text);
// The same, up to the row's end.
int top_screen_print(struct top_screen *s, int row, int col, unsigned style, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));
// The same, ending where the width does.
void top_screen_right(struct top_screen *s, int row, int col, int width, unsigned style,
                      const char *text);
// A bar that fills a part of the width, 0 to 1.
void top_screen_bar(struct top_screen *s, int row, int col, int width, double part, unsigned style);
// A value of a sparkline, 0 to 1; below 0: nothing was measured.
void top_screen_spark(struct top_screen *s, int row, int col, double part, unsigned style);
// Gives a style to what stands there, with its own colours.
void top_screen_reverse(struct top_screen *s, int row);

// The row as text, without blanks at its end; cut to fit, `size` being at least 4 · cols + 1.
void top_screen_line(const struct top_screen *s, int row, char *out, size_t size);
// A character as UTF-8; how many bytes.
size_t top_screen_encode(uint32_t c, char out[4]);

#endif
