// SPDX-License-Identifier: Apache-2.0
// Routers that a service manager starts: with its sockets, and telling it how they are.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_upgrade.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

// As systemd would: a and b (-1: none) are the descriptors 3 and 4. pid: what LISTEN_PID says; 0: its own.
static pid_t start_with(int a, int b, const char *fds, const char *names, int pid,
                        const char *const *argv) {
    char text[20];
    support_path(rtest_fleet.logs[0], sizeof rtest_fleet.logs[0], "router-0.log");
    unlink(rtest_fleet.logs[0]);
    int leash = support_leash();
    pid_t child = support_fork(a, b, leash);
    close(leash);
    if (child) return child;
    if (a >= 0) dup2(0, 3);
    if (b >= 0) dup2(1, 4);
    support_leash_put_on(2);
    dup2(open(rtest_fleet.logs[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 2);
    dup2(2, 1);
    snprintf(text, sizeof text, "%d", pid ? pid : (int)getpid());
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", fds, 1);
    if (names) setenv("LISTEN_FDNAMES", names, 1);
    support_exec(argv);
}

static void await_health(int port) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         !rtest_is_served(rtest_get(port, "/healthz")); support_sleep_ms(5))
        cr_assert(kvr_clock_ms() < end, "it doesn't answer");
}

// ---- Sockets that are given ----------------------------------------------------------------------

// Neither is named by the settings; what these say instead isn't opened then. All is the same after an upgrade.
static void expect_given_sockets_used(const char *processes) {
    int port, admin, a = support_listen(&port), b = support_listen(&admin), other = support_port();
    char redis[40], elsewhere[40];
    rtest_upgrade_prepare();
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16"));
    snprintf(redis, sizeof redis, "redis://127.0.0.1:%d", rtest_fleet.redis.port);
    snprintf(elsewhere, sizeof elsewhere, "127.0.0.1:%d", other);
    rtest_fleet.routers[0] = (struct rtest_process){
        .port = port,
        .pid = start_with(a, b, "2", "web:admin_listen", 0,
                          (const char *[]){rtest_fleet.program, "--redis", redis, "--listen",
                                           elsewhere, "--processes", processes, NULL})};
    close(a);
    close(b);
    for (int i = 0; i < 3; i++) {
        await_health(port);
        rtest_upgrade_await_log("listening at", (size_t)i + 1);
        cr_assert(rtest_is_served(rtest_get(admin, "/metrics")));
        cr_assert(!rtest_is_served(rtest_get(port, "/metrics")));
        cr_assert_eq(support_http_connect(other), -1);
        if (i < 2) rtest_upgrade_await_end(rtest_upgrade(NULL));
    }
    rtest_end_router(0);
}

Test(router_sockets, are_used_and_handed_on, .fini = rtest_cluster_down) {
    expect_given_sockets_used("1");
}

Test(router_sockets, are_used_by_several_processes, .fini = rtest_cluster_down) {
    expect_given_sockets_used("2");
}

// The settings name it, as a Unix socket: its path is the service manager's to remove.
Test(router_sockets, named_by_the_settings, .fini = rtest_cluster_down) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char at[140];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), port = support_port();
    support_path(a.sun_path, sizeof a.sun_path, "door");
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    cr_assert_eq(listen(fd, 10), 0);
    snprintf(at, sizeof at, "127.0.0.1:%d unix:%s", port, a.sun_path);
    rtest_fleet.routers[0].pid = start_with(
        fd, -1, "1", NULL, 0,
        (const char *[]){KVROUTE_ROUTER, "--redis", "redis://127.0.0.1:1", "--listen", at, NULL});
    close(fd);
    await_health(port);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&a, sizeof a), 0);
    support_http_request(client, "GET", "/healthz", NULL, NULL);
    struct support_response r = support_http_response(client, false, RTEST_WAIT_MS);
    cr_assert_eq(r.status, 200);
    support_response_free(&r);
    close(client);
    rtest_end_router(0);
    cr_assert_eq(access(a.sun_path, F_OK), 0);
}

