// SPDX-License-Identifier: Apache-2.0
// The proxy: real routers between clients and mock engines, and what breaks on the way.
#define _GNU_SOURCE // asprintf, memmem
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "stand.h"
#include "tests/support/home.h"

static struct stand s;
static struct crowd crowd;

// Routers that still live end well, and have nothing left that a sanitizer would find.
static void down(void) {
    crowd_close(&crowd);
    for (int i = 0; i < STAND_ROUTERS; i++) {
        if (!s.routers[i].pid) continue;
        kill(s.routers[i].pid, SIGTERM);
        int status = stand_wait(&s.routers[i]);
        cr_assert_eq(status, 0, "router %d ends with %d", i, status);
    }
    stand_down(&s);
}

// One more engine, which routers don't know and which doesn't wait: what it answers is what the
// others must have.
enum { JUDGE = STAND_ENGINES - 1 };

// Engines with these options, and routers that register all of them.
static void up(int engines, const char *engine_options, int routers, const char *const *more) {
    static char urls[STAND_ENGINES][60];
    const char *flags[40];
    size_t n = 0;
    char all[600];
    crowd_open(&crowd);
    if (!s.redis.pid) stand_redis(&s);
    snprintf(all, sizeof all, "--no-events %s", engine_options);
    for (int i = 0; i < engines; i++) {
        stand_engine(&s, i, all);
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", s.engines[i].port);
        flags[n++] = "--engine";
        flags[n++] = urls[i];
    }
    stand_engine(&s, JUDGE,
                 "--no-events --time-scale 0 --blocks 40000 --max-model-len 40000 "
                 "--max-running 1000");
    for (; more && *more; more++)
        flags[n++] = *more;
    flags[n] = NULL;
    for (int i = 0; i < routers; i++)
        stand_router(&s, i, flags);
    for (int i = 0; i < routers; i++)
        stand_await_ready(&s, i);
}

static void fault(int engine, const char *query) {
    char path[200];
    snprintf(path, sizeof path, "/mock/fault?%s", query);
    struct response r = http_post(s.engines[engine].port, path, "");
    cr_assert(r.status == 200, "%s", query);
    response_free(&r);
}

// vllm:NAME of rank 0 of an engine.
static int metric(int engine, const char *name) {
    struct response r = http_get(s.engines[engine].port, "/metrics");
    char line[200];
    snprintf(line, sizeof line, "\nvllm:%s{engine=\"0\",", name);
    const char *at = r.status == 200 ? strstr(r.body, line) : NULL;
    at = at ? strchr(at, '}') : NULL;
    int value = at ? (int)strtod(at + 1, NULL) : -1;
    response_free(&r);
    return value;
}

static void await(bool (*holds)(void), const char *what) {
    for (int64_t end = now_ms() + PATIENCE_MS; !holds(); crowd_run(&crowd, 10))
        cr_assert(now_ms() < end, "%s", what);
}

static bool nothing_is_booked(void) {
    return stand_info(&s, "kvroute", "requests") == 0;
}

static bool engines_are_idle(void) {
    for (int i = 0; i < STAND_ENGINES; i++)
        if (s.engines[i].pid &&
            (metric(i, "num_requests_running") || metric(i, "num_requests_waiting")))
            return false;
    return true;
}

static char *chat(const char *text, int tokens, bool stream) {
    char *body;
    cr_assert(asprintf(&body,
                       "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
                       "\"max_tokens\":%d,\"stream\":%s}",
                       text, tokens, stream ? "true" : "false") > 0);
    return body;
}

static struct caller ask(int router, const char *text, int tokens, bool stream) {
    char *body = chat(text, tokens, stream);
    struct caller who =
        call_once(&crowd, s.routers[router].port, "/v1/chat/completions", NULL, body);
    free(body);
    return who;
}

static bool same_bytes(struct caller *a, struct caller *b) {
    char *x = caller_text(a), *y = caller_text(b);
    bool same = evbuffer_get_length(a->answer) == evbuffer_get_length(b->answer) &&
                !memcmp(x, y, evbuffer_get_length(a->answer));
    free(x);
    free(y);
    return same;
}

