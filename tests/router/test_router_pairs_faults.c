// SPDX-License-Identifier: Apache-2.0
// One of two engines fails, or the client leaves, at each moment of a pair. The client sees nothing of it as long as
// it has nothing of the answer, and what is left afterwards is nothing.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_pairs.h"
#include "tests/support/support_home.h"

// An engine that hasn't said what it serves isn't chosen where another one has.
static const char *const flags[] = {"--probe", "100",     "--failures", "2", "--migrate",
                                    "0",       "--learn", "0",          NULL};

static bool must_pair(const char *kind) {
    return !strcmp(kind, "sglang");
}

// What nobody fetches is kept for long, as by real engines, but where that has to be waited for here.
static void up(const char *kind, int prefills, int decodes) {
    bool waits = !must_pair(kind);
    const struct rtest_pairs plan = {.kind = kind,
                                     .prefills = prefills,
                                     .decodes = decodes,
                                     .options =
                                         waits ? "--kv-lease-ms 4000 --kv-timeout-ms 4000" : NULL,
                                     .flags = flags};
    rtest_pairs_up(&plan);
}

static bool is_shared(const char *kind) {
    return !strcmp(kind, "shared");
}

static void fault_of(int from, int to, const char *query) {
    for (int i = from; i < to; i++)
        if (rtest_fleet.engines[i].pid) rtest_fault(i, query);
}

// Which of these engines has it; or −1.
static int busy_one(int from, int to) {
    for (int i = from; i < to; i++)
        if (rtest_fleet.engines[i].pid && (rtest_engine_metric(i, "num_requests_running") > 0 ||
                                           rtest_engine_metric(i, "num_requests_waiting") > 0 ||
                                           rtest_transfers(i, "half_open") > 0))
            return i;
    return -1;
}

static int await_busy(int from, int to) {
    int who;
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; (who = busy_one(from, to)) < 0;
         rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "nobody of %d to %d has the request", from, to);
    return who;
}

// The answer is here, and as it has to be.
static void expect_answer(struct rtest_client *who, const char *first, bool stream) {
    rtest_clients_finish();
    char *text = rtest_client_text(who);
    struct rtest_client want = rtest_pairs_ask(rtest_fleet.engines[RTEST_REFERENCE].port,
                                               "/v1/completions", first, stream);
    cr_assert(who->status == 200 && who->complete, "%s: %d %s", first, who->status, text);
    cr_assert(rtest_pairs_same(who, &want), "%s: %s", first, text);
    free(text);
    rtest_client_free(who);
    rtest_client_free(&want);
}

// −1: the router doesn't know it.
static json_int_t number_of_worker(int engine, const char *name) {
    json_t *all = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200), *w;
    json_t *workers = json_object_get(json_array_get(json_object_get(all, "pools"), 0), "workers");
    json_int_t n = -1;
    size_t i;
    json_array_foreach(
        workers, i, w) if (rtest_pairs_by(json_string_value(json_object_get(w, "worker")), engine))
        n = json_integer_value(json_object_get(w, name));
    json_decref(all);
    return n;
}

// ---- The prefilling engine -----------------------------------------------------------------------

static void prefill_dies(const char *kind) {
    struct rtest_client who;
    up(kind, 2, 1);
    for (int stream = 0; stream < 2; stream++) {
        const char *first = stream ? "dies again" : "dies";
        fault_of(0, 2, "kind=hang-engine");
        rtest_pairs_begin(&who, first, 12, stream);
        int dead = await_busy(0, 2);
        rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
        fault_of(0, 2, "kind=clear");
        expect_answer(&who, first, stream);
        rtest_pairs_settle();
        rtest_pairs_engine(dead, "");
    }
}

Test(pairs_faults, prefill_dies_nixl, .fini = rtest_fleet_down) {
    prefill_dies("nixl");
}

Test(pairs_faults, prefill_dies_mooncake, .fini = rtest_fleet_down) {
    prefill_dies("mooncake");
}

Test(pairs_faults, prefill_dies_shared, .fini = rtest_fleet_down) {
    prefill_dies("shared");
}

Test(pairs_faults, prefill_dies_sglang, .fini = rtest_fleet_down) {
    prefill_dies("sglang");
}