Test(router_sockets, meant_for_another, .fini = rtest_cluster_down) {
    int other, a = support_listen(&other), port = support_port();
    char at[40];
    snprintf(at, sizeof at, "127.0.0.1:%d", port);
    rtest_fleet.routers[0].pid = start_with(
        a, -1, "1", NULL, 1,
        (const char *[]){KVROUTE_ROUTER, "--redis", "redis://127.0.0.1:1", "--listen", at, NULL});
    await_health(port);
    rtest_end_router(0);
}

// ---- What is no socket to accept from ------------------------------------------------------------

static void expect_refusal(pid_t pid, const char *said) {
    int status = 0;
    cr_assert(support_ends(&pid, RTEST_WAIT_MS, &status), "it goes on: %s", said);
    cr_assert_eq(status, 2, "%d: %s", status, said);
    rtest_expect_log(0, said, true);
}

Test(router_sockets, that_are_none) {
    const char *const argv[] = {KVROUTE_ROUTER, "--listen", "127.0.0.1:0", NULL};
    int port, good = support_listen(&port), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    expect_refusal(start_with(good, -1, "2", NULL, 0, argv), "descriptor 4 isn't open");
    expect_refusal(start_with(good, null, "2", NULL, 0, argv), "descriptor 4 is no socket");
    expect_refusal(start_with(deaf, -1, "1", NULL, 0, argv), "descriptor 3 doesn't listen");
    expect_refusal(start_with(pair[0], -1, "1", NULL, 0, argv), "descriptor 3 doesn't listen");
    expect_refusal(start_with(datagrams, -1, "1", NULL, 0, argv), "is no stream socket");
    expect_refusal(start_with(good, -1, "9", NULL, 0, argv), "there can be 8 sockets at most");
    expect_refusal(start_with(good, -1, "99999999999999999999", NULL, 0, argv),
                   "is no number of sockets");
    expect_refusal(start_with(good, -1, "-1", NULL, 0, argv), "-1 is no number of sockets");
    expect_refusal(start_with(good, -1, "", NULL, 0, argv), "is no number of sockets");
}

Test(router_sockets, an_upgrade_that_is_none) {
    const char *const argv[] = {KVROUTE_ROUTER, "--listen", "127.0.0.1:0", NULL};
    static const struct {
        const char *words, *said;
    } ways[] = {{"listen", "descriptor 4 is no pipe"},
                {"listen:nonsense", "descriptor 4 has a name that isn't known"},
                {":", "descriptor 3 has a name that isn't known"},
                {"+", "descriptor 3 has a name that isn't known"},
                {"listen:listen", "descriptor 4 isn't open"},
                {"a:a:a:a:a:a:a:a:a", "there can be 8 sockets at most"},
                {"", "descriptor 3 is no pipe"}};
    int port, good = support_listen(&port);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        setenv("KVROUTE_UPGRADE", ways[i].words, 1);
        expect_refusal(start_with(good, -1, "0", NULL, 0, argv), ways[i].said);
    }
    unsetenv("KVROUTE_UPGRADE");
}

// ---- What it says --------------------------------------------------------------------------------

Test(router_sockets, a_service_manager_is_told, .fini = rtest_fleet_down) {
    char main_pid[60];
    int fd = rtest_upgrade_hear();
    rtest_upgrade_prepare();
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    unsetenv("NOTIFY_SOCKET");
    rtest_upgrade_expect_word(fd, "READY=1");
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    rtest_upgrade_expect_word(fd, "RELOADING=1\nMONOTONIC_USEC=");
    rtest_upgrade_expect_word(fd, "READY=1");
    pid_t old = rtest_upgrade(NULL);
    snprintf(main_pid, sizeof main_pid, "READY=1\nMAINPID=%d", (int)rtest_fleet.routers[0].pid);
    rtest_upgrade_expect_word(fd, "RELOADING=1\nMONOTONIC_USEC=");
    rtest_upgrade_expect_word(fd, main_pid);
    rtest_upgrade_await_end(old); // without a word: the service goes on
    rtest_upgrade_script("exit 3");
    kill(rtest_fleet.routers[0].pid, SIGUSR2);
    rtest_upgrade_expect_word(fd, "RELOADING=1");
    rtest_upgrade_expect_word(fd, "READY=1");
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    rtest_upgrade_expect_word(fd, "STOPPING=1");
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    close(fd);
}
