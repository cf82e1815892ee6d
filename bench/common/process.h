// SPDX-License-Identifier: Apache-2.0
// Programs as processes of ours: they die with the one that started them.
#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

#include <sys/types.h>

// The value of an environment variable, or what is used when it is unset or empty.
const char *process_setting(const char *name, const char *built_with);
// Starts argv[0] with what it says and warns of going to a file (appended to; NULL: nowhere), and its
// standard output to a descriptor (-1: to the same). Ends the program with a message if it can't fork.
pid_t process_start(const char *const *argv, const char *log, int output);
void process_end(pid_t *pid, int signal); // and waits for it; 0 is nobody, and what it is then
// Its exit status once it has ended; -1: it runs on after so long, or a signal has ended it.
int process_wait(pid_t *pid, int ms);
// A port of 127.0.0.1 from which on so many are free at the moment, below those that the kernel gives
// to outgoing connections.
int process_ports(unsigned n);

#endif
