// SPDX-License-Identifier: Apache-2.0
// Servers: their files, starting and ending them, and calls; see redis.h.
#define _GNU_SOURCE // unshare
#include "redis.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef KVROUTE_MODULE
#define KVROUTE_MODULE "build/module/kvroute.so"
#endif
#ifndef REDIS_SERVER
#define REDIS_SERVER "redis-server"
#endif

enum { START_TRIES = 5, ASK_TRIES = 20 };

static struct server servers[MAX_SERVERS]; // of this world
static size_t n_servers;

size_t server_count(void) {
    return n_servers;
}

struct server *server_at(size_t i) {
    return &servers[i];
}

// ---- Starting ------------------------------------------------------------------------------------

static void write_config(const struct server *s, const struct plan *plan) {
    FILE *f = fopen(s->config, "w");
    if (!f) give_up("can't write %s: %s", s->config, strerror(errno));
    fprintf(f, "port %d\nbind 127.0.0.1\ndir %s\nlogfile %s\n", s->port, s->dir, s->log);
    if (!s->sentinel)
        fprintf(f,
                "loadmodule %s\n"
                "save \"\"\n"
                "appendonly yes\n"
                "appendfsync everysec\n"
                "enable-debug-command yes\n"
                "propagation-error-behavior panic\n"
                "repl-diskless-sync-delay 0\n"
                "repl-ping-replica-period 1\n"
                "crash-memcheck-enabled no\n",
                home_setting("KVROUTE_MODULE", KVROUTE_MODULE));
    if (!s->sentinel && s->address != s->port)
        fprintf(f, "replica-announce-ip 127.0.0.1\nreplica-announce-port %d\n", s->address);
    if (s->bus)
        fprintf(f, "cluster-enabled yes\ncluster-node-timeout %d\ncluster-port %d\n",
                plan->node_timeout_ms, s->bus);
    if (plan->settings) fputs(plan->settings, f);
    fclose(f);
}

void server_configure(struct server *s, const char *line) {
    FILE *f = fopen(s->config, "a");
    if (!f) give_up("can't write %s: %s", s->config, strerror(errno));
    fprintf(f, "\n%s\n", line);
    fclose(f);
}

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
    snprintf(options, sizeof options, "size=%d,mode=700", SMALL_DISK);
    return unshare_mounts() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", dir, "tmpfs", 0, options) == 0;
}

