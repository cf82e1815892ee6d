// SPDX-License-Identifier: Apache-2.0
// Engines that join and leave over HTTP, and what routers learn of those in their settings.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"
#include "rtest_schema.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

static const char *const quick[] = {"--ttl", "2000", "--refresh", "100", NULL};

static void up(void) {
    rtest_clients_open();
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16 PREDICT 600000"));
}

TestSuite(register, .init = up, .fini = rtest_fleet_down, .timeout = 120);

// ---- What is asked and answered ------------------------------------------------------------------

static struct support_response post(int router, int i, const char *more) {
    char body[400];
    snprintf(body, sizeof body, "{\"url\":\"http://127.0.0.1:%d\"%s}", rtest_fleet.engines[i].port,
             more);
    return rtest_post(rtest_fleet.routers[router].port, "/kvroute/workers", body);
}

static json_t *join(int router, int i, const char *more, int status) {
    char code[8], why[300] = "";
    json_t *worker = rtest_json(post(router, i, more), status), *document = rtest_schema_load();
    snprintf(code, sizeof code, "%d", status);
    cr_assert(rtest_schema_fits(document,
                                rtest_schema_of(document, "/kvroute/workers", "post", code), worker,
                                why, sizeof why),
              "%s", why);
    json_decref(document);
    return worker;
}

static void joins(int router, int i, const char *more, int status) {
    json_decref(join(router, i, more, status));
}

static struct support_response leave(int router, const char *name, const char *query) {
    char path[200];
    snprintf(path, sizeof path, "/kvroute/workers/%s%s", name, query);
    return support_http(rtest_fleet.routers[router].port, "DELETE", path, NULL, NULL,
                        RTEST_WAIT_MS);
}

static void leaves(int router, const char *name, const char *query) {
    json_t *worker = rtest_json(leave(router, name, query), 202);
    cr_assert_str_eq(json_string_value(json_object_get(worker, "state")), "draining");
    json_decref(worker);
}

// ---- What the pool has ---------------------------------------------------------------------------

static void look(const char *name, const char *field, char out[200]) {
    redisReply *r = rtest_command("KVROUTE.WORKER GET kvroute %s", name);
    snprintf(out, 200, "none");
    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
        const redisReply *v = r->element[i + 1];
        if (strcmp(r->element[i]->str, field) != 0) continue;
        *out = 0;
        if (v->type == REDIS_REPLY_INTEGER) snprintf(out, 200, "%lld", v->integer);
        if (v->type == REDIS_REPLY_STRING) snprintf(out, 200, "%s", v->str);
        if (v->type == REDIS_REPLY_ARRAY && strcmp(field, "ranks") == 0)
            snprintf(out, 200, "%zu", v->elements);
        else if (v->type == REDIS_REPLY_ARRAY)
            for (size_t k = 0; k < v->elements; k++)
                snprintf(out + strlen(out), 200 - strlen(out), "%s ", v->element[k]->str);
    }
    if (r) freeReplyObject(r);
}

static void becomes(const char *name, const char *field, const char *value) {
    char now[200] = "";
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; kvr_clock_ms() < end; support_sleep_ms(10)) {
        look(name, field, now);
        if (strcmp(now, value) == 0) return;
    }
    cr_assert(false, "%s: %s is %s, not %s", name, field, now, value);
}

// For longer than a worker lives that nobody renews.
static void stays(const char *name, const char *field, const char *value) {
    char now[200] = "";
    for (int64_t end = kvr_clock_ms() + 3000; kvr_clock_ms() < end; support_sleep_ms(20)) {
        look(name, field, now);
        cr_assert_str_eq(now, value);
    }
}

static char *name_of(int i) {
    static char name[40];
    snprintf(name, sizeof name, "127.0.0.1:%d", rtest_fleet.engines[i].port);
    return name;
}

// Until the router has seen the pool.
static void await_pool(void) {
    int64_t size = 0, end = kvr_clock_ms() + RTEST_WAIT_MS;
    for (; !size; support_sleep_ms(10)) {
        cr_assert(kvr_clock_ms() < end, "the router doesn't see the pool");
        json_t *all = rtest_json(rtest_get(rtest_port(), "/kvroute/workers"), 200);
        const json_t *pool = json_array_get(json_object_get(all, "pools"), 0);
        size = json_integer_value(json_object_get(pool, "block_size"));
        json_decref(all);
    }
}

