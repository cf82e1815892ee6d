// SPDX-License-Identifier: Apache-2.0
// A script under test: a process in front of a terminal, as it were, that is told to end, and what is left
// of it then. All that it starts inherits a mark by which it is found.
#ifndef SCRIPT_RUN_H
#define SCRIPT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SCRIPT_WORDS = 8, SCRIPT_WAIT_MS = 90000 };

struct script_run {
    pid_t pid;
    int out;              // to read what it says
    char complaints[256]; // the file of what it says to stderr
    char mark[64], tmp[256];
};

// Starts a program with its words, NULL at the end, and `setting`, unless NULL, as NAME=VALUE in its
// environment. Temporary folders of it go into one of its own.
void script_start(struct script_run *r, const char *const *words, const char *setting);
// Reads on until a line begins so.
void script_await(struct script_run *r, const char *line);
// Sends the signal, as Ctrl-C to all of its group if `group`; it must end with that status, and nothing
// be left: no process with its mark, no file.
void script_ends(struct script_run *r, int signal, bool group, int status);
// Nobody reads any more what it says. It must end by itself.
void script_unheard(struct script_run *r);
// It must end by itself with that status.
void script_refuses(struct script_run *r, int status);
// Waits until nothing of it is left.
void script_nothing_left(const struct script_run *r);

#endif