// Compares with the judge; those that `left_out` says (every third from it on, -1: none) broke off.
static void check_all(struct caller *who, char **bodies, int n, int left_out) {
    struct caller *want = calloc((size_t)n, sizeof *want);
    for (int i = 0; i < n; i++)
        crowd_start(&crowd, &want[i], s.engines[JUDGE].port, "/v1/chat/completions", NULL,
                    bodies[i]);
    crowd_finish(&crowd);
    for (int i = 0; i < n; i++) {
        bool good = who[i].complete && want[i].complete && who[i].status == want[i].status &&
                    !strcmp(who[i].type, want[i].type) && same_bytes(&who[i], &want[i]);
        cr_assert(good == (left_out < 0 || i % 3 != left_out), "%d", i);
        caller_free(&who[i]);
        caller_free(&want[i]);
        free(bodies[i]);
    }
    free(want);
}

static bool contains(struct caller *who, const char *text) {
    char *all = caller_text(who);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

static bool ends_with(struct caller *who, const char *text) {
    char *all = caller_text(who);
    size_t n = evbuffer_get_length(who->answer), m = strlen(text);
    bool found = n >= m && !memcmp(all + n - m, text, m);
    free(all);
    return found;
}

// ---- When all is well ----------------------------------------------------------------------------

enum { STREAMS = 90 };

Test(proxy, streams_are_what_engines_sent, .fini = down) {
    static struct caller who[STREAMS];
    char text[60], *bodies[STREAMS];
    up(4, "--time-scale 0", 3, NULL);
    for (int i = 0; i < STREAMS; i++) {
        snprintf(text, sizeof text, "question number %d", i);
        bodies[i] = chat(text, 20 + i * 3, true);
        crowd_start(&crowd, &who[i], s.routers[i % 3].port, "/v1/chat/completions", NULL,
                    bodies[i]);
    }
    crowd_finish(&crowd);
    for (int i = 0; i < STREAMS; i++)
        cr_assert(*who[i].worker && *who[i].id && ends_with(&who[i], "data: [DONE]\n\n"));
    check_all(who, bodies, STREAMS, -1);
    await(nothing_is_booked, "something stays booked");
}

Test(proxy, whole_answers_and_refusals_are_the_engines, .fini = down) {
    static const char *const paths[] = {"/v1/completions", "/v1/embeddings", "/v1/completions",
                                        "/v1/chat/completions", "/v1/completions"};
    static const char *const bodies[] = {
        "{\"prompt\":\"a b c\",\"max_tokens\":50}", "{\"input\":[\"a\",\"b\"]}",
        "{\"prompt\":{},\"max_tokens\":5}", "{\"messages\":[],\"stream\":true}",
        "{\"prompt\":[1,2,3],\"max_tokens\":3,\"stream\":true}"};
    static const int statuses[] = {200, 200, 400, 400, 200};
    up(1, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < 5; i++) {
        struct caller a = call_once(&crowd, s.engines[0].port, paths[i], NULL, bodies[i]);
        struct caller b = call_once(&crowd, s.routers[0].port, paths[i], NULL, bodies[i]);
        cr_assert(b.complete && b.status == statuses[i] && a.status == b.status, "%zu", i);
        cr_assert(same_bytes(&a, &b), "%zu", i);
        caller_free(&a);
        caller_free(&b);
    }
    struct response r = http_get(s.routers[0].port, "/v1/models");
    cr_assert(r.status == 200 && strstr(r.body, "\"id\":\"mock\""));
    response_free(&r);
    cr_assert_str_eq(http_code(http_post(s.routers[0].port, "/v1/completions", "[1]"), 400),
                     "BADREQUEST");
    await(nothing_is_booked, "something stays booked");
}

// ---- Who dies ------------------------------------------------------------------------------------

// Slow streams over all routers, until all of them have begun.
static void many_streams(struct caller *who, size_t n, char **bodies, int routers, int tokens) {
    char text[60];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "slow question number %zu", i);
        bodies[i] = chat(text, tokens, true);
        crowd_start(&crowd, &who[i], s.routers[i % (size_t)routers].port, "/v1/chat/completions",
                    NULL, bodies[i]);
    }
    for (int64_t end = now_ms() + PATIENCE_MS; crowd.talking < n; crowd_run(&crowd, 10))
        cr_assert(now_ms() < end && crowd.open == n, "%zu of %zu", crowd.talking, crowd.open);
}

