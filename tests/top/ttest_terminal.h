// SPDX-License-Identifier: Apache-2.0
// A terminal for tests: a pseudo-terminal with a program in it, and what it would show to a person. Understands what
// ncurses says to an xterm.
#ifndef TTEST_TERMINAL_H
#define TTEST_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "client/top/top_screen.h"

struct ttest_terminal {
    pid_t pid; // 0: it has ended
    int fd, slave;
    struct top_screen screen;
    int row, col, region[2]; // region: the first and the last row that scroll
    char pending[128];       // the beginning of a character or a command that hasn't come whole
    size_t n_pending;
    uint32_t last;  // the character written last, to be repeated
    bool alternate; // the program's own screen, not the shell's
    bool cursor_hidden;
    size_t colors;         // commands that choose one
    size_t beyond_ascii;   // characters
    size_t bells, strange; // strange: commands that aren't understood
    struct termios before;
};

// Starts it in a terminal of that size; environment: further words "NAME=value", NULL at the end.
void ttest_terminal_start(struct ttest_terminal *t, const char *const *argv,
                          const char *const *environment, int rows, int cols);
// Reads what it writes until a row has the text, for at most a minute, and returns whether it came to have it.
bool ttest_terminal_sees(struct ttest_terminal *t, const char *text);
bool ttest_terminal_loses(struct ttest_terminal *t, const char *text); // until none has it
void ttest_terminal_type(struct ttest_terminal *t, const char *keys);
void ttest_terminal_resize(struct ttest_terminal *t, int rows, int cols);
// Waits for its end: its exit status, or -signal.
int ttest_terminal_end(struct ttest_terminal *t);
// Whether the terminal is as it was before the program.
bool ttest_terminal_restored(struct ttest_terminal *t);
void ttest_terminal_close(struct ttest_terminal *t);
void ttest_terminal_print(const struct ttest_terminal *t); // on stderr

#endif
