// SPDX-License-Identifier: Apache-2.0
// Servers: starting and ending them, and calls; see ha_server.h.
#define _GNU_SOURCE // unshare
#include "ha_server.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

static struct ha_server servers[HA_MAX_SERVERS]; // of this scenario
static size_t n_servers;

size_t ha_server_count(void) {
    return n_servers;
}

struct ha_server *ha_server_at(size_t i) {
    return &servers[i];
}

// ---- Starting ------------------------------------------------------------------------------------

static bool write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return written;
}

// A mount namespace of its own; who isn't root has to become root of a user namespace first.
static bool unshare_mounts(void) {
    char users[48], groups[48];
    if (unshare(CLONE_NEWNS) == 0) return true;
    snprintf(users, sizeof users, "0 %d 1", (int)getuid());
    snprintf(groups, sizeof groups, "0 %d 1", (int)getgid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

// A file system of the server's own over its folder, which no other process sees but through /proc.
// false: the machine doesn't let us.
static bool mount_small_disk(const char *dir) {
    char options[32];
    snprintf(options, sizeof options, "size=%d,mode=700", HA_SMALL_DISK);
    return unshare_mounts() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", dir, "tmpfs", 0, options) == 0;
}

// In the server's process: proxies are to know it before it says a word to anybody.
static void before(void *ctx) {
    struct ha_server *s = ctx;
    s->process->pid = getpid();
    if (s->on_small_disk && !mount_small_disk(s->redis.dir))
        dprintf(2, "no file system of its own: %s\n", strerror(errno));
    if (s->clock) support_clock_preload(s->clock);
    signal(SIGXFSZ, SIG_IGN); // where the limit on file sizes stands in, a write is to fail
}

static const char server_config[] = "appendonly yes\n"
                                    "appendfsync everysec\n"
                                    "repl-ping-replica-period 1\n";

// What Redis has to know before it starts, besides what support_redis says.
static void write_config(struct ha_server *s, const struct ha_server_plan *plan) {
    size_t n = 0, size = sizeof s->config;
    if (!s->redis.sentinel) n += (size_t)snprintf(s->config, size, "%s", server_config);
    if (!s->redis.sentinel && plan->address)
        n += (size_t)snprintf(s->config + n, size - n,
                              "replica-announce-ip 127.0.0.1\nreplica-announce-port %d\n",
                              plan->address);
    if (s->bus)
        n += (size_t)snprintf(s->config + n, size - n,
                              "cluster-enabled yes\ncluster-node-timeout %d\ncluster-port %d\n",
                              plan->node_timeout_ms, s->bus);
    snprintf(s->config + n, size - n, "%s", plan->settings ? plan->settings : "");
}

struct ha_server *ha_server_start(const struct ha_server_plan *plan) {
    if (n_servers == HA_MAX_SERVERS) ha_give_up("too many servers");
    struct ha_server *s = &servers[n_servers++];
    *s = (struct ha_server){.side = plan->side,
                            .on_small_disk = plan->on_small_disk,
                            .clock = plan->clock,
                            .process = ha_process_add(plan->side)};
    snprintf(s->name, sizeof s->name, "%s", plan->name);
    if (plan->node_timeout_ms) s->bus = support_port();
    write_config(s, plan);
    s->redis = (struct support_redis){.name = s->name,
                                      .config = s->config,
                                      .sentinel = plan->sentinel,
                                      .before = before,
                                      .ctx = s};
    if (!support_redis_start(&s->redis)) ha_give_up("%s doesn't start", s->name);
    ha_show_log(s->redis.log);
    s->address = plan->address ? plan->address : s->redis.port;
    s->has_small_disk =
        s->on_small_disk && !support_log_count(s->redis.log, "no file system of its own");
    return s;
}

void ha_server_kill(struct ha_server *s) {
    support_redis_end(&s->redis, SIGKILL);
    s->process->pid = 0;
}

void ha_server_restart(struct ha_server *s) {
    if (!support_redis_restart(&s->redis)) ha_give_up("%s doesn't come back", s->name);
}

bool ha_server_runs(struct ha_server *s) {
    return s->redis.pid != 0;
}

const char *ha_servers_broken(void) {
    static char text[160];
    for (size_t i = 0; i < n_servers; i++) {
        const char *what = servers[i].redis.pid ? support_redis_broken(&servers[i].redis) : NULL;
        if (!what) continue;
        snprintf(text, sizeof text, "%.23s: %.100s", servers[i].name, what);
        return text;
    }
    return NULL;
}

// ---- Calls ---------------------------------------------------------------------------------------

static redisReply *ask(struct ha_server *s, const char *format, va_list ap) {
    redisReply *r = support_redis_ask(&s->redis, format, ap);
    if (!r) ha_give_up("%s doesn't answer %s", s->name, format);
    return r;
}

redisReply *ha_call(struct ha_server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    return r;
}

void ha_call_ok(struct ha_server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    if (r->type == REDIS_REPLY_ERROR) ha_give_up("%s answers %s with %s", s->name, format, r->str);
    freeReplyObject(r);
}

int64_t ha_call_int(struct ha_server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    if (r->type != REDIS_REPLY_INTEGER)
        ha_give_up("%s answers %s with %s", s->name, format, r->str ? r->str : "no number");
    int64_t n = r->integer;
    freeReplyObject(r);
    return n;
}

bool ha_call_try(struct ha_server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    bool done = r->type != REDIS_REPLY_ERROR;
    freeReplyObject(r);
    return done;
}

const redisReply *ha_field(const redisReply *map, const char *name) {
    for (size_t i = 0; i + 1 < map->elements; i += 2)
        if (map->element[i]->str && strcmp(map->element[i]->str, name) == 0)
            return map->element[i + 1];
    return NULL;
}

int64_t ha_field_int(const redisReply *map, const char *name) {
    const redisReply *r = ha_field(map, name);
    if (!r || r->type != REDIS_REPLY_INTEGER) ha_give_up("no number %s in an answer", name);
    return r->integer;
}

// ---- Replicas ------------------------------------------------------------------------------------

void ha_server_replicate(struct ha_server *s, const struct ha_server *primary) {
    ha_call_ok(s, "REPLICAOF 127.0.0.1 %d", primary->address);
}

bool ha_server_is_primary(struct ha_server *s) {
    char role[16];
    support_redis_info(&s->redis, "replication", "role", role, sizeof role);
    return strcmp(role, "master") == 0;
}

bool ha_server_linked(struct ha_server *replica, struct ha_server *primary) {
    char link[16], port[16], online[48];
    support_redis_info(&replica->redis, "replication", "master_link_status", link, sizeof link);
    support_redis_info(&replica->redis, "replication", "master_port", port, sizeof port);
    if (strcmp(link, "up") != 0 || atoi(port) != primary->address) return false;
    // Until the replica's first word the primary has it in no list, and its offset is from before.
    snprintf(online, sizeof online, "port=%d,state=online", replica->address);
    redisReply *r = ha_call(primary, "INFO replication");
    bool known = r->str && strstr(r->str, online);
    freeReplyObject(r);
    return known;
}

bool ha_server_synced(struct ha_server *replica, struct ha_server *primary) {
    return ha_server_linked(replica, primary) &&
           support_redis_number(&primary->redis, "replication", "master_repl_offset") ==
               support_redis_number(&replica->redis, "replication", "slave_repl_offset");
}

struct ha_replica_pair {
    struct ha_server *replica, *primary;
};

static bool pair_synced(void *ctx) {
    const struct ha_replica_pair *p = ctx;
    return ha_server_synced(p->replica, p->primary);
}

void ha_server_wait_synced(struct ha_server *replica, struct ha_server *primary) {
    struct ha_replica_pair p = {replica, primary};
    ha_wait(pair_synced, &p, "a replica has what its primary has");
}
