// SPDX-License-Identifier: Apache-2.0
// See support_redis.h.
#define _GNU_SOURCE // nftw, program_invocation_short_name
#include "support_redis.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "support_home.h"
#include "support_port.h"
#include "support_process.h"

enum {
    REDIS_PATIENCE_MS = 60000,
    REDIS_START_TRIES = 5,
    REDIS_ASK_TRIES = 20,
    REDIS_SETTLE_MS = 60000,
    MAX_REDIS_WORDS = 64
};

// ---- Starting ------------------------------------------------------------------------------------

static const char *module_of(const struct support_redis *r) {
    return r->module ? r->module : support_setting("KVROUTE_MODULE", KVROUTE_MODULE);
}

static void write_config(const struct support_redis *r) {
    char module[4096]; // with its whole path: the server works in its own folder
    FILE *f = fopen(r->file, "w");
    if (!f) support_fail("%s: %s", r->file, strerror(errno));
    fprintf(f, "port %d\nbind 127.0.0.1\ndir %s\nlogfile %s\nunixsocket %s\n",
            r->unopened ? 0 : r->port, r->dir, r->log, r->socket);
    if (!r->sentinel) {
        if (!realpath(module_of(r), module))
            support_fail("the module %s: %s", module_of(r), strerror(errno));
        if (!r->bare) fprintf(f, "loadmodule %s\n", module);
        fprintf(f, "save \"\"\n"
                   "enable-debug-command yes\n"
                   "enable-module-command yes\n"
                   "propagation-error-behavior panic\n"
                   "repl-diskless-sync-delay 0\n"
                   "crash-memcheck-enabled no\n");
    }
    if (r->config) fputs(r->config, f);
    fclose(f);
}

void support_redis_configure(struct support_redis *r, const char *line) {
    FILE *f = fopen(r->file, "a");
    if (!f) support_fail("%s: %s", r->file, strerror(errno));
    fprintf(f, "\n%s\n", line);
    fclose(f);
}

static void spawn(struct support_redis *r) {
    const char *argv[MAX_REDIS_WORDS] = {
        r->program ? r->program : support_setting("REDIS_SERVER", REDIS_SERVER), r->file};
    size_t n = 2;
    if (r->sentinel) argv[n++] = "--sentinel";
    for (size_t i = 0; r->words && r->words[i] && n + 1 < MAX_REDIS_WORDS; i++)
        argv[n++] = r->words[i];
    unlink(r->socket);
    FILE *log = fopen(r->log, "ae");
    if (!log) support_fail("%s: %s", r->log, strerror(errno));
    r->pid = support_fork(-1, fileno(log), fileno(log));
    if (!r->pid) {
        if (r->before) r->before(r->ctx);
        support_exec(argv);
    }
    fclose(log);
}

static bool answers(const char *socket) {
    struct timeval patience = {5, 0};
    redisContext *c = redisConnectUnixWithTimeout(socket, patience);
    if (c && !c->err) redisSetTimeout(c, patience);
    redisReply *p = c && !c->err ? redisCommand(c, "PING") : NULL;
    // Any other error, MASTERDOWN or NOAUTH, is an answer.
    bool up = p && !(p->type == REDIS_REPLY_ERROR && strncmp(p->str, "LOADING", 7) == 0);
    if (p) freeReplyObject(p);
    if (c) redisFree(c);
    return up;
}

bool support_redis_comes_up(struct support_redis *r) {
    int status;
    spawn(r);
    for (int64_t end = kvr_clock_ms() + REDIS_PATIENCE_MS; kvr_clock_ms() < end;
         support_sleep_ms(5)) {
        if (support_ended(&r->pid, &status)) return false;
        if (answers(r->socket)) return true;
    }
    return false;
}

static bool explain(const struct support_redis *r, const char *what) {
    support_log_show(r->log);
    fprintf(stderr, "%s: the redis-server %s %s\n", program_invocation_short_name, r->name, what);
    return false;
}

// Another process may hold its port for a moment.
static bool port_was_taken(const struct support_redis *r) {
    return support_log_count(r->log, "Address already in use") > 0;
}

bool support_redis_start(struct support_redis *r) {
    signal(SIGPIPE, SIG_IGN); // hiredis writes to servers that are gone
    static unsigned serial;
    static char names[64][16];
    if (!r->name) {
        unsigned i = serial++ % 64;
        snprintf(names[i], sizeof names[i], "redis-%u", serial);
        r->name = names[i];
    }
    support_path(r->dir, sizeof r->dir, "%s", r->name);
    support_path(r->log, sizeof r->log, "%s.log", r->name);
    support_path(r->file, sizeof r->file, "%s.conf", r->name);
    support_path(r->socket, sizeof r->socket, "%s.sock", r->name);
    if (mkdir(r->dir, 0700)) support_fail("%s: %s", r->dir, strerror(errno));
    for (int tries = 0; tries < REDIS_START_TRIES; tries++) {
        if (!r->unopened && (!r->port || tries)) r->port = support_port();
        write_config(r);
        if (support_redis_comes_up(r)) return true;
        if (!port_was_taken(r)) break;
    }
    return explain(r, "doesn't come up");
}

bool support_redis_restart(struct support_redis *r) {
    int64_t end = kvr_clock_ms() + REDIS_PATIENCE_MS;
    support_redis_end(r, SIGKILL);
    do {
        if (support_redis_comes_up(r)) return true;
        support_sleep_ms(50);
    } while (kvr_clock_ms() < end && port_was_taken(r));
    return explain(r, "doesn't come back");
}

