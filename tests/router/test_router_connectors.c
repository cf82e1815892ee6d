// SPDX-License-Identifier: Apache-2.0
// What the two engines of a pair are told, and what is taken out of the first one's answer.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/proxy/connectors/router_connector.h"

static const char client[] =
    "{\"model\":\"m\",\"prompt\":\"p\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
    "\"min_tokens\":5,\"max_tokens\":9,\"seed\":18446744073709551615,\"stop\":[\"x\"]}";

static struct router_pair pair_of(const char *prefill_host, const char *decode_host) {
    return (struct router_pair){.kind = ROUTER_PROMPT_COMPLETION,
                                .prefill_host = prefill_host,
                                .decode_host = decode_host,
                                .bootstrap_port = 8998,
                                .prefill_ranks = 1,
                                .decode_ranks = 1,
                                .draw = 0xfedcba9876543210u,
                                .handover = {.cached = -1}};
}

// The body that an engine gets; to be freed.
static char *body_of(const struct router_connector *c, const struct router_pair *p, bool prefill) {
    struct router_edits e = {.n = 0};
    struct router_members m;
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, client, sizeof client - 1);
    cr_assert(router_members_read(&m, client, sizeof client - 1));
    if (prefill)
        c->prefill(p, client, &m, &e);
    else
        c->decode(p, &e);
    struct evbuffer *out = router_edits_apply(&e, body, &m);
    evbuffer_free(body); // what refers to it is kept
    cr_assert(out);
    size_t n = evbuffer_get_length(out);
    char *text = calloc(1, n + 1);
    evbuffer_remove(out, text, n);
    evbuffer_free(out);
    router_edits_free(&e);
    router_members_free(&m);
    return text;
}

static void expect_body(const struct router_connector *c, const struct router_pair *p, bool prefill,
                        const char *want) {
    char *text = body_of(c, p, prefill);
    cr_expect_str_eq(text, want);
    free(text);
}

static void read_answer(const struct router_connector *c, struct router_pair *p,
                        const char *answer) {
    router_handover_free(&p->handover);
    c->read(p, answer, strlen(answer), &p->handover);
}

#define SHORT "\"stream\":false,\"max_tokens\":1"
#define SEED "\"seed\":18446744073709551615"

Test(connectors, nixl) {
    struct router_pair p = pair_of("10.0.0.1", "10.0.0.2");
    expect_body(&router_connector_nixl, &p, true,
                "{\"model\":\"m\",\"prompt\":\"p\"," SEED ",\"stop\":[\"x\"]," SHORT
                ",\"kv_transfer_params\":{\"do_remote_decode\":true,\"do_remote_prefill\":false,"
                "\"remote_engine_id\":null,\"remote_block_ids\":null,\"remote_host\":null,"
                "\"remote_port\":null}}");
    read_answer(&router_connector_nixl, &p,
                "{\"id\":\"x\",\"kv_transfer_params\": {\"remote_engine_id\":\"e\", "
                "\"n\":12345678901234567890,\"remote_host\":\"localhost\"},"
                "\"usage\":{\"prompt_tokens_details\":{\"cached_tokens\":32}}}");
    cr_expect_str_eq(p.handover.params,
                     "{\"remote_engine_id\":\"e\", \"n\":12345678901234567890,"
                     "\"remote_prefill_cached_tokens\":32,\"remote_host\":\"10.0.0.1\"}");
    char *text = body_of(&router_connector_nixl, &p, false);
    cr_expect(
        strstr(text, "\"stream\":true") && strstr(text, "\"min_tokens\":5") &&
        strstr(text, ",\"kv_transfer_params\":{\"remote_engine_id\":\"e\", \"n\":1234567890"));
    free(text);
    // On one machine it is right, and so is what isn't localhost.
    struct router_pair local = pair_of("10.0.0.1", "10.0.0.1");
    read_answer(
        &router_connector_nixl, &local,
        "{\"kv_transfer_params\":{\"remote_engine_id\":\"e\",\"remote_host\":\"localhost\"}}");
    cr_expect_str_eq(local.handover.params,
                     "{\"remote_engine_id\":\"e\",\"remote_host\":\"localhost\"}");
    read_answer(
        &router_connector_nixl, &p,
        "{\"kv_transfer_params\":{\"remote_engine_id\":\"e\",\"remote_host\":\"10.9.9.9\"}}");
    cr_expect_str_eq(p.handover.params,
                     "{\"remote_engine_id\":\"e\",\"remote_host\":\"10.9.9.9\"}");
    router_handover_free(&p.handover);
    router_handover_free(&local.handover);
}

