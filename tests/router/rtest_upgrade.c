// SPDX-License-Identifier: Apache-2.0
// See rtest_upgrade.h.
#include "rtest_upgrade.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

static char program[200];

// What a router grants to idle clients when it is replaced, with some time for a slow machine.
enum { UPGRADE_IDLE_MS = 4000 };

void rtest_upgrade_prepare(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    support_path(program, sizeof program, "router");
    rtest_upgrade_link(NULL);
    rtest_fleet.program = program;
    rtest_fleet.families = true;
}

void rtest_upgrade_link(const char *to) {
    unlink(program);
    cr_assert_eq(symlink(to ? to : KVROUTE_ROUTER, program), 0);
}

void rtest_upgrade_script(const char *lines) {
    char path[200];
    support_path(path, sizeof path, "script");
    FILE *f = fopen(path, "w");
    cr_assert(f);
    fprintf(f, "#!/bin/sh\n%s\n", lines);
    fclose(f);
    chmod(path, 0700);
    rtest_upgrade_link(path);
}

void rtest_upgrade_await_log(const char *text, size_t n) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         support_log_count(rtest_fleet.logs[0], text) < n; support_sleep_ms(2))
        cr_assert(kvr_clock_ms() < end, "never said: %s", text);
}

pid_t rtest_upgrade_process(const char *text) {
    return support_log_process(rtest_fleet.logs[0], text);
}

pid_t rtest_upgrade(struct rtest_load *load) {
    static const char text[] = "has taken over";
    pid_t old = rtest_fleet.routers[0].pid;
    size_t n = support_log_count(rtest_fleet.logs[0], text);
    kill(old, SIGUSR2);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         support_log_count(rtest_fleet.logs[0], text) == n;) {
        cr_assert(kvr_clock_ms() < end, "nobody takes over");
        if (load)
            rtest_load_run(load);
        else
            support_sleep_ms(2);
    }
    rtest_fleet.routers[0].pid = rtest_upgrade_process(text);
    return old;
}

void rtest_upgrade_await_end(pid_t pid) {
    int status = 0;
    cr_assert(support_ends(&pid, 2 * RTEST_WAIT_MS, &status), "a process doesn't end");
    cr_assert_eq(status, 0);
}

int rtest_upgrade_hear(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    support_path(a.sun_path, sizeof a.sun_path, "notify");
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    setenv("NOTIFY_SOCKET", a.sun_path, 1);
    return fd;
}

void rtest_upgrade_expect_word(int fd, const char *text) {
    char said[300];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, RTEST_WAIT_MS) == 1 ? recv(fd, said, sizeof said - 1, 0) : -1;
    cr_assert(n > 0, "nothing was said, but was to be: %s", text);
    said[n] = 0;
    cr_assert(!strncmp(said, text, strlen(text)), "%s, not %s", said, text);
}

// ---- Load ----------------------------------------------------------------------------------------

static const char short_body[] = "{\"model\":\"mock\",\"prompt\":\"be brief\",\"max_tokens\":1}";

static void start_short(struct rtest_client *who) {
    rtest_client_start(who, rtest_port(), "/v1/completions", NULL, short_body);
}

static void run_short(struct rtest_load *l, bool again) {
    for (size_t i = 0; i < RTEST_SHORT; i++) {
        struct rtest_client *who = &l->fresh[i];
        if (who->call) continue;
        cr_assert(who->status == 200 && who->complete, "a short request: %d", who->status);
        l->answered++;
        rtest_client_free(who);
        if (again) start_short(who);
    }
}

static struct support_response ask_at(int fd) {
    support_http_request(fd, "POST", "/v1/completions", "Content-Type: application/json\r\n",
                         short_body);
    return support_http_response(fd, false, RTEST_WAIT_MS);
}

static void close_kept(struct rtest_load *l, size_t i) {
    close(l->kept[i].fd);
    l->kept[i].fd = -1;
    l->kept[i].asked_ms = 0;
}

static void connect_kept(struct rtest_load *l, size_t i) {
    l->kept[i].fd = support_http_connect(rtest_port());
    cr_assert(l->kept[i].fd >= 0, "refused: %s", strerror(errno));
    l->reconnected++;
}

// As clients do, one asks again where a kept connection turns out to be over. That is nobody's fault where it has
// been idle for long, and nowhere else.
static void run_kept(struct rtest_load *l, size_t i) {
    if (l->kept[i].fd < 0) connect_kept(l, i);
    int64_t asked = l->kept[i].asked_ms;
    l->kept[i].asked_ms = kvr_clock_ms();
    struct support_response r = ask_at(l->kept[i].fd);
    if (!r.status && asked) {
        cr_assert(kvr_clock_ms() - asked >= UPGRADE_IDLE_MS, "a kept connection was cut");
        support_response_free(&r);
        close_kept(l, i);
        connect_kept(l, i);
        r = ask_at(l->kept[i].fd);
    }
    cr_assert(r.status == 200 && r.complete, "on a kept connection: %d", r.status);
    l->answered++;
    if (support_response_has(&r, "Connection: close")) close_kept(l, i);
    support_response_free(&r);
}

void rtest_load_begin(struct rtest_load *l) {
    *l = (struct rtest_load){.answered = 0};
    for (size_t i = 0; i < RTEST_SHORT; i++)
        start_short(&l->fresh[i]);
    for (size_t i = 0; i < RTEST_KEPT; i++)
        l->kept[i].fd = -1;
}

void rtest_load_run(struct rtest_load *l) {
    rtest_clients_run(3);
    run_short(l, true);
    run_kept(l, l->turn++ % RTEST_KEPT);
}

void rtest_load_end(struct rtest_load *l) {
    rtest_clients_finish();
    run_short(l, false);
    for (size_t i = 0; i < RTEST_KEPT; i++)
        if (l->kept[i].fd >= 0) close_kept(l, i);
}
