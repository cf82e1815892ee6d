// SPDX-License-Identifier: Apache-2.0
// Which engines serve what: the rules alone, and then routers that learn it from engines.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/pools/router_model_list.h"
#include "client/router/pools/router_served.h"
#include "rtest_fleet.h"
#include "rtest_scripted_server.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

// ---- The rules -----------------------------------------------------------------------------------

static const char lists_base[] = "{\"data\":[{\"id\":\"base\",\"parent\":null},"
                                 "{\"id\":\"ad\",\"parent\":\"base\"}]}",
                  lists_other[] = "{\"data\":[{\"id\":\"other\"},{\"id\":\"b:c\"}]}";

static void say(struct router_pool *p, size_t i, const char *text) {
    json_t *answer = json_loads(text, 0, NULL);
    cr_assert(router_served_take(p, &p->workers[i], router_model_list_of(answer)), "%s", text);
    json_decref(answer);
}

static void label(struct router_worker *w, const char *text) {
    if (!w->labels) w->labels = json_array();
    json_array_append_new(w->labels, json_string(text));
}

static bool may_go_to(const struct router_pool *p, const char *model, const char *want) {
    struct kvr_bytes *names;
    size_t n;
    char found[100] = "";
    cr_assert(router_served_among(p, model, &names, &n));
    if (!names) snprintf(found, sizeof found, "all");
    for (size_t i = 0; i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s", (int)names[i].n,
                 names[i].p);
    free(names);
    if (strcmp(found, want) != 0) cr_log_error("%s: %s, not %s", model, found, want);
    return !strcmp(found, want);
}

static bool adapter_is(const struct router_pool *p, const char *model, const char *want) {
    struct kvr_bytes name = router_served_adapter(p, model);
    return name.n == strlen(want) && !memcmp(name.n ? name.p : "", want, name.n);
}

