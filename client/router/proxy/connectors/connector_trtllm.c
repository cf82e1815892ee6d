// SPDX-License-Identifier: Apache-2.0
// TensorRT-LLM, the context first. Its answer has an object for the other engine beside the choice, with ids beyond
// what a double holds, and the prompt's token ids, which replace the prompt. A first token that ends the answer makes
// that complete.
#include <stdio.h>
#include <stdlib.h>

#include "router_prefill_body.h"

static void edit_prefill(const struct router_pair *p, const char *body,
                         const struct router_members *m, struct router_edits *e) {
    char params[120];
    (void)body;
    (void)m;
    router_prefill_body_whole(e);
    // A positive number of 63 bits, above those that engines draw for themselves.
    snprintf(params, sizeof params,
             "{\"request_type\":\"context_only\",\"disagg_request_id\":%llu}",
             (unsigned long long)(p->draw >> 2 | (uint64_t)1 << 61));
    router_edits_set(e, "disaggregated_params", params);
}

static bool is_complete(struct router_slice choice) {
    struct router_slice reason = router_slice_member(choice, "finish_reason");
    return reason.text && !router_slice_is(reason, "null") &&
           !router_slice_is(reason, "\"length\"") && !router_slice_is(reason, "\"not_finished\"");
}

// For the client, without what is said between engines.
static char *complete_answer(struct router_slice all, struct router_slice choice) {
    struct router_edits inner = {.n = 0}, outer = {.n = 0};
    char *text = NULL, *answer = NULL;
    router_edits_remove(&inner, "disaggregated_params");
    char *bare = router_slice_edit(choice, &inner);
    size_t size = bare ? choice.n + 3 : 0;
    if (bare && (text = malloc(size))) {
        snprintf(text, size, "[%s]", bare);
        router_edits_set(&outer, "choices", text);
        router_edits_remove(&outer, "prompt_token_ids");
        answer = router_slice_edit(all, &outer);
    }
    router_edits_free(&inner);
    router_edits_free(&outer);
    free(bare);
    free(text);
    return answer;
}

static void read_answer(const struct router_pair *p, const char *answer, size_t n,
                        struct router_handover *h) {
    struct router_slice all = {answer, n};
    struct router_slice choice = router_slice_only(router_slice_member(all, "choices"));
    struct router_slice params = router_slice_member(choice, "disaggregated_params");
    struct router_slice id = router_slice_member(params, "disagg_request_id");
    struct router_slice usage = router_slice_member(all, "usage");
    struct router_edits e = {.n = 0};
    (void)p;
    if (is_complete(choice)) {
        h->answer = complete_answer(all, choice);
        return;
    }
    h->ids = router_slice_copy(router_slice_member(all, "prompt_token_ids"));
    if (!id.text || router_slice_is(id, "null") || !h->ids || *h->ids != '[') return;
    router_edits_set(&e, "request_type", "\"generation_only\"");
    char *said = router_slice_copy(usage);
    if (said) router_edits_set(&e, "ctx_usage", said);
    h->params = router_slice_edit(params, &e);
    router_edits_free(&e);
    free(said);
}

static void edit_decode(const struct router_pair *p, struct router_edits *e) {
    const struct router_handover *h = &p->handover;
    if (!h->params || !h->ids) return;
    router_edits_set(e, "disaggregated_params", h->params);
    router_edits_set(e, p->kind == ROUTER_PROMPT_CHAT ? "prompt_token_ids" : "prompt", h->ids);
}

const struct router_connector router_connector_trtllm = {
    .name = "trtllm", .prefill = edit_prefill, .read = read_answer, .decode = edit_decode};
