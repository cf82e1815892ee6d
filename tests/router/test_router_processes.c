// SPDX-License-Identifier: Apache-2.0
// A router of several processes: what they do together, and what happens to the rest when one is killed, when all
// are told to leave, and when other ones take their place.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_processes.h"
#include "rtest_tls.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { PROCESSES_STREAMS = 40, PROCESSES_TOKENS = 150 };

// As if there were one: an engine's speed for streams that last some seconds.
static const char slow[] = "--decode-speed 50 --time-scale 1";

// ---- One is killed -------------------------------------------------------------------------------

static size_t count_whole(const struct rtest_client *who, size_t n) {
    size_t whole = 0;
    for (size_t i = 0; i < n; i++)
        whole += who[i].status == 200 && who[i].complete;
    return whole;
}

static void forget(struct rtest_client *who, char **bodies, size_t n) {
    for (size_t i = 0; i < n; i++) {
        rtest_client_free(&who[i]);
        free(bodies[i]);
    }
}

// Streams of the others go on, and nobody who comes then is refused. Another one is there soon.
Test(router_processes, one_that_is_killed_takes_only_its_own, .fini = rtest_fleet_down) {
    enum { HALF = PROCESSES_STREAMS / 2 };
    static struct rtest_client who[PROCESSES_STREAMS];
    char *bodies[PROCESSES_STREAMS];
    pid_t all[RTEST_PROCESSES], there[RTEST_PROCESSES];
    rtest_processes_up(3, slow, "2", (const char *[]){"--drain", "600000", NULL});
    cr_assert_eq(rtest_processes(all), 2);
    // Half of them at each: while the other one stands still.
    for (size_t i = 0; i < 2; i++) {
        kill(all[1 - i], SIGSTOP);
        for (size_t k = i * HALF; k < (i + 1) * HALF; k++) {
            bodies[k] = rtest_chat("a long story", PROCESSES_TOKENS, true);
            rtest_client_start(&who[k], rtest_port(), "/v1/chat/completions", NULL, bodies[k]);
        }
        for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_callers.talking < (i + 1) * HALF;
             rtest_clients_run(10))
            cr_assert(kvr_clock_ms() < end && rtest_callers.open == (i + 1) * HALF);
        kill(all[1 - i], SIGCONT);
    }
    kill(all[1], SIGKILL);
    for (int i = 0; i < 20; i++)
        rtest_ask_well(0, "is anybody there?", 2, false);
    rtest_clients_finish();
    cr_assert_eq(count_whole(who, HALF), HALF);
    cr_assert_eq(count_whole(who + HALF, HALF), 0);
    forget(who, bodies, PROCESSES_STREAMS);
    rtest_processes_await_metric("process_restarts_total", 1);
    rtest_processes_await(2);
    cr_assert_eq(rtest_processes(there), 2);
    cr_assert(there[0] == all[0] && there[1] != all[1]);
    rtest_expect_log(0, "died of signal 9; another one comes in 100 ms", true);
    rtest_end_router(0);
}

// One that dies again and again comes later and later; meanwhile the other serves.
Test(router_processes, one_that_dies_again_comes_later, .fini = rtest_fleet_down) {
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    rtest_processes_await(2);
    pid_t all[RTEST_PROCESSES];
    cr_assert_eq(rtest_processes(all), 2);
    pid_t lasting = all[0];
    for (int i = 0; i < 4; i++) {
        for (size_t k = rtest_processes(all); k--;)
            if (all[k] != lasting) kill(all[k], SIGKILL);
        rtest_upgrade_await_log("died of signal 9", (size_t)i + 1);
        rtest_ask_well(0, "still there?", 2, false);
        for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_processes(all) < 2;
             support_sleep_ms(5))
            cr_assert(kvr_clock_ms() < end, "none comes");
    }
    rtest_expect_log(0, "another one comes in 100 ms", true);
    rtest_expect_log(0, "another one comes in 800 ms", true);
    rtest_end_router(0);
}

