// SPDX-License-Identifier: Apache-2.0
// The whole state of the pool beside the model's.
#include <string.h>

#include "flow_model.h"

static void compare_labels(const struct flow_reply *list, const struct unit_model_worker *w) {
    size_t at = 0;
    for (int i = 0; i < FLOW_MODEL_LABELS; i++) {
        if (!unit_model_labelled(w, flow_model_labels[i])) continue;
        flow_model_check(at < list->count && !strcmp(list->items[at].bytes, flow_model_labels[i].p),
                         "a label");
        at++;
    }
    flow_model_check(list->count == at, "as many labels");
}

// Where an instance is, as a session or a request says.
static void compare_instance(const struct flow_reply *map, uint64_t instance) {
    uint32_t rank;
    flow_model_expect_bytes(map, "worker",
                            model_name(unit_model_owner(&flow_model, instance, &rank)));
    flow_model_expect_field(map, "rank", rank);
}

static void compare_sessions(void) {
    for (int i = 0; i < FLOW_MODEL_SESSIONS; i++) {
        flow_args_words(&flow_model_args, "KVROUTE.SESSION GET p");
        struct kvr_bytes name = flow_model_add(flow_model_name("session-", i));
        const struct unit_model_session *want = unit_model_find_session(&flow_model, name);
        const struct flow_reply *r = flow_model_send();
        flow_model_check((r->kind != FLOW_REPLY_NULL) == (want != NULL), "a session");
        if (want) {
            compare_instance(r, want->instance);
            flow_model_expect_field(r, "requests", unit_model_session_live(&flow_model, name));
        }
        flow_args_clear(&flow_model_args);
    }
}

static void compare_rank(const struct flow_reply *map, const struct unit_model_rank *want) {
    static const char *const held[] = {"device_blocks", "host_blocks", "disk_blocks"};
    flow_model_expect_field(map, "epoch", want->epoch);
    flow_model_expect_field(map, "seq", want->seq);
    for (int t = 0; t < KVR_TIERS; t++) {
        uint64_t n = 0;
        for (int b = 0; b < FLOW_UNIVERSE_BLOCKS; b++)
            n += unit_model_holds(&flow_model, want->id, t, flow_model_universe.blocks[b].hash);
        flow_model_expect_field(map, held[t], n);
    }
    struct kvr_rank_info load;
    unit_model_load(&flow_model, want->id, &load);
    flow_model_expect_field(map, "requests", load.requests);
    flow_model_expect_field(map, "prefill_tokens", load.prefill_tokens);
    flow_model_expect_field(map, "decode_blocks", load.decode_blocks);
}

static void compare_workers(void) {
    flow_args_words(&flow_model_args, "KVROUTE.WORKER LIST p");
    const struct flow_reply *list = flow_model_send();
    size_t at = 0;
    for (int i = 0; i < FLOW_MODEL_WORKERS; i++) {
        const struct unit_model_worker *want =
            unit_model_find_worker(&flow_model, flow_model_name("w", i));
        if (!want) continue;
        flow_model_check(at < list->count, "as many workers");
        const struct flow_reply *map = &list->items[at++];
        flow_model_expect_bytes(map, "worker", model_name(want)); // in order
        flow_model_check(strcmp(flow_map_str(map, "state"), kvr_state_names[want->state]) == 0,
                         "state");
        flow_model_expect_field(map, "capacity", want->capacity);
        flow_model_check(strcmp(flow_map_str(map, "role"), kvr_role_names[want->role]) == 0,
                         "role");
        flow_model_check(flow_map_real(map, "speed") == want->speed, "speed");
        compare_labels(flow_map_get(map, "labels"), want);
        const struct flow_reply *ranks = flow_map_get(map, "ranks");
        flow_model_check(ranks->count == want->ranks, "as many ranks");
        for (uint32_t k = 0; k < want->ranks; k++)
            compare_rank(&ranks->items[k], &want->rank[k]);
    }
    flow_model_check(at == list->count, "no more workers");
    flow_args_clear(&flow_model_args);
}

static void compare_requests(void) {
    for (int i = 0; i < FLOW_MODEL_REQUESTS; i++) {
        flow_args_words(&flow_model_args, "KVROUTE.REQUEST GET p");
        const struct unit_model_request *want =
            unit_model_find_request(&flow_model, flow_model_add(flow_model_name("request-", i)));
        const struct flow_reply *r = flow_model_send();
        flow_model_check((r->kind != FLOW_REPLY_NULL) == (want != NULL), "live");
        if (want) {
            compare_instance(r, want->instance);
            flow_model_expect_field(r, "isl", (uint64_t)want->isl);
            flow_model_expect_field(r, "cached", (uint64_t)want->cached);
            flow_model_expect_field(r, "output", (uint64_t)want->output);
            flow_model_expect_field(r, "blocks", want->n);
            flow_model_expect_field(r, "prefilled", want->prefilled);
            flow_model_expect_bytes(r, "session",
                                    (struct kvr_bytes){want->session, want->session_len});
            flow_model_expect_bytes(r, "prefill_worker", model_bytes(&want->prefill_worker));
            flow_model_expect_field(r, "prefill_rank",
                                    want->prefill_worker.n ? want->prefill_rank : UINT64_MAX);
        }
        flow_args_clear(&flow_model_args);
    }
}

static void compare_info(void) {
    struct kvr_stats want;
    unit_model_counts(&flow_model, FLOW_MODEL_NOW, &want);
    flow_args_words(&flow_model_args, "KVROUTE.INFO p");
    const struct flow_reply *r = flow_model_send();
    for (int i = 0; i < UNIT_MODEL_STATS; i++)
        flow_model_expect_field(r, unit_model_stats[i].name, *stat_of(&want, &unit_model_stats[i]));
    flow_args_clear(&flow_model_args);
}

void flow_model_compare(void) {
    compare_workers();
    compare_requests();
    compare_sessions();
    compare_info();
}