Test(pairs_faults, prefill_dies_trtllm, .fini = rtest_fleet_down) {
    prefill_dies("trtllm");
}

// What it has computed is on its way; not every decoding engine notices that nothing comes any more.
static void prefill_dies_in_transfer(const char *kind) {
    struct rtest_client who;
    up(kind, 2, 1);
    for (int stream = 0; stream < 2; stream++) {
        const char *first = stream ? "goes again" : "goes";
        fault_of(0, 2, "kind=hang-transfers");
        rtest_pairs_begin(&who, first, 12, stream);
        int dead = await_busy(0, 2);
        await_busy(2, 3);
        rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
        fault_of(0, 2, "kind=clear");
        expect_answer(&who, first, stream);
        rtest_pairs_settle();
        rtest_pairs_engine(dead, "");
    }
}

Test(pairs_faults, prefill_dies_in_transfer_nixl, .fini = rtest_fleet_down) {
    prefill_dies_in_transfer("nixl");
}

Test(pairs_faults, prefill_dies_in_transfer_mooncake, .fini = rtest_fleet_down) {
    prefill_dies_in_transfer("mooncake");
}

Test(pairs_faults, prefill_dies_in_transfer_sglang, .fini = rtest_fleet_down) {
    prefill_dies_in_transfer("sglang");
}

Test(pairs_faults, prefill_dies_in_transfer_trtllm, .fini = rtest_fleet_down) {
    prefill_dies_in_transfer("trtllm");
}

// Full, or broken: with no other one the decoding engine does all, where it can.
static void prefill_refuses(const char *kind) {
    static const int statuses[] = {503, 429};
    up(kind, 1, 1);
    for (int i = 0; i < 2; i++) {
        struct rtest_client who;
        char fault[40];
        snprintf(fault, sizeof fault, "kind=fail&n=1&status=%d", statuses[i]);
        rtest_fault(0, fault);
        rtest_pairs_begin(&who, "refused", 12, i % 2);
        rtest_clients_finish();
        cr_assert(who.complete && who.status == (must_pair(kind) ? statuses[i] : 200), "%s: %d",
                  fault, who.status);
        cr_assert(!*who.prefill || must_pair(kind), "%s", who.prefill);
        rtest_client_free(&who);
        rtest_fault(0, "kind=clear");
        rtest_pairs_settle();
    }
}

Test(pairs_faults, prefill_refuses_nixl, .fini = rtest_fleet_down) {
    prefill_refuses("nixl");
}

Test(pairs_faults, prefill_refuses_mooncake, .fini = rtest_fleet_down) {
    prefill_refuses("mooncake");
}

Test(pairs_faults, prefill_refuses_shared, .fini = rtest_fleet_down) {
    prefill_refuses("shared");
}

Test(pairs_faults, prefill_refuses_sglang, .fini = rtest_fleet_down) {
    prefill_refuses("sglang");
}

Test(pairs_faults, prefill_refuses_trtllm, .fini = rtest_fleet_down) {
    prefill_refuses("trtllm");
}

static bool first_is_left_out(void) {
    json_t *all = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200), *w;
    json_t *workers = json_object_get(json_array_get(json_object_get(all, "pools"), 0), "workers");
    bool open = false;
    size_t i;
    json_array_foreach(workers, i, w) if (rtest_pairs_by(rtest_text(w, "worker"), 0)) open =
        !strcmp(rtest_text(w, "circuit"), "open");
    json_decref(all);
    return open;
}

static bool first_is_gone(void) {
    return number_of_worker(0, "requests") < 0;
}

static void expect_refusal(int status, const char *code) {
    struct rtest_client who;
    rtest_pairs_begin(&who, "refused", 12, false);
    rtest_clients_finish();
    cr_assert(who.complete && who.status == status && rtest_answer_has(&who, code),
              "%d instead of %d %s", who.status, status, code);
    rtest_client_free(&who);
}

