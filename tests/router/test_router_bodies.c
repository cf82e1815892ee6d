// SPDX-License-Identifier: Apache-2.0
// Bodies of every costly kind, as large as they may be: they are read as small ones are, and hold up nobody.
#include <criterion/criterion.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/router/router_offload.h"
#include "rtest_fleet.h"
#include "tests/support/support_home.h"

enum { MEGABYTE = 1 << 20, LIMIT = 16 * MEGABYTE };

// ---- Making them ---------------------------------------------------------------------------------

// before, then n times the item, numbered where it has a %, with commas between, then after. To be freed.
static char *made_of(const char *before, const char *item, size_t n, const char *after) {
    char *body = malloc(LIMIT + 1), *at = body + sprintf(body, "%s", before);
    for (size_t i = 0; i < n; i++) {
        at += i ? sprintf(at, ",") : 0;
        at += sprintf(at, item, (int)i);
    }
    sprintf(at, "%s", after);
    return body;
}

// A prompt of so many words, as text.
static char *long_prompt(size_t words) {
    char *body = malloc(words * 8 + 100),
         *at = body + sprintf(body, "{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":\"");
    for (size_t i = 0; i < words; i++)
        at += sprintf(at, "%07zu ", i);
    sprintf(at, "\"}");
    return body;
}

#define HEAD "{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":\"x\",\"more\":"

static const struct nasty_kind {
    const char *before, *item;
    size_t n;
    const char *after;
    int status;
} kinds[] = {
    {HEAD "{", "\"%07d\":0", 1000000, "}}", 400}, // too many names
    {HEAD "{", "\"%07d\":0", 200000, "}}", 200},
    {HEAD "[", "[]", 65000, "]}", 200},
    {HEAD "[", "[]", 1000000, "]}", 400},
    {HEAD "[", "{\"a\":%d}", 65000, "]}", 200},
    {HEAD "[", "1", 2000000, "]}", 200},
    {HEAD "[", "1.5e300", 1000000, "]}", 200},
    {HEAD "[", "\"\\u00e9%d\"", 250000, "]}", 200},
    {HEAD "[", "\"ab\"", 2000000, "]}", 400},
    {"{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":[", "%d", 100000, "]}", 200},
    {"{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":\"", "hello %d", 1000000, "\"}", 200},
    {"{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":", "[", 5000, "}", 400}, // and no end
    {"{\"max_tokens\":1,\"prompt\":\"x\",\"model\":\"", "a:", 513, "\"}", 400},
    {"{\"max_tokens\":1,\"prompt\":\"x\",\"model\":\"", "a:", 4000000, "\"}", 400},
};

static char *body_of(const struct nasty_kind *k) {
    return made_of(k->before, k->item, k->n, k->after);
}

static void up(const char *const *more) {
    rtest_fleet_up(1, "--time-scale 0 --max-model-len 4000000 --blocks 400000", 1, more);
}

static double read_apart(void) {
    return rtest_router_metric(0, "bodies_apart_total");
}

static struct rtest_client complete(const char *body) {
    return rtest_client_call(rtest_port(), "/v1/completions", "Content-Type: application/json\r\n",
                             body);
}

// ---- Each kind -----------------------------------------------------------------------------------

Test(bodies, each_kind, .fini = rtest_fleet_down, .timeout = 180) {
    double apart = 0;
    up(NULL);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *body = body_of(&kinds[i]);
        struct rtest_client who = complete(body);
        cr_assert(who.status == kinds[i].status && who.complete, "%zu: %d", i, who.status);
        rtest_client_free(&who);
        apart += strlen(body) > 32 << 10;
        free(body);
        cr_assert_eq(read_apart(), apart, "%zu", i);
    }
    rtest_ask_well(0, "a small one", 1, false);
    cr_assert_eq(read_apart(), apart);
}

