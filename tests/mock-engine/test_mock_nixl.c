// SPDX-License-Identifier: Apache-2.0
// vLLM's NixlConnector: the prompt is computed first, and pulled within its lease.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mock_pair.h"
#include "mock_stream.h"

static const char asked[] = ",\"max_tokens\":1,\"kv_transfer_params\":{\"do_remote_decode\":true,"
                            "\"do_remote_prefill\":false,\"remote_engine_id\":null,"
                            "\"remote_block_ids\":null,\"remote_host\":null,\"remote_port\":null}";

// What the prefilling engine hands on, as text to be freed.
static char *prefill(const struct mock_process *p, const char *first) {
    json_t *answer;
    cr_assert(mock_pair_ask(p, mock_pair_body(first, "%s", asked), &answer) == 200);
    char *params = json_dumps(json_object_get(answer, "kv_transfer_params"), JSON_COMPACT);
    cr_assert(params && *params == '{', "%s", params);
    json_decref(answer);
    return params;
}

static char *decode_body(const char *first, const char *params, const char *more) {
    return mock_pair_body(first, ",\"max_tokens\":9,\"kv_transfer_params\":%s%s", params, more);
}

static int decode(const struct mock_pair *p, const char *first, const char *params,
                  json_t **answer) {
    return mock_pair_ask(&p->decode, decode_body(first, params, ""), answer);
}

// An answer's text, to be freed.
static char *text_of(json_t *answer) {
    const char *text = NULL;
    cr_assert(json_unpack(answer, "{s:[{s:s}]}", "choices", "text", &text) == 0);
    char *copy = strdup(text);
    json_decref(answer);
    return copy;
}

Test(nixl, a_pair_answers_as_one_engine_does) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    struct mock_process whole = mock_process_start("");
    json_t *alone, *answer;
    char *params = prefill(&p.prefill, "one");
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "open.ready") == 1);
    cr_assert(mock_pair_ask(&whole, mock_pair_body("one", ",\"max_tokens\":9"), &alone) == 200);
    cr_assert(decode(&p, "one", params, &answer) == 200);
    cr_assert(mock_pair_cached(answer) == 60); // all but the last of 61
    char *want = text_of(alone), *got = text_of(answer);
    cr_assert_str_eq(got, want);
    free(want), free(got), free(params);
    mock_pair_settle(&p);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "sent_tokens") == 61);
    cr_assert(mock_number(&p.decode, "/mock/transfers", "received_tokens") == 61);
    cr_assert(mock_metric(&p.decode, "prompt_tokens_total") == 1);
    mock_process_end(&whole, SIGTERM);
    mock_pair_end(&p);
}

// What it has already isn't pulled; the other side is told so.
Test(nixl, only_what_is_lacking_is_pulled) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --block-size=4");
    json_t *answer;
    cr_assert(mock_pair_ask(&p.decode, mock_pair_body("two", ",\"max_tokens\":9"), NULL) == 200);
    char *params = prefill(&p.prefill, "two");
    cr_assert(decode(&p, "two", params, &answer) == 200);
    json_decref(answer);
    free(params);
    mock_pair_settle(&p);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "sent") == 1);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "sent_tokens") == 1);
    mock_pair_end(&p);
}

Test(nixl, the_router_may_tell_what_was_cached) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    json_t *answer;
    char *params = prefill(&p.prefill, "three");
    json_t *more = json_loads(params, 0, NULL);
    json_object_set_new(more, "remote_prefill_cached_tokens", json_integer(32));
    free(params);
    params = json_dumps(more, JSON_COMPACT);
    cr_assert(decode(&p, "three", params, &answer) == 200 && mock_pair_cached(answer) == 32);
    json_decref(answer);
    json_decref(more);
    free(params);
    mock_pair_end(&p);
}

// What a stream brings has no place for it; the blocks stay until their lease is over.
Test(nixl, a_streamed_prefill_hands_nothing_on) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --kv-lease-ms=100");
    char *body = mock_pair_body("four", "%s,\"stream\":true", asked);
    struct support_response r = mock_http_post(&p.prefill, "/v1/completions", body);
    cr_assert(r.status == 200 && !strstr(r.body, "kv_transfer_params"));
    support_response_free(&r);
    free(body);
    mock_wait_number(&p.prefill, "/mock/transfers", "expired", 1);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(nixl, what_isnt_pulled_within_its_lease_is_gone) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --kv-lease-ms=20");
    char *params = prefill(&p.prefill, "five");
    mock_wait_number(&p.prefill, "/mock/transfers", "expired", 1);
    cr_assert(mock_rank_number(&p.prefill, 0, "used") == 0);
    cr_assert(decode(&p, "five", params, NULL) == 500);
    free(params);
    mock_pair_settle(&p);
    cr_assert(mock_number(&p.decode, "/mock/transfers", "failed") == 1);
    mock_pair_end(&p);
}

