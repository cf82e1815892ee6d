// SPDX-License-Identifier: Apache-2.0
// Prompts computed by one engine and answered by another, in each of the ways that engines have for it.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_pairs.h"
#include "tests/support/support_home.h"

static const char *const paths[] = {"/v1/chat/completions", "/v1/completions"};

// What comes is what one engine alone says, byte by byte, and the prompt was computed by the other one.
static void compare(const char *path, const char *first, bool stream, int prefill) {
    struct rtest_client who = rtest_pairs_ask(rtest_port(), path, first, stream);
    struct rtest_client want =
        rtest_pairs_ask(rtest_fleet.engines[RTEST_REFERENCE].port, path, first, stream);
    char *text = rtest_client_text(&who);
    cr_assert(who.status == 200 && who.complete, "%s %s: %d %s", path, first, who.status, text);
    cr_assert(rtest_pairs_same(&who, &want), "%s %s: %s", path, first, text);
    if (prefill >= 0)
        cr_assert(rtest_pairs_by(who.prefill, prefill), "by '%s'", who.prefill);
    else
        cr_assert(!*who.prefill, "by '%s'", who.prefill);
    free(text);
    rtest_client_free(&who);
    rtest_client_free(&want);
}

static bool
    together; // both engines have the request at once: the answer may be over before the prompt's is here

static bool is_logged(void) {
    char *log = rtest_log(0);
    bool is = strstr(log, "\"prefill_worker\":\"127.0.0.1:") &&
              (together || strstr(log, "\"prefill_ms\":"));
    free(log);
    return is;
}

static void all_of_a_kind(const char *kind, int ranks) {
    static const char *const prompts[] = {"one", "two", "three", "four"};
    const struct rtest_pairs plan = {.kind = kind, .prefills = 1, .decodes = 1, .ranks = ranks};
    together = !strcmp(kind, "sglang") || !strcmp(kind, "mooncake");
    rtest_pairs_up(&plan);
    for (int round = 0; round < (ranks ? 3 : 1); round++)
        for (int i = 0; i < 4; i++) {
            char first[40];
            snprintf(first, sizeof first, "%s %d", prompts[i], round);
            compare(paths[i / 2], first, i % 2, 0);
        }
    rtest_pairs_settle();
    if (strcmp(kind, "shared") != 0) {
        int n = ranks ? 12 : 4;
        cr_assert(rtest_transfers(1, "received") == n, "%lld", rtest_transfers(1, "received"));
        cr_assert(rtest_transfers(0, "sent") == n && !rtest_transfers(0, "expired"));
    }
    cr_assert(rtest_failed_tries(0) == 0);
    rtest_await(is_logged, "the access log says nothing of it");
}

Test(pairs, nixl, .fini = rtest_fleet_down) {
    all_of_a_kind("nixl", 0);
}

Test(pairs, mooncake, .fini = rtest_fleet_down) {
    all_of_a_kind("mooncake", 0);
}

Test(pairs, shared, .fini = rtest_fleet_down) {
    all_of_a_kind("shared", 0);
}

Test(pairs, sglang, .fini = rtest_fleet_down) {
    all_of_a_kind("sglang", 0);
}

Test(pairs, trtllm, .fini = rtest_fleet_down) {
    all_of_a_kind("trtllm", 0);
}

Test(pairs, nixl_with_ranks, .fini = rtest_fleet_down) {
    all_of_a_kind("nixl", 2);
}

Test(pairs, mooncake_with_ranks, .fini = rtest_fleet_down) {
    all_of_a_kind("mooncake", 2);
}

Test(pairs, sglang_with_ranks, .fini = rtest_fleet_down) {
    all_of_a_kind("sglang", 2);
}

Test(pairs, trtllm_with_ranks, .fini = rtest_fleet_down) {
    all_of_a_kind("trtllm", 2);
}

