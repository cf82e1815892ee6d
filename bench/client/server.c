// SPDX-License-Identifier: Apache-2.0
// See server.h.
#define _GNU_SOURCE // pipe2
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 3000, PAUSE_MS = 10 };

static char dir[90], socket_path[107];

static const char *setting(const char *name, const char *built_with) {
    const char *value = getenv(name);
    return value && *value ? value : built_with;
}

// Removes the folder when this process has gone, however it ends: its end of the pipe closes then. The
// server goes at the same moment.
static void leave_janitor(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) fail("no pipe");
    pid_t janitor = fork();
    if (janitor < 0) fail("can't fork");
    if (janitor > 0) {
        close(ends[0]); // ends[1] stays open as long as this process lives
        return;
    }
    setsid();
    dup2(ends[0], 0);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    execl("/bin/sh", "sh", "-c", "cat; rm -rf \"$1\" || { sleep 1; rm -rf \"$1\"; }", "janitor",
          dir, (char *)NULL);
    _exit(127);
}

void fail(const char *what) {
    fprintf(stderr, "kvroute-bench-client: %s\n", what);
    exit(1);
}

static void exec_server(pid_t parent) {
    const char *program = setting("REDIS_SERVER", REDIS_SERVER);
    char *const argv[] = {"redis-server",
                          "--port",
                          "0",
                          "--unixsocket",
                          socket_path,
                          "--dir",
                          dir,
                          "--save",
                          "",
                          "--loadmodule",
                          (char *)setting("KVROUTE_MODULE", KVROUTE_MODULE),
                          NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setsid(); // Ctrl-C on the terminal is not for it
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    execvp(program, argv);
    fprintf(stderr, "can't run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static bool answers(void) {
    redisContext *c = redisConnectUnix(socket_path);
    redisReply *r = c && !c->err ? redisCommand(c, "PING") : NULL;
    bool good = r && r->type == REDIS_REPLY_STATUS;
    if (r) freeReplyObject(r);
    if (c) redisFree(c);
    return good;
}

const char *server_start(void) {
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(dir, sizeof dir, "%s/kvroute-bench.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n >= (int)sizeof dir || !mkdtemp(dir)) fail("no folder below TMPDIR");
    snprintf(socket_path, sizeof socket_path, "%s/redis", dir);
    leave_janitor();
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) exec_server(parent);
    if (pid < 0) fail("can't fork");
    for (int i = 0; i < TRIES; i++) {
        if (waitpid(pid, NULL, WNOHANG) == pid) fail("the server ended at its start");
        if (answers()) return socket_path;
        poll(NULL, 0, PAUSE_MS);
    }
    fail("the server doesn't come up");
    return NULL;
}
