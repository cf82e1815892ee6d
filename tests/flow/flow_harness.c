// SPDX-License-Identifier: Apache-2.0
// Starts, restarts and ends the servers of a test; see flow_harness.h.
#include "flow_harness.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

enum { FLOW_HARNESS_MAX_SERVERS = 8, FLOW_HARNESS_MAX_CONNS = 64 };

// What this process has open. Each test is a process of its own.
static struct flow_server servers[FLOW_HARNESS_MAX_SERVERS];
static size_t n_servers;
static struct flow_conn *conns[FLOW_HARNESS_MAX_CONNS];
static size_t n_conns;

const char *const flow_with_aof[] = {
    "--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no", NULL};

const char *flow_module_path(void) {
    return support_setting("KVROUTE_MODULE", KVROUTE_MODULE);
}

int64_t flow_clock_ms(void) {
    return kvr_clock_date_us() / 1000;
}

void flow_wait_until(bool (*holds)(void *), void *ctx, const char *what) {
    int64_t deadline = flow_clock_ms() + FLOW_PATIENCE_MS;
    while (!holds(ctx)) {
        cr_assert(flow_clock_ms() < deadline, "waited in vain until %s", what);
        support_sleep_ms(5);
    }
}

struct flow_wait {
    struct flow_conn *c;
    const char *field;
    int64_t most;
};

static bool is_at_most(void *ctx) {
    const struct flow_wait *w = ctx;
    return flow_pool_info(w->c, "p", w->field) <= w->most;
}

void flow_wait_info(struct flow_conn *c, const char *field, int64_t most) {
    struct flow_wait w = {c, field, most};
    flow_wait_until(is_at_most, &w, field);
}

// ---- Processes -----------------------------------------------------------------------------------

// A module built with the address sanitizer needs it in the server from the start.
static void preload(void *ctx) {
    const char *library = getenv("KVROUTE_SERVER_PRELOAD");
    if (library && *library) {
        setenv("LD_PRELOAD", library, 1);
        setenv("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1", 1);
        setenv("UBSAN_OPTIONS", "print_stacktrace=1", 1);
    }
    if (ctx) support_clock_preload(ctx);
}

bool flow_server_alive(struct flow_server *s) {
    return support_redis_runs(&s->redis);
}

bool flow_server_is(const char *kind, int major) {
    char command[4200], line[200] = "", is[40] = "";
    int version = 0;
    snprintf(command, sizeof command, "'%s' --version",
             support_setting("REDIS_SERVER", REDIS_SERVER));
    FILE *f = popen(command, "r");
    cr_assert(f && fgets(line, sizeof line, f), "%s", command);
    pclose(f);
    cr_assert(sscanf(line, "%39s server v=%d", is, &version) == 2, "%s", line);
    return strcmp(is, kind) == 0 && version >= major;
}

static void connect_to(struct flow_server *s) {
    s->conn = flow_conn_open(s->redis.socket, 0);
    cr_assert(s->conn, "no connection");
}

static struct flow_server *start(struct support_redis plan) {
    cr_assert(n_servers < FLOW_HARNESS_MAX_SERVERS);
    struct flow_server *s = &servers[n_servers++];
    *s = (struct flow_server){.redis = plan};
    cr_assert(support_redis_start(&s->redis), "a server didn't come up");
    connect_to(s);
    return s;
}

struct flow_server *flow_server_start(const char *const *extra) {
    return start((struct support_redis){.words = extra, .before = preload});
}

struct flow_server *flow_server_start_by(struct support_clock *clock, const char *const *extra) {
    return start((struct support_redis){.words = extra, .before = preload, .ctx = clock});
}

struct flow_server *flow_server_start_bare(void) {
    return start((struct support_redis){.bare = true, .before = preload});
}

void flow_server_kill(struct flow_server *s, int sig) {
    flow_conn_close(s->conn);
    s->conn = NULL;
    support_redis_end(&s->redis, sig);
}

bool flow_server_comes_up(struct flow_server *s) {
    if (!support_redis_comes_up(&s->redis)) return false;
    connect_to(s);
    return true;
}

void flow_server_restart(struct flow_server *s) {
    flow_server_kill(s, SIGKILL);
    cr_assert(support_redis_restart(&s->redis), "a server didn't come back");
    connect_to(s);
}

struct flow_conn *flow_server_connect(struct flow_server *s, int protocol) {
    cr_assert(n_conns < FLOW_HARNESS_MAX_CONNS);
    struct flow_conn *c = flow_conn_open(s->redis.socket, 0);
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
    snprintf(online, sizeof online, "port=%d,state=online", l->replica->redis.port);
    return strstr(flow_call(l->primary->conn, "INFO replication")->bytes, online) != NULL;
}

void flow_server_wait_link(struct flow_server *s, struct flow_server *primary) {
    struct flow_link l = {s, primary};
    flow_wait_until(is_linked, &l, "the replica's link is up");
}

void flow_server_replica_of(struct flow_server *s, struct flow_server *primary) {
    flow_call_ok(s->conn, "REPLICAOF 127.0.0.1 %d", primary->redis.port);
    flow_server_wait_link(s, primary);
}

