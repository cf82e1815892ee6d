// SPDX-License-Identifier: Apache-2.0
// Starts, restarts and buries the servers of a test; see harness.h.
#include "flow_harness.h"

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

enum { FLOW_HARNESS_MAX_SERVERS = 8, FLOW_HARNESS_MAX_CONNS = 64, FLOW_HARNESS_MAX_ARGS = 64 };

#ifndef KVROUTE_MODULE
#define KVROUTE_MODULE "build/module/kvroute.so"
#endif
#ifndef REDIS_SERVER
#define REDIS_SERVER "redis-server"
#endif

// What this process has open. Each test is a process of its own.
static struct flow_server servers[FLOW_HARNESS_MAX_SERVERS];
static size_t n_servers;
static struct flow_conn *conns[FLOW_HARNESS_MAX_CONNS];
static size_t n_conns;

const char *flow_module_path(void) {
    return home_setting("KVROUTE_MODULE", KVROUTE_MODULE);
}

int64_t flow_clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void flow_wait_until(bool (*holds)(void *), void *ctx, const char *what) {
    int64_t deadline = flow_clock_ms() + FLOW_PATIENCE_MS;
    while (!holds(ctx)) {
        cr_assert(flow_clock_ms() < deadline, "waited in vain until %s", what);
        sleep_ms(5);
    }
}

// ---- Processes -----------------------------------------------------------------------------------

static void spawn(struct flow_server *s) {
    char port[16];
    snprintf(port, sizeof port, "%d", s->port);
    const char *preload = getenv("KVROUTE_SERVER_PRELOAD");
    const char *argv[FLOW_HARNESS_MAX_ARGS] = {
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
        flow_module_path(),
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
        cr_assert(n + 1 < FLOW_HARNESS_MAX_ARGS);
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

static void print_log(const struct flow_server *s) {
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

static struct flow_conn *dial(struct flow_server *s) {
    struct flow_conn *c = NULL;
    if (strlen(s->unixsocket) < 104) c = flow_conn_open(s->unixsocket, 0);
    return c ? c : flow_conn_open(NULL, s->port);
}

bool flow_server_alive(const struct flow_server *s) {
    return s->pid && waitpid(s->pid, NULL, WNOHANG) == 0;
}

// Waits until it answers and has loaded its data. false: it ended instead.
static bool wait_ready(struct flow_server *s) {
    int64_t deadline = flow_clock_ms() + FLOW_PATIENCE_MS;
    while (flow_clock_ms() < deadline) {
        if (!flow_server_alive(s)) {
            s->pid = 0;
            return false;
        }
        struct flow_conn *c = dial(s);
        if (c && flow_conn_write(c, "PING\r\n", 6)) {
            const struct flow_reply *r = flow_conn_read(c, FLOW_PATIENCE_MS);
            if (r && !flow_is_error(r, "LOADING")) {
                s->conn = c;
                return true;
            }
        }
        flow_conn_close(c);
        sleep_ms(10);
    }
    print_log(s);
    cr_assert_fail("a server didn't come up");
    return false;
}

struct flow_server *flow_server_start(const char *const *extra) {
    const char *home = home_path();
    cr_assert(n_servers < FLOW_HARNESS_MAX_SERVERS);
    struct flow_server *s = &servers[n_servers];
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
        if (!flow_server_log_count(s, "Address already in use")) break;
    }
    print_log(s);
    cr_assert_fail("a server ended at its start");
    return NULL;
}

void flow_server_kill(struct flow_server *s, int sig) {
    flow_conn_close(s->conn);
    s->conn = NULL;
    if (!s->pid) return;
    kill(s->pid, sig);
    int status;
    int64_t deadline = flow_clock_ms() + FLOW_PATIENCE_MS;
    while (waitpid(s->pid, &status, WNOHANG) == 0) {
        cr_assert(flow_clock_ms() < deadline, "a server doesn't end");
        sleep_ms(2);
    }
    s->pid = 0;
}

bool flow_server_comes_up(struct flow_server *s) {
    spawn(s);
    return wait_ready(s);
}

void flow_server_restart(struct flow_server *s) {
    if (s->pid) flow_server_kill(s, SIGKILL);
    int64_t deadline = flow_clock_ms() + FLOW_PATIENCE_MS;
    do {
        spawn(s);
        if (wait_ready(s)) return;
        sleep_ms(100);
    } while (flow_clock_ms() < deadline && flow_server_log_count(s, "Address already in use"));
    print_log(s);
    cr_assert_fail("a server didn't come back");
}

struct flow_conn *flow_server_connect(struct flow_server *s, int protocol) {
    cr_assert(n_conns < FLOW_HARNESS_MAX_CONNS);
    struct flow_conn *c = dial(s);
    cr_assert(c, "no connection");
    conns[n_conns++] = c;
    if (protocol == 3) {
        flow_call_kind(c, FLOW_REPLY_MAP, "HELLO 3");
        c->protocol = 3;
    }
    return c;
}

struct flow_link {
    struct flow_server *replica, *primary;
};

static bool is_linked(void *ctx) {
    const struct flow_link *l = ctx;
    char text[32], online[64];
    flow_server_info_text(l->replica->conn, "replication", "master_link_status", text, sizeof text);
    if (strcmp(text, "up") != 0) return false;
    // Until the replica's first word, WAIT and FAILOVER don't know it.
    snprintf(online, sizeof online, "port=%d,state=online", l->replica->port);
    return strstr(flow_call(l->primary->conn, "INFO replication")->bytes, online) != NULL;
}

void flow_server_wait_link(struct flow_server *s, struct flow_server *primary) {
    struct flow_link l = {s, primary};
    flow_wait_until(is_linked, &l, "the replica's link is up");
}

void flow_server_replica_of(struct flow_server *s, struct flow_server *primary) {
    flow_call_ok(s->conn, "REPLICAOF 127.0.0.1 %d", primary->port);
    flow_server_wait_link(s, primary);
}

size_t flow_server_log_count(const struct flow_server *s, const char *text) {
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

void flow_harness_end(void) {
    static const char *const reports[] = {"ERROR: AddressSanitizer",
                                          "runtime error:", "REDIS BUG REPORT START",
                                          "=== ASSERTION FAILED", "Guru Meditation"};
    bool broken = false;
    for (size_t i = 0; i < n_conns; i++)
        flow_conn_close(conns[i]);
    n_conns = 0;
    for (size_t i = 0; i < n_servers; i++) {
        struct flow_server *s = &servers[i];
        bool gone = s->pid && !flow_server_alive(s);
        if (gone) {
            fprintf(stderr, "server %zu ended by itself\n", i);
            s->pid = 0;
        }
        flow_server_kill(s, SIGKILL);
        bool reported = false;
        for (size_t k = 0; k < sizeof reports / sizeof *reports; k++)
            reported |= flow_server_log_count(s, reports[k]) > 0;
        if (gone || reported) print_log(s);
        broken |= gone || reported;
    }
    n_servers = 0;
    home_remove();
    if (broken) give_verdict();
}