Test(nixl, a_stream_that_cant_load_ends_with_an_error) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    char *params = prefill(&p.prefill, "six");
    mock_order_fault(&p.prefill, "kind=forget-transfers");
    char *body = decode_body("six", params, ",\"stream\":true");
    struct support_response r = mock_http_post(&p.decode, "/v1/completions", body);
    cr_assert(r.status == 200 && strncmp(r.body, "data: {\"error\":{", 16) == 0);
    cr_assert(strstr(r.body, "\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}\n\n"
                             "data: [DONE]\n\n"));
    support_response_free(&r);
    free(body), free(params);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(nixl, or_computes_the_prompt_by_itself_if_that_is_its_policy) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --kv-load-failure=recompute");
    json_t *answer;
    char *params = prefill(&p.prefill, "seven");
    mock_process_end(&p.prefill, SIGKILL);
    cr_assert(decode(&p, "seven", params, &answer) == 200 && mock_pair_cached(answer) == 0);
    json_decref(answer);
    free(params);
    mock_process_settle(&p.decode);
    mock_process_end(&p.decode, SIGTERM);
}

Test(nixl, a_prefilling_engine_that_died_fails_the_load) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    char *params = prefill(&p.prefill, "eight");
    mock_process_end(&p.prefill, SIGKILL);
    cr_assert(decode(&p, "eight", params, NULL) == 500);
    free(params);
    mock_process_settle(&p.decode);
    mock_process_end(&p.decode, SIGTERM);
}

Test(nixl, one_that_dies_in_the_middle_of_it_too) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    char *params = prefill(&p.prefill, "nine");
    mock_order_fault(&p.prefill, "kind=hang-transfers");
    int fd = mock_pair_begin(&p.decode, decode_body("nine", params, ""));
    mock_wait_number(&p.prefill, "/mock/transfers", "open.sending", 1);
    cr_assert(mock_number(&p.decode, "/mock/transfers", "open.loading") == 1);
    mock_process_end(&p.prefill, SIGKILL);
    cr_assert(mock_pair_finish(fd, NULL) == 500);
    free(params);
    mock_process_settle(&p.decode);
    mock_process_end(&p.decode, SIGTERM);
}

// The other side's end leaves the blocks as they were: till they are pulled again, or their lease ends.
Test(nixl, a_decoding_engine_that_died_holds_nothing_beyond_the_lease) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --kv-lease-ms=4000");
    char *params = prefill(&p.prefill, "ten");
    mock_order_fault(&p.prefill, "kind=hang-transfers");
    int fd = mock_pair_begin(&p.decode, decode_body("ten", params, ""));
    mock_wait_number(&p.prefill, "/mock/transfers", "open.sending", 1);
    mock_process_end(&p.decode, SIGKILL);
    close(fd);
    mock_wait_number(&p.prefill, "/mock/transfers", "expired", 1);
    mock_process_settle(&p.prefill);
    free(params);
    mock_process_end(&p.prefill, SIGTERM);
}

Test(nixl, a_client_that_leaves_frees_the_decoding_engine) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    char *params = prefill(&p.prefill, "eleven");
    mock_order_fault(&p.prefill, "kind=hang-transfers");
    int fd = mock_pair_begin(&p.decode, decode_body("eleven", params, ""));
    mock_wait_number(&p.prefill, "/mock/transfers", "open.sending", 1);
    close(fd);
    mock_process_settle(&p.decode);
    mock_wait_number(&p.prefill, "/mock/transfers", "open.ready", 1);
    // It can be had again.
    mock_order_fault(&p.prefill, "kind=clear");
    cr_assert(decode(&p, "eleven", params, NULL) == 200);
    free(params);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(nixl, who_leaves_before_the_prompt_is_computed_gets_nothing_kept) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    mock_order_fault(&p.prefill, "kind=hang-engine");
    int fd = mock_pair_begin(&p.prefill, mock_pair_body("twelve", "%s", asked));
    mock_wait_metric(&p.prefill, "num_requests_running", 1);
    close(fd);
    mock_process_settle(&p.prefill);
    mock_order_fault(&p.prefill, "kind=clear");
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "kept") == 0);
    mock_pair_end(&p);
}

Test(nixl, a_prefill_that_breaks_or_is_aborted_keeps_nothing) {
    static const char *const queries[] = {"kind=cut&tokens=1", "kind=cut&tokens=1&gently=1",
                                          "kind=abort&tokens=1"};
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    for (size_t i = 0; i < 3; i++) {
        char *body = mock_pair_body("cut", "%s", asked);
        mock_order_fault(&p.prefill, queries[i]);
        struct support_response r = mock_http_post(&p.prefill, "/v1/completions", body);
        cr_assert(r.status == (i == 2 ? 200 : 0), "%d", r.status);
        support_response_free(&r);
        free(body);
        mock_process_settle(&p.prefill);
        cr_assert(mock_number(&p.prefill, "/mock/transfers", "kept") == 0);
    }
    mock_pair_end(&p);
}