Test(served, by_lists_and_labels) {
    struct router_worker all[5] = {
        {.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e"}};
    struct router_pool p = {.workers = all, .n_workers = 5};
    cr_assert(may_go_to(&p, "base", "all") &&
              may_go_to(&p, NULL, "all")); // nobody has said anything
    cr_assert(router_served_in(&p, "base") == ROUTER_SERVED_UNKNOWN);
    say(&p, 0, lists_base);
    say(&p, 1, lists_base);
    cr_assert(all[0].here.serves == all[1].here.serves, "two lists that say the same");
    say(&p, 2, lists_other);
    label(&all[3], "zone=1");
    label(&all[3], "adapter=own");
    label(&all[3], "model=base");
    cr_assert(may_go_to(&p, "base", "abd") && may_go_to(&p, "ad", "ab"));
    cr_assert(may_go_to(&p, "other", "c") && may_go_to(&p, "own", "d"));
    cr_assert(may_go_to(&p, "base:ad", "ab") && may_go_to(&p, "b:c", "c"));
    cr_assert(may_go_to(&p, "new", "e"), "e alone hasn't said what it serves");
    say(&p, 4, lists_other);
    cr_assert(router_served_in(&p, "new") == ROUTER_SERVED_NOT);
    cr_assert(may_go_to(&p, "new", "all") && may_go_to(&p, NULL, "all"));
    cr_assert(router_served_in(&p, "other:ad") == ROUTER_SERVED_NOT, "the adapter of another base");
    cr_assert(adapter_is(&p, "ad", "ad") && adapter_is(&p, "base:ad", "ad"));
    cr_assert(adapter_is(&p, "own", "own") && adapter_is(&p, "base", "") &&
              adapter_is(&p, "b:c", ""));
    snprintf(p.options.adapters, sizeof p.options.adapters, " x b:c");
    cr_assert(adapter_is(&p, "b:c", "b:c") && adapter_is(&p, "b", ""));
    for (int i = 0; i < 5; i++) {
        json_decref(all[i].here.serves);
        json_decref(all[i].labels);
    }
}

// Two engines for one request: one of them has said what it serves before the other.
Test(served, by_roles) {
    struct router_worker all[3] = {{.name = "p", .role = KVR_ROLE_PREFILL},
                                   {.name = "d", .role = KVR_ROLE_DECODE},
                                   {.name = "e", .role = KVR_ROLE_DECODE}};
    struct router_pool p = {.workers = all, .n_workers = 3};
    say(&p, 0, lists_base);
    cr_assert(may_go_to(&p, "base", "all"), "only who prefills is known to serve it");
    say(&p, 1, lists_base);
    cr_assert(may_go_to(&p, "base", "pd"));
    json_decref(all[0].here.serves);
    all[0].here.serves = NULL;
    cr_assert(may_go_to(&p, "base", "pd"), "only one that decodes is known to serve it");
    say(&p, 0, lists_other);
    cr_assert(may_go_to(&p, "base", "d"), "who prefills doesn't serve it");
    cr_assert(may_go_to(&p, "other", "pe"), "e may serve it");
    all[0].role = KVR_ROLE_BOTH;
    cr_assert(may_go_to(&p, "other", "p"));
    for (int i = 0; i < 3; i++)
        json_decref(all[i].here.serves);
}

Test(served, what_is_no_list) {
    static const char *const cases[] = {
        "{}", "{\"data\":{}}", "{\"data\":[]}", "{\"data\":[1,{}]}",
        "{\"data\":[{\"id\":7},{\"id\":\"\"},{\"id\":\"\\u0000a\"}]}"};
    struct router_worker w = {.name = "a"};
    struct router_pool p = {.workers = &w, .n_workers = 1};
    say(&p, 0, lists_base);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *answer = json_loads(cases[i], 0, NULL);
        cr_assert(!router_served_take(&p, &w, router_model_list_of(answer)), "%s", cases[i]);
        json_decref(answer);
    }
    cr_assert(!router_served_take(&p, &w, NULL));
    cr_assert(router_served_in(&p, "ad") == ROUTER_SERVED_YES, "what was known is forgotten");
    json_decref(w.here.serves);
}

// ---- Routers and engines -------------------------------------------------------------------------

static const char *const quick[] = {"--learn", "100", NULL};

// Whoever renews them meanwhile.
static bool none_is_known(void) {
    for (int i = 0; i < 2; i++)
        rtest_integer("KVROUTE.WORKER DEL kvroute 127.0.0.1:%d", rtest_fleet.engines[i].port);
    return rtest_router_metric(0, "pool_workers{pool=\"kvroute\"}") == 0;
}

static bool two_are_known(void) {
    return rtest_router_metric(0, "pool_workers{pool=\"kvroute\"}") == 2;
}

// A completion of a model, which has 16 blocks of a text of its own.
static struct rtest_client ask_for(const char *model, int text) {
    char body[1400];
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"max_tokens\":2,\"prompt\":\"%d %01022d\"}",
             model, text, 0);
    return rtest_client_call(rtest_port(), "/v1/completions", NULL, body);
}

static void expect_served(const char *model, int text, int by, bool known) {
    char worker[40];
    struct rtest_client who = ask_for(model, text);
    snprintf(worker, sizeof worker, "127.0.0.1:%d", rtest_fleet.engines[by].port);
    cr_assert(who.status == 200 && who.complete, "%s: %d", model, who.status);
    cr_assert_str_eq(who.worker, worker, "%s", model);
    cr_assert((atoi(who.overlap) >= 15) == known, "%s: %s", model, who.overlap);
    rtest_client_free(&who);
}

static void expect_unknown(const char *model, const char *there_are) {
    struct rtest_client who = ask_for(model, 0);
    cr_assert(who.status == 404 && rtest_answer_has(&who, there_are), "%d", who.status);
    rtest_client_free(&who);
}