// There may be a moment without any: who comes waits, and isn't refused.
Test(router_processes, all_are_killed_at_once, .fini = rtest_fleet_down) {
    pid_t all[RTEST_PROCESSES];
    rtest_processes_up(1, "--time-scale 0", "3", NULL);
    rtest_processes_await(3);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(rtest_processes(all), 3);
        for (size_t k = 0; k < 3; k++)
            kill(all[k], SIGKILL);
        rtest_ask_well(0, "are you back?", 2, false);
        rtest_processes_await_metric("process_restarts_total", 3 * i + 3);
        rtest_processes_await(3);
    }
    rtest_end_router(0);
}

// Those that come accept at once where nobody else does, even if Redis stands still and they know of no engine.
Test(router_processes, all_are_killed_while_redis_stands_still, .fini = rtest_fleet_down) {
    pid_t all[RTEST_PROCESSES];
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    rtest_processes_await(2);
    rtest_kill_redis(SIGSTOP);
    for (size_t k = rtest_processes(all); k--;)
        kill(all[k], SIGKILL);
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/healthz")));
    rtest_kill_redis(SIGCONT);
    rtest_await_ready(0);
    rtest_end_router(0);
}

// Who stands still gets none of the connections that come.
Test(router_processes, one_stands_still, .fini = rtest_fleet_down) {
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    rtest_processes_await(2);
    pid_t one = rtest_processes_signal(SIGSTOP);
    for (int i = 0; i < 50; i++)
        rtest_ask_well(0, "who are you?", 2, false);
    kill(one, SIGCONT);
    rtest_end_router(0);
}

// ---- What they say together ----------------------------------------------------------------------

static void ask_many(int n) {
    for (int i = 0; i < n; i++)
        rtest_ask_well(0, "count me", 2, false);
}

static double counted(void) {
    return rtest_router_metric(0, "requests_total{route=\"chat\",code=\"200\"}");
}

Test(router_processes, any_of_them_answers_for_all, .fini = rtest_fleet_down) {
    enum { PROCESSES_ASKED = 60 };
    rtest_processes_up(1, "--time-scale 0", "3", NULL);
    rtest_processes_await(3);
    ask_many(PROCESSES_ASKED);
    rtest_processes_await_metric("requests_total{route=\"chat\",code=\"200\"}", PROCESSES_ASKED);
    // Whoever is asked, and whoever is killed.
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 10; k++) {
            double is = counted();
            cr_assert_eq(is, PROCESSES_ASKED, "%g", is);
        }
        rtest_processes_signal(SIGKILL);
    }
    ask_many(PROCESSES_ASKED);
    rtest_processes_await_metric("requests_total{route=\"chat\",code=\"200\"}",
                                 2 * PROCESSES_ASKED);
    // What all see is told once: the pool's instances, and how many booked by how many.
    cr_assert_eq(rtest_router_metric(0, "pool_workers{pool=\"kvroute\"}"), 1);
    json_t *status = rtest_json(rtest_get(rtest_port(), "/kvroute/status"), 200);
    cr_assert_geq(json_integer_value(json_object_get(status, "requests_total")),
                  2 * PROCESSES_ASKED);
    cr_assert_eq(json_integer_value(json_object_get(status, "selects_total")), 2 * PROCESSES_ASKED);
    json_decref(status);
    rtest_end_router(0);
}

// In OpenMetrics' form it is a page of that form.
Test(router_processes, openmetrics, .fini = rtest_fleet_down) {
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    rtest_processes_await(2);
    ask_many(1);
    rtest_processes_await_metric("requests_total{route=\"chat\",code=\"200\"}", 1);
    struct support_response r =
        support_http(rtest_port(), "GET", "/metrics", "Accept: application/openmetrics-text\r\n",
                     NULL, RTEST_WAIT_MS);
    cr_assert_eq(r.status, 200);
    cr_assert(strstr(r.body, "\n# TYPE kvroute_router_requests counter\n"));
    cr_assert(strstr(r.body, "\nkvroute_router_requests_total{route=\"chat\",code=\"200\"} 1\n"));
    cr_assert_str_eq(r.body + r.n - 6, "# EOF\n");
    support_response_free(&r);
    rtest_end_router(0);
}