// What is read apart has the same blocks: the second time they are where the first went.
Test(bodies, blocks_are_found_again, .fini = rtest_fleet_down) {
    char *bodies[] = {
        long_prompt(20000),
        made_of("{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":[", "%d", 20000, "]}")};
    up(NULL);
    for (int i = 0; i < 2; i++) {
        struct rtest_client first = complete(bodies[i]), second = complete(bodies[i]);
        cr_assert(first.status == 200 && second.status == 200, "%d", i);
        cr_assert_eq(atoi(first.overlap), 0);
        cr_assert_geq(atoi(second.overlap), 1000, "%s", second.overlap);
        rtest_client_free(&first);
        rtest_client_free(&second);
        free(bodies[i]);
    }
    cr_assert_eq(read_apart(), 4);
}

// So is what an engine says of a long prompt's tokens.
Test(bodies, many_tokens_of_an_engine, .fini = rtest_fleet_down) {
    char *body = long_prompt(20000);
    rtest_redis();
    freeReplyObject(rtest_command("KVROUTE.CREATE kvroute BLOCKSIZE 16"));
    up((const char *[]){"--pool", "kvroute blocks=tokenize", NULL});
    struct rtest_client who = complete(body);
    cr_assert_eq(who.status, 200);
    cr_assert_eq(rtest_router_metric(0, "tokenize_total{outcome=\"ok\"}"), 1);
    cr_assert_geq(rtest_router_metric(0, "request_blocks_total"), 1000);
    cr_assert_eq(read_apart(), 2);
    rtest_client_free(&who);
    free(body);
}

Test(bodies, advice, .fini = rtest_fleet_down) {
    char *ids = made_of("{\"tokens\":[", "%d", 200000, "]}");
    char *names = made_of("{", "\"%07d\":0", 100000, "}");
    char *requests = made_of("{\"requests\":[", "\"r%d\"", 50000, "]}");
    up(NULL);
    json_t *choice = rtest_json(rtest_post(rtest_port(), "/v1/select", ids), 200);
    cr_assert_eq(json_integer_value(json_object_get(choice, "blocks")), 200000 / 16);
    json_decref(choice);
    cr_assert_str_eq(rtest_error_code(rtest_post(rtest_port(), "/v1/select", names), 400),
                     "BADREQUEST");
    json_decref(rtest_json(rtest_post(rtest_port(), "/v1/release", requests), 200));
    cr_assert_eq(read_apart(), 3);
    free(ids);
    free(names);
    free(requests);
}

// A text is hashed there, too, and as the proxy does it.
Test(bodies, advice_on_a_text, .fini = rtest_fleet_down) {
    char *sent =
        made_of("{\"model\":\"mock\",\"max_tokens\":1,\"prompt\":\"", "%07d", 20000, "\"}");
    char *asked = made_of("{\"model\":\"mock\",\"text\":\"", "%07d", 20000, "\"}");
    up(NULL);
    struct rtest_client who = complete(sent);
    cr_assert_eq(who.status, 200);
    json_t *choice = rtest_json(rtest_post(rtest_port(), "/v1/select", asked), 200);
    cr_assert_eq(json_integer_value(json_object_get(choice, "blocks")), (20000 * 8 - 1) / 64);
    cr_assert_eq(json_integer_value(json_object_get(choice, "overlap")), (20000 * 8 - 1) / 64);
    cr_assert_eq(read_apart(), 2);
    json_decref(choice);
    rtest_client_free(&who);
    free(sent);
    free(asked);
}

// ---- Others beside them --------------------------------------------------------------------------

// Four clients with what takes long: until they have their answers, others get theirs by the score. Were
// each body read in one go, there would be some five.
Test(bodies, others_are_served_meanwhile, .fini = rtest_fleet_down, .timeout = 600) {
    char *body = made_of(HEAD "[", "1.5e300", 1500000, "]}");
    struct rtest_client big[4];
    int served = 0;
    up(NULL);
    int fd = support_http_connect(rtest_port());
    for (int i = 0; i < 4; i++)
        rtest_client_start(&big[i], rtest_port(), "/v1/completions", NULL, body);
    while (read_apart() < 1)
        rtest_clients_run(1);
    for (int64_t end = kvr_clock_ms() + 500000; rtest_callers.open; served++) {
        support_http_request(fd, "GET", "/healthz", NULL, NULL);
        cr_assert(rtest_is_served(support_http_response(fd, false, RTEST_WAIT_MS)));
        rtest_clients_run(1);
        cr_assert(kvr_clock_ms() < end);
    }
    cr_assert_geq(served, 20);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(big[i].status, 200);
        rtest_client_free(&big[i]);
    }
    close(fd);
    free(body);
}

static int leavers; // so far

static bool all_have_left(void) {
    return read_apart() == leavers && rtest_router_metric(0, "queued_bytes") == 0;
}