// Answers that are read beside the loop; and one that nobody waits for any more.
static void long_prompts(const char *kind) {
    enum { LONG_WORDS = 9000 };
    const struct rtest_pairs plan = {.kind = kind, .prefills = 1, .decodes = 1};
    char *first = calloc(LONG_WORDS, 8);
    rtest_pairs_up(&plan);
    for (size_t i = 0, n = 0; i < LONG_WORDS; i++)
        n += (size_t)sprintf(first + n, "w%zu ", i);
    for (int i = 0; i < 4; i++)
        compare(paths[i / 2], first, i % 2, 0);
    struct rtest_client who;
    for (int ms = 0; ms < 40; ms += 4) {
        rtest_pairs_begin(&who, first, 12, true);
        rtest_clients_run(ms);
        rtest_client_leave(&who);
        rtest_client_free(&who);
    }
    compare(paths[0], first, true, 0);
    cr_assert(rtest_router_metric(0, "bodies_apart_total") > 4);
    rtest_await(rtest_nothing_booked, "something stays booked");
    free(first);
}

Test(pairs, long_prompts_nixl, .fini = rtest_fleet_down) {
    long_prompts("nixl");
}

Test(pairs, long_prompts_trtllm, .fini = rtest_fleet_down) {
    long_prompts("trtllm");
}

// ---- What one engine does alone ------------------------------------------------------------------

static void up(const char *kind, int prefills, int decodes, int local) {
    const struct rtest_pairs plan = {
        .kind = kind, .prefills = prefills, .decodes = decodes, .local = local};
    rtest_pairs_up(&plan);
}

// A request of two answers, of its own transfers, …: the engine that decodes does all of it, and only that has it.
Test(pairs, what_cannot_be_split, .fini = rtest_fleet_down) {
    static const char *const bodies[] = {
        "{\"model\":\"mock\",\"prompt\":\"a b c\",\"max_tokens\":2,\"n\":2}",
        "{\"model\":\"mock\",\"prompt\":[\"a b c\"],\"max_tokens\":2}",
        "{\"model\":\"mock\",\"prompt\":\"a b c\",\"max_tokens\":2,\"prompt_logprobs\":1}",
        "{\"model\":\"mock\",\"prompt\":\"a b c\",\"max_tokens\":2,\"echo\":true,\"logprobs\":1}",
        "{\"model\":\"mock\",\"prompt\":\"a b c\",\"max_tokens\":2,\"kv_transfer_params\":{}}",
        "{\"mod\\u0065l\":\"mock\",\"prompt\":\"a b c\",\"max_tokens\":2}",
    };
    up("nixl", 1, 1, 0);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct rtest_client who =
            rtest_client_call(rtest_port(), "/v1/completions", NULL, bodies[i]);
        cr_assert(who.complete && !*who.prefill && rtest_pairs_by(who.worker, 1), "%s: by %s",
                  bodies[i], who.worker);
        rtest_client_free(&who);
    }
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/embeddings", NULL,
                                                "{\"model\":\"mock\",\"input\":\"a b\"}");
    cr_assert(who.status == 200 && !*who.prefill && rtest_pairs_by(who.worker, 1));
    rtest_client_free(&who);
    compare(paths[1], "all the same", true, 0);
    rtest_pairs_settle();
}

Test(pairs, short_prompts_stay, .fini = rtest_fleet_down) {
    up("nixl", 1, 1, 100000);
    compare(paths[0], "short", true, -1);
    compare(paths[1], "short", false, -1);
    rtest_pairs_settle();
}

// An engine of SGLang's that decodes can't compute a prompt: then the router finds the other one.
Test(pairs, short_prompts_cannot_stay, .fini = rtest_fleet_down) {
    up("sglang", 1, 1, 100000);
    compare(paths[0], "short", true, 0);
    compare(paths[1], "short", false, 0);
    rtest_pairs_settle();
}

Test(pairs, nobody_prefills, .fini = rtest_fleet_down) {
    up("nixl", 0, 2, 0);
    compare(paths[0], "alone", true, -1);
    compare(paths[1], "alone", false, -1);
    rtest_pairs_settle();
}

// Without a pool there are no pairs, but where they must be.
static void without_redis(const char *kind, int prefill) {
    up(kind, 1, 1, 0);
    compare(paths[0], "with", true, 0);
    rtest_kill_redis(SIGKILL);
    compare(paths[0], "without", true, prefill);
    compare(paths[1], "without", false, prefill);
}

