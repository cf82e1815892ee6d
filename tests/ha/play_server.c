// SPDX-License-Identifier: Apache-2.0
// One server at a fixed address, and a replica beside it that takes no part but must stay equal.
#define _GNU_SOURCE // prlimit
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct stage *begin(struct fleet *f, const struct fleet_plan *plan) {
    fleet_start(f, plan);
    struct stage *s = stage_begin(&(struct stage_plan){.url = f->url}, f->primary);
    sleep_ms(BEFORE_MS);
    return s;
}

static const struct fleet_plan usual = {.replicas = 1};

// ---- Killed and restarted ------------------------------------------------------------------------

void play_restart_aof(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &usual);
    strike(v, s, "the server");
    server_kill(f.primary);
    server_restart(f.primary);
    conclude(v, s, &f);
}

void play_restart_old_rdb(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &usual);
    call_ok(f.primary, "SAVE");
    sleep_ms(BEFORE_MS);
    strike(v, s, "the server, and its AOF");
    stage_freeze(s);
    server_kill(f.primary);
    server_forget(f.primary, "aof");
    server_configure(f.primary, "appendonly no");
    server_restart(f.primary);
    count_losses(v, s, f.primary);
    stage_thaw(s);
    conclude(v, s, &f);
}

void play_restart_empty(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &usual);
    strike(v, s, "the server, and all its data");
    stage_freeze(s);
    server_kill(f.primary);
    server_forget(f.primary, "all");
    server_restart(f.primary);
    count_losses(v, s, f.primary);
    stage_thaw(s);
    conclude(v, s, &f);
}

// ---- Hindered ------------------------------------------------------------------------------------

void play_client_kill(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &usual);
    strike(v, s, "connections, 20 times");
    for (int i = 0; i < 20; i++) {
        call_int(f.primary, "CLIENT KILL TYPE normal");
        sleep_ms(100);
    }
    conclude(v, s, &f);
}

void play_client_pause(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &usual);
    strike(v, s, "nothing: paused for 1.5 s, twice");
    call_ok(f.primary, "CLIENT PAUSE 1500 WRITE");
    sleep_ms(2000);
    call_ok(f.primary, "CLIENT PAUSE 1500 ALL");
    sleep_ms(2000);
    conclude(v, s, &f);
}

void play_slow_server(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &usual);
    strike(v, s, "nothing: stands still for 2.5 s, twice");
    call_ok(f.primary, "DEBUG SLEEP 2.5");
    sleep_ms(500);
    call_ok(f.primary, "DEBUG SLEEP 2.5");
    conclude(v, s, &f);
}

// What clients have given up on their old connections, and done again on new ones, arrives at last:
// also a SELECT whose request has been released since.
void play_late_commands(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &(struct fleet_plan){.replicas = 1, .apart = true});
    strike(v, s, "nothing: connections stuck for 2.5 s");
    proxy_link(0, 0, LINK_STUCK);
    sleep_ms(2500);
    proxy_link(0, 0, LINK_OPEN);
    conclude(v, s, &f);
}

// What timed out may have been done or not. A request whose caller was told of no place is booked
// nowhere in the end, and one that its caller has released isn't either.
void play_short_deadlines(struct verdict *v) {
    struct fleet f;
    fleet_start(&f, &usual);
    struct stage *s =
        stage_begin(&(struct stage_plan){.url = f.url, .deadline = 200, .hasty = true}, f.primary);
    sleep_ms(BEFORE_MS);
    strike(v, s, "nothing: stands still 0.5 s, six times");
    for (int i = 0; i < 6; i++) {
        call_ok(f.primary, "DEBUG SLEEP 0.5");
        sleep_ms(100);
    }
    conclude(v, s, &f);
}

// ---- A full disk ---------------------------------------------------------------------------------

static bool refuses_writes(void *ctx) {
    char status[16];
    server_info(ctx, "persistence", "aof_last_write_status", status, sizeof status);
    return strcmp(status, "err") == 0;
}

// The name of a file on the server's own small disk, which only it has mounted.
static void ballast_path(const struct server *s, char *out, size_t size) {
    snprintf(out, size, "/proc/%d/root%s/ballast", (int)s->process->pid, s->dir);
}

static void fill_disk(const struct server *s) {
    static const char zeros[4096];
    char path[400];
    ballast_path(s, path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) give_up("can't fill the disk: %s: %s", path, strerror(errno));
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    close(fd);
}

static void limit_files(const struct server *s, rlim_t size) {
    struct rlimit limit = {size, RLIM_INFINITY};
    if (prlimit(s->process->pid, RLIMIT_FSIZE, &limit, NULL) != 0)
        give_up("can't limit the size of files: %s", strerror(errno));
}

// Where no file system can be mounted for it, the AOF meets a limit on its size instead: to Redis
// that is the same, a write that fails.
void play_disk_full(struct verdict *v) {
    struct fleet f;
    struct stage *s = begin(&f, &(struct fleet_plan){.replicas = 1, .on_small_disk = true});
    bool disk = f.primary->has_small_disk;
    strike(v, s, disk ? "nothing: disk full for 3 s" : "nothing: AOF at a limit for 3 s");
    if (disk)
        fill_disk(f.primary);
    else
        limit_files(f.primary, 4096);
    wait_until(refuses_writes, f.primary, "the AOF can't be written");
    sleep_ms(3000);
    if (disk) {
        char path[400];
        ballast_path(f.primary, path, sizeof path);
        unlink(path);
    } else {
        limit_files(f.primary, RLIM_INFINITY);
    }
    conclude(v, s, &f);
}