// What isn't as it should be brings nothing, and the decoding engine computes the prompt itself.
Test(connectors, answers_without_anything) {
    static const char *const answers[] = {
        "",
        "[]",
        "{",
        "{}",
        "null",
        "{\"kv_transfer_params\":null,\"choices\":[]}",
        "{\"kv_transfer_params\":[],\"choices\":{}}",
        "{\"kv_transfer_params\":{\"remote_engine_id\":null},\"choices\":[1]}",
        "{\"kv_transfer_params\":{},\"choices\":[{}]}",
        "{\"choices\":[{\"disaggregated_params\":null}],\"prompt_token_ids\":[1]}",
        "{\"choices\":[{\"disaggregated_params\":{\"disagg_request_id\":1}}]}",
        "{\"choices\":[{\"disaggregated_params\":{\"disagg_request_id\":1}},"
        "{\"disaggregated_params\":{\"disagg_request_id\":1}}],\"prompt_token_ids\":[1]}",
        "{\"choices\":[{\"disaggregated_params\":{\"disagg_request_id\":1}}],"
        "\"prompt_token_ids\":null}",
        "{\"choices\":[",
        "{\"choices\":[{\"finish_reason\":",
    };
    struct router_pair p = pair_of("10.0.0.1", "10.0.0.2");
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        read_answer(&router_connector_nixl, &p, answers[i]);
        cr_expect(!p.handover.params && !p.handover.answer, "%s", answers[i]);
        read_answer(&router_connector_trtllm, &p, answers[i]);
        cr_expect(!p.handover.params && !p.handover.answer, "%s", answers[i]);
    }
    expect_body(&router_connector_trtllm, &p, false, client);
    router_handover_free(&p.handover);
}

// However an answer is cut or spoilt, it is read as something or nothing. The copy has the size of the text, so that
// a sanitizer sees what is read behind it.
static void read_spoilt(const struct router_connector *c, const char *answer, size_t n) {
    struct router_pair p = pair_of("10.0.0.1", "10.0.0.2");
    for (size_t at = 0; at < n; at++)
        for (const char *sign = "\"\\{}[],:0"; *sign; sign++) {
            char *text = malloc(n);
            memcpy(text, answer, n);
            text[at] = *sign;
            router_handover_free(&p.handover);
            c->read(&p, text, sign[1] ? n : at, &p.handover);
            free(text);
        }
    router_handover_free(&p.handover);
}

Test(connectors, spoilt_answers) {
    static const char nixl[] =
        "{\"a\":[1,{\"b\":\"\\\\\"}],\"kv_transfer_params\":{\"remote_engine_id\":"
        "\"e\",\"remote_host\":\"localhost\"},\"usage\":{"
        "\"prompt_tokens_details\":{\"cached_tokens\":32}}}";
    static const char trtllm[] =
        "{\"prompt_token_ids\":[5],\"usage\":{},\"choices\":[{\"finish_reason\""
        ":\"stop\",\"disaggregated_params\":{\"disagg_request_id\":1}}]}";
    read_spoilt(&router_connector_nixl, nixl, sizeof nixl - 1);
    read_spoilt(&router_connector_trtllm, trtllm, sizeof trtllm - 1);
}

Test(connectors, mooncake) {
    struct router_pair p = pair_of("fd00::1", "10.0.0.2");
    json_t *table =
        json_pack("{s:{s:s},s:{s:s}}", "0", "engine_id", "one", "1", "engine_id", "two_dp1");
    p.prefill_rank = 1;
    cr_assert(router_connector_mooncake.told(&p, table));
    cr_expect_str_eq(p.engine_id, "two_dp1");
    char *prefill = body_of(&router_connector_mooncake, &p, true);
    char *decode = body_of(&router_connector_mooncake, &p, false);
    char *id = strstr(prefill, "\"transfer_id\":\"xfer-");
    cr_assert(id && strstr(prefill, "\"ignore_eos\":true") && !strstr(prefill, "\"stop\""));
    id[14 + 1 + 5 + 32 + 1] = 0; // the name, and 32 digits in quotes
    cr_expect(strstr(decode, id), "%s: %s", id, decode);
    cr_expect(strstr(decode, "\"remote_bootstrap_addr\":\"http://[fd00::1]:8998\""));
    cr_expect(strstr(decode, "\"remote_engine_id\":\"two_dp1\"") && strstr(decode, "\"stop\""));
    free(prefill);
    free(decode);
    p.prefill_rank = 2;
    cr_expect(!router_connector_mooncake.told(&p, table));
    cr_expect(!router_connector_mooncake.told(&p, NULL));
    json_decref(table);
}

