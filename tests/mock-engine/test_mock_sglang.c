// SPDX-License-Identifier: Apache-2.0
// SGLang's pairs: both requests at once, in one room; and all that leaves one of them waiting.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mock_pair.h"
#include "mock_stream.h"

static char *room_body(const struct mock_pair *p, const char *first, uint64_t room,
                       const char *more) {
    return mock_pair_body(
        first,
        ",\"max_tokens\":9,\"bootstrap_host\":\"127.0.0.1\",\"bootstrap_port\":%d,"
        "\"bootstrap_room\":%" PRIu64 "%s",
        p->prefill.side_port, room, more);
}

static int begin_prefill(const struct mock_pair *p, uint64_t room, const char *more) {
    return mock_pair_begin(&p->prefill, room_body(p, "x", room, more));
}

static int begin_decode(const struct mock_pair *p, uint64_t room, const char *more) {
    return mock_pair_begin(&p->decode, room_body(p, "x", room, more));
}

static bool is_silent(int fd) {
    struct support_response r = support_http_response(fd, false, 100);
    bool silent = r.status == 0 && !r.closed;
    support_response_free(&r);
    return silent;
}

static void wait_open(const struct mock_process *p, const char *state, json_int_t n) {
    char name[40];
    snprintf(name, sizeof name, "open.%s", state);
    mock_wait_number(p, "/mock/transfers", name, n);
}

Test(sglang, both_sides_meet_whoever_comes_first) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    for (uint64_t room = 1; room <= 4; room++) {
        json_t *answer, *first;
        int prefill = -1, decode;
        if (room % 2) {
            prefill = begin_prefill(&p, room, "");
            wait_open(&p.prefill, "peer", 1);
            decode = begin_decode(&p, room, "");
        } else {
            decode = begin_decode(&p, room, "");
            wait_open(&p.prefill, "expected", 1);
            prefill = begin_prefill(&p, room, "");
        }
        cr_assert(mock_pair_finish(decode, &answer) == 200);
        cr_assert(mock_pair_finish(prefill, &first) == 200);
        json_int_t made = 0;
        json_unpack(first, "{s:{s:I}}", "usage", "completion_tokens", &made);
        cr_assert(made == 1); // the prefilling engine's, whatever max_tokens says
        json_unpack(answer, "{s:{s:I}}", "usage", "completion_tokens", &made);
        cr_assert(made == 9 && mock_pair_cached(answer) == 60);
        json_decref(answer);
        json_decref(first);
    }
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(sglang, both_may_be_streams) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    int prefill = begin_prefill(&p, 5, ",\"stream\":true");
    int decode = begin_decode(&p, 5, ",\"stream\":true");
    struct support_response a = mock_http_finish(prefill), b = mock_http_finish(decode);
    cr_assert(a.status == 200 && a.complete && b.status == 200 && b.complete);
    support_response_free(&a);
    support_response_free(&b);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(sglang, a_request_without_a_room_is_refused) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    cr_expect(mock_pair_ask(&p.prefill, mock_pair_body("x", ",\"max_tokens\":16"), NULL) == 400);
    cr_expect(mock_pair_ask(&p.decode, mock_pair_body("x", ",\"max_tokens\":16"), NULL) == 400);
    cr_expect(mock_pair_ask(&p.decode, mock_pair_body("x", ",\"bootstrap_room\":-1"), NULL) == 400);
    // Lists are for batches; one of one is a number.
    int prefill = mock_pair_begin(
        &p.prefill, mock_pair_body("x",
                                   ",\"bootstrap_host\":[\"127.0.0.1\"],\"bootstrap_port\":[%d],"
                                   "\"bootstrap_room\":[6]",
                                   p.prefill.side_port));
    int decode = begin_decode(&p, 6, "");
    cr_expect(mock_pair_finish(prefill, NULL) == 200 && mock_pair_finish(decode, NULL) == 200);
    mock_pair_end(&p);
}

Test(sglang, a_room_is_used_once) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    int prefill = begin_prefill(&p, 7, ""), decode = begin_decode(&p, 7, "");
    cr_assert(mock_pair_finish(prefill, NULL) == 200 && mock_pair_finish(decode, NULL) == 200);
    cr_assert(mock_pair_finish(begin_prefill(&p, 7, ""), NULL) == 500);
    cr_assert(mock_pair_finish(begin_decode(&p, 7, ""), NULL) == 500);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

// ---- One without the other -----------------------------------------------------------------------

Test(sglang, a_decode_waits_for_a_prefill_that_was_dropped) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    mock_order_fault(&p.prefill, "kind=hang-engine");
    int decode = begin_decode(&p, 8, ""), prefill = begin_prefill(&p, 8, "");
    wait_open(&p.prefill, "computing", 1);
    close(prefill);
    wait_open(&p.prefill, "expected", 1);
    cr_assert(is_silent(decode));
    close(decode);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(sglang, a_prefill_waits_for_a_decode_that_was_dropped) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    mock_order_fault(&p.prefill, "kind=hang-transfers");
    int decode = begin_decode(&p, 9, ""), prefill = begin_prefill(&p, 9, "");
    wait_open(&p.prefill, "sending", 1);
    close(decode);
    wait_open(&p.prefill, "ready", 1);
    cr_assert(is_silent(prefill));
    close(prefill);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(sglang, waiting_ends_some_day) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang --kv-timeout-ms=100");
    cr_expect(mock_pair_finish(begin_prefill(&p, 10, ""), NULL) == 500);
    cr_expect(mock_pair_finish(begin_decode(&p, 11, ""), NULL) == 500);
    char *body = room_body(&p, "x", 12, ",\"stream\":true");
    struct support_response r = mock_http_post(&p.decode, "/v1/completions", body);
    cr_expect(r.status == 200 && strncmp(r.body, "data: {\"error\":{", 16) == 0, "%s", r.body);
    support_response_free(&r);
    free(body);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