static void run_server(const struct server *s) {
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    if (s->on_small_disk && !mount_small_disk(s->dir))
        dprintf(2, "no file system of its own: %s\n", strerror(errno));
    signal(SIGXFSZ, SIG_IGN); // where the limit on file sizes stands in, a write is to fail
    const char *program = home_setting("REDIS_SERVER", REDIS_SERVER);
    execlp(program, program, s->config, s->sentinel ? "--sentinel" : NULL, (char *)NULL);
    dprintf(2, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static void spawn(struct server *s) {
    if (!s->process) {
        s->process = process_fork(s->side);
        if (s->process) return;
        run_server(s);
    }
    if (!process_fork_again(s->process)) run_server(s);
}

static size_t log_count(const struct server *s, const char *text) {
    FILE *f = fopen(s->log, "r");
    if (!f) return 0;
    char line[2048];
    size_t n = 0;
    while (fgets(line, sizeof line, f))
        n += strstr(line, text) != NULL;
    fclose(f);
    return n;
}

static redisContext *dial(int port) {
    struct timeval second = {1, 0}, patience = {PATIENCE_MS / 1000, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, second);
    if (c && !c->err) {
        redisSetTimeout(c, patience);
        return c;
    }
    if (c) redisFree(c);
    return NULL;
}

// Whether it is this server that answers: somebody else's may have taken the port a moment earlier.
static bool is_itself(struct server *s) {
    char line[40];
    redisReply *r = redisCommand(s->conn, "INFO server");
    snprintf(line, sizeof line, "process_id:%d\r", (int)s->process->pid);
    bool same = r && r->type == REDIS_REPLY_STRING && strstr(r->str, line);
    freeReplyObject(r);
    return same;
}

static bool is_loading(struct server *s) {
    redisReply *r = redisCommand(s->conn, "PING");
    bool loading = !r || (r->type == REDIS_REPLY_ERROR && strncmp(r->str, "LOADING", 7) == 0);
    freeReplyObject(r);
    return loading; // any other error, MASTERDOWN or MISCONF, is an answer
}

// Waits until it answers and has loaded its data. false: it ended instead.
static bool wait_ready(struct server *s) {
    int64_t until = now_ms() + PATIENCE_MS;
    int status;
    while (now_ms() < until) {
        if (process_ended(s->process, &status)) return false;
        s->conn = dial(s->port);
        if (s->conn && is_itself(s) && !is_loading(s)) return true;
        if (s->conn) redisFree(s->conn);
        s->conn = NULL;
        sleep_ms(5);
    }
    give_up("%s doesn't come up", s->name);
}

static struct server *new_server(const struct plan *plan) {
    if (n_servers == MAX_SERVERS) give_up("too many servers");
    struct server *s = &servers[n_servers++];
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", plan->name);
    s->side = plan->side;
    s->address = plan->address;
    s->sentinel = plan->sentinel;
    s->on_small_disk = plan->on_small_disk;
    world_path(s->dir, sizeof s->dir, "%s", plan->name);
    world_path(s->config, sizeof s->config, "%s.conf", plan->name);
    world_path(s->log, sizeof s->log, "%s.log", plan->name);
    if (mkdir(s->dir, 0700)) give_up("can't make %s: %s", s->dir, strerror(errno));
    world_show_log(s->log);
    return s;
}

struct server *server_start(const struct plan *plan) {
    struct server *s = new_server(plan);
    bool ready = false;
    for (int tries = 0; !ready && tries < START_TRIES; tries++) { // the port may be taken meanwhile
        s->port = home_port();
        if (!plan->address) s->address = s->port;
        if (plan->node_timeout_ms) s->bus = home_port();
        write_config(s, plan);
        spawn(s);
        ready = wait_ready(s);
    }
    if (!ready) give_up("%s doesn't start", s->name);
    s->has_small_disk = s->on_small_disk && !log_count(s, "no file system of its own");
    return s;
}

void server_kill(struct server *s) {
    process_kill(s->process);
    if (s->conn) redisFree(s->conn);
    s->conn = NULL;
}

void server_restart(struct server *s) {
    if (s->process->pid) server_kill(s);
    int64_t until = now_ms() + PATIENCE_MS;
    do {
        spawn(s);
        if (wait_ready(s)) return;
        sleep_ms(50);
    } while (now_ms() < until && log_count(s, "Address already in use"));
    give_up("%s doesn't come back", s->name);
}

bool server_runs(struct server *s) {
    return s->process->pid != 0;
}

static void remove_files(const char *dir) {
    DIR *d = opendir(dir);
    char path[600];
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path) != 0) { // a folder: the AOF's
            remove_files(path);
            rmdir(path);
        }
    }
    if (d) closedir(d);
}

void server_forget(struct server *s, const char *what) {
    char path[300];
    snprintf(path, sizeof path, "%s/appendonlydir", s->dir);
    remove_files(strcmp(what, "aof") == 0 ? path : s->dir);
}

const char *servers_broken(void) {
    static const char *const reports[] = {"ERROR: AddressSanitizer",
                                          "runtime error:", "REDIS BUG REPORT START",
                                          "=== ASSERTION FAILED", "Guru Meditation"};
    static char text[160];
    for (size_t i = 0; i < n_servers; i++) {
        struct server *s = &servers[i];
        int status;
        bool gone = process_ended(s->process, &status);
        const char *what = gone ? "ended by itself" : NULL;
        for (size_t k = 0; k < sizeof reports / sizeof *reports; k++)
            if (log_count(s, reports[k])) what = reports[k];
        if (!what) continue;
        snprintf(text, sizeof text, "%.23s: %.100s", s->name, what);
        return text;
    }
    return NULL;
}

// ---- Calls ---------------------------------------------------------------------------------------