// What is under way is booked again, while it is under way.
static void all_are_booked(void) {
    for (int64_t end = now_ms() + PATIENCE_MS;
         stand_info(&s, "kvroute", "requests") < (long long)crowd.open; crowd_run(&crowd, 20))
        cr_assert(now_ms() < end);
    cr_assert(crowd.open > 0, "all was over before it was booked");
}

// Others' streams don't notice; the engines' calls of the dead one end at once, its bookings with
// their leases.
Test(proxy, a_router_dies, .fini = down) {
    static struct caller who[60];
    char *bodies[60];
    stand_redis(&s);
    redisReply *r = stand_say(&s, "KVROUTE.CREATE kvroute PREDICT 600000 LEASE 1500");
    freeReplyObject(r);
    up(4, "--decode-speed 50 --time-scale 1", 3, NULL);
    many_streams(who, 60, bodies, 3, 100);
    int64_t began = now_ms();
    stand_kill(&s.routers[1], SIGKILL);
    while (metric(0, "num_requests_running") + metric(1, "num_requests_running") +
               metric(2, "num_requests_running") + metric(3, "num_requests_running") >
           40)
        cr_assert(now_ms() - began < 1000, "engines go on for the dead router");
    cr_assert(stand_info(&s, "kvroute", "requests") > 0);
    crowd_finish(&crowd);
    check_all(who, bodies, 60, 1);
    await(nothing_is_booked, "bookings outlive their leases");
}

Test(proxy, redis_dies_under_open_streams, .fini = down) {
    static struct caller who[200];
    char *bodies[200];
    up(4, "--decode-speed 50 --time-scale 1", 3, NULL);
    many_streams(who, 200, bodies, 3, 200);
    stand_kill(&s.redis, SIGKILL);
    // New ones find an engine all the same.
    for (int i = 0; i < 6; i++) {
        struct caller late = ask(i % 3, "is anybody there", 5, true);
        cr_assert(late.status == 200 && late.complete && ends_with(&late, "data: [DONE]\n\n"));
        caller_free(&late);
    }
    struct response r = http_get(s.routers[0].port, "/readyz");
    cr_assert(strstr(r.body, "degraded"), "%s", r.body);
    response_free(&r);
    stand_redis(&s); // empty
    all_are_booked();
    crowd_finish(&crowd);
    check_all(who, bodies, 200, -1);
    await(nothing_is_booked, "something stays booked");
}

static bool readyz_says(const char *text) {
    struct response r = http_get(s.routers[0].port, "/readyz");
    bool says = r.status == 200 && strstr(r.body, text);
    response_free(&r);
    return says;
}

static bool refuses_for_oom(void) {
    return readyz_says("\"why\":\"OOM\"");
}

static bool refuses_for_type(void) {
    return readyz_says("\"why\":\"WRONGTYPE\"");
}

static bool is_ready(void) {
    return readyz_says("\"ready\"");
}