// The page's last minutes are of all, and of those that have died.
Test(router_processes, the_last_minutes, .fini = rtest_fleet_down) {
    enum { PROCESSES_ASKED = 20 };
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    rtest_processes_await(2);
    ask_many(PROCESSES_ASKED);
    rtest_processes_await_metric("requests_total{route=\"chat\",code=\"200\"}",
                                 PROCESSES_ASKED); // counted, too
    rtest_processes_signal(SIGKILL);
    int sum = 0;
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; sum != PROCESSES_ASKED;
         support_sleep_ms(100)) {
        json_t *status = rtest_json(rtest_get(rtest_port(), "/kvroute/status"), 200);
        const json_t *steps = json_object_get(json_object_get(status, "minutes"), "requests");
        sum = 0;
        for (size_t i = 0; i < json_array_size(steps); i++)
            sum += (int)json_integer_value(json_array_get(steps, i));
        json_decref(status);
        cr_assert(kvr_clock_ms() < end, "%d", sum);
    }
    rtest_end_router(0);
}

// ---- Told to leave -------------------------------------------------------------------------------

static void check_gone(const pid_t *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        cr_assert(kill(all[i], 0) != 0, "process %d is still there", (int)all[i]);
}

// Two processes of one router that have PROCESSES_STREAMS between them. In `all` are their pids; how many these are.
static size_t up_with_streams(struct rtest_client *who, char **bodies, int tokens,
                              pid_t all[RTEST_PROCESSES]) {
    rtest_processes_up(3, slow, "2", (const char *[]){"--drain", "600000", NULL});
    rtest_processes_await(2);
    rtest_slow_streams(who, PROCESSES_STREAMS, bodies, 1, tokens);
    return rtest_processes(all);
}

// As a service manager does it that ends all processes of a service, and as Ctrl-C does.
static void expect_streams_are_finished(int signal, bool to_all) {
    static struct rtest_client who[PROCESSES_STREAMS];
    char *bodies[PROCESSES_STREAMS];
    pid_t all[RTEST_PROCESSES];
    size_t n = up_with_streams(who, bodies, PROCESSES_TOKENS, all);
    kill(rtest_fleet.routers[0].pid, signal);
    for (size_t i = 0; i < n && to_all; i++)
        kill(all[i], signal);
    // The sockets are closed while streams go on.
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS, fd;
         (fd = support_http_connect(rtest_port())) >= 0; support_sleep_ms(5)) {
        close((int)fd);
        cr_assert(kvr_clock_ms() < end && rtest_callers.open == PROCESSES_STREAMS);
    }
    rtest_clients_finish();
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    check_gone(all, n);
    rtest_check_answers(who, bodies, PROCESSES_STREAMS, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
    rtest_expect_log(0, "cut off", false);
}

Test(router_processes, streams_are_finished, .fini = rtest_fleet_down) {
    expect_streams_are_finished(SIGTERM, false);
}

Test(router_processes, all_are_told_to_end, .fini = rtest_fleet_down) {
    expect_streams_are_finished(SIGTERM, true);
}

Test(router_processes, all_of_a_terminal_are_told, .fini = rtest_fleet_down) {
    expect_streams_are_finished(SIGINT, true);
}

Test(router_processes, the_second_signal_does_not_wait, .fini = rtest_fleet_down) {
    static struct rtest_client who[PROCESSES_STREAMS];
    char *bodies[PROCESSES_STREAMS];
    pid_t all[RTEST_PROCESSES];
    size_t n = up_with_streams(who, bodies, 10 * PROCESSES_TOKENS, all);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    rtest_upgrade_await_log("leaving", 1);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    check_gone(all, n);
    rtest_clients_finish();
    cr_assert_eq(count_whole(who, PROCESSES_STREAMS), 0);
    forget(who, bodies, PROCESSES_STREAMS);
}

// Nobody starts processes any more: they finish what they have, and end.
Test(router_processes, the_parent_is_killed, .fini = rtest_fleet_down) {
    static struct rtest_client who[PROCESSES_STREAMS];
    char *bodies[PROCESSES_STREAMS];
    pid_t all[RTEST_PROCESSES];
    size_t n = up_with_streams(who, bodies, PROCESSES_TOKENS, all);
    int status;
    kill(rtest_fleet.routers[0].pid, SIGKILL);
    cr_assert(support_ends(&rtest_fleet.routers[0].pid, RTEST_WAIT_MS, &status));
    rtest_clients_finish();
    for (size_t i = 0; i < n; i++)
        rtest_upgrade_await_end(all[i]);
    rtest_check_answers(who, bodies, PROCESSES_STREAMS, -1);
}

