// SPDX-License-Identifier: Apache-2.0
// A router that is replaced by a new process while it serves: nobody notices; and where the new one fails, the
// old one serves on.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_tls.h"
#include "rtest_upgrade.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { UPGRADES = 5, STREAMS_EACH = 10, STREAM_TOKENS = 150, SHORT_EACH = 100 };

// Where a Unix socket is among the addresses.
static char unix_path[108], listen_at[300];

static const char *both_kinds(void) {
    rtest_fleet.routers[0].port = support_port();
    support_path(unix_path, sizeof unix_path, "door");
    snprintf(listen_at, sizeof listen_at, "127.0.0.1:%d unix:%s", rtest_port(), unix_path);
    return listen_at;
}

static bool is_served_unix(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, unix_path, strlen(unix_path) + 1);
    bool good = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (good) {
        support_http_request(fd, "GET", "/healthz", NULL, NULL);
        struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
        good = r.status == 200;
        support_response_free(&r);
    }
    close(fd);
    return good;
}

static bool is_one_worker(void) {
    return rtest_pool_info("kvroute", "eligible") == 1;
}

// ---- All goes well -------------------------------------------------------------------------------

Test(router_upgrade, streams_and_a_load_go_on, .fini = rtest_fleet_down) {
    static struct rtest_client who[UPGRADES * STREAMS_EACH];
    char *bodies[UPGRADES * STREAMS_EACH], text[60];
    pid_t old[UPGRADES];
    struct rtest_load load;
    int n = 0;
    rtest_upgrade_prepare();
    rtest_fleet_up(3, "--decode-speed 50 --time-scale 1", 1,
                   (const char *[]){"--drain", "600000", "--deadline", "5000", "--listen",
                                    both_kinds(), NULL});
    rtest_load_begin(&load);
    for (int i = 0; i < UPGRADES; i++) {
        for (int k = 0; k < STREAMS_EACH; k++, n++) {
            snprintf(text, sizeof text, "question number %d", n);
            bodies[n] = rtest_chat(text, STREAM_TOKENS, true);
            rtest_client_start(&who[n], rtest_port(), "/v1/chat/completions", NULL, bodies[n]);
        }
        for (int k = n - STREAMS_EACH; k < n;) {
            cr_assert(who[k].call || who[k].complete, "stream %d was cut", k);
            if (who[k].heard)
                k++;
            else
                rtest_load_run(&load);
        }
        size_t before = load.answered;
        old[i] = rtest_upgrade(&load);
        while (load.answered < before + SHORT_EACH)
            rtest_load_run(&load);
        cr_assert(is_served_unix());
    }
    rtest_load_end(&load);
    for (int i = 0; i < UPGRADES; i++)
        rtest_upgrade_await_end(old[i]);
    cr_assert(is_served_unix(), "an old one has removed the path");
    rtest_check_answers(who, bodies, n, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
    cr_log_info("%zu short requests, %zu connections that were kept", load.answered,
                load.reconnected);
}

// The one that is replaced hears clients once more that have been told that they may ask again.
Test(router_upgrade, a_kept_connection_is_answered_and_closed, .fini = rtest_fleet_down) {
    rtest_upgrade_prepare();
    rtest_fleet_up(1, "--time-scale 0", 1, NULL);
    int used = support_http_connect(rtest_port()), fresh = support_http_connect(rtest_port());
    support_http_request(used, "GET", "/v1/models", NULL, NULL);
    struct support_response r = support_http_response(used, false, RTEST_WAIT_MS);
    cr_assert(r.status == 200 && !support_response_has(&r, "Connection: close"));
    support_response_free(&r);
    pid_t old = rtest_upgrade(NULL);
    for (int i = 0; i < 2; i++) {
        int fd = i ? fresh : used;
        support_http_request(fd, "GET", "/readyz", NULL, NULL);
        r = support_http_response(fd, false, RTEST_WAIT_MS);
        // A machine that stood still for seconds may have closed the used one.
        cr_assert(r.status == 200 || (!i && !r.status), "%d", r.status);
        cr_assert(!r.status || support_response_has(&r, "Connection: close"));
        support_response_free(&r);
        close(fd);
    }
    rtest_upgrade_await_end(old);
}

Test(router_upgrade, tls_and_operators, .fini = rtest_fleet_down) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    int tls = support_port(), admin = support_port();
    char tls_at[40], admin_at[40];
    long serial;
    rtest_upgrade_prepare();
    rtest_certificate(1);
    snprintf(tls_at, sizeof tls_at, "127.0.0.1:%d", tls);
    snprintf(admin_at, sizeof admin_at, "127.0.0.1:%d", admin);
    rtest_fleet_up(1, "--time-scale 0", 1,
                   (const char *[]){"--tls_listen", tls_at, "--tls_cert", rtest_tls.cert,
                                    "--tls_key", rtest_tls.key, "--admin_listen", admin_at, NULL});
    for (int i = 0; i < 3; i++) {
        // A new process reads the certificate that is there then.
        rtest_certificate(i + 2);
        rtest_upgrade_await_end(rtest_upgrade(NULL));
        char *answer = rtest_tls_ask(tls, request, &serial);
        cr_assert(serial == i + 2 && strstr(answer, "HTTP/1.1 200"), "%ld %s", serial, answer);
        free(answer);
        cr_assert(rtest_is_served(rtest_get(admin, "/metrics")));
        cr_assert(!rtest_is_served(rtest_get(rtest_port(), "/metrics")));
    }
}