// The only one that prefills is left out by the pool. An engine that can't do without is never asked alone: the other
// one is tried all the same, and if that is in vain the client is told so.
Test(pairs_faults, nobody_is_to_prefill, .fini = rtest_fleet_down) {
    static const char *const unprobed[] = {"--check", "0",       "--probe", "600000", "--migrate",
                                           "0",       "--learn", "0",       NULL};
    const struct rtest_pairs plan = {
        .kind = "sglang", .prefills = 1, .decodes = 1, .flags = unprobed};
    struct rtest_client who;
    char report[80];
    rtest_pairs_up(&plan);
    snprintf(report, sizeof report, "{\"worker\":\"127.0.0.1:%d\",\"ok\":false}",
             rtest_fleet.engines[0].port);
    for (int i = 0; i < 3; i++)
        json_decref(rtest_json(rtest_post(rtest_port(), "/v1/report", report), 200));
    rtest_await(first_is_left_out, "it isn't left out");
    rtest_pairs_begin(&who, "all the same", 12, false);
    expect_answer(&who, "all the same", false);
    for (int i = 0; i < 3; i++) // that was a good answer
        json_decref(rtest_json(rtest_post(rtest_port(), "/v1/report", report), 200));
    rtest_await(first_is_left_out, "it isn't left out again");
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    expect_refusal(502, "ENGINE");
    rtest_integer("KVROUTE.WORKER DEL kvroute 127.0.0.1:%d", rtest_fleet.engines[0].port);
    rtest_await(first_is_gone, "the router still knows it");
    expect_refusal(503, "NOWORKER");
    rtest_pairs_settle();
}

// ---- The decoding engine -------------------------------------------------------------------------

static void decode_dies(const char *kind) {
    struct rtest_client who;
    up(kind, 1, 2);
    for (int stream = 0; stream < 2; stream++) {
        const char *first = stream ? "ends again" : "ends";
        fault_of(1, 3, "kind=hang-engine");
        rtest_pairs_begin(&who, first, 12, stream);
        int dead = await_busy(1, 3);
        rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
        fault_of(1, 3, "kind=clear");
        expect_answer(&who, first, stream);
        rtest_pairs_settle();
        rtest_pairs_engine(dead, "");
    }
    // In the middle of a stream it is seen.
    fault_of(1, 3, "kind=stall&after=3");
    rtest_pairs_begin(&who, "in the middle", 12, true);
    while (!who.heard)
        rtest_clients_run(5);
    int dead = 1;
    while (!rtest_pairs_by(who.worker, dead))
        dead++;
    rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
    rtest_clients_finish();
    cr_assert(who.complete && rtest_answer_ends(&who, "\"code\":\"ENGINE\"}}\n\n"));
    rtest_client_free(&who);
    rtest_pairs_settle();
}

Test(pairs_faults, decode_dies_nixl, .fini = rtest_fleet_down) {
    decode_dies("nixl");
}

Test(pairs_faults, decode_dies_mooncake, .fini = rtest_fleet_down) {
    decode_dies("mooncake");
}

Test(pairs_faults, decode_dies_shared, .fini = rtest_fleet_down) {
    decode_dies("shared");
}

Test(pairs_faults, decode_dies_sglang, .fini = rtest_fleet_down) {
    decode_dies("sglang");
}

Test(pairs_faults, decode_dies_trtllm, .fini = rtest_fleet_down) {
    decode_dies("trtllm");
}

// It is slow, full or broken for a moment: the other one answers, or the same one without what it was promised.
static void decode_refuses(const char *kind) {
    static const char *const faults[] = {"kind=fail&n=1&status=503", "kind=fail&n=1&status=500",
                                         "kind=stall&after=0&ms=300"};
    struct rtest_client who;
    up(kind, 1, 2);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        for (int stream = 0; stream < 2; stream++) {
            char first[20];
            snprintf(first, sizeof first, "refused %zu %d", i, stream);
            rtest_fault(1, faults[i]);
            rtest_fault(0, "kind=hang-transfers&ms=200");
            rtest_pairs_begin(&who, first, 12, stream);
            expect_answer(&who, first, stream);
            rtest_pairs_settle();
        }
}

Test(pairs_faults, decode_refuses_nixl, .fini = rtest_fleet_down) {
    decode_refuses("nixl");
}

Test(pairs_faults, decode_refuses_mooncake, .fini = rtest_fleet_down) {
    decode_refuses("mooncake");
}