// One that is told so itself ends, and another one comes.
Test(router_processes, one_is_told_to_end, .fini = rtest_fleet_down) {
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    rtest_processes_await(2);
    rtest_processes_signal(SIGTERM);
    rtest_upgrade_await_log("ended with status 0; another one comes", 1);
    rtest_processes_await(2);
    ask_many(5);
    rtest_end_router(0);
}

// ---- Settings, upgrades --------------------------------------------------------------------------

static void write_settings(const char *file, const char *lines) {
    FILE *f = fopen(file, "w");
    fprintf(f, "[router]\ndrain = 600000\n%s\n", lines);
    fclose(f);
}

// Of so many on connections of their own; the number of those that had this answer.
static int count_answers(int status) {
    int n = 0;
    for (int i = 0; i < 30; i++) {
        struct support_response r = rtest_get(rtest_port(), "/v1/models");
        n += r.status == status;
        support_response_free(&r);
    }
    return n;
}

Test(router_processes, settings_are_read_by_all, .fini = rtest_fleet_down) {
    char file[200], lines[300], tokens[200];
    rtest_fleet.routers[0].port = support_port();
    snprintf(tokens, sizeof tokens, "%s",
             rtest_write("tokens", "user s3cret\noperator 0perator\n"));
    support_path(file, sizeof file, "router.conf");
    write_settings(file, "");
    rtest_processes_up(1, "--time-scale 0", "2", (const char *[]){"--config", file, NULL});
    rtest_processes_await(2);
    write_settings(file, "nonsense = 1");
    kill(rtest_fleet.routers[0].pid, SIGHUP);
    rtest_upgrade_await_log("settings not changed", 1);
    cr_assert_eq(count_answers(200), 30);
    snprintf(lines, sizeof lines, "token_file = %s\nadmin_listen = 127.0.0.1:1", tokens);
    write_settings(file, lines);
    kill(rtest_fleet.routers[0].pid, SIGHUP);
    rtest_upgrade_await_log("settings read", 2);
    rtest_expect_log(0, "processes and reuse_port change with an upgrade", true);
    cr_assert_eq(count_answers(401), 30);
    // So are those of one that comes later.
    pid_t one = rtest_processes_signal(SIGKILL), all[RTEST_PROCESSES];
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         rtest_processes(all) < 2 || all[0] == one || all[1] == one; support_sleep_ms(5))
        cr_assert(kvr_clock_ms() < end);
    cr_assert_eq(count_answers(401), 30);
    rtest_end_router(0);
}

// More, fewer, one and several again, under load: nobody is refused, no stream cut.
Test(router_processes, other_numbers_take_over, .fini = rtest_fleet_down) {
    enum { PROCESSES_UPGRADES = 4, EACH = 10, PROCESSES_SHORT = 60 };
    static const char *const numbers[PROCESSES_UPGRADES] = {"processes = 3", "processes = 1",
                                                            "processes = 2", "processes = 2"};
    static struct rtest_client who[PROCESSES_UPGRADES * EACH];
    char *bodies[PROCESSES_UPGRADES * EACH], file[200], text[60];
    struct rtest_load load;
    pid_t old[PROCESSES_UPGRADES];
    int n = 0;
    support_path(file, sizeof file, "router.conf");
    write_settings(file, "processes = 2");
    rtest_upgrade_prepare();
    rtest_fleet_up(3, slow, 1, (const char *[]){"--config", file, "--deadline", "5000", NULL});
    rtest_upgrade_await_log("listening at", 1);
    rtest_load_begin(&load);
    for (int i = 0; i < PROCESSES_UPGRADES; i++) {
        for (int k = 0; k < EACH; k++, n++) {
            snprintf(text, sizeof text, "question number %d", n);
            bodies[n] = rtest_chat(text, PROCESSES_TOKENS, true);
            rtest_client_start(&who[n], rtest_port(), "/v1/chat/completions", NULL, bodies[n]);
        }
        for (int k = n - EACH; k < n;) {
            cr_assert(who[k].call || who[k].complete, "stream %d was cut", k);
            if (who[k].heard)
                k++;
            else
                rtest_load_run(&load);
        }
        write_settings(file, numbers[i]);
        size_t before = load.answered;
        old[i] = rtest_upgrade(&load);
        while (load.answered < before + PROCESSES_SHORT)
            rtest_load_run(&load);
    }
    rtest_load_end(&load);
    for (int i = 0; i < PROCESSES_UPGRADES; i++)
        rtest_upgrade_await_end(old[i]);
    rtest_processes_await(2);
    rtest_check_answers(who, bodies, n, -1);
    rtest_await(rtest_nothing_booked, "something stays booked");
    rtest_end_router(0);
}

