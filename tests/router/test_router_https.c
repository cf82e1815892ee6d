// SPDX-License-Identifier: Apache-2.0
// Routers and engines that speak TLS: what clients get, what engines are blamed for, and other certificates.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_authority.h"
#include "rtest_fleet.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { HTTPS_MAX_FLAGS = 30 };

static char urls[RTEST_ENGINES][60];

// An engine that is there over TLS as well, with this certificate.
static void engine(int i, const char *certificate, const char *more) {
    char options[600];
    int port = support_port();
    snprintf(options, sizeof options, "--tls-port %d --tls-cert %s --tls-key %s %s", port,
             rtest_pem(certificate), rtest_pem_key(certificate), more);
    snprintf(urls[i], sizeof urls[i], "https://127.0.0.1:%d", port);
    rtest_engine(i, options);
}

static pid_t bridge;

static void bridge_down(void) {
    support_end(&bridge, SIGTERM);
    rtest_fleet_down();
}

static void issue(void) {
    rtest_issue(&(struct rtest_issue){.file = "ca"});
    rtest_issue(&(struct rtest_issue){.file = "engine", .issuer = "ca", .names = "IP:127.0.0.1"});
    rtest_issue(&(struct rtest_issue){.file = "other-ca"});
    rtest_issue(
        &(struct rtest_issue){.file = "other", .issuer = "other-ca", .names = "IP:127.0.0.1"});
}

// A router that knows the first engines over TLS.
static void router(int engines, const char *const *more) {
    // A busy machine takes its time for a handshake.
    const char *flags[HTTPS_MAX_FLAGS] = {"--engine_ca", rtest_pem("ca"), "--connect_timeout",
                                          "20000"};
    size_t n = 4;
    for (int i = 0; i < engines; i++) {
        flags[n++] = "--engine";
        flags[n++] = urls[i];
    }
    while (more && *more)
        flags[n++] = *more++;
    rtest_fleet_up(0, "", 1, flags);
}

static bool log_has(const char *text) {
    return support_log_count(rtest_fleet.logs[0], text) > 0;
}

static void await_log(const char *text) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !log_has(text); rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "nothing of: %s", text);
}

static double shakes(const char *outcome) {
    char name[80];
    snprintf(name, sizeof name, "engine_handshakes_total{outcome=\"%s\"}", outcome);
    return rtest_router_metric(0, name);
}