// ---- Learning ------------------------------------------------------------------------------------

// Its URL alone; what the settings say goes before what the engine says.
Test(register, what_engines_of_the_settings_say) {
    char words[2][80];
    rtest_quick_engine(
        0, "--ranks 2 --blocks 300 --schema sglang --disaggregation sglang --role prefill");
    rtest_quick_engine(
        1, "--ranks 2 --blocks 300 --schema sglang --disaggregation sglang --role prefill");
    snprintf(words[0], sizeof words[0], "http://%s", name_of(0));
    snprintf(words[1], sizeof words[1], "http://%s ranks=1 capacity=7 role=decode", name_of(1));
    rtest_router(0, (const char *[]){"--engine", words[0], "--engine", words[1], NULL});
    becomes(name_of(0), "ranks", "2");
    becomes(name_of(0), "capacity", "300");
    becomes(name_of(0), "role", "prefill");
    becomes(name_of(1), "role", "decode");
    becomes(name_of(1), "capacity", "7");
    becomes(name_of(1), "ranks", "1");
}

// With SIGHUP, and not only with the next renewal, which is far off.
Test(register, engines_of_a_pool_that_is_new) {
    static const char first[] = "[router]\nttl = 600000\n[pool kvroute]\n";
    char text[300];
    rtest_quick_engine(0, "");
    rtest_router(0, (const char *[]){"--config", rtest_write("router.conf", first), NULL});
    snprintf(text, sizeof text, "%s[pool kvroute2]\n[engine http://%s]\npool = kvroute2\n", first,
             name_of(0));
    rtest_write("router.conf", text);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("kvroute2", "workers") != 1;
         support_sleep_ms(20))
        cr_assert(kvr_clock_ms() < end, "%lld", rtest_pool_info("kvroute2", "workers"));
}

// The pool is made when its first engine has said how large blocks are.
Test(register, a_pool_of_the_engines_block_size) {
    char file[200];
    rtest_quick_engine(0, "--block-size 48");
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    support_path(file, sizeof file, "router.conf");
    FILE *f = fopen(file, "w");
    fprintf(f, "[router]\nttl = 600\n[pool other]\ncreate = POLICY delay\n[engine http://%s]\n",
            name_of(0));
    fclose(f);
    rtest_router(0, (const char *[]){"--config", file, NULL});
    support_sleep_ms(500);
    cr_assert_eq(rtest_pool_info("other", "block_size"), -1);
    rtest_quick_engine(0, "--block-size 48");
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("other", "block_size") != 48;
         support_sleep_ms(20))
        cr_assert(kvr_clock_ms() < end, "%lld", rtest_pool_info("other", "block_size"));
}

// ---- Joining -------------------------------------------------------------------------------------

Test(register, an_engine_joins_and_joins_again) {
    rtest_quick_engine(0, "--ranks 2 --blocks 300");
    rtest_router(0, quick);
    json_t *w = join(0, 0, ",\"labels\":[\"zone=a\"]", 201);
    cr_assert_str_eq(json_string_value(json_object_get(w, "worker")), name_of(0));
    cr_assert_eq(json_integer_value(json_object_get(w, "ranks")), 2);
    cr_assert_eq(json_integer_value(json_object_get(w, "capacity")), 300);
    json_decref(w);
    becomes(name_of(0), "labels", "by=http engine=vllm zone=a ");
    joins(0, 0, "", 200);
    becomes(name_of(0), "labels", "by=http engine=vllm ");
    joins(0, 0, ",\"name\":\"w2\",\"ranks\":1,\"capacity\":5,\"role\":\"decode\"", 201);
    becomes("w2", "capacity", "5");
    becomes("w2", "role", "decode");
    rtest_ask_well(0, "a b c", 2, false);
    stays("w2", "state", "ready");
}

