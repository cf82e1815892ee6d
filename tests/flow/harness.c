// SPDX-License-Identifier: Apache-2.0
// Starts, restarts and buries the servers of a test; see harness.h.
#include "harness.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/program.h"

enum { MAX_SERVERS = 8, MAX_CONNS = 64, MAX_ARGS = 64 };

#ifndef KVROUTE_MODULE
#define KVROUTE_MODULE "build/module/kvroute.so"
#endif
#ifndef REDIS_SERVER
#define REDIS_SERVER "redis-server"
#endif

// What this process has open. Each test is a process of its own.
static struct server servers[MAX_SERVERS];
static size_t n_servers;
static struct conn *conns[MAX_CONNS];
static size_t n_conns;

const char *module_path(void) {
    return home_setting("KVROUTE_MODULE", KVROUTE_MODULE);
}

int64_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void wait_until(bool (*holds)(void *), void *ctx, const char *what) {
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (!holds(ctx)) {
        cr_assert(clock_ms() < deadline, "waited in vain until %s", what);
        sleep_ms(5);
    }
}

// ---- Processes -----------------------------------------------------------------------------------

static void spawn(struct server *s) {
    char port[16];
    snprintf(port, sizeof port, "%d", s->port);
    const char *preload = getenv("KVROUTE_SERVER_PRELOAD");
    const char *argv[MAX_ARGS] = {
        home_setting("REDIS_SERVER", REDIS_SERVER),
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--dir",
        s->dir,
        "--logfile",
        s->log,
        "--save",
        "",
        "--loadmodule",
        module_path(),
        "--enable-debug-command",
        "yes",
        "--enable-module-command",
        "yes",
        "--propagation-error-behavior",
        "panic",
        "--repl-diskless-sync-delay",
        "0",
        "--crash-memcheck-enabled",
        "no",
    };
    size_t n = 0;
    while (argv[n])
        n++;
    if (strlen(s->unixsocket) < 104) {
        argv[n++] = "--unixsocket";
        argv[n++] = s->unixsocket;
    }
    for (size_t i = 0; s->extra && s->extra[i]; i++) {
        cr_assert(n + 1 < MAX_ARGS);
        argv[n++] = s->extra[i];
    }
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    s->pid = program_fork(-1, log, log);
    if (s->pid > 0) {
        close(log);
        return;
    }
    if (preload && *preload) {
        setenv("LD_PRELOAD", preload, 1);
        setenv("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1", 1);
        setenv("UBSAN_OPTIONS", "print_stacktrace=1", 1);
    }
    program_become(argv);
}

static void print_log(const struct server *s) {
    FILE *f = fopen(s->log, "r");
    if (!f) return;
    char line[600];
    fprintf(stderr, "---- %s\n", s->log);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fseek(f, size > 12000 ? size - 12000 : 0, SEEK_SET);
    while (fgets(line, sizeof line, f))
        fputs(line, stderr);
    fclose(f);
}

static struct conn *dial(struct server *s) {
    struct conn *c = NULL;
    if (strlen(s->unixsocket) < 104) c = conn_open(s->unixsocket, 0);
    return c ? c : conn_open(NULL, s->port);
}

bool server_alive(const struct server *s) {
    return s->pid && waitpid(s->pid, NULL, WNOHANG) == 0;
}

// Waits until it answers and has loaded its data. false: it ended instead.
static bool wait_ready(struct server *s) {
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (clock_ms() < deadline) {
        if (!server_alive(s)) {
            s->pid = 0;
            return false;
        }
        struct conn *c = dial(s);
        if (c && conn_write(c, "PING\r\n", 6)) {
            const struct reply *r = conn_read(c, PATIENCE_MS);
            if (r && !is_error(r, "LOADING")) {
                s->conn = c;
                return true;
            }
        }
        conn_close(c);
        sleep_ms(10);
    }
    print_log(s);
    cr_assert_fail("a server didn't come up");
    return false;
}

struct server *server_start(const char *const *extra) {
    const char *home = home_path();
    cr_assert(n_servers < MAX_SERVERS);
    struct server *s = &servers[n_servers];
    memset(s, 0, sizeof *s);
    s->extra = extra;
    snprintf(s->dir, sizeof s->dir, "%s/%zu", home, n_servers);
    snprintf(s->log, sizeof s->log, "%s/%zu/log", home, n_servers);
    snprintf(s->unixsocket, sizeof s->unixsocket, "%s/%zu/s", home, n_servers);
    cr_assert(mkdir(s->dir, 0700) == 0);
    n_servers++;
    for (int tries = 0; tries < 5; tries++) { // another process may take the port in between
        s->port = home_port();
        spawn(s);
        if (wait_ready(s)) return s;
        if (!server_log_count(s, "Address already in use")) break;
    }
    print_log(s);
    cr_assert_fail("a server ended at its start");
    return NULL;
}