// Redis is there and takes nothing: inference goes on, and everybody can see why it is degraded.
Test(proxy, redis_refuses, .fini = down) {
    static const struct {
        const char *on, *off;
        bool (*seen)(void);
    } cases[] = {
        {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", refuses_for_oom},
        {"SET kvroute x", "DEL kvroute", refuses_for_type},
    };
    up(2, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        freeReplyObject(stand_say(&s, cases[i].on));
        await(cases[i].seen, "the refusal isn't seen");
        for (int k = 0; k < 4; k++) {
            struct caller who = ask(0, "a b c", 5, k & 1);
            cr_assert(who.status == 200 && who.complete, "%s: %d", cases[i].on, who.status);
            caller_free(&who);
        }
        freeReplyObject(stand_say(&s, cases[i].off));
        struct caller who = ask(0, "a b c", 5, false); // it takes bookings again
        cr_assert(who.status == 200);
        caller_free(&who);
        await(is_ready, "it stays degraded");
    }
    char *log = stand_log(&s, 0);
    cr_assert(strstr(log, "it refuses bookings: OOM") && strstr(log, "\"degraded\":true"), "%s",
              log);
    free(log);
    await(nothing_is_booked, "something stays booked");
}

// Its engines are in its own settings.
Test(proxy, a_router_starts_without_redis, .fini = down) {
    char url[60];
    const char *const flags[] = {"--engine", url, NULL};
    crowd_open(&crowd);
    stand_redis(&s);
    stand_kill(&s.redis, SIGKILL);
    stand_engine(&s, 0, "--no-events --time-scale 0");
    snprintf(url, sizeof url, "http://127.0.0.1:%d", s.engines[0].port);
    stand_router(&s, 0, flags);
    cr_assert(readyz_says("\"degraded\"") && readyz_says("\"why\":\"no primary\""));
    for (int k = 0; k < 4; k++) {
        struct caller who = ask(0, "a b c", 5, k & 1);
        cr_assert(who.status == 200 && who.complete, "%d", who.status);
        caller_free(&who);
    }
    stand_redis(&s);
    stand_await_ready(&s, 0);
    struct caller who = ask(0, "a b c", 5, false);
    cr_assert(who.status == 200 && who.complete);
    caller_free(&who);
    await(nothing_is_booked, "something stays booked");
}

// The primary dies, and its replica takes over: not one of 200 open streams notices, all of them are
// booked there, and what comes meanwhile is served.
Test(proxy, the_primary_dies_under_open_streams, .fini = down) {
    static struct caller who[200];
    char *bodies[200];
    stand_redis(&s);
    stand_sentinel(&s);
    up(4, "--decode-speed 50 --time-scale 1", 3, NULL);
    many_streams(who, 200, bodies, 3, 350);
    stand_kill(&s.redis, SIGKILL);
    s.redis.port = s.replica.port; // where the pool is looked at from now on
    for (int i = 0; i < 30; i++) {
        struct caller late = ask(i % 3, "is anybody there", 2, true);
        cr_assert(late.status == 200 && late.complete && ends_with(&late, "data: [DONE]\n\n"));
        caller_free(&late);
        crowd_run(&crowd, 50);
    }
    for (int64_t end = now_ms() + PATIENCE_MS; stand_integer(&s, "DEL nothing") < 0;
         crowd_run(&crowd, 20))
        cr_assert(now_ms() < end, "the replica isn't promoted");
    all_are_booked();
    crowd_finish(&crowd);
    check_all(who, bodies, 200, -1);
    await(nothing_is_booked, "something stays booked");
}

// What the pool is still to be told can't be told: the router waits a little, and ends well.
Test(proxy, leaves_while_redis_stands_still, .fini = down) {
    up(1, "--time-scale 0", 1, NULL);
    stand_kill(&s.redis, SIGSTOP);
    struct caller who = ask(0, "a b c", 2, true);
    cr_assert(who.status == 200 && who.complete);
    caller_free(&who);
    kill(s.routers[0].pid, SIGTERM);
    cr_assert_eq(stand_wait(&s.routers[0]), 0);
    stand_kill(&s.redis, SIGCONT);
}

// A lease that is shorter than the answer is renewed.
Test(proxy, a_booking_lives_as_long_as_its_stream, .fini = down) {
    stand_redis(&s);
    freeReplyObject(stand_say(&s, "KVROUTE.CREATE kvroute PREDICT 600000 LEASE 1500"));
    up(1, "--decode-speed 30 --time-scale 1", 1, NULL);
    struct caller who;
    char *body = chat("a b c", 110, true);
    crowd_start(&crowd, &who, s.routers[0].port, "/v1/chat/completions", NULL, body);
    while (!who.heard)
        crowd_run(&crowd, 5);
    for (int64_t began = now_ms(); now_ms() - began < 3000; crowd_run(&crowd, 50))
        cr_assert(stand_info(&s, "kvroute", "requests") == 1, "gone after %d ms",
                  (int)(now_ms() - began));
    crowd_finish(&crowd);
    cr_assert(who.complete && stand_info(&s, "kvroute", "expired_requests") == 0);
    caller_free(&who);
    free(body);
    await(nothing_is_booked, "something stays booked");
}

// ---- Engines that fail ---------------------------------------------------------------------------

static bool engine_answers(void) {
    return metric(0, "num_requests_running") >= 0;
}

static int failed_tries(int router) {
    struct response r = http_get(s.routers[router].port, "/metrics");
    int tries = 0;
    for (const char *at = r.body; (at = strstr(at, "outcome=\"failed\"}"));)
        tries += atoi(at += 17);
    response_free(&r);
    return tries;
}

// Before the first byte: the client sees one good answer.
Test(proxy, an_engine_fails_before_it_answers, .fini = down) {
    static const char *const faults[] = {"kind=reset", "kind=reset&gently=1",
                                         "kind=fail&status=500", "kind=fail&status=503",
                                         "kind=refuse&ms=300"};
    up(2, "--time-scale 0", 1, NULL);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        for (int stream = 0; stream < 2; stream++) {
            await(engine_answers, "an engine that refused doesn't answer again");
            fault(0, faults[i]);
            // Of two requests one goes to the first engine.
            for (int k = 0; k < 2; k++) {
                struct caller who = ask(0, "a b c", 5, stream);
                cr_assert(who.status == 200 && who.complete, "%s: %d", faults[i], who.status);
                cr_assert(!contains(&who, "error"));
                caller_free(&who);
            }
        }
    stand_kill(&s.engines[0], SIGKILL);
    for (int k = 0; k < 4; k++) {
        struct caller who = ask(0, "a b c", 5, k & 1);
        cr_assert(who.status == 200 && who.complete);
        caller_free(&who);
    }
    await(nothing_is_booked, "something stays booked");
    char *log = stand_log(&s, 0);
    cr_assert(strstr(log, "\"tries\":2"), "%s", log);
    free(log);
}

// A full queue is one engine's: another is asked, once, and neither is blamed.
Test(proxy, an_engine_has_too_much_to_do, .fini = down) {
    static const char *const faults[] = {"kind=fail&n=1000&status=429",
                                         "kind=fail&n=1000&status=408"};
    static const int statuses[] = {429, 408};
    up(2, "--time-scale 0", 1, NULL);
    for (int i = 0; i < 2; i++) {
        fault(0, faults[i]);
        for (int k = 0; k < 4; k++) {
            struct caller who = ask(0, "a b c", 5, k & 1);
            cr_assert(who.status == 200 && who.complete, "%s: %d", faults[i], who.status);
            caller_free(&who);
        }
        fault(1, faults[i]);
        struct caller who = ask(0, "a b c", 5, false);
        cr_assert(who.status == statuses[i] && who.complete, "%s: %d", faults[i], who.status);
        caller_free(&who);
        fault(1, "kind=clear");
    }
    await(nothing_is_booked, "something stays booked");
    cr_assert(failed_tries(0) == 0 && stand_info(&s, "kvroute", "open_circuits") == 0);
}

static long long failures(int engine) {
    redisReply *r =
        stand_say(&s, "KVROUTE.WORKER GET kvroute 127.0.0.1:%d", s.engines[engine].port);
    long long n = -1;
    for (size_t i = 0; r && i + 1 < r->elements; i += 2)
        if (!strcmp(r->element[i]->str, "failures")) n = r->element[i + 1]->integer;
    if (r) freeReplyObject(r);
    return n;
}

static bool the_first_is_blamed(void) {
    return failures(0) == 1;
}

// A request may be what its engines fail of: no more than two get it, and only when the second one
// answers is the first to blame.
Test(proxy, a_request_that_engines_fail_of, .fini = down) {
    static const char *const faults[] = {"kind=fail&n=1&status=500", "kind=reset"};
    static const int statuses[] = {500, 502};
    up(4, "--time-scale 0", 1, NULL);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 4; k++)
            fault(k, faults[i]);
        struct caller who = ask(0, "a b c", 5, false);
        cr_assert(who.status == statuses[i] && who.complete, "%d", who.status);
        cr_assert(failed_tries(0) == 2 * (i + 1), "%d tries", failed_tries(0));
        caller_free(&who);
        await(nothing_is_booked, "something stays booked");
        for (int k = 0; k < 4; k++) {
            cr_assert(failures(k) == 0, "engine %d is blamed", k);
            fault(k, "kind=clear");
        }
    }
    fault(0, "kind=fail&n=1&status=500");
    while (failed_tries(0) == 4) { // until one comes to it
        struct caller who = ask(0, "a b c", 5, false);
        cr_assert(who.status == 200 && who.complete, "%d", who.status);
        caller_free(&who);
    }
    await(the_first_is_blamed, "nobody is blamed");
}

