// SPDX-License-Identifier: Apache-2.0
// A few lines of ours instead of libsystemd, which would be one more package to run a router with.
#include "router_notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/common/clock.h"

static void say(const char *text) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof a.sun_path || (*path != '/' && *path != '@')) return;
    memcpy(a.sun_path, path, n);
    if (*path == '@') a.sun_path[0] = 0; // an abstract name
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void router_notify_ready(void) {
    say("READY=1");
}

void router_notify_reloading(void) {
    char text[80];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)kvr_clock_us());
    say(text);
}

void router_notify_stopping(void) {
    say("STOPPING=1");
}

void router_notify_successor(pid_t pid) {
    char text[80];
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d", (int)pid);
    say(text);
}
