// SPDX-License-Identifier: Apache-2.0
// Ports of 127.0.0.1. All are below the range from which the kernel takes ports for outgoing connections,
// so that none of those sits on a server's port while it restarts. Where none can be had the program ends
// with a message.
#ifndef SUPPORT_PORT_H
#define SUPPORT_PORT_H

// A port on which nobody listens, kept from other processes of tests and benchmarks until this one ends:
// a server that is killed finds its own port again.
int support_port(void);
// The first of n such ports in a row.
int support_ports(unsigned n);

// A listening socket on a free port, and which that is: never one of those above, where servers stop and
// start, and their clients would find ours.
int support_listen(int *port);
// Refuses connections, and keeps the port, until it listens again.
void support_listen_stop(int fd);
void support_listen_again(int fd);

#endif
