// SPDX-License-Identifier: Apache-2.0
// Sockets that this process was started with, from descriptor 3 on. By a service manager, as sd_listen_fds(3)
// says: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. Or by the router that it is to replace: KVROUTE_UPGRADE has a
// word for each socket, with colons between them: the setting that it listens for, with + behind it if a service
// manager gave it. The next descriptor is a pipe, which is told when this router is ready.
#ifndef ROUTER_INHERIT_H
#define ROUTER_INHERIT_H

#include "client/http1/h1_server.h"

#define ROUTER_INHERIT_NAME "KVROUTE_UPGRADE"
enum { ROUTER_INHERIT_FIRST = 3 };

struct router_inherited {
    struct h1_socket sockets[H1_MAX_LISTENERS];
    size_t n;
    int ready; // the pipe; -1: this router replaces none
};

// Reads the environment and takes these variables away, so that nobody this process starts takes them for his.
// False with a reason: what is announced isn't there or is no socket that listens.
bool router_inherit(struct router_inherited *out, char *error, size_t error_size);
// Tells the router that is replaced, and the log, that this one is ready; once.
void router_inherit_say_ready(struct router_inherited *in);

#endif