// After it: a stream ends with an event that says so, whatever else is visibly broken.
Test(proxy, an_engine_fails_within_its_answer, .fini = down) {
    up(1, "--decode-speed 200 --time-scale 1", 1, NULL);
    for (int gently = 0; gently < 2; gently++) {
        fault(0, gently ? "kind=cut&tokens=4&gently=1" : "kind=cut&tokens=4");
        struct caller who = ask(0, "a b c", 50, true), all = ask(0, "a b c", 50, true);
        char *text = caller_text(&who), *whole = caller_text(&all),
             *error = strstr(text, "data: {\"error\":");
        cr_assert(who.status == 200 && who.complete && error);
        cr_assert(ends_with(&who, "\"code\":\"ENGINE\"}}\n\n"));
        cr_assert(error > text && !strncmp(text, whole, (size_t)(error - text)));
        cr_assert(all.complete && !contains(&all, "error"));
        free(text);
        free(whole);
        caller_free(&who);
        caller_free(&all);
    }
    struct caller who;
    char *body = chat("a long story", 1000, true);
    crowd_start(&crowd, &who, s.routers[0].port, "/v1/chat/completions", NULL, body);
    while (!who.heard)
        crowd_run(&crowd, 5);
    stand_kill(&s.engines[0], SIGKILL);
    crowd_finish(&crowd);
    cr_assert(who.complete && ends_with(&who, "\"code\":\"ENGINE\"}}\n\n"));
    caller_free(&who);
    free(body);
    await(nothing_is_booked, "something stays booked");
}

