// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // wcwidth
#include "ttest_terminal.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#include "client/common/clock.h"
#include "client/common/utf8.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { MAX_PARAMETERS = 8, TERMINAL_PATIENCE_MS = 60000, TERMINAL_STEP_MS = 50 };

// ---- What it shows -------------------------------------------------------------------------------

static struct top_cell *at(struct ttest_terminal *t, int row, int col) {
    bool is_there = row >= 0 && row < t->screen.rows && col >= 0 && col < t->screen.cols;
    static struct top_cell nowhere;
    return is_there ? &t->screen.cells[row * t->screen.cols + col] : &nowhere;
}

static void blank(struct ttest_terminal *t, int row, int from, int to) {
    for (int col = from; col < to; col++)
        at(t, row, col)->c = ' ';
}

// Within the region that the program has set.
static void scroll(struct ttest_terminal *t, int by) {
    int first = t->region[0], last = t->region[1];
    for (int i = first; i <= last; i++) {
        int row = by > 0 ? i : last - (i - first), from = row + by;
        for (int col = 0; col < t->screen.cols; col++)
            at(t, row, col)->c = from >= first && from <= last ? at(t, from, col)->c : ' ';
    }
}

static void set_region(struct ttest_terminal *t, int first, int last) {
    t->region[0] = first > 0 ? first - 1 : 0;
    t->region[1] = last > 0 ? last - 1 : t->screen.rows - 1;
    t->row = t->col = 0;
}

static void write_character(struct ttest_terminal *t, uint32_t c) {
    int width = wcwidth((wchar_t)c);
    if (width < 1) width = 1;
    t->beyond_ascii += c > '~';
    if (t->col + width > t->screen.cols) {
        t->col = 0;
        t->row++;
    }
    at(t, t->row, t->col)->c = c;
    if (width == 2) at(t, t->row, t->col + 1)->c = 0;
    t->col += width;
    t->last = c;
}

static void control(struct ttest_terminal *t, char c) {
    if (c == '\r')
        t->col = 0;
    else if (c == '\b')
        t->col -= t->col > 0;
    else if (c == '\t')
        t->col = (t->col / 8 + 1) * 8;
    else if (c == '\n' && t->row == t->region[1])
        scroll(t, 1);
    else if (c == '\n')
        t->row++;
    else if (c == '\a')
        t->bells++;
}

// Moves what stands from the column on, within its row.
static void shift(struct ttest_terminal *t, int by) {
    int cols = t->screen.cols;
    for (int i = t->col; i < cols; i++) {
        int col = by < 0 ? i : cols - 1 - (i - t->col), from = col - by;
        at(t, t->row, col)->c = from >= t->col && from < cols ? at(t, t->row, from)->c : ' ';
    }
}

static void erase_display(struct ttest_terminal *t, int what) {
    int from = what == 0 ? t->row + 1 : 0, to = what == 1 ? t->row : t->screen.rows;
    if (what == 0) blank(t, t->row, t->col, t->screen.cols);
    if (what == 1) blank(t, t->row, 0, t->col + 1);
    for (int row = from; row < to; row++)
        blank(t, row, 0, t->screen.cols);
}

static void set_mode(struct ttest_terminal *t, const int *p, bool on) {
    if (p[0] == 1049) t->alternate = on;
    if (p[0] == 25) t->cursor_hidden = !on;
}

static void command(struct ttest_terminal *t, char what, const int *p) {
    int n = p[0] > 0 ? p[0] : 1, cols = t->screen.cols;
    switch (what) {
    case 'H':
    case 'f':
        t->row = n - 1, t->col = (p[1] > 0 ? p[1] : 1) - 1;
        break;
    case 'A':
        t->row -= n;
        break;
    case 'B':
        t->row += n;
        break;
    case 'C':
        t->col += n;
        break;
    case 'D':
        t->col -= n;
        break;
    case 'G':
        t->col = n - 1;
        break;
    case 'd':
        t->row = n - 1;
        break;
    case 'J':
        erase_display(t, p[0]);
        break;
    case 'K':
        blank(t, t->row, p[0] ? 0 : t->col, p[0] == 1 ? t->col + 1 : cols);
        break;
    case 'X':
        blank(t, t->row, t->col, t->col + n < cols ? t->col + n : cols);
        break;
    case 'P':
        shift(t, -n);
        break;
    case '@':
        shift(t, n);
        break;
    case 'S':
        scroll(t, n);
        break;
    case 'T':
        scroll(t, -n);
        break;
    case 'b':
        for (int i = 0; i < n; i++)
            write_character(t, t->last);
        break;
    case 'h':
    case 'l':
        set_mode(t, p, what == 'h');
        break;
    case 'm':
        for (int i = 0; i < MAX_PARAMETERS; i++)
            t->colors += p[i] >= 30 && p[i] <= 38;
        break;
    case 'r':
        set_region(t, p[0], p[1]);
        break;
    case 't':
        break;
    default:
        t->strange++;
    }
}