Test(router_processes, an_upgrade_fails, .fini = rtest_fleet_down) {
    pid_t before[RTEST_PROCESSES], after[RTEST_PROCESSES];
    rtest_processes_up(1, "--time-scale 0", "2",
                       (const char *[]){"--upgrade_timeout", "300", NULL});
    rtest_processes_await(2);
    cr_assert_eq(rtest_processes(before), 2);
    rtest_upgrade_script("exit 3");
    kill(rtest_fleet.routers[0].pid, SIGUSR2);
    rtest_upgrade_await_log("ended with status 3 before it was ready; this one goes on", 1);
    rtest_upgrade_script("exec sleep 600");
    kill(rtest_fleet.routers[0].pid, SIGUSR2);
    rtest_upgrade_await_log("wasn't ready in 300 ms; this one goes on", 1);
    // One that dies meanwhile is replaced by one of this program, not of the one that is at its path.
    rtest_processes_signal(SIGKILL);
    rtest_processes_await_metric("process_restarts_total", 1);
    rtest_processes_await(2);
    ask_many(20);
    cr_assert_eq(rtest_processes(after), 2);
    cr_assert(after[0] == before[1] || after[1] == before[1]);
    rtest_end_router(0);
}

// ---- Sockets -------------------------------------------------------------------------------------

static char unix_path[108];

static int connect_unix(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, unix_path, strlen(unix_path) + 1);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    close(fd);
    return -1;
}

static bool is_served_unix(void) {
    int fd = connect_unix();
    if (fd < 0) return false;
    support_http_request(fd, "GET", "/healthz", NULL, NULL);
    bool good = rtest_is_served(support_http_response(fd, false, RTEST_WAIT_MS));
    close(fd);
    return good;
}

// TLS, operators' own, and a Unix socket, whose path only the parent removes.
Test(router_processes, all_kinds_of_sockets, .fini = rtest_fleet_down) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    int tls = support_port(), admin = support_port();
    char tls_at[160], admin_at[40];
    long serial;
    rtest_certificate(1);
    support_path(unix_path, sizeof unix_path, "door");
    snprintf(tls_at, sizeof tls_at, "127.0.0.1:%d", tls);
    snprintf(admin_at, sizeof admin_at, "127.0.0.1:%d", admin);
    rtest_fleet.routers[0].port = support_port();
    char listen_at[200];
    snprintf(listen_at, sizeof listen_at, "127.0.0.1:%d unix:%s", rtest_port(), unix_path);
    rtest_processes_up(1, "--time-scale 0", "2",
                       (const char *[]){"--listen", listen_at, "--tls_listen", tls_at, "--tls_cert",
                                        rtest_tls.cert, "--tls_key", rtest_tls.key,
                                        "--admin_listen", admin_at, NULL});
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 6; i++) {
            char *answer = rtest_tls_ask(tls, request, &serial);
            cr_assert(serial == 1 && strstr(answer, "HTTP/1.1 200"), "%s", answer);
            free(answer);
            cr_assert(rtest_is_served(rtest_get(admin, "/metrics")));
            cr_assert(!rtest_is_served(rtest_get(rtest_port(), "/metrics")));
            cr_assert(is_served_unix());
        }
        if (!round) rtest_processes_signal(SIGTERM);
        if (!round) rtest_upgrade_await_log("ended with status 0; another one comes", 1);
        if (round == 1) rtest_upgrade_await_end(rtest_upgrade(NULL));
    }
    rtest_end_router(0);
    cr_assert(access(unix_path, F_OK) != 0, "a path that leads nowhere is left");
}