// What isn't among the addresses any more is closed, its path removed; what is new is opened.
Test(router_upgrade, other_addresses, .fini = rtest_fleet_down) {
    char file[200];
    rtest_upgrade_prepare();
    rtest_fleet.routers[0].port = support_port();
    support_path(file, sizeof file, "router.conf");
    support_path(unix_path, sizeof unix_path, "door");
    FILE *f = fopen(file, "w");
    fprintf(f, "[router]\nadmin_listen = unix:%s\n", unix_path);
    fclose(f);
    rtest_fleet_up(1, "--time-scale 0", 1, (const char *[]){"--config", file, NULL});
    cr_assert(is_served_unix());
    f = fopen(file, "w");
    int admin = support_port();
    fprintf(f, "[router]\nadmin_listen = 127.0.0.1:%d\n", admin);
    fclose(f);
    rtest_upgrade_await_end(rtest_upgrade(NULL));
    cr_assert(rtest_is_served(rtest_get(admin, "/metrics")));
    cr_assert(access(unix_path, F_OK) != 0, "a path that leads nowhere is left");
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/healthz")));
}

// The one that leaves doesn't go on to register what the new one's settings don't name.
Test(router_upgrade, an_engine_less, .fini = rtest_fleet_down) {
    char file[200], *body = rtest_chat("a long story", 6 * STREAM_TOKENS, true);
    struct rtest_client who;
    rtest_upgrade_prepare();
    rtest_clients_open();
    rtest_redis();
    support_path(file, sizeof file, "router.conf");
    FILE *f = fopen(file, "w");
    fputs("[router]\ndrain = 600000\nttl = 600\n", f);
    for (int i = 0; i < 2; i++) {
        rtest_engine(i, "--no-events --decode-speed 50 --time-scale 1");
        fprintf(f, "[engine http://127.0.0.1:%d]\n", rtest_fleet.engines[i].port);
    }
    fclose(f);
    rtest_fleet_routers(0, 1, (const char *[]){"--config", file, NULL});
    rtest_client_start(&who, rtest_port(), "/v1/chat/completions", NULL, body);
    for (; !who.heard; rtest_clients_run(5))
        cr_assert(who.call, "no stream: %d", who.status);
    f = fopen(file, "w");
    fprintf(f, "[router]\ndrain = 600000\nttl = 600\n[engine http://127.0.0.1:%d]\n",
            rtest_fleet.engines[0].port);
    fclose(f);
    pid_t old = rtest_upgrade(NULL);
    rtest_await(is_one_worker, "the other engine stays");
    cr_assert(who.call, "the old one had no reason to stay");
    rtest_client_leave(&who);
    rtest_client_free(&who);
    free(body);
    rtest_upgrade_await_end(old);
}

// ---- The new one fails ---------------------------------------------------------------------------

struct failing_program {
    const char *script, *said;
};

static void try_programs(const struct failing_program *all, size_t n, const char *timeout) {
    struct rtest_load load;
    rtest_upgrade_prepare();
    rtest_fleet_up(1, "--time-scale 0", 1,
                   (const char *[]){"--upgrade_timeout", timeout, "--listen", both_kinds(), NULL});
    rtest_load_begin(&load);
    for (size_t i = 0; i < n; i++) {
        size_t before = support_log_count(rtest_fleet.logs[0], all[i].said);
        rtest_upgrade_script(all[i].script);
        rtest_kill(&rtest_fleet.routers[0], SIGUSR2);
        for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
             support_log_count(rtest_fleet.logs[0], all[i].said) == before; rtest_load_run(&load))
            cr_assert(kvr_clock_ms() < end, "%s", all[i].said);
        cr_assert(is_served_unix());
    }
    rtest_load_end(&load);
}

