// SPDX-License-Identifier: Apache-2.0
// Pairs in the other shapes of vLLM (Mooncake, a shared store) and in TensorRT-LLM's.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mock_pair.h"
#include "mock_stream.h"

// ---- Mooncake ------------------------------------------------------------------------------------

struct worker {
    char engine_id[80];
    int port;
};

// What the bootstrap server tells of a rank.
static struct worker query(const struct mock_process *p, const char *rank) {
    struct support_response r =
        support_http(p->side_port, "GET", "/query", NULL, NULL, MOCK_PATIENCE_MS);
    json_t *table = json_loads(r.body, 0, NULL);
    const char *id = NULL, *where = NULL;
    struct worker w;
    cr_assert(json_unpack(table, "{s:{s:s,s:{s:{s:s}}}}", rank, "engine_id", &id, "worker_addr",
                          "0", "0", &where) == 0,
              "%s", r.body);
    snprintf(w.engine_id, sizeof w.engine_id, "%s", id);
    w.port = atoi(strrchr(where, ':') + 1);
    json_decref(table);
    support_response_free(&r);
    return w;
}

static char *sent_body(const char *first, const char *transfer) {
    return mock_pair_body(first,
                          ",\"max_tokens\":1,\"kv_transfer_params\":{\"do_remote_decode\":true,"
                          "\"do_remote_prefill\":false,\"transfer_id\":\"%s\"}",
                          transfer);
}

static char *received_body(const struct mock_pair *p, const char *first, const char *transfer,
                           const char *engine_id) {
    return mock_pair_body(first,
                          ",\"max_tokens\":9,\"kv_transfer_params\":{\"do_remote_prefill\":true,"
                          "\"do_remote_decode\":false,\"transfer_id\":\"%s\","
                          "\"remote_bootstrap_addr\":\"http://127.0.0.1:%d\","
                          "\"remote_engine_id\":\"%s\"}",
                          transfer, p->prefill.side_port, engine_id);
}

Test(mooncake, either_may_come_first) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake");
    struct worker w = query(&p.prefill, "0");
    json_t *answer;
    cr_assert(mock_pair_ask(&p.prefill, sent_body("one", "xfer-1"), NULL) == 200);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "open.ready") == 1);
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "one", "xfer-1", w.engine_id), &answer) ==
              200);
    cr_assert(mock_pair_cached(answer) == 60);
    json_decref(answer);
    int fd = mock_pair_begin(&p.decode, received_body(&p, "two", "xfer-2", w.engine_id));
    mock_wait_number(&p.prefill, "/mock/transfers", "open.expected", 1);
    cr_assert(mock_number(&p.decode, "/mock/transfers", "open.loading") == 1);
    cr_assert(mock_pair_ask(&p.prefill, sent_body("two", "xfer-2"), NULL) == 200);
    cr_assert(mock_pair_finish(fd, NULL) == 200);
    mock_pair_settle(&p);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "sent") == 2);
    mock_pair_end(&p);
}

Test(mooncake, one_without_the_other_hangs_until_its_timeout) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake --kv-timeout-ms=150");
    struct worker w = query(&p.prefill, "0");
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "a", "xfer-1", w.engine_id), NULL) == 500);
    cr_assert(mock_pair_ask(&p.prefill, sent_body("b", "xfer-2"), NULL) == 200);
    mock_wait_number(&p.prefill, "/mock/transfers", "expired", 1);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(mooncake, the_other_s_death_isn_t_noticed) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake");
    struct worker w = query(&p.prefill, "0");
    int fd = mock_pair_begin(&p.decode, received_body(&p, "a", "xfer-1", w.engine_id));
    mock_wait_number(&p.prefill, "/mock/transfers", "open.expected", 1);
    mock_process_end(&p.prefill, SIGKILL);
    struct support_response r = support_http_response(fd, false, 100);
    cr_assert(r.status == 0);
    support_response_free(&r);
    cr_assert(mock_number(&p.decode, "/mock/transfers", "open.loading") == 1);
    close(fd); // what a router has to do
    mock_process_settle(&p.decode);
    // Who isn't there to begin with, is.
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "a", "xfer-2", w.engine_id), NULL) == 500);
    mock_process_end(&p.decode, SIGTERM);
}

Test(mooncake, a_name_of_another_life_is_refused) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake");
    struct worker old = query(&p.prefill, "0");
    mock_order_fault(&p.prefill, "kind=restart");
    struct worker now = query(&p.prefill, "0");
    cr_assert(strcmp(old.engine_id, now.engine_id) != 0);
    cr_assert(mock_pair_ask(&p.prefill, sent_body("a", "xfer-1"), NULL) == 200);
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "a", "xfer-1", old.engine_id), NULL) ==
              500);
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "a", "xfer-1", now.engine_id), NULL) ==
              200);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(mooncake, each_rank_has_a_name) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake --ranks=2");
    struct worker one = query(&p.prefill, "1");
    cr_assert(strcmp(one.engine_id + strlen(one.engine_id) - 4, "_dp1") == 0);
    char *body = sent_body("a", "xfer-1");
    struct support_response r =
        mock_http(&p.prefill, "POST", "/v1/completions", "X-data-parallel-rank: 1\r\n", body);
    cr_assert(r.status == 200);
    support_response_free(&r);
    free(body);
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "a", "xfer-1", one.engine_id), NULL) ==
              200);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