Test(register, what_is_refused) {
    static const struct {
        const char *body, *code;
        int status;
    } bodies[] = {
        {"{}", "BADREQUEST", 400},
        {"[]", "BADREQUEST", 400},
        {"{\"url\":7}", "BADREQUEST", 400},
        {"{\"url\":\"ftp://x\"}", "BADREQUEST", 400},
        {"{\"url\":\"http://\"}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"rank\":2}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"ranks\":0}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"ranks\":1025}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"capacity\":-1}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"role\":\"x\"}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"name\":\"\"}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"labels\":[\"by=x\"]}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"labels\":[\"discovery=gone\"]}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"labels\":[1]}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"labels\":\"x\"}", "BADREQUEST", 400},
        {"{\"url\":\"http://127.0.0.1:1\",\"pool\":\"x\"}", "NOPOOL", 404},
        {"{\"url\":\"http://127.0.0.1:1\"}", "UNREACHABLE", 502},
        {"{\"url\":\"http://127.0.0.1:1\",\"name\":\"w1\"}", "EXISTS", 409},
    };
    freeReplyObject(rtest_command("KVROUTE.WORKER SET kvroute w1 ADDR http://10.0.0.1:8000"));
    rtest_router(0, quick);
    await_pool();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct support_response r = rtest_post(rtest_port(), "/kvroute/workers", bodies[i].body);
        cr_expect_str_eq(rtest_error_code(r, bodies[i].status), bodies[i].code, "%s",
                         bodies[i].body);
    }
    cr_expect_str_eq(rtest_error_code(leave(0, "w1", ""), 409), "NOTOURS");
    cr_expect_str_eq(rtest_error_code(leave(0, "w2", ""), 404), "NOWORKER");
    cr_expect_str_eq(rtest_error_code(leave(0, "w1", "?drain=x"), 400), "BADREQUEST");
    cr_expect_str_eq(rtest_error_code(leave(0, "w1", "?drain=-1"), 400), "BADREQUEST");
    cr_expect_str_eq(rtest_error_code(leave(0, "w1", "?pool=x"), 404), "NOPOOL");
    cr_expect_str_eq(rtest_error_code(leave(0, "w%zz", ""), 400), "BADREQUEST");
    struct support_response r =
        support_http(rtest_port(), "DELETE", "/kvroute/workers", NULL, NULL, RTEST_WAIT_MS);
    cr_expect(r.status == 405 && support_response_has(&r, "Allow: GET, HEAD, POST"));
    support_response_free(&r);
}

// Blocks that a bridge tells must be of the pool's size.
Test(register, blocks_of_another_size) {
    rtest_quick_engine(0, "--block-size 8");
    freeReplyObject(rtest_command("DEL kvroute"));
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16"));
    rtest_router(0, quick);
    await_pool();
    cr_assert_str_eq(rtest_error_code(post(0, 0, ""), 409), "BLOCKSIZE");
}

// A router, a bridge that looks at the pool, and a URL: the pool is of the engine's block size, its events come, and
// what it has is found by the tokens of its own template.
Test(register, a_url_is_all_that_is_needed) {
    char file[200], options[200], url[60];
    freeReplyObject(rtest_command("DEL kvroute"));
    support_path(file, sizeof file, "router.conf");
    FILE *f = fopen(file, "w");
    fprintf(f, "[router]\nrefresh = 100\n[pool kvroute]\ncreate = POLICY delay\n");
    fclose(f);
    snprintf(options, sizeof options,
             "--time-scale 0 --block-size 4 --events-port %d --replay-port %d", support_port(),
             support_port());
    rtest_engine(0, options);
    rtest_router(0, (const char *[]){"--config", file, NULL});
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", rtest_fleet.redis.port);
    pid_t bridge = support_start(
        (const char *[]){KVROUTE_BRIDGE, "--redis", url, "--from_pool", "yes", NULL}, NULL);
    cr_assert_eq(rtest_pool_info("kvroute", "block_size"), -1);
    joins(0, 0, "", 201);
    cr_assert_eq(rtest_pool_info("kvroute", "block_size"), 4);
    bool found = false;
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !found; rtest_clients_run(20)) {
        struct rtest_client who = rtest_ask(0, "one two three four five six seven", 2, false);
        cr_assert(who.status == 200 && kvr_clock_ms() < end, "%d: no overlap", who.status);
        found = atoi(who.overlap) > 0;
        rtest_client_free(&who);
    }
    cr_assert(rtest_pool_info("kvroute", "stored_blocks") > 0);
    support_end(&bridge, SIGKILL);
}

// ---- All routers look after it -------------------------------------------------------------------

