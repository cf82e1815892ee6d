// SPDX-License-Identifier: Apache-2.0
// The terminal, by ncurses: a screen in memory goes out, keys come in. Nothing else knows of it.
#ifndef TOP_TERMINAL_H
#define TOP_TERMINAL_H

#include "top_screen.h"

// Takes the terminal that standard input and output are. False with a reason: they are none, or its kind isn't known.
bool top_terminal_open(bool color, char *error, size_t error_size);
// Gives it back as it was. Does nothing where it wasn't taken.
void top_terminal_close(void);
// Its size of now, which is also what ncurses goes by from then on.
void top_terminal_size(int *rows, int *cols);
void top_terminal_show(const struct top_screen *s);
// The next key, see top_ui.h. 0: none is waiting.
uint32_t top_terminal_key(void);
// Whether it has gone: then it can be read and has nothing to say.
bool top_terminal_gone(void);

#endif
