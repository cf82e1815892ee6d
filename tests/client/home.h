// SPDX-License-Identifier: Apache-2.0
// A directory of the test process's own, below TMPDIR: made when first asked for, gone when the
// process is, however that ends. And free ports.
#ifndef CLIENT_HOME_H
#define CLIENT_HOME_H

#include <stdint.h>

const char *home_path(void); // short enough for sockets in it

// A listening socket on a free port of 127.0.0.1, and which that is. The port is below the range
// from which the kernel takes ports for outgoing connections, and not one of those on which the other
// suites stop and start their servers: their clients would find ours there.
int home_listen(int *port);
// Refuses connections, and keeps the port, until it listens again.
void home_deafen(int fd);
void home_listen_again(int fd);

int64_t now_ms(void); // monotonic
void sleep_ms(int ms);

#endif