bool support_redis_open(struct support_redis *r) {
    for (int tries = 0; tries < REDIS_START_TRIES; tries++) {
        if (!r->port) r->port = support_port();
        redisReply *reply = support_redis_command(r, "CONFIG SET port %d", r->port);
        if (reply) freeReplyObject(reply);
        if (reply) return true;
        support_sleep_ms(100);
    }
    return explain(r, "can't listen");
}

void support_redis_end(struct support_redis *r, int signal) {
    if (r->control) redisFree(r->control);
    r->control = NULL;
    support_end(&r->pid, signal);
}

bool support_redis_runs(struct support_redis *r) {
    int status;
    return r->pid && !support_ended(&r->pid, &status);
}

// ---- Commands ------------------------------------------------------------------------------------

redisContext *support_redis_control(struct support_redis *r) {
    for (int tries = 0; tries < 2; tries++) {
        if (!r->control) r->control = redisConnectUnix(r->socket);
        if (r->control && !r->control->err) return r->control;
        if (r->control) redisFree(r->control);
        r->control = NULL;
    }
    return NULL;
}

// Again when the connection turns out to be closed: Sentinels and CLIENT KILL close it, several times in
// a row perhaps.
redisReply *support_redis_ask(struct support_redis *r, const char *format, va_list args) {
    redisReply *reply = NULL;
    for (int tries = 0; !reply && tries < REDIS_ASK_TRIES && support_redis_control(r); tries++) {
        va_list again;
        if (tries) support_sleep_ms(20);
        va_copy(again, args);
        reply = redisvCommand(r->control, format, again);
        va_end(again);
    }
    return reply;
}

static redisReply *checked(redisReply *reply, const char *command) {
    if (reply && reply->type != REDIS_REPLY_ERROR) return reply;
    fprintf(stderr, "%s: %.*s: %s\n", program_invocation_short_name, (int)strcspn(command, " "),
            command, reply ? reply->str : "no answer");
    if (reply) freeReplyObject(reply);
    return NULL;
}

redisReply *support_redis_command(struct support_redis *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *reply = support_redis_ask(r, format, args);
    va_end(args);
    return checked(reply, format);
}

redisReply *support_redis_words(struct support_redis *r, const char *words) {
    char *copy = strdup(words);
    const char *argv[MAX_REDIS_WORDS];
    redisReply *reply = NULL;
    if (copy && support_redis_control(r)) {
        size_t n = support_split(copy, argv, 0, MAX_REDIS_WORDS);
        reply = checked(redisCommandArgv(r->control, (int)n, argv, NULL), words);
    }
    free(copy);
    return reply;
}

const redisReply *support_redis_field(const redisReply *map, const char *name) {
    for (size_t i = 0; map && map->type == REDIS_REPLY_ARRAY && i + 1 < map->elements; i += 2)
        if (map->element[i]->str && !strcmp(map->element[i]->str, name)) return map->element[i + 1];
    return NULL;
}

void support_redis_info(struct support_redis *r, const char *section, const char *name, char *out,
                        size_t size) {
    redisReply *reply = support_redis_command(r, "INFO %s", section);
    size_t n = strlen(name);
    *out = 0;
    for (char *at = reply ? reply->str : NULL; at && (at = strstr(at, name)); at += n) {
        if ((at != reply->str && at[-1] != '\n') || at[n] != ':') continue;
        snprintf(out, size, "%.*s", (int)strcspn(at + n + 1, "\r\n"), at + n + 1);
        break;
    }
    if (reply) freeReplyObject(reply);
}

double support_redis_number(struct support_redis *r, const char *section, const char *name) {
    char text[64];
    support_redis_info(r, section, name, text, sizeof text);
    return strtod(text, NULL);
}

// ---- What it has saved ---------------------------------------------------------------------------

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type;
    return at->level ? remove(path) : 0;
}

void support_redis_forget(struct support_redis *r, bool aof_only) {
    char path[240];
    snprintf(path, sizeof path, "%s%s", r->dir, aof_only ? "/appendonlydir" : "");
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

bool support_redis_settle(struct support_redis *r) {
    char bytes[32];
    for (int64_t end = kvr_clock_ms() + REDIS_SETTLE_MS; kvr_clock_ms() < end;
         support_sleep_ms(20)) {
        support_redis_info(r, "persistence", "aof_buffer_length", bytes, sizeof bytes);
        if (strcmp(bytes, "0") == 0) return true;
    }
    return false;
}

bool support_redis_tear(struct support_redis *r, size_t bytes) {
    // The manifest's last line names the file that grows.
    char path[500], name[128] = "", line[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.manifest", r->dir);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "file %127s", name);
    if (f) fclose(f);
    snprintf(path, sizeof path, "%s/appendonlydir/%s", r->dir, name);
    return name[0] && stat(path, &st) == 0 &&
           truncate(path, (size_t)st.st_size > bytes ? st.st_size - (off_t)bytes : 0) == 0;
}

const char *support_redis_broken(struct support_redis *r) {
    static const char *const reports[] = {
        "ERROR: AddressSanitizer", "runtime error:", "BUG REPORT START", // Redis's and Valkey's
        "=== ASSERTION FAILED", "Guru Meditation"};
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++)
        if (support_log_count(r->log, reports[i])) return reports[i];
    return r->pid && !support_redis_runs(r) ? "ended by itself" : NULL;
}