// Only what ended by its length is kept.
Test(mooncake, a_first_token_that_ends_the_answer_frees_the_prompt) {
    struct mock_pair p = mock_pair_start(
        "--disaggregation=mooncake --answers=ids --end-every=1 --kv-timeout-ms=150");
    struct worker w = query(&p.prefill, "0");
    cr_assert(mock_pair_ask(&p.prefill, sent_body("a", "xfer-1"), NULL) == 200);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "kept") == 0);
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "dropped") == 1);
    cr_assert(mock_pair_ask(&p.decode, received_body(&p, "a", "xfer-1", w.engine_id), NULL) == 500);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(mooncake, the_wrong_role_is_the_end_of_an_engine) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake");
    int status, fd = mock_pair_begin(&p.decode, sent_body("a", "xfer-1"));
    cr_assert(waitpid(p.decode.pid, &status, 0) == p.decode.pid && WEXITSTATUS(status) == 1);
    close(fd);
    fd = mock_pair_begin(&p.prefill, received_body(&p, "a", "xfer-1", "x"));
    cr_assert(waitpid(p.prefill.pid, &status, 0) == p.prefill.pid && WEXITSTATUS(status) == 1);
    close(fd);
}

Test(mooncake, a_field_that_is_missing_means_an_own_prefill) {
    struct mock_pair p = mock_pair_start("--disaggregation=mooncake");
    json_t *answer;
    char *body = mock_pair_body("a", ",\"kv_transfer_params\":{\"do_remote_prefill\":true,"
                                     "\"transfer_id\":\"xfer-1\"}");
    cr_assert(mock_pair_ask(&p.decode, body, &answer) == 200 && mock_pair_cached(answer) == 0);
    json_decref(answer);
    mock_pair_end(&p);
}

// ---- A shared store ------------------------------------------------------------------------------

Test(shared, who_decodes_has_what_was_computed_elsewhere) {
    char path[] = "/tmp/kvroute-store-XXXXXX", options[120];
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    snprintf(options, sizeof options, "--disaggregation=shared --shared-store=%s", path);
    struct mock_pair p = mock_pair_start(options);
    json_t *answer;
    cr_assert(mock_pair_ask(&p.decode, mock_pair_body("one", ",\"max_tokens\":16"), &answer) ==
              200);
    cr_assert(mock_pair_cached(answer) == 0);
    json_decref(answer);
    cr_assert(mock_pair_ask(&p.prefill, mock_pair_body("two", ",\"max_tokens\":1"), &answer) ==
              200);
    cr_assert(json_is_null(json_object_get(answer, "kv_transfer_params")));
    json_decref(answer);
    cr_assert(mock_pair_ask(&p.decode, mock_pair_body("two", ",\"max_tokens\":16"), &answer) ==
              200);
    cr_assert(mock_pair_cached(answer) == 48); // whole blocks
    json_decref(answer);
    // It outlives both, and isn't found under another salt.
    cr_assert(mock_pair_ask(&p.decode, mock_pair_body("two", ",\"cache_salt\":\"s\""), &answer) ==
              200);
    cr_assert(mock_pair_cached(answer) == 0);
    json_decref(answer);
    mock_pair_end(&p);
    p = mock_pair_start(options);
    cr_assert(mock_pair_ask(&p.decode, mock_pair_body("two", ",\"max_tokens\":16"), &answer) ==
              200);
    cr_assert(mock_pair_cached(answer) == 48);
    json_decref(answer);
    mock_pair_settle(&p);
    mock_pair_end(&p);
    unlink(path);
}

// ---- TensorRT-LLM --------------------------------------------------------------------------------

// The answer of a context request.
static json_t *context(const struct mock_process *p, const char *first, const char *more) {
    json_t *answer;
    char *body = mock_pair_body(
        first, ",\"disaggregated_params\":{\"request_type\":\"context_only\"%s}", more);
    cr_assert(mock_pair_ask(p, body, &answer) == 200);
    return answer;
}