// The decoding engine tells the other one that nobody will come.
Test(nixl, a_refused_request_frees_the_prompt) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    char *params = prefill(&p.prefill, "a");
    cr_assert(mock_pair_ask(&p.decode, decode_body("a", params, ",\"min_tokens\":10"), NULL) ==
              400);
    mock_pair_settle(&p);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "expired") == 0);
    free(params);
    mock_pair_end(&p);
}

// Every sixth of the lease, for as long as it takes.
Test(nixl, who_waits_in_the_queue_renews_the_lease) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --kv-lease-ms=12000");
    char *params = prefill(&p.prefill, "b");
    mock_order_fault(&p.decode, "kind=hang-engine");
    int first = mock_pair_begin(&p.decode, mock_pair_body("other", ",\"max_tokens\":16"));
    mock_wait_metric(&p.decode, "num_requests_running", 1);
    int second = mock_pair_begin(&p.decode, decode_body("b", params, ""));
    int64_t deadline = MOCK_PATIENCE_MS / 2;
    while (mock_number(&p.prefill, "/mock/transfers", "renewed") < 3) {
        cr_assert(deadline-- > 0);
        usleep(2000);
    }
    cr_assert(mock_number(&p.decode, "/mock/transfers", "open.queued") == 1);
    mock_order_fault(&p.decode, "kind=clear");
    cr_assert(mock_pair_finish(first, NULL) == 200);
    cr_assert(mock_pair_finish(second, NULL) == 200);
    free(params);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(nixl, a_field_that_is_missing_means_an_own_prefill) {
    static const char *const fields[] = {"remote_engine_id", "remote_request_id", "remote_host",
                                         "remote_port"};
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    for (size_t i = 0; i < 4; i++) {
        char first[20];
        snprintf(first, sizeof first, "c%zu", i);
        char *params = prefill(&p.prefill, first);
        json_t *less = json_loads(params, 0, NULL), *answer;
        json_object_set_new(less, fields[i], json_null());
        free(params);
        params = json_dumps(less, JSON_COMPACT);
        cr_assert(decode(&p, first, params, &answer) == 200 && mock_pair_cached(answer) == 0);
        json_decref(answer);
        json_decref(less);
        free(params);
    }
    mock_pair_end(&p);
}

Test(nixl, a_restarted_engine_has_nothing_and_another_name) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl");
    char *params = prefill(&p.prefill, "d");
    json_t *before = mock_http_json(&p.prefill, "/mock/transfers");
    mock_order_fault(&p.prefill, "kind=restart");
    json_t *after = mock_http_json(&p.prefill, "/mock/transfers");
    cr_assert(
        !json_equal(json_object_get(before, "engine_id"), json_object_get(after, "engine_id")));
    cr_assert(decode(&p, "d", params, NULL) == 500);
    json_decref(before), json_decref(after);
    free(params);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

// A decoding engine whose blocks are all taken by prompts that don't come: who waits begins when one of
// these requests ends.
Test(nixl, a_load_that_is_given_up_makes_room) {
    struct mock_pair p = mock_pair_start("--disaggregation=nixl --blocks=6");
    char *params = prefill(&p.prefill, "e");
    mock_order_fault(&p.prefill, "kind=hang-transfers");
    int loading = mock_pair_begin(&p.decode, decode_body("e", params, ""));
    mock_wait_number(&p.decode, "/mock/transfers", "open.loading", 1);
    int waiting = mock_pair_begin(&p.decode, mock_pair_body("other", ",\"max_tokens\":3"));
    mock_wait_metric(&p.decode, "num_requests_waiting", 1);
    close(loading);
    cr_assert(mock_pair_finish(waiting, NULL) == 200);
    free(params);
    mock_process_settle(&p.decode);
    mock_pair_end(&p);
}

// Many at once, some of which leave at any moment: at the end nothing is left of them.
Test(nixl, nothing_is_left_of_many) {
    struct mock_pair p =
        mock_pair_start("--disaggregation=nixl --kv-lease-ms=10000 --transfer-ms-per-token=0.1 "
                        "--time-scale=1 --prefill-speed=100000 --decode-speed=1000");
    unsigned seed = (unsigned)getpid(), random = seed;
    fprintf(stderr, "seed %u\n", seed);
    for (int round = 0; round < 10; round++) {
        int fds[8];
        for (int i = 0; i < 8; i++) {
            char first[20];
            snprintf(first, sizeof first, "r%d.%d", round, i);
            char *params = prefill(&p.prefill, first);
            fds[i] = mock_pair_begin(&p.decode, decode_body(first, params, ""));
            free(params);
        }
        for (int i = 0; i < 8; i++) {
            if (rand_r(&random) % 2)
                mock_pair_finish(fds[i], NULL);
            else
                close(fds[i]);
        }
    }
    mock_pair_settle(&p);
    mock_pair_end(&p);
}