// An overload isn't multiplied: beyond the budget nobody is tried twice.
Test(proxy, retries_have_a_budget, .fini = down) {
    static const char *const flags[] = {"--retry_percent", "10", "--retry_burst", "5", NULL};
    up(3, "--time-scale 0", 1, flags);
    for (int i = 0; i < 3; i++)
        fault(i, "kind=fail&n=1000&status=503");
    for (int i = 0; i < 100; i++) {
        struct caller who = ask(0, "a b c", 5, false);
        cr_assert(who.status == 503 && who.complete);
        cr_assert(contains(&who, "a fault on request"));
        caller_free(&who);
    }
    int tries = failed_tries(0);
    cr_assert(tries >= 105 && tries <= 116, "%d tries", tries);
}

// ---- Clients -------------------------------------------------------------------------------------

static bool nothing_runs(void) {
    return engines_are_idle() && nothing_is_booked();
}

Test(proxy, clients_that_leave_end_the_engines_work, .fini = down) {
    static struct caller who[30];
    char *bodies[30];
    up(2, "--decode-speed 20 --time-scale 1", 1, NULL);
    many_streams(who, 30, bodies, 1, 100);
    int64_t began = now_ms();
    for (int i = 0; i < 30; i++)
        caller_leave(&who[i]);
    await(nothing_runs, "an engine goes on for nobody");
    cr_assert(now_ms() - began < 3000);
    // Also those that leave before anything has come.
    fault(0, "kind=hang-engine");
    fault(1, "kind=hang-engine");
    for (int i = 0; i < 30; i++) {
        caller_free(&who[i]);
        crowd_start(&crowd, &who[i], s.routers[0].port, "/v1/chat/completions", NULL, bodies[i]);
    }
    crowd_run(&crowd, 100);
    for (int i = 0; i < 30; i++) {
        caller_leave(&who[i]);
        caller_free(&who[i]);
        free(bodies[i]);
    }
    fault(0, "kind=clear");
    fault(1, "kind=clear");
    await(nothing_runs, "an engine goes on for nobody");
}

// A client that takes nothing: the engine waits, and the router's memory stays as it was.
Test(proxy, slow_clients_cost_no_memory, .fini = down) {
    enum { SLOW = 8 };
    static struct caller who[SLOW];
    char *bodies[SLOW];
    up(1, "--time-scale 0 --blocks 40000 --max-model-len 40000", 1, NULL);
    long before = stand_memory(&s, 0, "VmRSS");
    for (int i = 0; i < SLOW; i++) {
        bodies[i] = chat("tell me everything", 30000, true);
        crowd_start(&crowd, &who[i], s.routers[0].port, "/v1/chat/completions", NULL, bodies[i]);
    }
    for (int i = 0; i < SLOW; i++)
        h1_call_pause(who[i].call);
    crowd_run(&crowd, 1500);
    long after = stand_memory(&s, 0, "VmRSS");
    cr_assert(getenv("ASAN_OPTIONS") || after - before < 8192, "%ld kB, then %ld", before, after);
    cr_assert(metric(0, "num_requests_running") >= 0);
    for (int i = 0; i < SLOW; i++)
        h1_call_resume(who[i].call);
    crowd_finish(&crowd);
    check_all(who, bodies, SLOW, -1);
    await(nothing_is_booked, "something stays booked");
}