static char *generation_body(const json_t *context, const char *type) {
    const json_t *choice = json_array_get(json_object_get(context, "choices"), 0);
    json_t *params = json_deep_copy(json_object_get(choice, "disaggregated_params"));
    json_object_set_new(params, "request_type", json_string(type));
    json_t *body =
        json_pack("{s:O,s:o,s:i}", "prompt", json_object_get(context, "prompt_token_ids"),
                  "disaggregated_params", params, "max_tokens", 9);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

Test(trtllm, a_context_is_handed_on) {
    struct mock_pair p = mock_pair_start("--disaggregation=trtllm");
    json_t *c = context(&p.prefill, "one", ",\"disagg_request_id\":4611686018427387905"), *answer;
    const json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
    json_int_t id = 0, context_id = 0;
    cr_assert(json_unpack(json_object_get(choice, "disaggregated_params"), "{s:I,s:I}",
                          "disagg_request_id", &id, "ctx_request_id", &context_id) == 0);
    // Larger than what survives a double.
    cr_assert(id == 4611686018427387905 && context_id > (json_int_t)1 << 53);
    cr_assert(json_array_size(json_object_get(c, "prompt_token_ids")) == 61);
    json_int_t made = 0;
    json_unpack(c, "{s:{s:I}}", "usage", "completion_tokens", &made);
    cr_assert(made == 1);
    cr_assert_str_eq(json_string_value(json_object_get(choice, "finish_reason")), "not_finished");
    cr_assert(mock_pair_ask(&p.decode, generation_body(c, "generation_only"), &answer) == 200);
    cr_assert(mock_pair_cached(answer) == 60);
    json_decref(answer);
    json_decref(c);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(trtllm, a_generation_may_come_first) {
    struct mock_pair p = mock_pair_start("--disaggregation=trtllm");
    json_t *info = mock_http_json(&p.prefill, "/server_info");
    const char *where = NULL;
    cr_assert(
        json_unpack(info, "{s:{s:[s]}}", "disaggregated_params", "ctx_info_endpoint", &where) == 0);
    char *body = mock_pair_body("one",
                                ",\"disaggregated_params\":{\"request_type\":\"generation_only\","
                                "\"disagg_request_id\":77,\"ctx_info_endpoint\":[\"%s\"]}",
                                where);
    int fd = mock_pair_begin(&p.decode, body);
    mock_wait_number(&p.prefill, "/mock/transfers", "open.expected", 1);
    json_decref(context(&p.prefill, "one", ",\"disagg_request_id\":77"));
    cr_assert(mock_pair_finish(fd, NULL) == 200);
    json_decref(info);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

// Then its answer is the whole one, and there is nothing to hand on.
Test(trtllm, a_context_that_ends_the_answer_keeps_nothing) {
    struct mock_pair p = mock_pair_start("--disaggregation=trtllm --answers=ids --end-every=1");
    json_t *c = context(&p.prefill, "one", "");
    const json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(choice, "finish_reason")), "stop");
    cr_assert(mock_number(&p.prefill, "/mock/transfers", "kept") == 0);
    json_decref(c);
    mock_pair_settle(&p);
    mock_pair_end(&p);
}

Test(trtllm, a_context_that_is_gone_fails_the_generation) {
    struct mock_pair p = mock_pair_start("--disaggregation=trtllm");
    json_t *c = context(&p.prefill, "one", "");
    mock_process_end(&p.prefill, SIGKILL);
    cr_assert(mock_pair_ask(&p.decode, generation_body(c, "generation_only"), NULL) == 500);
    cr_assert(mock_pair_ask(&p.decode, generation_body(c, "something"), NULL) == 400);
    json_decref(c);
    mock_process_settle(&p.decode);
    mock_process_end(&p.decode, SIGTERM);
}

// ---- What is told --------------------------------------------------------------------------------

Test(pairs, roles_are_told_where_a_real_engine_tells_them) {
    static const struct {
        const char *options, *want; // NULL: there is no such path
    } cases[] = {
        {"--disaggregation=nixl --role=prefill",
         "\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_producer\",\"engine_id\":\""},
        {"--disaggregation=mooncake --role=decode",
         "\"kv_connector\":\"MooncakeConnector\",\"kv_role\":\"kv_consumer\",\"engine_id\":\""},
        {"--disaggregation=nixl --no-dev-mode", NULL},
        {"", "\"vllm_config\":{\"kv_transfer_config\":null}"},
        {"--disaggregation=sglang --role=prefill", "\"disaggregation_mode\":\"prefill\""},
        {"--disaggregation=sglang --role=decode", "\"disaggregation_mode\":\"decode\""},
        {"--schema=sglang", "\"disaggregation_mode\":\"null\""},
        {"--disaggregation=trtllm --no-dev-mode", "\"disaggregated_params\":{"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mock_process p = mock_process_start(cases[i].options);
        struct support_response r = mock_http_get(&p, "/server_info?config_format=json");
        cr_expect(r.status == (cases[i].want ? 200 : 404), "%s", cases[i].options);
        cr_expect(!cases[i].want || strstr(r.body, cases[i].want), "%s: %s", cases[i].options,
                  r.body);
        support_response_free(&r);
        mock_process_end(&p, SIGTERM);
    }
}