// ESC [ parameters letter, or ESC with one or two characters. How many bytes; 0: it hasn't come whole.
static size_t escape(struct ttest_terminal *t, const char *s, size_t n) {
    int p[MAX_PARAMETERS] = {0};
    size_t i = 2, k = 0;
    if (n < 2) return 0;
    if (s[1] == '(' || s[1] == ')') return n < 3 ? 0 : 3;
    if (s[1] != '[') return 2;
    for (; i < n && (s[i] < '@' || s[i] > '~'); i++) {
        if (s[i] >= '0' && s[i] <= '9' && k < MAX_PARAMETERS) p[k] = p[k] * 10 + s[i] - '0';
        if (s[i] == ';') k++;
    }
    if (i == n) return 0;
    command(t, s[i], p);
    return i + 1;
}

static uint32_t character(const char *s, size_t n) {
    uint32_t c = (unsigned char)s[0];
    if (n > 1) c &= 0x7fu >> n;
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    return c;
}

static size_t take(struct ttest_terminal *t, const char *s, size_t n) {
    unsigned char c = (unsigned char)s[0];
    if (c == '\033') return escape(t, s, n);
    if (c < ' ' || c == 127) {
        control(t, s[0]);
        return 1;
    }
    size_t size = kvr_utf8_size(s, n);
    if (!size && n < 4 && c >= 0xc0) return 0;
    write_character(t, size ? character(s, size) : '?');
    return size ? size : 1;
}

// Reads what has come, or waits a little for it. false: the program has closed its end.
static bool pump(struct ttest_terminal *t) {
    char bytes[4096 + sizeof t->pending];
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    if (poll(&p, 1, TERMINAL_STEP_MS) <= 0) return true;
    memcpy(bytes, t->pending, t->n_pending);
    ssize_t got = read(t->fd, bytes + t->n_pending, 4096);
    if (got <= 0) return false;
    size_t n = t->n_pending + (size_t)got, done = 0;
    for (size_t size; done < n && (size = take(t, bytes + done, n - done)) > 0;)
        done += size;
    t->n_pending = n - done < sizeof t->pending ? n - done : 0;
    memcpy(t->pending, bytes + done, t->n_pending);
    return true;
}

// ---- For tests -----------------------------------------------------------------------------------

void ttest_terminal_start(struct ttest_terminal *t, const char *const *argv,
                          const char *const *environment, int rows, int cols) {
    struct winsize w = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    *t = (struct ttest_terminal){.screen.utf8 = true};
    if (openpty(&t->fd, &t->slave, NULL, NULL, &w)) support_fail("openpty: %s", strerror(errno));
    if (!top_screen_resize(&t->screen, rows, cols)) support_fail("no memory");
    set_region(t, 0, 0);
    tcgetattr(t->slave, &t->before);
    t->pid = support_fork(t->slave, t->slave, t->slave);
    if (t->pid) return;
    ioctl(0, TIOCSCTTY, 0);
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    unsetenv("NO_COLOR");
    unsetenv("COLUMNS");
    unsetenv("LINES");
    for (; environment && *environment; environment++)
        putenv((char *)*environment);
    support_exec(argv);
}

static bool has(const struct ttest_terminal *t, const char *text) {
    char line[4 * TOP_MAX_COLS + 1];
    for (int row = 0; row < t->screen.rows; row++) {
        top_screen_line(&t->screen, row, line, sizeof line);
        if (strstr(line, text)) return true;
    }
    return false;
}

static bool comes_to(struct ttest_terminal *t, const char *text, bool seen) {
    int64_t end = kvr_clock_ms() + TERMINAL_PATIENCE_MS;
    while (has(t, text) != seen)
        if (!pump(t) || kvr_clock_ms() >= end) {
            ttest_terminal_print(t);
            return false;
        }
    return true;
}

bool ttest_terminal_sees(struct ttest_terminal *t, const char *text) {
    return comes_to(t, text, true);
}

bool ttest_terminal_loses(struct ttest_terminal *t, const char *text) {
    return comes_to(t, text, false);
}

void ttest_terminal_type(struct ttest_terminal *t, const char *keys) {
    if (write(t->fd, keys, strlen(keys)) < 0) support_fail("write: %s", strerror(errno));
}

void ttest_terminal_resize(struct ttest_terminal *t, int rows, int cols) {
    struct winsize w = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    if (!top_screen_resize(&t->screen, rows, cols)) support_fail("no memory");
    set_region(t, 0, 0);
    ioctl(t->fd, TIOCSWINSZ, &w); // the kernel sends SIGWINCH
}

int ttest_terminal_end(struct ttest_terminal *t) {
    int64_t end = kvr_clock_ms() + TERMINAL_PATIENCE_MS;
    int status;
    while (waitpid(t->pid, &status, WNOHANG) == 0) {
        if (kvr_clock_ms() >= end) support_end(&t->pid, SIGKILL);
        if (!t->pid) return -1000;
        pump(t);
    }
    t->pid = 0;
    pump(t);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool ttest_terminal_restored(struct ttest_terminal *t) {
    struct termios now;
    tcgetattr(t->slave, &now);
    return !t->alternate && !t->cursor_hidden && now.c_lflag == t->before.c_lflag &&
           now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag;
}

void ttest_terminal_close(struct ttest_terminal *t) {
    support_end(&t->pid, SIGKILL);
    close(t->fd);
    close(t->slave);
    top_screen_free(&t->screen);
}

void ttest_terminal_print(const struct ttest_terminal *t) {
    char line[4 * TOP_MAX_COLS + 1];
    for (int row = 0; row < t->screen.rows; row++) {
        top_screen_line(&t->screen, row, line, sizeof line);
        fprintf(stderr, "|%s\n", line);
    }
}