void server_kill(struct server *s, int sig) {
    conn_close(s->conn);
    s->conn = NULL;
    if (!s->pid) return;
    kill(s->pid, sig);
    int status;
    int64_t deadline = clock_ms() + PATIENCE_MS;
    while (waitpid(s->pid, &status, WNOHANG) == 0) {
        cr_assert(clock_ms() < deadline, "a server doesn't end");
        sleep_ms(2);
    }
    s->pid = 0;
}

bool server_comes_up(struct server *s) {
    spawn(s);
    return wait_ready(s);
}

void server_restart(struct server *s) {
    if (s->pid) server_kill(s, SIGKILL);
    int64_t deadline = clock_ms() + PATIENCE_MS;
    do {
        spawn(s);
        if (wait_ready(s)) return;
        sleep_ms(100);
    } while (clock_ms() < deadline && server_log_count(s, "Address already in use"));
    print_log(s);
    cr_assert_fail("a server didn't come back");
}

struct conn *server_connect(struct server *s, int protocol) {
    cr_assert(n_conns < MAX_CONNS);
    struct conn *c = dial(s);
    cr_assert(c, "no connection");
    conns[n_conns++] = c;
    if (protocol == 3) {
        call_kind(c, REPLY_MAP, "HELLO 3");
        c->protocol = 3;
    }
    return c;
}

struct link {
    struct server *replica, *primary;
};

static bool is_linked(void *ctx) {
    const struct link *l = ctx;
    char text[32], online[64];
    server_info_text(l->replica->conn, "replication", "master_link_status", text, sizeof text);
    if (strcmp(text, "up") != 0) return false;
    // Until the replica's first word, WAIT and FAILOVER don't know it.
    snprintf(online, sizeof online, "port=%d,state=online", l->replica->port);
    return strstr(call(l->primary->conn, "INFO replication")->bytes, online) != NULL;
}

void server_wait_link(struct server *s, struct server *primary) {
    struct link l = {s, primary};
    wait_until(is_linked, &l, "the replica's link is up");
}

void server_replica_of(struct server *s, struct server *primary) {
    call_ok(s->conn, "REPLICAOF 127.0.0.1 %d", primary->port);
    server_wait_link(s, primary);
}

size_t server_log_count(const struct server *s, const char *text) {
    FILE *f = fopen(s->log, "r");
    if (!f) return 0;
    char line[4096];
    size_t n = 0;
    while (fgets(line, sizeof line, f))
        n += strstr(line, text) != NULL;
    fclose(f);
    return n;
}

// For main(), because a failed assertion in a fini counts for nothing.
static void give_verdict(void) {
    fprintf(stderr, "%s: a server crashed\n", criterion_current_test->name);
    const char *path = getenv("KVROUTE_VERDICTS");
    int fd = path ? open(path, O_WRONLY | O_APPEND) : -1;
    if (fd < 0) return;
    dprintf(fd, "%s\n", criterion_current_test->name);
    close(fd);
}

void harness_end(void) {
    static const char *const reports[] = {"ERROR: AddressSanitizer",
                                          "runtime error:", "REDIS BUG REPORT START",
                                          "=== ASSERTION FAILED", "Guru Meditation"};
    bool broken = false;
    for (size_t i = 0; i < n_conns; i++)
        conn_close(conns[i]);
    n_conns = 0;
    for (size_t i = 0; i < n_servers; i++) {
        struct server *s = &servers[i];
        bool gone = s->pid && !server_alive(s);
        if (gone) {
            fprintf(stderr, "server %zu ended by itself\n", i);
            s->pid = 0;
        }
        server_kill(s, SIGKILL);
        bool reported = false;
        for (size_t k = 0; k < sizeof reports / sizeof *reports; k++)
            reported |= server_log_count(s, reports[k]) > 0;
        if (gone || reported) print_log(s);
        broken |= gone || reported;
    }
    n_servers = 0;
    home_remove();
    if (broken) give_verdict();
}