// ---- Circuits ------------------------------------------------------------------------------------

static bool first_engine_serves(void) {
    struct caller who = ask(0, "a b c", 2, false);
    char port[20];
    snprintf(port, sizeof port, ":%d", s.engines[0].port);
    bool served = strstr(who.worker, port) != NULL;
    cr_assert(who.status == 200);
    caller_free(&who);
    return served;
}

// A dead engine costs a few tries, and then none, whatever router they come through, until it answers
// again.
Test(proxy, a_dead_engine_is_left_alone, .fini = down) {
    static const char *const flags[] = {"--probe", "200", NULL};
    up(2, "--time-scale 0", 2, flags);
    stand_kill(&s.engines[0], SIGKILL);
    for (int i = 0; i < 80; i++) {
        struct caller who = ask(i / 40, "a b c", 2, i & 1);
        cr_assert(who.status == 200 && who.complete);
        caller_free(&who);
    }
    cr_assert(failed_tries(0) >= 1 && failed_tries(0) <= 4, "%d tries", failed_tries(0));
    cr_assert(failed_tries(1) == 0, "%d tries", failed_tries(1));
    stand_engine(&s, 0, "--no-events --time-scale 0");
    await(first_engine_serves, "the engine isn't chosen any more");
    cr_assert(stand_info(&s, "kvroute", "open_circuits") == 0);
}

// It takes connections and says nothing: what waits there is taken elsewhere when the probes know it.
Test(proxy, an_engine_stands_still, .fini = down) {
    enum { WAITING = 12 };
    static struct caller who[WAITING];
    up(2, "--time-scale 0", 1, NULL);
    stand_kill(&s.engines[0], SIGSTOP);
    char *body = chat("a b c", 2, false);
    for (int i = 0; i < WAITING; i++)
        crowd_start(&crowd, &who[i], s.routers[0].port, "/v1/chat/completions", NULL, body);
    crowd_finish(&crowd);
    for (int i = 0; i < WAITING; i++) {
        cr_assert(who[i].status == 200 && who[i].complete, "%d", who[i].status);
        caller_free(&who[i]);
    }
    cr_assert(failed_tries(0) > 0 && stand_info(&s, "kvroute", "open_circuits") == 1);
    free(body);
    stand_kill(&s.engines[0], SIGCONT);
    await(first_engine_serves, "the engine isn't chosen any more");
}

// One that computes for long without a word is asked whether it lives, and left in peace.
Test(proxy, an_engine_takes_its_time, .fini = down) {
    up(2, "--decode-speed 10 --time-scale 1", 1, NULL);
    struct caller who = ask(0, "a b c", 40, false);
    cr_assert(who.status == 200 && who.complete);
    caller_free(&who);
    cr_assert(failed_tries(0) == 0 && failures(0) == 0 && failures(1) == 0);
    char *log = stand_log(&s, 0);
    cr_assert(!strstr(log, "\"tries\""), "%s", log);
    free(log);
}

// Which of the engines is asked what they serve is a matter of chance; who is dead isn't one of it.
Test(proxy, models_while_an_engine_is_dead, .fini = down) {
    up(3, "--time-scale 0", 1, NULL);
    stand_kill(&s.engines[1], SIGKILL);
    for (int i = 0; i < 6; i++) {
        struct response r = http_get(s.routers[0].port, "/v1/models");
        cr_assert(r.status == 200 && strstr(r.body, "\"id\":\"mock\""), "%d %s", r.status, r.body);
        response_free(&r);
    }
    struct response r = http_get(s.routers[0].port, "/health");
    cr_assert(r.status == 200 && !strcmp(r.body, "ok\n"));
    response_free(&r);
}

// The pool can't say which engine is dead: then the router knows by itself.
Test(proxy, an_engine_dies_while_redis_is_away, .fini = down) {
    up(3, "--time-scale 0", 1, NULL);
    stand_kill(&s.redis, SIGKILL);
    stand_kill(&s.engines[1], SIGKILL);
    for (int i = 0; i < 60; i++) {
        struct caller who = ask(0, "a b c", 2, i & 1);
        cr_assert(who.status == 200 && who.complete);
        caller_free(&who);
    }
    cr_assert(failed_tries(0) >= 1 && failed_tries(0) <= 4, "%d tries", failed_tries(0));
    stand_redis(&s);
    await(nothing_is_booked, "something stays booked");
}