static long long number_of(const char *body, const char *name) {
    json_t *all = json_loads(body, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *value = json_object_get(all, name);
    long long n = json_is_integer(value) ? json_integer_value(value) : -1;
    json_decref(all);
    return n;
}

// A room is below 2^63, and of the rank that it is for.
Test(connectors, sglang) {
    static const uint64_t draws[] = {0, 1, 12345, UINT64_MAX, 1ull << 63};
    for (uint32_t ranks = 1; ranks <= 8; ranks++)
        for (uint32_t rank = 0; rank < ranks; rank++)
            for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) {
                struct router_pair p = pair_of("10.0.0.1", "10.0.0.2");
                char room[80];
                p.prefill_rank = rank;
                p.prefill_ranks = ranks;
                p.decode_rank = 3;
                p.decode_ranks = 4;
                p.draw = draws[i];
                struct router_edits e = {.n = 0};
                router_connector_sglang.decode(&p, &e);
                snprintf(room, sizeof room, "{\"room\":%s}", e.all[2].json);
                cr_expect_str_eq(e.all[2].name, "bootstrap_room");
                long long n = number_of(room, "room");
                cr_expect(n >= 0 && (uint64_t)n % ranks == rank, "%lld", n);
                cr_expect_eq(e.n, (size_t)(ranks > 1 ? 5 : 4));
                router_edits_free(&e);
            }
}

Test(connectors, trtllm) {
    struct router_pair p = pair_of("10.0.0.1", "10.0.0.2");
    char *text = body_of(&router_connector_trtllm, &p, true);
    cr_expect(strstr(text, "\"max_tokens\":9") && strstr(text, "\"stream\":false") &&
              strstr(text, "\"disaggregated_params\":{\"request_type\":\"context_only\","
                           "\"disagg_request_id\":"));
    free(text);
    read_answer(&router_connector_trtllm, &p,
                "{\"prompt_token_ids\": [5, 6],\"usage\":{\"prompt_tokens\":2},\"choices\": [ "
                "{\"finish_reason\":\"length\",\"disaggregated_params\":{\"request_type\":"
                "\"context_only\",\"ctx_request_id\":9223372036854775807,"
                "\"disagg_request_id\":9007199254740993}} ]}");
    cr_expect_str_eq(p.handover.ids, "[5, 6]");
    cr_expect_str_eq(p.handover.params,
                     "{\"ctx_request_id\":9223372036854775807,\"disagg_request_id\":"
                     "9007199254740993,\"request_type\":\"generation_only\",\"ctx_usage\":{"
                     "\"prompt_tokens\":2}}");
    text = body_of(&router_connector_trtllm, &p, false);
    cr_expect(strstr(text, ",\"prompt\":[5, 6]}") && !strstr(text, "\"prompt\":\"p\""), "%s", text);
    free(text);
    p.kind = ROUTER_PROMPT_CHAT;
    text = body_of(&router_connector_trtllm, &p, false);
    cr_expect(strstr(text, ",\"prompt_token_ids\":[5, 6]}"), "%s", text);
    free(text);
    read_answer(&router_connector_trtllm, &p,
                "{\"id\":\"x\",\"prompt_token_ids\":[5],\"choices\":[{\"finish_reason\":\"stop\","
                "\"disaggregated_params\":{\"a\":1},\"text\":\"\"}]}");
    cr_expect_str_eq(p.handover.answer,
                     "{\"id\":\"x\",\"choices\":[{\"finish_reason\":\"stop\",\"text\":\"\"}]}");
    router_handover_free(&p.handover);
}

Test(connectors, all_have_what_they_need) {
    cr_expect(!router_connector_of(ROUTER_CONNECTOR_NONE));
    for (int i = ROUTER_CONNECTOR_NIXL; i <= ROUTER_CONNECTOR_TRTLLM; i++) {
        const struct router_connector *c = router_connector_of((enum router_connector_kind)i);
        cr_assert(c && c->name && c->prefill && c->decode);
        cr_expect(!c->asks == !c->told && !(c->together && c->read));
    }
}
