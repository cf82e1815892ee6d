// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module; see server.h.
#define _GNU_SOURCE // nftw, program_invocation_short_name
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "process.h"
#include "stop.h"

enum { START_S = 60, SETTLE_S = 10, PORT_TRIES = 50 };
#define SOCKET "control.sock"
#define LOG "redis.log"
#define CLOCK "clock"
#define SECONDS(s) ((s)*INT64_C(1000000000))

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void path_of(const struct server *s, const char *name, char out[256]) {
    snprintf(out, 256, "%s/%s", s->dir, name);
}

static bool make_folder(struct server *s) {
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(s->dir, sizeof s->dir, "%s/%s.XXXXXX", tmp && *tmp ? tmp : "/tmp",
                     program_invocation_short_name);
    // A unix socket's path has room for 107 bytes.
    if (n + sizeof SOCKET + 1 > 107) {
        s->dir[0] = 0;
        say("the path in TMPDIR is too long");
        return false;
    }
    if (mkdtemp(s->dir)) return true;
    say("can't make %s: %s", s->dir, strerror(errno));
    s->dir[0] = 0;
    return false;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

// The file that the server's clock is read from, in its folder.
static bool make_clock(struct server *s) {
    char path[256];
    path_of(s, CLOCK, path);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof *s->time) == 0)
        at = mmap(NULL, sizeof *s->time, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (at == MAP_FAILED) {
        say("can't make %s: %s", path, strerror(errno));
        return false;
    }
    s->time = at;
    server_time(s, s->plan.time);
    return true;
}

void server_time(struct server *s, int64_t us) {
    atomic_store(s->time, us);
}

// In the server's process. The file's name is relative to its folder.
static void preload_clock(const struct server *s) {
    char list[4096];
    const char *others = getenv("LD_PRELOAD");
    snprintf(list, sizeof list, "%s%s%s", others ? others : "", others && *others ? ":" : "",
             s->plan.clock);
    setenv("LD_PRELOAD", list, 1);
    setenv("KVROUTE_SIM_CLOCK", CLOCK, 1);
}

// The server's last words, when it didn't come up.
static void show_log(const struct server *s) {
    char path[256], text[1500];
    path_of(s, LOG, path);
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (fseek(f, -(long)sizeof text, SEEK_END)) rewind(f);
    fwrite(text, 1, fread(text, 1, sizeof text, f), stderr);
    fclose(f);
}

static void exec_server(const struct server *s) {
    stop_leave_it();
    setsid(); // Ctrl-C on the terminal is not for the server, and its children die with its group
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) dup2(null, 0), dup2(null, 1);
    char *const argv[] = {
        "redis-server",
        "--port",
        "0",
        "--bind",
        "127.0.0.1",
        "--unixsocket",
        SOCKET, //
        "--unixsocketperm",
        "700",
        "--dir",
        ".",
        "--logfile",
        LOG,
        "--save",
        "", //
        "--appendonly",
        s->plan.aof ? "yes" : "no",
        "--appendfsync",
        "everysec", //
        "--propagation-error-behavior",
        "panic",
        "--loadmodule",
        (char *)s->plan.module, //
        NULL,
    };
    if (s->time) preload_clock(s);
    if (chdir(s->dir) == 0) execvp(s->plan.server, argv);
    say("can't run %s: %s", s->plan.server, strerror(errno));
    _exit(127);
}

static bool ping(struct server *s) {
    redisReply *r = redisCommand(s->control, "PING");
    bool pong = r && r->type == REDIS_REPLY_STATUS;
    if (r) freeReplyObject(r);
    return pong;
}

bool server_start(struct server *s) {
    if (!s->dir[0] && !make_folder(s)) return false;
    if (s->plan.clock && !s->time && !make_clock(s)) return false;
    char socket_path[256];
    path_of(s, SOCKET, socket_path);
    unlink(socket_path);
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) exec_server(s);
    if (s->pid < 0) {
        s->pid = 0;
        say("fork: %s", strerror(errno));
        return false;
    }
    for (int64_t deadline = clock_ns() + SECONDS(START_S);
         clock_ns() < deadline && !stop_asked();) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            break;
        }
        if (!s->control) s->control = redisConnectUnix(socket_path);
        if (s->control && !s->control->err && ping(s)) return true;
        if (s->control && s->control->err) {
            redisFree(s->control);
            s->control = NULL;
        }
        clock_sleep_ms(5);
    }
    if (!stop_asked()) {
        say("the redis-server doesn't come up");
        show_log(s);
    }
    return false;
}