Test(pairs_faults, decode_refuses_shared, .fini = rtest_fleet_down) {
    decode_refuses("shared");
}

Test(pairs_faults, decode_refuses_sglang, .fini = rtest_fleet_down) {
    decode_refuses("sglang");
}

Test(pairs_faults, decode_refuses_trtllm, .fini = rtest_fleet_down) {
    decode_refuses("trtllm");
}

// A prompt that is lost on its way (a lease that was over) is computed again, and nobody is left out for it.
static void prompt_is_lost(const char *kind) {
    struct rtest_client who;
    up(kind, 1, 1);
    for (int stream = 0; stream < 2; stream++) {
        const char *first = stream ? "lost again" : "lost";
        rtest_fault(0, "kind=hang-transfers");
        rtest_pairs_begin(&who, first, 12, stream);
        await_busy(0, 1);
        await_busy(1, 2);
        while (!rtest_engine_metric(1, "num_requests_running") && !rtest_transfers(1, "half_open"))
            rtest_clients_run(5);
        rtest_fault(0, "kind=forget-transfers");
        rtest_fault(0, "kind=clear");
        expect_answer(&who, first, stream);
        rtest_pairs_settle();
    }
    cr_assert(rtest_pool_info("kvroute", "open_circuits") == 0);
}

Test(pairs_faults, prompt_is_lost_nixl, .fini = rtest_fleet_down) {
    prompt_is_lost("nixl");
}

Test(pairs_faults, prompt_is_lost_mooncake, .fini = rtest_fleet_down) {
    prompt_is_lost("mooncake");
}

Test(pairs_faults, prompt_is_lost_sglang, .fini = rtest_fleet_down) {
    prompt_is_lost("sglang");
}

Test(pairs_faults, prompt_is_lost_trtllm, .fini = rtest_fleet_down) {
    prompt_is_lost("trtllm");
}

// ---- The client ----------------------------------------------------------------------------------

// An answer is under way, and who computed its prompt has nothing to do with it any more.
static bool only_decodes(void) {
    return number_of_worker(1, "requests") == 1 && number_of_worker(0, "requests") == 0 &&
           number_of_worker(0, "prefill_tokens") == 0;
}

static void client_leaves(const char *kind) {
    struct rtest_client who;
    up(kind, 1, 1);
    rtest_fault(0, "kind=hang-engine"); // while the prompt is computed
    rtest_pairs_begin(&who, "leaves", 12, true);
    await_busy(0, 1);
    rtest_client_leave(&who);
    rtest_client_free(&who);
    rtest_fault(0, "kind=clear");
    rtest_pairs_settle();

    if (!is_shared(kind)) { // while it is on its way
        rtest_fault(0, "kind=hang-transfers");
        rtest_pairs_begin(&who, "leaves then", 12, true);
        await_busy(1, 2);
        rtest_client_leave(&who);
        rtest_client_free(&who);
        rtest_fault(0, "kind=clear");
        rtest_pairs_settle();
    }
    rtest_fault(1, "kind=stall&after=3"); // in the middle of the answer
    rtest_pairs_begin(&who, "leaves at last", 12, true);
    while (!who.heard)
        rtest_clients_run(5);
    rtest_await(only_decodes, "the prefilling engine isn't free");
    rtest_client_leave(&who);
    rtest_client_free(&who);
    rtest_pairs_settle();
    cr_assert(rtest_failed_tries(0) == 0, "%d tries", rtest_failed_tries(0));
}

Test(pairs_faults, client_leaves_nixl, .fini = rtest_fleet_down) {
    client_leaves("nixl");
}

Test(pairs_faults, client_leaves_mooncake, .fini = rtest_fleet_down) {
    client_leaves("mooncake");
}

Test(pairs_faults, client_leaves_shared, .fini = rtest_fleet_down) {
    client_leaves("shared");
}

Test(pairs_faults, client_leaves_sglang, .fini = rtest_fleet_down) {
    client_leaves("sglang");
}

Test(pairs_faults, client_leaves_trtllm, .fini = rtest_fleet_down) {
    client_leaves("trtllm");
}
