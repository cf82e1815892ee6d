// SPDX-License-Identifier: Apache-2.0
// Where a test process lives: a folder of its own, ports of 127.0.0.1, and the time. What can't be had
// ends the process with a message.
//
//   TMPDIR          where the folder is made
//   KVROUTE_KEEP    leaves it, to look into
#ifndef SUPPORT_HOME_H
#define SUPPORT_HOME_H

#include <stdint.h>

// The folder: made when first asked for, gone when the process is, however that ends. Any thread may
// ask. Short enough for sockets in it, if TMPDIR is.
const char *home_path(void);
// Removes it now, unless it is to be kept. Asked for again, it is another one.
void home_remove(void);
// The value of an environment variable, or what is used when it is unset or empty.
const char *home_setting(const char *name, const char *fallback);

// ---- Ports ---------------------------------------------------------------------------------------
// All are below the range from which the kernel takes ports for outgoing connections, so that none of
// those sits on a server's port while it restarts.

// A port on which nobody listens, kept from other test processes until this one ends: a server that
// is killed finds its own port again.
int home_port(void);

// A listening socket on a free port, and which that is: never one of those that home_port() gives,
// where servers stop and start, and their clients would find ours.
int home_listen(int *port);
// Refuses connections, and keeps the port, until it listens again.
void home_deafen(int fd);
void home_listen_again(int fd);

// ---- Time ----------------------------------------------------------------------------------------

int64_t now_ms(void); // monotonic; the same clock in all processes
void sleep_ms(int64_t ms);

#endif