Test(router_processes, a_place_that_is_taken, .fini = rtest_cluster_down) {
    int port, fd = support_listen(&port);
    char at[40], said[1000];
    snprintf(at, sizeof at, "127.0.0.1:%d", port);
    int code =
        support_run((const char *[]){KVROUTE_ROUTER, "--processes", "2", "--listen", at, NULL},
                    RTEST_WAIT_MS, said, sizeof said);
    close(fd);
    cr_assert_eq(code, 1, "%d: %s", code, said);
    cr_assert(strstr(said, "can't listen at"), "%s", said);
}

// What one of them lacks at the start ends all, with the reason.
Test(router_processes, one_can_not_begin, .fini = rtest_cluster_down) {
    char at[40], said[2000];
    snprintf(at, sizeof at, "127.0.0.1:%d", support_port());
    int code = support_run((const char *[]){KVROUTE_ROUTER, "--processes", "2", "--listen", at,
                                            "--token_file", "/nowhere", NULL},
                           RTEST_WAIT_MS, said, sizeof said);
    cr_assert_eq(code, 1, "%d: %s", code, said);
    cr_assert(strstr(said, "/nowhere") && strstr(said, "before all were ready"), "%s", said);
}

// ---- A service manager, and logs -----------------------------------------------------------------

// By the parent alone.
Test(router_processes, a_service_manager_is_told_once, .fini = rtest_fleet_down) {
    char main_pid[60];
    int fd = rtest_upgrade_hear();
    rtest_processes_up(1, "--time-scale 0", "2", NULL);
    unsetenv("NOTIFY_SOCKET");
    rtest_upgrade_expect_word(fd, "READY=1");
    kill(rtest_fleet.routers[0].pid, SIGHUP);
    rtest_upgrade_expect_word(fd, "RELOADING=1\nMONOTONIC_USEC=");
    rtest_upgrade_expect_word(fd, "READY=1");
    rtest_processes_signal(SIGKILL);
    rtest_upgrade_await_log("died of signal 9", 1);
    pid_t old = rtest_upgrade(NULL);
    snprintf(main_pid, sizeof main_pid, "READY=1\nMAINPID=%d", (int)rtest_fleet.routers[0].pid);
    rtest_upgrade_expect_word(fd, "RELOADING=1\nMONOTONIC_USEC=");
    rtest_upgrade_expect_word(fd, main_pid);
    rtest_upgrade_await_end(old);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    rtest_upgrade_expect_word(fd, "STOPPING=1");
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    close(fd);
}

// Into a pipe, where longer writes are mixed: each line is whole, and there is one for each request.
Test(router_processes, the_access_log_has_whole_lines, .fini = rtest_cluster_down) {
    enum { CLIENTS = 120, ROUNDS = 8 };
    char at[40], id[140], headers[200], line[10000];
    int out;
    rtest_fleet.routers[0].port = support_port();
    snprintf(at, sizeof at, "127.0.0.1:%d", rtest_port());
    rtest_fleet.routers[0].pid = support_start_piped(
        (const char *[]){KVROUTE_ROUTER, "--processes", "3", "--listen", at, "--redis",
                         "redis://127.0.0.1:1", "--access_log", "-", NULL},
        NULL, &out);
    int first = -1;
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         (first = support_http_connect(rtest_port())) < 0; support_sleep_ms(5))
        cr_assert(kvr_clock_ms() < end);
    close(first);
    memset(id, 'i', 120);
    for (int r = 0; r < ROUNDS; r++) {
        int fds[CLIENTS];
        for (int i = 0; i < CLIENTS; i++) {
            snprintf(id + 120, sizeof id - 120, "%d", i);
            snprintf(headers, sizeof headers, "X-Request-Id: %s\r\n", id);
            fds[i] = support_http_connect(rtest_port());
            support_http_request(fds[i], "GET", "/healthz", headers, NULL);
        }
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert(rtest_is_served(support_http_response(fds[i], false, RTEST_WAIT_MS)));
            close(fds[i]);
        }
        int seen[CLIENTS] = {0};
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert(support_read_line(out, line, sizeof line, RTEST_WAIT_MS), "%d of a round", i);
            json_t *one = json_loads(line, 0, NULL);
            cr_assert(one, "%s", line);
            int number = atoi(rtest_text(one, "id") + 120);
            cr_assert(number < CLIENTS && !seen[number]++, "%s", line);
            json_decref(one);
        }
    }
    close(out);
    rtest_end_router(0);
}
