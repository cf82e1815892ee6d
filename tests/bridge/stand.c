// SPDX-License-Identifier: Apache-2.0
// See stand.h.
#define _GNU_SOURCE
#include "stand.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "home.h"

static const char *setting(const char *name, const char *built_with) {
    const char *value = getenv(name);
    return value && *value ? value : built_with;
}

pid_t stand_spawn(const char *const *argv, int input, int output) {
    pid_t parent = getpid(), pid = fork();
    cr_assert(pid >= 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    int null = open("/dev/null", O_RDWR);
    dup2(input >= 0 ? input : null, 0);
    dup2(output >= 0 ? output : null, 1);
    dup2(output >= 0 ? output : null, 2);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

void stand_kill(pid_t *pid, int signal) {
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

int stand_wait(pid_t *pid) {
    int status = 0;
    for (int64_t end = now_ms() + PATIENCE_MS; waitpid(*pid, &status, WNOHANG) != *pid;) {
        cr_assert(now_ms() < end, "a process doesn't end");
        sleep_ms(5);
    }
    *pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_up(struct stand *s) {
    if (s->look && !s->look->err) return true;
    if (s->look) redisFree(s->look);
    struct timeval patience = {5, 0};
    s->look = redisConnectWithTimeout("127.0.0.1", s->port, patience);
    if (!s->look || s->look->err) return false;
    redisSetTimeout(s->look, patience);
    redisReply *r = redisCommand(s->look, "PING");
    bool good = r && r->type == REDIS_REPLY_STATUS;
    if (r) freeReplyObject(r);
    return good;
}

void stand_server(struct stand *s) {
    char port[12];
    bool again = s->port != 0;
    for (int tries = 0; tries < 5; tries++) {
        if (!again) close(home_listen(&s->port));
        snprintf(port, sizeof port, "%d", s->port);
        const char *argv[] = {setting("REDIS_SERVER", REDIS_SERVER),
                              "--port",
                              port,
                              "--bind",
                              "127.0.0.1",
                              "--save",
                              "",
                              "--dir",
                              home_path(),
                              "--loadmodule",
                              setting("KVROUTE_MODULE", KVROUTE_MODULE),
                              NULL};
        s->server = stand_spawn(argv, -1, -1);
        for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end; sleep_ms(10)) {
            if (waitpid(s->server, NULL, WNOHANG) == s->server) break;
            if (is_up(s)) return;
        }
    }
    cr_assert_fail("no server");
}

void stand_bridge(struct stand *s, const char *const *more) {
    char url[60], listen[40];
    const char *argv[40] = {KVROUTE_BRIDGE, "--redis", url,   "--pool",   "pool", "--create",
                            "BLOCKSIZE 4",  "--ttl",   "900", "--listen", listen};
    size_t n = 11;
    if (!s->metrics) close(home_listen(&s->metrics));
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s->port);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", s->metrics);
    while (*more && n < 39)
        argv[n++] = *more++;
    snprintf(s->log, sizeof s->log, "%s/bridge.log", home_path());
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    s->bridge = stand_spawn(argv, -1, log);
    close(log);
}

void stand_down(struct stand *s) {
    stand_kill(&s->bridge, SIGKILL);
    stand_kill(&s->server, SIGKILL);
    if (s->look) redisFree(s->look);
    s->look = NULL;
}

// ---- The pool ------------------------------------------------------------------------------------

redisReply *stand_say(struct stand *s, const char *format, ...) {
    va_list args;
    if (!is_up(s)) return NULL;
    va_start(args, format);
    redisReply *r = redisvCommand(s->look, format, args);
    va_end(args);
    return r;
}

static const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; map && i + 1 < map->elements; i += 2)
        if (!strcmp(map->element[i]->str, name)) return map->element[i + 1];
    return NULL;
}

long long stand_overlap(struct stand *s, const uint64_t *hashes, size_t n) {
    redisReply *r = stand_say(s, "KVROUTE.SCORE pool HASHES %b AMONG 1 w", hashes, n * 8);
    const redisReply *v =
        r && r->type == REDIS_REPLY_ARRAY && r->elements ? field(r->element[0], "overlap") : NULL;
    long long overlap = v ? v->integer : -1;
    if (r) freeReplyObject(r);
    return overlap;
}

long long stand_held(struct stand *s, const char *tier_field) {
    redisReply *r = stand_say(s, "KVROUTE.WORKER GET pool w");
    const redisReply *ranks = r && r->type == REDIS_REPLY_ARRAY ? field(r, "ranks") : NULL;
    const redisReply *v = ranks && ranks->elements ? field(ranks->element[0], tier_field) : NULL;
    long long held = v ? v->integer : -1;
    if (r) freeReplyObject(r);
    return held;
}
