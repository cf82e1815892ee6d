// SPDX-License-Identifier: Apache-2.0
// One server at a fixed address, and a replica beside it that takes no part but must stay equal.
#define _GNU_SOURCE // prlimit
#include "ha_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

static struct ha_load *begin(struct ha_fleet *f, const struct ha_fleet_plan *plan) {
    ha_fleet_start(f, plan);
    struct ha_load *s = ha_load_start(&(struct ha_load_plan){.url = f->url}, f->primary);
    support_sleep_ms(HA_BEFORE_MS);
    return s;
}

static const struct ha_fleet_plan usual = {.replicas = 1};

// ---- Killed and restarted ------------------------------------------------------------------------

void ha_restart_aof(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &usual);
    ha_note_fault(v, s, "the server");
    ha_server_kill(f.primary);
    ha_server_restart(f.primary);
    ha_finish(v, s, &f);
}

void ha_restart_old_rdb(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &usual);
    ha_call_ok(f.primary, "SAVE");
    support_sleep_ms(HA_BEFORE_MS);
    ha_note_fault(v, s, "the server, and its AOF");
    ha_load_stop(s);
    ha_server_kill(f.primary);
    support_redis_forget(&f.primary->redis, true);
    support_redis_configure(&f.primary->redis, "appendonly no");
    ha_server_restart(f.primary);
    ha_note_losses(v, s, f.primary);
    ha_load_continue(s);
    ha_finish(v, s, &f);
}

void ha_restart_empty(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &usual);
    ha_note_fault(v, s, "the server, and all its data");
    ha_load_stop(s);
    ha_server_kill(f.primary);
    support_redis_forget(&f.primary->redis, false);
    ha_server_restart(f.primary);
    ha_note_losses(v, s, f.primary);
    ha_load_continue(s);
    ha_finish(v, s, &f);
}

// ---- Hindered ------------------------------------------------------------------------------------

void ha_client_kill(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &usual);
    ha_note_fault(v, s, "connections, 20 times");
    for (int i = 0; i < 20; i++) {
        ha_call_int(f.primary, "CLIENT KILL TYPE normal");
        support_sleep_ms(100);
    }
    ha_finish(v, s, &f);
}

void ha_client_pause(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &usual);
    ha_note_fault(v, s, "nothing: paused for 1.5 s, twice");
    ha_call_ok(f.primary, "CLIENT PAUSE 1500 WRITE");
    support_sleep_ms(2000);
    ha_call_ok(f.primary, "CLIENT PAUSE 1500 ALL");
    support_sleep_ms(2000);
    ha_finish(v, s, &f);
}

void ha_slow_server(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &usual);
    ha_note_fault(v, s, "nothing: stands still for 2.5 s, twice");
    ha_call_ok(f.primary, "DEBUG SLEEP 2.5");
    support_sleep_ms(500);
    ha_call_ok(f.primary, "DEBUG SLEEP 2.5");
    ha_finish(v, s, &f);
}

// No lease of those that work ends, and no worker goes. A replica that finds its primary silent for an hour links
// anew: to be expected of the server.
void ha_clock_steps(struct ha_result *v) {
    static const int64_t offsets_s[] = {310, 3600, -3600, 0};
    static struct support_clock clock;
    struct ha_fleet f;
    support_clock_open(&clock);
    struct ha_load *s = begin(&f, &(struct ha_fleet_plan){.replicas = 1, .clock = &clock});
    ha_note_fault(v, s, "nothing: the clock is set, four times");
    for (size_t i = 0; i < sizeof offsets_s / sizeof *offsets_s; i++) {
        support_clock_set(&clock, offsets_s[i] * 1000);
        support_sleep_ms(1000);
    }
    ha_finish(v, s, &f);
}

// What clients have given up on their old connections, and done again on new ones, arrives at last:
// also a SELECT whose request has been released since.
void ha_late_commands(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &(struct ha_fleet_plan){.replicas = 1, .apart = true});
    ha_note_fault(v, s, "nothing: connections stuck for 2.5 s");
    ha_proxy_link(0, 0, HA_LINK_STUCK);
    support_sleep_ms(2500);
    ha_proxy_link(0, 0, HA_LINK_OPEN);
    ha_finish(v, s, &f);
}

// What timed out may have been done or not. A request whose caller was told of no place is booked
// nowhere in the end, and one that its caller has released isn't either.
void ha_short_deadlines(struct ha_result *v) {
    struct ha_fleet f;
    ha_fleet_start(&f, &usual);
    struct ha_load *s = ha_load_start(
        &(struct ha_load_plan){.url = f.url, .deadline = 200, .hasty = true}, f.primary);
    support_sleep_ms(HA_BEFORE_MS);
    ha_note_fault(v, s, "nothing: stands still 0.5 s, six times");
    for (int i = 0; i < 6; i++) {
        ha_call_ok(f.primary, "DEBUG SLEEP 0.5");
        support_sleep_ms(100);
    }
    ha_finish(v, s, &f);
}

// ---- A full disk ---------------------------------------------------------------------------------

static bool refuses_writes(void *ctx) {
    char status[16];
    struct ha_server *s = ctx;
    support_redis_info(&s->redis, "persistence", "aof_last_write_status", status, sizeof status);
    return strcmp(status, "err") == 0;
}

// The name of a file on the server's own small disk, which only it has mounted.
static void ballast_path(const struct ha_server *s, char *out, size_t size) {
    snprintf(out, size, "/proc/%d/root%s/ballast", (int)s->redis.pid, s->redis.dir);
}

static void fill_disk(const struct ha_server *s) {
    static const char zeros[4096];
    char path[400];
    ballast_path(s, path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) ha_give_up("can't fill the disk: %s: %s", path, strerror(errno));
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    close(fd);
}

static void limit_files(const struct ha_server *s, rlim_t size) {
    struct rlimit limit = {size, RLIM_INFINITY};
    if (prlimit(s->redis.pid, RLIMIT_FSIZE, &limit, NULL) != 0)
        ha_give_up("can't limit the size of files: %s", strerror(errno));
}

// Where no file system can be mounted for it, the AOF meets a limit on its size instead: to Redis
// that is the same, a write that fails.
void ha_disk_full(struct ha_result *v) {
    struct ha_fleet f;
    struct ha_load *s = begin(&f, &(struct ha_fleet_plan){.replicas = 1, .on_small_disk = true});
    bool disk = f.primary->has_small_disk;
    ha_note_fault(v, s, disk ? "nothing: disk full for 3 s" : "nothing: AOF at a limit for 3 s");
    if (disk)
        fill_disk(f.primary);
    else
        limit_files(f.primary, 4096);
    ha_wait(refuses_writes, f.primary, "the AOF can't be written");
    support_sleep_ms(3000);
    if (disk) {
        char path[400];
        ballast_path(f.primary, path, sizeof path);
        unlink(path);
    } else {
        limit_files(f.primary, RLIM_INFINITY);
    }
    ha_finish(v, s, &f);
}