// What a frontend is told that asks for the same text.
static void expect_advice(const char *model, int text, int by, bool known) {
    char body[1400], worker[40];
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"text\":\"%d %01022d\"}", model, text, 0);
    snprintf(worker, sizeof worker, "127.0.0.1:%d", rtest_fleet.engines[by].port);
    json_t *a = rtest_json(rtest_post(rtest_port(), "/v1/select", body), 200);
    cr_assert_str_eq(json_string_value(json_object_get(a, "worker")), worker, "%s", model);
    cr_assert((json_integer_value(json_object_get(a, "overlap")) >= 15) == known, "%s", model);
    json_decref(a);
}

// No settings say who has what.
Test(served, two_engines_two_models, .fini = rtest_fleet_down) {
    rtest_clients_open();
    rtest_redis();
    rtest_quick_engine(0, "--model one");
    rtest_quick_engine(1, "--model two --lora extra");
    rtest_fleet_routers(2, 1, quick);
    for (int i = 0; i < 4; i++) {
        expect_served("one", i, 0, false);
        expect_served("two", 10 + i, 1, false);
        expect_served("extra", 20 + i, 1, false);
    }
    for (int i = 0; i < 4; i++) {
        expect_advice("two", 30 + i, 1, false);
        expect_advice("one", 40 + i, 0, false);
    }
    static const char *const each[] = {"; there are: ", "one", "two, extra"}; // in some order
    for (size_t i = 0; i < 3; i++)
        expect_unknown("three", each[i]);
    struct support_response r = rtest_get(rtest_port(), "/v1/models");
    cr_assert(r.status == 200 && strstr(r.body, "\"one\"") && strstr(r.body, "\"extra\""), "%s",
              r.body);
    support_response_free(&r);
}

// An adapter's blocks aren't its base's, and the other way round.
Test(served, adapters_have_blocks_of_their_own, .fini = rtest_fleet_down) {
    rtest_clients_open();
    rtest_redis();
    rtest_quick_engine(0, "--lora ad1 --lora ad2");
    rtest_fleet_routers(1, 1,
                        (const char *[]){"--learn", "100", "--pool", "kvroute adapters=ad2", NULL});
    static const char *const models[] = {"mock", "ad1", "ad2"};
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof models / sizeof *models; k++)
            expect_served(models[k], 1, 0, i == 1);
    expect_served("ad1", 2, 0, false);
    expect_advice("mock", 2, 0, false);
    expect_advice("ad1", 2, 0, true);
}

static bool new_is_served(void) {
    struct rtest_client who = ask_for("new", 5);
    bool served = who.status == 200;
    cr_assert(served || who.status == 404 || who.status == 502, "%d", who.status);
    rtest_client_free(&who);
    return served;
}

// While the router runs; asking for it is enough to have it learnt.
Test(served, an_adapter_comes, .fini = rtest_fleet_down) {
    rtest_clients_open();
    rtest_redis();
    rtest_quick_engine(0, "");
    rtest_quick_engine(1, "");
    rtest_fleet_routers(2, 1, (const char *[]){"--learn", "600000", "--retry_burst", "100", NULL});
    expect_unknown("new", "; there are: mock");
    rtest_kill(&rtest_fleet.engines[1], SIGKILL);
    rtest_quick_engine(1, "--lora new");
    rtest_await(new_is_served, "the adapter isn't found");
    expect_served("new", 6, 1, false);
    expect_served("new", 6, 1, true);
}

// ---- Engines that don't say it -------------------------------------------------------------------

static struct server keyed;

