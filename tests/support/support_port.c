// SPDX-License-Identifier: Apache-2.0
// Ports; see support_port.h.
#define _GNU_SOURCE // SOCK_CLOEXEC
#include "support_port.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support_home.h"

enum {
    SUPPORT_OURS = 4000, // for sockets of the test itself
    SUPPORT_N_OURS = 8000,
    SUPPORT_SERVERS = 12000, // for servers; mock engines choose from the next ones
    SUPPORT_N_SERVERS = 12000,
    SUPPORT_TRIES = 5000,
    SUPPORT_BACKLOG = 64
};

static void share_address(int fd, int yes) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

// A socket bound to the port, or -1.
static int bind_to(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) support_fail("socket: %s", strerror(errno));
    share_address(fd, 1);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    close(fd);
    return -1;
}

// A name in the abstract namespace belongs to one socket at a time and goes with its process.
static bool reserve(int port) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "kvroute-test-port-%d", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (fd < 0) support_fail("socket: %s", strerror(errno));
    if (bind(fd, (struct sockaddr *)&a, size) == 0) return true; // kept open
    close(fd);
    return false;
}

// Numbers that processes begin at different places; between threads it doesn't matter who gets which.
static int draw(int first, int n) {
    static uint32_t next;
    uint32_t drawn = __atomic_add_fetch(&next, 7, __ATOMIC_RELAXED);
    return first + (int)((drawn + (uint32_t)getpid() * 37u) % (uint32_t)n);
}

static bool take(int port) {
    if (!reserve(port)) return false;
    int fd = bind_to(port);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

int support_ports(unsigned n) {
    for (int tries = 0; tries < SUPPORT_TRIES; tries++) {
        int port = draw(SUPPORT_SERVERS, SUPPORT_N_SERVERS);
        unsigned taken = 0;
        while (taken < n && take(port + (int)taken))
            taken++;
        if (taken == n) return port;
    }
    support_fail("no free ports");
}

int support_port(void) {
    return support_ports(1);
}

int support_listen(int *port) {
    for (int tries = 0; tries < SUPPORT_TRIES; tries++) {
        *port = draw(SUPPORT_OURS, SUPPORT_N_OURS);
        int fd = bind_to(*port);
        if (fd < 0) continue;
        if (listen(fd, SUPPORT_BACKLOG) == 0) return fd;
        close(fd);
    }
    support_fail("no free port");
}

// Two sockets may have one port while neither listens, if both say so; ours does only when it must: to
// listen where connections of before are still in TIME_WAIT.
void support_listen_stop(int fd) {
    share_address(fd, 0);
    if (shutdown(fd, SHUT_RDWR)) support_fail("a socket goes on listening: %s", strerror(errno));
}

void support_listen_again(int fd) {
    share_address(fd, 1);
    for (int tries = 0; listen(fd, SUPPORT_BACKLOG); tries++) {
        if (tries > 1000) support_fail("a socket doesn't listen again: %s", strerror(errno));
        support_sleep_ms(5);
    }
}