bool flow_no_rewrite(void *ctx) {
    return flow_server_info(ctx, "persistence", "aof_rewrite_in_progress") == 0 &&
           flow_server_info(ctx, "persistence", "aof_rewrite_scheduled") == 0;
}

void flow_rewrite_aof(struct flow_conn *c) {
    flow_call_kind(c, FLOW_REPLY_STATUS, "BGREWRITEAOF");
    flow_wait_until(flow_no_rewrite, c, "the rewrite is through");
}

static bool failover_is_over(void *ctx) {
    struct flow_server *s = ctx;
    char text[64];
    flow_server_info_text(s->conn, "replication", "master_failover_state", text, sizeof text);
    return strcmp(text, "no-failover") == 0;
}

void flow_server_failover(struct flow_server **primary, struct flow_server **replica) {
    struct flow_server *was = *primary;
    flow_call_ok(was->conn, "FAILOVER TO 127.0.0.1 %d TIMEOUT 20000", (*replica)->redis.port);
    flow_wait_until(failover_is_over, was, "the failover is over");
    *primary = *replica;
    *replica = was;
    flow_server_wait_link(*replica, *primary);
}

// For flow_runner.c, because a failed assertion in a fini counts for nothing.
static void give_verdict(void) {
    fprintf(stderr, "%s: a server crashed\n", criterion_current_test->name);
    const char *path = getenv("KVROUTE_VERDICTS");
    int fd = path ? open(path, O_WRONLY | O_APPEND) : -1;
    if (fd < 0) return;
    dprintf(fd, "%s\n", criterion_current_test->name);
    close(fd);
}

void flow_harness_end(void) {
    bool broken = false;
    for (size_t i = 0; i < n_conns; i++)
        flow_conn_close(conns[i]);
    n_conns = 0;
    for (size_t i = 0; i < n_servers; i++) {
        const char *what = support_redis_broken(&servers[i].redis);
        flow_server_kill(&servers[i], SIGKILL);
        if (!what) continue;
        support_log_show(servers[i].redis.log);
        fprintf(stderr, "server %zu: %s\n", i, what);
        broken = true;
    }
    n_servers = 0;
    support_home_remove();
    if (broken) give_verdict();
}

struct flow_conn *flow_start_pool(const char *options) {
    struct flow_server *s = flow_server_start(NULL);
    const struct flow_reply *r = flow_call_words(s->conn, "KVROUTE.CREATE p", options);
    cr_assert(r->kind == FLOW_REPLY_STATUS, "KVROUTE.CREATE p %s: %s", options, r->bytes);
    return s->conn;
}

struct flow_copies {
    struct flow_server *primary, *replica;
    const char *key;
};

static bool are_equal(void *ctx) {
    struct flow_copies *p = ctx;
    const struct flow_reply *r = flow_call(p->replica->conn, "EXISTS %s", p->key);
    if (r->kind != FLOW_REPLY_INTEGER || !r->integer) return false;
    struct flow_digest there = flow_pool_digest(p->replica->conn, p->key);
    int64_t version = flow_pool_info(p->replica->conn, p->key, "version");
    static const char *const counts[] = {"workers",  "instances", "blocks",
                                         "holdings", "predicted", "requests",
                                         "sessions", "waiting",   "waiting_tokens"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (flow_pool_info(p->primary->conn, p->key, counts[i]) !=
            flow_pool_info(p->replica->conn, p->key, counts[i]))
            return false;
    return flow_same_digest(there, flow_pool_digest(p->primary->conn, p->key)) &&
           version == flow_pool_info(p->primary->conn, p->key, "version") &&
           flow_same_digest(flow_debug_digest(p->primary->conn, p->key),
                            flow_debug_digest(p->replica->conn, p->key));
}

// Copies that have parted never meet again, so it is enough to see them meet.
void flow_expect_equal(struct flow_server *primary, struct flow_server *replica, const char *key) {
    struct flow_copies p = {primary, replica, key};
    flow_wait_until(are_equal, &p, "primary and replica are equal");
}

uint64_t flow_test_seed(void) {
    static uint64_t seed;
    if (!seed) {
        const char *given = getenv("KVROUTE_SEED");
        seed = given ? strtoull(given, NULL, 0)
                     : (uint64_t)flow_clock_ms() * 1000003u ^ (uint64_t)getpid();
        fprintf(stderr, "%s: KVROUTE_SEED=%" PRIu64 "\n", criterion_current_test->name, seed);
    }
    return seed;
}

void flow_store_new(struct flow_conn *c, int64_t seq, size_t n) {
    uint64_t *hashes = malloc(n * sizeof *hashes), x = (uint64_t)seq << 40;
    cr_assert(hashes);
    for (size_t i = 0; i < n; i++)
        hashes[i] = x += 0x9e3779b97f4a7c15u;
    flow_expect_int(c, seq, "KVROUTE.EVENT p w 0 1 %lld STORED - HASHES %b", (long long)seq, hashes,
                    n * sizeof *hashes);
    free(hashes);
}
