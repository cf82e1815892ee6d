// SPDX-License-Identifier: Apache-2.0
// See ctest_real.h.
#define _GNU_SOURCE // pipe2
#include "ctest_real.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/home.h"
#include "tests/support/program.h"
#include "tests/support/redis.h"

enum { PATIENCE_MS = 60000 };

// Whether it is this server that answers there: another may have taken the port a moment earlier.
static bool answers(const struct ctest_real *s) {
    char line[40];
    snprintf(line, sizeof line, "process_id:%d\r\n", (int)s->pid);
    redisContext *c = redisConnect("127.0.0.1", s->port);
    redisReply *r = c && !c->err ? redisCommand(c, "INFO server") : NULL;
    bool good = r && r->type == REDIS_REPLY_STRING && strstr(r->str, line);
    if (r) freeReplyObject(r);
    if (c) redisFree(c);
    return good;
}

// Makes a folder and a configuration, and starts a server from it. Another process may take the port
// in between: then there is another.
static struct ctest_real start(const char *more, bool sentinel) {
    static int serial;
    const char *program = home_setting("REDIS_SERVER", REDIS_SERVER);
    struct ctest_real r = {0};
    for (int tries = 0; tries < 5; tries++) {
        char dir[200], path[240];
        snprintf(dir, sizeof dir, "%s/real-%d", home_path(), ++serial);
        snprintf(path, sizeof path, "%s/conf", dir);
        cr_assert(mkdir(dir, 0700) == 0);
        r.port = home_port();
        FILE *f = fopen(path, "w");
        cr_assert(f);
        fprintf(f, "port %d\nbind 127.0.0.1\ndir %s\nlogfile %s/log\n%s\n", r.port, dir, dir, more);
        fclose(f);
        const char *argv[] = {program, path, sentinel ? "--sentinel" : NULL, NULL};
        r.pid = program_start(argv, -1, -1, -1);
        for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end; sleep_ms(10)) {
            if (waitpid(r.pid, NULL, WNOHANG) == r.pid) break;
            if (answers(&r)) return r;
        }
    }
    cr_assert_fail("no server");
    return r;
}

struct ctest_real ctest_real_server(void) {
    char more[600];
    snprintf(more, sizeof more, "save \"\"\nloadmodule %s\n",
             home_setting("KVROUTE_MODULE", KVROUTE_MODULE));
    return start(more, false);
}

struct ctest_real ctest_real_sentinel(const struct ctest_real *primary, const char *master) {
    char more[200];
    snprintf(more, sizeof more, "sentinel monitor %s 127.0.0.1 %d 1\n", master, primary->port);
    return start(more, true);
}

void ctest_real_stop(struct ctest_real *r) {
    program_end(&r->pid, SIGKILL);
}

void ctest_real_again(struct ctest_real *r) {
    r->pid = redis_start(r->port, (const char *[]){NULL});
    for (int64_t end = now_ms() + PATIENCE_MS; !answers(r); sleep_ms(10))
        cr_assert(now_ms() < end && waitpid(r->pid, NULL, WNOHANG) == 0, "no server");
}

int ctest_real_run(const char *const *argv, char *out, size_t size) {
    int ends[2], status;
    size_t n = 0;
    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    pid_t pid = program_start(argv, -1, ends[1], ends[1]);
    close(ends[1]);
    int64_t end = now_ms() + PATIENCE_MS;
    for (;;) {
        char chunk[4096];
        struct pollfd p = {ends[0], POLLIN, 0};
        int64_t left = end - now_ms();
        if (left <= 0 || poll(&p, 1, (int)left) == 0) {
            program_end(&pid, SIGKILL);
            cr_assert_fail("%s takes too long", argv[0]);
        }
        ssize_t got = read(ends[0], chunk, sizeof chunk);
        if (got <= 0) break;
        size_t fits = (size_t)got < size - 1 - n ? (size_t)got : size - 1 - n;
        memcpy(out + n, chunk, fits);
        n += fits;
    }
    close(ends[0]);
    out[n] = 0;
    cr_assert(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