// Its heartbeats need a while to tell.
Test(sglang, a_prefilling_engine_s_death_is_noticed_by_heartbeats) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang --kv-heartbeat-ms=50");
    int decode = begin_decode(&p, 13, "");
    wait_open(&p.prefill, "expected", 1);
    mock_process_end(&p.prefill, SIGKILL);
    cr_assert(mock_pair_finish(decode, NULL) == 500);
    mock_process_settle(&p.decode);
    mock_process_end(&p.decode, SIGTERM);
    p = mock_pair_start("--disaggregation=sglang --kv-heartbeat-ms=100000");
    decode = begin_decode(&p, 13, "");
    wait_open(&p.prefill, "expected", 1);
    mock_process_end(&p.prefill, SIGKILL);
    cr_assert(is_silent(decode));
    close(decode);
    mock_process_settle(&p.decode);
    mock_process_end(&p.decode, SIGTERM);
}

Test(sglang, a_decoding_engine_that_died_leaves_the_prefill_waiting) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang");
    mock_order_fault(&p.prefill, "kind=hang-transfers");
    int decode = begin_decode(&p, 14, ""), prefill = begin_prefill(&p, 14, "");
    wait_open(&p.prefill, "sending", 1);
    mock_process_end(&p.decode, SIGKILL);
    close(decode);
    wait_open(&p.prefill, "ready", 1);
    cr_assert(is_silent(prefill));
    close(prefill);
    mock_process_settle(&p.prefill);
    mock_process_end(&p.prefill, SIGTERM);
}

Test(sglang, page_sizes_have_to_agree) {
    struct mock_process prefill =
        mock_process_start("--disaggregation=sglang --role=prefill --block-size=8");
    struct mock_process decode =
        mock_process_start("--disaggregation=sglang --role=decode --block-size=16");
    struct mock_pair p = {prefill, decode};
    cr_assert(mock_pair_finish(begin_decode(&p, 15, ""), NULL) == 500);
    mock_pair_end(&p);
}

// ---- Ranks ---------------------------------------------------------------------------------------

static json_int_t steps(const struct mock_process *p, size_t rank) {
    return (json_int_t)mock_rank_number(p, rank, "steps");
}

Test(sglang, the_room_tells_the_rank) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang --ranks=3");
    int prefill = begin_prefill(&p, 20, ""), decode = begin_decode(&p, 20, "");
    cr_assert(mock_pair_finish(prefill, NULL) == 200 && mock_pair_finish(decode, NULL) == 200);
    cr_assert(steps(&p.prefill, 2) > 0 && !steps(&p.prefill, 0) && !steps(&p.prefill, 1));
    mock_pair_end(&p);
}

Test(sglang, a_rank_that_isn_t_the_room_s_needs_a_hint) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang --ranks=3");
    static const char wish[] = ",\"routed_dp_rank\":1", hint[] = ",\"disagg_prefill_dp_rank\":1";
    char both[100];
    snprintf(both, sizeof both, "%s%s", wish, hint);
    cr_expect(mock_pair_finish(begin_prefill(&p, 21, wish), NULL) == 500); // 21 % 3 is 0
    cr_expect(mock_pair_finish(begin_prefill(&p, 22, ",\"routed_dp_rank\":3"), NULL) == 400);
    int prefill = begin_prefill(&p, 24, both), decode = begin_decode(&p, 24, hint);
    cr_expect(mock_pair_finish(prefill, NULL) == 200 && mock_pair_finish(decode, NULL) == 200);
    // The recipe that always works: a room of that rank.
    prefill = begin_prefill(&p, 25, wish), decode = begin_decode(&p, 25, hint);
    cr_expect(mock_pair_finish(prefill, NULL) == 200 && mock_pair_finish(decode, NULL) == 200);
    cr_expect(steps(&p.prefill, 1) > 0 && !steps(&p.prefill, 0));
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(sglang, sides_that_look_in_different_ranks_never_meet) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang --ranks=3");
    int prefill = begin_prefill(&p, 27, ",\"routed_dp_rank\":1,\"disagg_prefill_dp_rank\":1");
    int decode = begin_decode(&p, 27, "");
    wait_open(&p.prefill, "peer", 1);
    wait_open(&p.prefill, "expected", 1);
    cr_assert(is_silent(prefill) && is_silent(decode));
    close(prefill);
    close(decode);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

// ---- The port for other engines ------------------------------------------------------------------

Test(sglang, the_bootstrap_server_tells_of_its_engine) {
    struct mock_pair p = mock_pair_start("--disaggregation=sglang --ranks=2 --block-size=8");
    json_t *info = mock_http_json(&p.prefill, "/server_info");
    json_int_t port = 0;
    json_unpack(info, "{s:I}", "disaggregation_bootstrap_port", &port);
    cr_assert(port == p.prefill.side_port);
    json_decref(info);
    struct support_response r =
        support_http((int)port, "GET", "/route?prefill_dp_rank=-1", NULL, NULL, MOCK_PATIENCE_MS);
    cr_assert(r.status == 200 && strstr(r.body, "\"dp_size\":2,\"page_size\":8"));
    support_response_free(&r);
    r = support_http((int)port, "GET", "/health", NULL, NULL, MOCK_PATIENCE_MS);
    cr_assert(r.status == 200);
    support_response_free(&r);
    // Nobody is answered there.
    r = support_http((int)port, "POST", "/v1/completions", NULL, "{}", MOCK_PATIENCE_MS);
    cr_assert(r.status == 404);
    support_response_free(&r);
    mock_pair_end(&p);
}