// Again when the connection turns out to be closed: Sentinels and CLIENT KILL close it, several times in
// a row perhaps.
static redisReply *ask(struct server *s, const char *format, va_list ap) {
    for (int tries = 0; tries < ASK_TRIES; tries++) {
        if (s->conn && s->conn->err) {
            redisFree(s->conn);
            s->conn = NULL;
        }
        if (!s->conn) s->conn = dial(s->port);
        if (!s->conn) give_up("%s can't be reached for %s", s->name, format);
        va_list again;
        va_copy(again, ap);
        redisReply *r = redisvCommand(s->conn, format, again);
        va_end(again);
        if (r) return r;
        sleep_ms(20);
    }
    give_up("%s doesn't answer %s: %s", s->name, format, s->conn->errstr);
}

redisReply *call(struct server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    return r;
}

void call_ok(struct server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    if (r->type == REDIS_REPLY_ERROR) give_up("%s answers %s with %s", s->name, format, r->str);
    freeReplyObject(r);
}

int64_t call_int(struct server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    if (r->type != REDIS_REPLY_INTEGER)
        give_up("%s answers %s with %s", s->name, format, r->str ? r->str : "no number");
    int64_t n = r->integer;
    freeReplyObject(r);
    return n;
}

bool call_try(struct server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = ask(s, format, ap);
    va_end(ap);
    bool done = r->type != REDIS_REPLY_ERROR;
    freeReplyObject(r);
    return done;
}

void server_info(struct server *s, const char *section, const char *name, char *out, size_t size) {
    redisReply *r = call(s, "INFO %s", section);
    size_t n = strlen(name);
    *out = 0;
    for (char *at = r->str; at && (at = strstr(at, name)); at += n) {
        if ((at != r->str && at[-1] != '\n') || at[n] != ':') continue;
        snprintf(out, size, "%.*s", (int)strcspn(at + n + 1, "\r\n"), at + n + 1);
        break;
    }
    freeReplyObject(r);
}

int64_t server_info_int(struct server *s, const char *section, const char *name) {
    char text[64];
    server_info(s, section, name, text, sizeof text);
    return strtoll(text, NULL, 10);
}

const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; i + 1 < map->elements; i += 2)
        if (map->element[i]->str && strcmp(map->element[i]->str, name) == 0)
            return map->element[i + 1];
    return NULL;
}

int64_t field_int(const redisReply *map, const char *name) {
    const redisReply *r = field(map, name);
    if (!r || r->type != REDIS_REPLY_INTEGER) give_up("no number %s in an answer", name);
    return r->integer;
}

// ---- Replicas ------------------------------------------------------------------------------------

void server_replicate(struct server *s, const struct server *primary) {
    call_ok(s, "REPLICAOF 127.0.0.1 %d", primary->address);
}

bool server_is_primary(struct server *s) {
    char role[16];
    server_info(s, "replication", "role", role, sizeof role);
    return strcmp(role, "master") == 0;
}

bool server_linked(struct server *replica, struct server *primary) {
    char link[16], port[16], online[48];
    server_info(replica, "replication", "master_link_status", link, sizeof link);
    server_info(replica, "replication", "master_port", port, sizeof port);
    if (strcmp(link, "up") != 0 || atoi(port) != primary->address) return false;
    // Until the replica's first word the primary has it in no list, and its offset is from before.
    snprintf(online, sizeof online, "port=%d,state=online", replica->address);
    redisReply *r = call(primary, "INFO replication");
    bool known = r->str && strstr(r->str, online);
    freeReplyObject(r);
    return known;
}

bool server_synced(struct server *replica, struct server *primary) {
    return server_linked(replica, primary) &&
           server_info_int(primary, "replication", "master_repl_offset") ==
               server_info_int(replica, "replication", "slave_repl_offset");
}

struct pair {
    struct server *replica, *primary;
};

static bool pair_synced(void *ctx) {
    const struct pair *p = ctx;
    return server_synced(p->replica, p->primary);
}

void server_wait_synced(struct server *replica, struct server *primary) {
    struct pair p = {replica, primary};
    wait_until(pair_synced, &p, "a replica has what its primary has");
}