Test(pairs, without_redis, .fini = rtest_fleet_down) {
    without_redis("nixl", -1);
}

Test(pairs, without_redis_sglang, .fini = rtest_fleet_down) {
    without_redis("sglang", 0);
}

// ---- Settings, and what clients do wrong ---------------------------------------------------------

Test(pairs, roles_are_settings, .fini = rtest_fleet_down) {
    char prefill[80], decode[80];
    rtest_clients_open();
    rtest_redis();
    rtest_engine(0, "--no-events --time-scale 0 --disaggregation nixl --role prefill");
    rtest_engine(1, "--no-events --time-scale 0 --disaggregation nixl --role decode");
    snprintf(prefill, sizeof prefill, "http://127.0.0.1:%d role=prefill",
             rtest_fleet.engines[0].port);
    snprintf(decode, sizeof decode, "http://127.0.0.1:%d role=decode", rtest_fleet.engines[1].port);
    rtest_router(0, (const char *[]){"--pool", "kvroute connector=nixl", "--engine", prefill,
                                     "--engine", decode, "--refresh", "100", NULL});
    rtest_await_ready(0);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; rtest_clients_run(50)) {
        struct rtest_client who = rtest_pairs_ask(rtest_port(), paths[0], "roles", true);
        bool pair = rtest_pairs_by(who.prefill, 0) && rtest_pairs_by(who.worker, 1);
        cr_assert(who.status == 200);
        rtest_client_free(&who);
        if (pair) break;
        cr_assert(kvr_clock_ms() < end, "there is no pair");
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
}

// What either engine says against a request is what the client gets.
static void clients_mistake(const char *kind) {
    const struct rtest_pairs plan = {
        .kind = kind, .prefills = 1, .decodes = 1, .options = "--max-model-len 60"};
    struct rtest_client who;
    rtest_pairs_up(&plan);
    rtest_pairs_begin(&who, "an answer that is too long", 1000, true);
    rtest_clients_finish();
    cr_assert(who.status == 400 && who.complete, "%d", who.status);
    rtest_client_free(&who);
    rtest_pairs_begin(&who, "a b c d e f g h i j k l m n o p q r s t u v w x y z", 5, false);
    rtest_clients_finish();
    cr_assert(who.status == 400 && who.complete, "%d", who.status);
    rtest_client_free(&who);
    cr_assert(rtest_failed_tries(0) == 0);
}

Test(pairs, clients_mistake_nixl, .fini = rtest_fleet_down) {
    clients_mistake("nixl");
    rtest_pairs_settle();
}

Test(pairs, clients_mistake_sglang, .fini = rtest_fleet_down) {
    clients_mistake("sglang");
    rtest_pairs_settle();
}

Test(pairs, clients_mistake_trtllm, .fini = rtest_fleet_down) {
    clients_mistake("trtllm");
}

// The first token ends it: of a context that is complete nothing is left to be made.
Test(pairs, a_context_is_complete, .fini = rtest_fleet_down) {
    const struct rtest_pairs plan = {
        .kind = "trtllm", .prefills = 1, .decodes = 1, .options = "--end-every 1"};
    static const char body[] = "{\"model\":\"mock\",\"prompt\":\"a b c\",\"max_tokens\":9,"
                               "\"stream\":%s}";
    rtest_pairs_up(&plan);
    for (int stream = 0; stream < 2; stream++) {
        char text[200];
        snprintf(text, sizeof text, body, stream ? "true" : "false");
        struct rtest_client who = rtest_client_call(rtest_port(), "/v1/completions", NULL, text);
        cr_assert(who.status == 200 && who.complete && rtest_answer_has(&who, "\"stop\""));
        cr_assert(!rtest_answer_has(&who, "disaggregated_params"));
        cr_assert(!rtest_answer_has(&who, "prompt_token_ids"));
        rtest_client_free(&who);
    }
    rtest_await(rtest_nothing_booked, "something stays booked");
}
