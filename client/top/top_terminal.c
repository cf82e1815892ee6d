// SPDX-License-Identifier: Apache-2.0
#define _XOPEN_SOURCE_EXTENDED 1 // wide characters
#include "top_terminal.h"

#include <curses.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>
#include <wchar.h>

#include "top_ui.h"

static SCREEN *taken;
static bool colored;

// ---- Taking it and giving it back ----------------------------------------------------------------

static void init_styles(void) {
    static const short colors[TOP_STYLES] = {
        [TOP_GOOD] = COLOR_GREEN, [TOP_WARN] = COLOR_YELLOW, [TOP_BAD] = COLOR_RED,
        [TOP_BAR] = COLOR_CYAN,   [TOP_HEAD] = COLOR_CYAN,
    };
    start_color();
    use_default_colors();
    for (short i = 1; i < TOP_STYLES; i++)
        init_pair(i, colors[i] ? colors[i] : -1, -1);
}

bool top_terminal_open(bool color, char *error, size_t error_size) {
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        snprintf(error, error_size, "standard input and output are no terminal: see --once");
        return false;
    }
    taken = newterm(NULL, stdout, stdin);
    if (!taken) {
        snprintf(error, error_size, "the kind of terminal in TERM isn't known: see --once");
        return false;
    }
    set_escdelay(25);
    cbreak(); // signals from the keyboard stay signals
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    colored = color && has_colors();
    if (colored) init_styles();
    return true;
}

void top_terminal_close(void) {
    if (!taken) return;
    curs_set(1);
    endwin();
    delscreen(taken);
    taken = NULL;
}

void top_terminal_size(int *rows, int *cols) {
    struct winsize w;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col)
        resizeterm(w.ws_row, w.ws_col);
    getmaxyx(stdscr, *rows, *cols);
}

// ---- Out -----------------------------------------------------------------------------------------

static attr_t attributes(unsigned style) {
    unsigned plain = style & ~(unsigned)TOP_REVERSED;
    attr_t a = style & TOP_REVERSED ? A_REVERSE : A_NORMAL;
    if (plain == TOP_BOLD || plain == TOP_HEAD || plain == TOP_BAD) a |= A_BOLD;
    if (plain == TOP_DIM && !(style & TOP_REVERSED)) a |= A_DIM;
    return a;
}

// Cells of one style at a time.
static void show_row(const struct top_screen *s, int row) {
    const struct top_cell *cells = &s->cells[(size_t)row * (size_t)s->cols];
    wchar_t text[TOP_MAX_COLS + 1];
    for (int col = 0, from; col < s->cols;) {
        size_t n = 0;
        from = col;
        for (; col < s->cols && cells[col].style == cells[from].style; col++)
            if (cells[col].c) text[n++] = (wchar_t)cells[col].c;
        text[n] = 0;
        unsigned plain = cells[from].style & ~(unsigned)TOP_REVERSED;
        attr_set(attributes(cells[from].style), colored ? (short)plain : 0, NULL);
        mvaddwstr(row, from, text);
    }
}

void top_terminal_show(const struct top_screen *s) {
    erase();
    for (int row = 0; row < s->rows; row++)
        show_row(s, row);
    attr_set(A_NORMAL, 0, NULL);
    refresh();
}

// ---- In ------------------------------------------------------------------------------------------

static uint32_t special(wint_t key) {
    switch (key) {
    case KEY_UP:
        return TOP_KEY_UP;
    case KEY_DOWN:
        return TOP_KEY_DOWN;
    case KEY_LEFT:
        return TOP_KEY_LEFT;
    case KEY_RIGHT:
        return TOP_KEY_RIGHT;
    case KEY_PPAGE:
        return TOP_KEY_PAGE_UP;
    case KEY_NPAGE:
        return TOP_KEY_PAGE_DOWN;
    case KEY_HOME:
        return TOP_KEY_HOME;
    case KEY_END:
        return TOP_KEY_END;
    case KEY_BTAB:
        return TOP_KEY_TAB_BACK;
    case KEY_ENTER:
        return TOP_KEY_ENTER;
    case KEY_BACKSPACE:
        return TOP_KEY_BACKSPACE;
    default:
        return 0xffffffff; // one that means nothing
    }
}

uint32_t top_terminal_key(void) {
    wint_t key = 0;
    int kind = get_wch(&key);
    if (kind == ERR) return 0;
    return kind == KEY_CODE_YES ? special(key) : key ? (uint32_t)key : 0xffffffff;
}

bool top_terminal_gone(void) {
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    int n = 0;
    if (poll(&p, 1, 0) <= 0) return false;
    if (p.revents & (POLLHUP | POLLERR | POLLNVAL)) return true;
    return p.revents & POLLIN && (ioctl(STDIN_FILENO, FIONREAD, &n) != 0 || n == 0);
}