Test(router_upgrade, programs_that_fail, .fini = rtest_fleet_down) {
    static const struct failing_program ways[] = {
        {"exit 3", "ended with status 3 before it was ready; this one goes on"},
        {"kill -9 $$", "ended with signal 9 before it was ready; this one goes on"}};
    try_programs(ways, sizeof ways / sizeof *ways, "600000");
    unlink(rtest_fleet.program);
    rtest_kill(&rtest_fleet.routers[0], SIGUSR2);
    rtest_upgrade_await_log("can't start", 1);
}

Test(router_upgrade, programs_that_hang, .fini = rtest_fleet_down) {
    static const struct failing_program ways[] = {
        {"exec sleep 600", "wasn't ready in 300 ms; this one goes on"},
        {"exec 3>&- 4>&- 5>&- 6>&-; exec sleep 600", "wasn't ready in 300 ms; this one goes on"}};
    try_programs(ways, sizeof ways / sizeof *ways, "300");
}

Test(router_upgrade, settings_that_are_wrong, .fini = rtest_fleet_down) {
    char file[200];
    rtest_upgrade_prepare();
    support_path(file, sizeof file, "router.conf");
    FILE *f = fopen(file, "w");
    fputs("[router]\ndrain = 600000\n", f);
    fclose(f);
    rtest_fleet_up(1, "--time-scale 0", 1, (const char *[]){"--config", file, NULL});
    f = fopen(file, "w");
    fputs("[router]\nnonsense = 1\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGUSR2);
    rtest_upgrade_await_log("ended with status 2 before it was ready; this one goes on", 1);
    rtest_expect_log(0, "nonsense", true);
    rtest_ask_well(0, "still there?", 3, false);
    f = fopen(file, "w");
    fputs("[router]\ndrain = 600000\n", f);
    fclose(f);
    rtest_upgrade_await_end(rtest_upgrade(NULL));
    rtest_ask_well(0, "and now?", 3, false);
}

// ---- One that isn't ready yet --------------------------------------------------------------------

// Workers are known from Redis alone, which stands still: so the new one can't become ready.
static pid_t begin_slow_upgrade(void) {
    char addr[60];
    rtest_upgrade_prepare();
    rtest_redis();
    rtest_engine(0, "--no-events --time-scale 0");
    snprintf(addr, sizeof addr, "http://127.0.0.1:%d", rtest_fleet.engines[0].port);
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16"));
    freeReplyObject(rtest_command("KVROUTE.WORKER SET kvroute w ADDR %s TTL 3600000", addr));
    rtest_router(0,
                 (const char *[]){"--upgrade_timeout", "600000", "--listen", both_kinds(), NULL});
    rtest_await_ready(0);
    rtest_kill_redis(SIGSTOP);
    kill(rtest_fleet.routers[0].pid, SIGUSR2);
    rtest_upgrade_await_log("upgrade: started", 1);
    return rtest_upgrade_process("upgrade: started");
}

Test(router_upgrade, killed_before_it_is_ready, .fini = rtest_cluster_down) {
    pid_t fresh = begin_slow_upgrade();
    rtest_upgrade_await_log("listening at", 2);
    kill(rtest_fleet.routers[0].pid, SIGUSR2);
    rtest_upgrade_await_log("upgrade refused", 1);
    kill(fresh, SIGUSR2);
    rtest_upgrade_await_log("upgrade refused: this process isn't ready yet", 1);
    kill(fresh, SIGKILL);
    rtest_upgrade_await_log("ended with signal 9 before it was ready; this one goes on", 1);
    rtest_kill_redis(SIGCONT);
    rtest_await_ready(0);
    cr_assert(is_served_unix());
    rtest_upgrade_await_end(rtest_upgrade(NULL));
    cr_assert(is_served_unix());
    rtest_end_router(0);
}

// One that is told to end leaves the old one's path alone.
Test(router_upgrade, ended_before_it_is_ready, .fini = rtest_cluster_down) {
    pid_t fresh = begin_slow_upgrade();
    rtest_upgrade_await_log("listening at", 2);
    kill(fresh, SIGTERM);
    rtest_upgrade_await_log("ended with status 0 before it was ready; this one goes on", 1);
    rtest_kill_redis(SIGCONT);
    rtest_await_ready(0);
    cr_assert(is_served_unix());
    rtest_end_router(0);
}

Test(router_upgrade, told_to_end_meanwhile, .fini = rtest_cluster_down) {
    pid_t fresh = begin_slow_upgrade();
    rtest_upgrade_await_log("listening at", 2);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    rtest_kill_redis(SIGCONT);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; kill(fresh, 0) == 0; support_sleep_ms(5)) {
        int status;
        pid_t pid = fresh;
        if (support_ended(&pid, &status)) break;
        cr_assert(kvr_clock_ms() < end, "the new one stays");
    }
    cr_assert(access(unix_path, F_OK) != 0, "a path that leads nowhere is left");
}