// It outlives the router that took it, and Redis; while it doesn't answer it isn't chosen.
Test(register, it_outlives_routers_redis_and_itself) {
    rtest_quick_engine(0, "");
    rtest_router(0, quick);
    rtest_router(1, quick);
    joins(0, 0, "", 201);
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    stays(name_of(0), "state", "ready");
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    becomes(name_of(0), "state", "expired");
    rtest_router(0, quick);
    becomes(name_of(0), "state", "ready");
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    becomes(name_of(0), "state", "expired");
    rtest_quick_engine(0, "");
    becomes(name_of(0), "state", "ready");
    stays(name_of(0), "state", "ready");
    // A server that comes back empty is told by any router, not only by the one that took the POST.
    rtest_kill_redis(SIGKILL);
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16 PREDICT 600000"));
    becomes(name_of(0), "state", "ready");
    becomes(name_of(0), "labels", "by=http engine=vllm ");
    rtest_ask_well(0, "a b c", 2, false);
}

// A router that may only read leaves it to others, and is none the worse for it.
Test(register, who_may_not_register) {
    rtest_quick_engine(0, "");
    rtest_router(0, quick);
    rtest_router(1, quick);
    joins(0, 0, "", 201);
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    freeReplyObject(rtest_command("ACL SETUSER plain on >secret ~* &* +@all -kvroute.worker "
                                  "+kvroute.worker|list"));
    snprintf(rtest_fleet.url, sizeof rtest_fleet.url, "redis://plain:secret@127.0.0.1:%d",
             rtest_fleet.redis.port);
    rtest_router(0, quick);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; support_sleep_ms(20)) {
        char *log = rtest_log(0);
        bool said = strstr(log, "doesn't let this router look after") != NULL;
        free(log);
        if (said) break;
        cr_assert(kvr_clock_ms() < end, "it hasn't tried");
    }
    stays(name_of(0), "state", "ready");
    rtest_ask_well(0, "a b c", 2, false);
    cr_assert_str_eq(rtest_error_code(post(0, 0, ""), 502), "DENIED");
    rtest_end_router(0);
}

// ---- Leaving -------------------------------------------------------------------------------------

// Removed by whoever took the DELETE, and nobody brings it back; nor does a server that comes back empty.
Test(register, it_leaves_for_good) {
    rtest_quick_engine(0, "");
    rtest_quick_engine(1, "");
    rtest_router(0, quick);
    rtest_router(1, quick);
    joins(0, 0, "", 201);
    joins(0, 1, "", 201);
    stays(name_of(0), "state", "ready"); // until both have said it
    leaves(1, name_of(0), "");
    leaves(0, name_of(0), "?drain=5");
    becomes(name_of(0), "state", "none");
    stays(name_of(0), "state", "none");
    rtest_kill_redis(SIGKILL);
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16 PREDICT 600000"));
    becomes(name_of(1), "state", "ready");
    stays(name_of(0), "state", "none");
    joins(1, 0, "", 201);
    stays(name_of(0), "state", "ready");
}

// Streams end first.
Test(register, it_ends_what_it_has) {
    char *body, now[200];
    struct rtest_client who;
    rtest_engine(0, "--no-events --time-scale 1");
    rtest_router(0, quick);
    joins(0, 0, "", 201);
    rtest_await_ready(0);
    rtest_slow_streams(&who, 1, &body, 1, 40);
    leaves(0, name_of(0), "");
    while (!who.complete) {
        look(name_of(0), "state", now);
        cr_assert(strcmp(now, "none") != 0 || who.complete, "removed under its stream");
        rtest_clients_run(20);
    }
    rtest_clients_finish();
    becomes(name_of(0), "state", "none");
    rtest_client_free(&who);
    free(body);
}

// One that was expired whoever registered it; and one that was taken out in the middle, by hand.
Test(register, what_else_may_be_removed) {
    rtest_quick_engine(0, "");
    freeReplyObject(rtest_command("KVROUTE.WORKER SET kvroute w1 ADDR http://10.0.0.1:8000 TTL 1"));
    rtest_router(0, quick);
    await_pool();
    leaves(0, "w1", "");
    becomes("w1", "state", "none");
    joins(0, 0, "", 201);
    leaves(0, name_of(0), "");
    joins(0, 0, "", 200);
    stays(name_of(0), "state", "ready");
}

// Redis is away: nothing is refused, and it is there when Redis is.
Test(register, while_redis_is_away) {
    rtest_quick_engine(0, "");
    rtest_router(0, quick);
    await_pool();
    rtest_kill_redis(SIGKILL);
    json_t *w = join(0, 0, "", 202);
    cr_assert(json_is_true(json_object_get(w, "degraded")));
    json_decref(w);
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16 PREDICT 600000"));
    becomes(name_of(0), "state", "ready");
    stays(name_of(0), "state", "ready");
}