bool server_open(struct server *s) {
    bool again = s->port != 0; // where the others look for it: nowhere else will do
    for (int i = 0; i < PORT_TRIES && !stop_asked(); i++) {
        int port = again ? s->port : process_ports(1);
        redisReply *r = redisCommand(s->control, "CONFIG SET port %d", port);
        bool ok = port && r && r->type == REDIS_REPLY_STATUS;
        if (r) freeReplyObject(r);
        if (ok) {
            s->port = port;
            return true;
        }
        if (!r) break;
        clock_sleep_ms(100);
    }
    if (!stop_asked()) say("the server finds no port to listen on");
    return false;
}

// Bytes that were acknowledged and aren't written yet; -1: unknown.
static long long unwritten(struct server *s) {
    static const char field[] = "aof_buffer_length:";
    redisReply *r = server_command(s, "INFO persistence");
    const char *at = r ? strstr(r->str, field) : NULL;
    long long value = at ? atoll(at + strlen(field)) : -1;
    if (r) freeReplyObject(r);
    return value;
}

bool server_settle(struct server *s) {
    for (int64_t deadline = clock_ns() + SECONDS(SETTLE_S);
         clock_ns() < deadline && !stop_asked();) {
        long long bytes = unwritten(s);
        if (bytes == 0) return true;
        if (bytes < 0) return false;
        clock_sleep_ms(20);
    }
    return false;
}

void server_kill(struct server *s) {
    if (s->control) redisFree(s->control);
    s->control = NULL;
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL); // the group may not exist yet if it has only just been forked
    kill(-s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

bool server_tear(struct server *s, size_t bytes) {
    // The manifest's last line names the file that grows.
    char path[256], name[128] = "", line[256];
    path_of(s, "appendonlydir/appendonly.aof.manifest", path);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "file %127s", name);
    if (f) fclose(f);
    int n = snprintf(line, sizeof line, "%s/appendonlydir/%s", s->dir, name);
    struct stat st;
    if (!name[0] || n >= (int)sizeof line || stat(line, &st) ||
        truncate(line, (size_t)st.st_size > bytes ? st.st_size - (off_t)bytes : 0)) {
        say("can't cut the append-only file: %s", strerror(errno));
        return false;
    }
    return true;
}

void server_remove(struct server *s) {
    server_kill(s);
    if (s->time) munmap((void *)s->time, sizeof *s->time);
    s->time = NULL;
    if (!s->dir[0]) return;
    if (s->plan.keep) {
        printf("kept: %s\n", s->dir);
    } else {
        // What the server forked may still be making a file while it dies.
        for (int i = 0; i < 20 && nftw(s->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS); i++)
            clock_sleep_ms(10);
    }
    s->dir[0] = 0;
    s->port = 0;
}

static redisReply *checked(struct server *s, redisReply *r, const char *command) {
    if (r && r->type != REDIS_REPLY_ERROR) return r;
    if (!stop_asked())
        say("%.*s was answered %s", (int)strcspn(command, " "), command,
            r ? r->str : s->control->errstr);
    if (r) freeReplyObject(r);
    return NULL;
}

redisReply *server_command(struct server *s, const char *format, ...) {
    if (!s->control) return NULL;
    va_list args;
    va_start(args, format);
    redisReply *r = redisvCommand(s->control, format, args);
    va_end(args);
    return checked(s, r, format);
}

redisReply *server_words(struct server *s, const char *words) {
    enum { MAX_WORDS = 64 };
    const char *argv[MAX_WORDS];
    size_t lens[MAX_WORDS];
    int n = 0;
    for (const char *at = words; n < MAX_WORDS && *(at += strspn(at, " ")); n++) {
        argv[n] = at;
        at += lens[n] = strcspn(at, " ");
    }
    if (!s->control || !n) return NULL;
    return checked(s, redisCommandArgv(s->control, n, argv, lens), words);
}