Test(https, answers_are_what_engines_sent, .fini = rtest_fleet_down) {
    enum { ASKED = 30 };
    static struct rtest_client who[ASKED];
    char text[60], *bodies[ASKED];
    issue();
    engine(0, "engine", "--time-scale 0");
    engine(1, "engine", "--time-scale 0");
    router(2, NULL);
    for (int i = 0; i < ASKED; i++) {
        snprintf(text, sizeof text, "question number %d", i);
        bodies[i] = rtest_chat(text, 20 + i * 3, i % 2);
        rtest_client_start(&who[i], rtest_port(), "/v1/chat/completions", NULL, bodies[i]);
    }
    rtest_clients_finish();
    rtest_check_answers(who, bodies, ASKED, -1);
    cr_assert(shakes("full") >= 1 && shakes("untrusted") == 0 && shakes("failed") == 0);
    struct support_response r = rtest_get(rtest_port(), "/v1/models");
    cr_assert(r.status == 200 && strstr(r.body, "\"id\":\"mock\""));
    support_response_free(&r);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

static bool has_two_ranks(void) {
    return rtest_pool_info("kvroute", "instances") == 2;
}

// Not only with the next renewal, which is far off.
Test(https, what_they_are_is_asked_at_once, .fini = rtest_fleet_down) {
    issue();
    engine(0, "engine", "--time-scale 0 --ranks 2");
    router(1, (const char *[]){"--ttl", "600000", NULL});
    rtest_await(has_two_ranks, "its ranks aren't asked for");
}

// The same stream, wherever its engine breaks off.
Test(https, streams_go_on_elsewhere, .fini = rtest_fleet_down) {
    static const char *const how[] = {"kind=cut&tokens=%d", "kind=cut&gently=1&tokens=%d"};
    issue();
    engine(0, "engine", "--answers ids --time-scale 0");
    engine(1, "engine", "--answers ids --time-scale 0");
    router(2, (const char *[]){"--migrate", "2", NULL});
    rtest_await_asked(0, 2);
    for (int i = 0; i < 20; i++) {
        char text[40], fault[60];
        snprintf(text, sizeof text, "question number %d", i);
        snprintf(fault, sizeof fault, how[i % 2], 1 + i);
        rtest_fault(0, fault);
        rtest_fault(1, fault);
        struct rtest_client who = rtest_ask(0, text, 40, true);
        cr_assert(who.status == 200 && who.complete && rtest_answer_ends(&who, "[DONE]\n\n"), "%d",
                  i);
        rtest_client_free(&who);
    }
    cr_assert(rtest_router_metric(0, "streams_lost_total{because=\"engine\"}") <= 0);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

Test(https, a_stream_outlives_its_engine, .fini = rtest_fleet_down) {
    static struct rtest_client who[4];
    char *bodies[4];
    issue();
    engine(0, "engine", "--answers ids --decode-speed 20");
    engine(1, "engine", "--answers ids --decode-speed 20");
    router(2, NULL);
    rtest_await_asked(0, 2);
    rtest_slow_streams(who, 4, bodies, 1, 60);
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    rtest_clients_finish();
    for (int i = 0; i < 4; i++) {
        cr_assert(who[i].complete && rtest_answer_ends(&who[i], "data: [DONE]\n\n"), "%d", i);
        rtest_client_free(&who[i]);
        free(bodies[i]);
    }
}

static bool is_blamed(void) {
    return shakes("untrusted") >= 1 && log_has("fails");
}

// That is its failure as much as one that isn't there: others answer, and the log says whose and why.
Test(https, an_engine_that_is_not_believed_fails, .fini = rtest_fleet_down) {
    issue();
    engine(0, "engine", "--time-scale 0");
    engine(1, "other", "--time-scale 0");
    router(2, NULL);
    for (int i = 0; i < 10; i++) {
        char text[40];
        snprintf(text, sizeof text, "question number %d", i);
        rtest_ask_well(0, text, 5, i % 2);
    }
    rtest_await(is_blamed, "nobody is blamed");
    cr_assert(log_has("its certificate is refused"));
    // With the authority that issued it, all is well again: known once SIGHUP is handled.
    FILE *from = fopen(rtest_pem("other-ca"), "r"), *to = fopen(rtest_pem("ca"), "a");
    for (int c; (c = fgetc(from)) != EOF;)
        fputc(c, to);
    fclose(from);
    fclose(to);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    await_log("answers again");
}

Test(https, settings_that_are_no_good_change_nothing, .fini = rtest_fleet_down) {
    char out[400];
    issue();
    const char *const argv[] = {KVROUTE_ROUTER, "--listen",      "127.0.0.1:0",
                                "--engine_ca",  "/no/such/file", NULL};
    cr_assert_eq(support_run(argv, RTEST_WAIT_MS, out, sizeof out), 1);
    cr_assert(strstr(out, "engine_ca /no/such/file"), "%s", out);
    engine(0, "engine", "--time-scale 0");
    router(1, NULL);
    FILE *f = fopen(rtest_pem("ca"), "w");
    fputs("nonsense\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    await_log("settings not changed: engine_ca");
    rtest_ask_well(0, "a question", 5, true);
    cr_assert(shakes("untrusted") == 0);
}

Test(https, what_is_not_verified_is_said, .fini = rtest_fleet_down) {
    issue();
    engine(0, "other", "--time-scale 0");
    router(1, (const char *[]){"--engine_insecure", "127.0.0.1", NULL});
    rtest_ask_well(0, "a question", 5, false);
    cr_assert(log_has("INSECURE: engine_insecure"));
}

// A bridge that asks an engine everything over TLS, and a router that knows it from the pool alone.
Test(https, bridges_and_addresses_in_the_pool, .fini = bridge_down) {
    char url[60], who[100];
    issue();
    rtest_redis();
    engine(0, "engine", "--time-scale 0");
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", rtest_fleet.redis.port);
    snprintf(who, sizeof who, "w1 http=%s", urls[0]);
    const char *argv[] = {
        KVROUTE_BRIDGE, "--redis",  url, "--pool",      "kvroute",       "--create",
        "BLOCKSIZE 16", "--engine", who, "--engine_ca", rtest_pem("ca"), NULL};
    bridge = support_start(argv, NULL);
    router(0, NULL);
    struct rtest_client answer = rtest_ask(0, "a question", 5, true);
    cr_assert(answer.status == 200 && answer.complete && !strcmp(answer.worker, "w1"));
    rtest_client_free(&answer);
    cr_assert(shakes("full") >= 1);
}