static void wants_key(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    bool asked = !strncmp(e->head, "POST ", 5) || !strncmp(e->head, "GET /health ", 12);
    server_say(to, asked ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                         : "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
}

static void keyed_down(void) {
    server_close(&keyed);
    rtest_fleet_down();
}

// What nobody says may be anything; and then the settings say what is an adapter.
Test(served, engines_that_want_a_key, .fini = keyed_down) {
    rtest_clients_open();
    server_open(&keyed, rtest_callers.base, wants_key);
    rtest_redis();
    rtest_router(0, (const char *[]){"--engine", keyed.address, "--pool", "kvroute adapters=ad",
                                     "--learn", "100", NULL});
    rtest_await_ready(0);
    static const struct {
        const char *model, *overlap;
    } cases[] = {{"any", "0"}, {"ad", "0"}, {"any", "16"}, {"ad", "16"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rtest_client who = ask_for(cases[i].model, 3);
        cr_assert(who.status == 200);
        cr_assert_str_eq(who.overlap, cases[i].overlap, "%zu: %s", i, who.overlap);
        rtest_client_free(&who);
    }
}

// ---- Engines that render -------------------------------------------------------------------------

static int rendered, tokenized;
static bool render_off;

static void renders(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    if (!strncmp(e->head, "POST /v1/chat/completions/render ", 33)) {
        bool question = e->body_bytes > 2;
        rendered += question;
        if (render_off)
            server_say(to, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        else if (!question)
            server_say(to, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
        else
            server_say_whole(
                to,
                "{\"token_ids\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17],\"features\":null}");
    } else if (!strncmp(e->head, "POST /tokenize ", 15)) {
        tokenized++;
        server_say_whole(to, "{\"tokens\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}");
    } else {
        server_say_whole(to, "ok");
    }
}

static void expect_chat(const char *content, const char *overlap, int renders_until,
                        int tokens_until) {
    char body[300];
    snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":%s}]}", content);
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/chat/completions", NULL, body);
    cr_assert(who.status == 200);
    cr_assert_str_eq(who.overlap, overlap);
    cr_assert(rendered == renders_until && tokenized == tokens_until, "%d %d", rendered, tokenized);
    rtest_client_free(&who);
}

static bool renders_requests(void) {
    char *log = rtest_log(0);
    bool is = strstr(log, " renders requests") != NULL;
    free(log);
    return is;
}

Test(served, engines_that_render, .fini = keyed_down) {
    rtest_clients_open();
    server_open(&keyed, rtest_callers.base, renders);
    rtest_redis();
    rtest_router(
        0, (const char *[]){"--engine", keyed.address, "--pool", "kvroute blocks=tokenize", NULL});
    rtest_await_ready(0);
    rtest_await(renders_requests, "it isn't found out");
    expect_chat("\"a b c\"", "0", 1, 0);
    expect_chat("[{\"type\":\"text\",\"text\":\"a b c\"}]", "1", 2, 0);
    expect_chat("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}}]", "1", 2, 1);
    render_off = true; // it was started anew, without
    expect_chat("\"a b c\"", "1", 3, 2);
    expect_chat("\"a b c\"", "1", 3, 3);
}

// Engines that the pool has lost for a moment are the same when they are back: they aren't asked again.
Test(served, what_engines_serve_outlasts_a_pool_without_them, .fini = rtest_fleet_down) {
    rtest_fleet_up(2, "--time-scale 0", 1,
                   (const char *[]){"--ttl", "3000", "--refresh", "50", NULL});
    for (int i = 0; i < 2; i++)
        cr_assert_eq(
            rtest_integer("KVROUTE.WORKER DEL kvroute 127.0.0.1:%d", rtest_fleet.engines[i].port),
            1);
    rtest_await(none_is_known, "the router doesn't notice");
    rtest_await(two_are_known, "the engines don't come back");
    rtest_clients_run(1000);
    cr_assert_eq(support_log_count(rtest_fleet.logs[0], " serves "), 2);
}

// Its first list, of before it was told of its engines, is empty, and the next one comes late.
Test(served, a_new_pool_is_not_taken_for_an_empty_one, .fini = rtest_fleet_down) {
    rtest_fleet_up(2, "--time-scale 0", 1, (const char *[]){"--refresh", "3000", NULL});
    for (int i = 0; i < 10; i++) {
        cr_assert(two_are_known());
        rtest_clients_run(50);
    }
}