// They leave before their bodies are read: these go with them. One leaves after the other: what comes at once may all be
// there at once.
Test(bodies, clients_that_leave, .fini = rtest_fleet_down, .timeout = 120) {
    char *body = made_of(HEAD "[", "1", 2 * MEGABYTE - 1000, "]}"), head[200];
    up(NULL);
    int n = snprintf(head, sizeof head,
                     "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     strlen(body));
    for (leavers = 1; leavers <= 60; leavers++) {
        int fd = support_http_connect(rtest_port());
        support_http_send(fd, head, (size_t)n);
        support_http_send(fd, body, strlen(body));
        close(fd);
        rtest_await(all_have_left, "bodies of nobody are kept");
    }
    rtest_ask_well(0, "all is well", 1, false);
    // 240 MB have come. One body, parsed, is some 80 MB; what waits of others is 4 MB each.
    if (!getenv("ASAN_OPTIONS"))
        cr_assert_lt(rtest_memory(0, "VmHWM"), 220 << 10, "%ld kB", rtest_memory(0, "VmHWM"));
    free(body);
}

// ---- A router that leaves ------------------------------------------------------------------------

static void leave(const char *drain, int status) {
    char *body = made_of(HEAD "[", "1.5e300", 800000, "]}");
    struct rtest_client big[4];
    up((const char *[]){"--drain", drain, NULL});
    for (int i = 0; i < 4; i++)
        rtest_client_start(&big[i], rtest_port(), "/v1/completions", NULL, body);
    while (read_apart() < 4)
        rtest_clients_run(1);
    kill(rtest_fleet.routers[0].pid, SIGTERM);
    rtest_clients_finish();
    cr_assert_eq(rtest_wait(&rtest_fleet.routers[0]), 0);
    for (int i = 0; i < 4; i++) {
        cr_assert(!status || big[i].status == status, "%d", big[i].status);
        rtest_client_free(&big[i]);
    }
    free(body);
}

Test(bodies, are_answered_when_the_router_leaves, .fini = rtest_fleet_down, .timeout = 120) {
    leave("60000", 200);
}

Test(bodies, are_given_up_with_the_router, .fini = rtest_fleet_down, .timeout = 120) {
    leave("0", 0);
}

// ---- The thread ----------------------------------------------------------------------------------

struct tried_job {
    struct router_job job; // first
    int ran, done;         // as which
};

static int n_ran, n_done;
static struct event_base *base;

static void run(struct router_job *j) {
    ((struct tried_job *)j)->ran = ++n_ran;
    usleep(2000);
}

static void done(struct router_job *j) {
    ((struct tried_job *)j)->done = ++n_done;
}

Test(offload, order_cancelling_and_the_end) {
    enum { JOBS = 30 };
    static struct tried_job jobs[JOBS];
    int cancelled = 0, finished = 0;
    base = event_base_new();
    struct router_offload *o = router_offload_new(base);
    cr_assert(o);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].job = (struct router_job){.run = run, .done = done};
        router_offload_add(o, &jobs[i].job, i == JOBS - 1);
    }
    for (int i = 10; i < 15; i++)
        cancelled += router_offload_cancel(o, &jobs[i].job);
    cr_assert_geq(cancelled, 4); // one may run
    while (n_done < 5)
        event_base_loop(base, EVLOOP_ONCE);
    cr_assert_lt(jobs[JOBS - 1].ran, 5); // it was urgent
    router_offload_free(o);
    for (int i = 0; i < JOBS; i++) {
        finished += jobs[i].done > 0;
        cr_assert_eq(jobs[i].done > 0, jobs[i].ran > 0, "%d", i);
        cr_assert(i < 2 || i == JOBS - 1 || !jobs[i].ran || !jobs[i - 1].ran ||
                      jobs[i - 1].ran < jobs[i].ran,
                  "%d", i);
    }
    cr_assert_eq(finished, JOBS - cancelled);
    event_base_free(base);
}

// One that is large waits until the loop has dealt with what is finished; others don't, and nor do urgent ones.
Test(offload, large_ones_wait_for_the_loop) {
    static struct tried_job first, large, small;
    base = event_base_new();
    struct router_offload *o = router_offload_new(base);
    cr_assert(o);
    struct tried_job *const all[] = {&first, &large, &small};
    for (int i = 0; i < 3; i++) {
        all[i]->job = (struct router_job){.run = run, .done = done, .large = i < 2};
        router_offload_add(o, &all[i]->job, false);
    }
    support_sleep_ms(100);
    cr_expect_eq(large.ran, 0);
    cr_expect(router_offload_cancel(o, &large.job));
    router_offload_add(o, &large.job, true);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !large.ran; support_sleep_ms(1))
        cr_assert(kvr_clock_ms() < end, "an urgent one waits");
    router_offload_free(o);
    for (int i = 0; i < 3; i++)
        cr_expect(all[i]->ran && all[i]->done, "%d", i);
    event_base_free(base);
}
