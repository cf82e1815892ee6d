// SPDX-License-Identifier: Apache-2.0
// What a request has to do with another engine's; see mock_connector.h.
#include "mock_connector.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mock_life.h"
#include "mock_memory.h"
#include "mock_reply.h"
#include "mock_rooms.h"
#include <kvroute/hash.h>

// TensorRT-LLM's ids are larger than what a double holds.
enum { CONTEXT_ID_BITS = 62, SGLANG_BOOTSTRAP_PORT = 8998 };

static bool is_there(const json_t *v) {
    return v && !json_is_null(v);
}

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

static void set_address(struct mock_source *s, const char *host, json_int_t port) {
    snprintf(s->address, sizeof s->address, "http://%s:%" JSON_INTEGER_FORMAT, host, port);
}

static const char *refuse(int *status, int code, const char *why) {
    *status = code;
    return why;
}

// ---- vLLM ----------------------------------------------------------------------------------------

// What an assertion in the engine's core ends is the whole engine.
static void die(const char *why) {
    fprintf(stderr, "kvroute-mock-engine: AssertionError: %s\n", why);
    _exit(1);
}

static void read_nixl(struct mock_leg *leg, const json_t *params) {
    if (json_is_true(json_object_get(params, "do_remote_decode"))) {
        leg->side = MOCK_LEG_PREFILL;
        return;
    }
    const json_t *port = json_object_get(params, "remote_port");
    const char *engine = text_of(params, "remote_engine_id"),
               *host = text_of(params, "remote_host");
    const char *request = text_of(params, "remote_request_id");
    // Without one of these the engine says so in its log, and computes the prompt by itself.
    if (!json_is_true(json_object_get(params, "do_remote_prefill")) || !engine || !host ||
        !request || !json_is_integer(port))
        return;
    leg->side = MOCK_LEG_DECODE;
    leg->source = (struct mock_source){.rank = -1, .renews = true};
    set_address(&leg->source, host, json_integer_value(port));
    snprintf(leg->source.key, sizeof leg->source.key, "%s", request);
    snprintf(leg->source.engine_id, sizeof leg->source.engine_id, "%s", engine);
}

static void read_mooncake(struct mock_leg *leg, const struct mock_engine *m, const json_t *params) {
    const char *transfer = text_of(params, "transfer_id");
    if (json_is_true(json_object_get(params, "do_remote_decode"))) {
        if (m->options->role == MOCK_ROLE_DECODE) die("do_remote_decode on a kv_consumer");
        if (!transfer) return;
        leg->side = MOCK_LEG_PREFILL;
        snprintf(leg->key, sizeof leg->key, "%s", transfer);
        return;
    }
    if (!json_is_true(json_object_get(params, "do_remote_prefill"))) return;
    if (m->options->role == MOCK_ROLE_PREFILL) die("do_remote_prefill on a kv_producer");
    const char *engine = text_of(params, "remote_engine_id");
    const char *bootstrap = text_of(params, "remote_bootstrap_addr");
    if (!transfer || !engine || !bootstrap) return;
    const char *rank = strstr(engine, "_dp");
    leg->side = MOCK_LEG_DECODE;
    leg->source = (struct mock_source){.rank = rank ? atoi(rank + 3) : 0,
                                       .waits = true,
                                       .asks = true,
                                       .deaf_ms = m->options->kv_timeout_ms};
    snprintf(leg->source.address, sizeof leg->source.address, "%s%s",
             strstr(bootstrap, "://") ? "" : "http://", bootstrap);
    snprintf(leg->source.key, sizeof leg->source.key, "%s", transfer);
    snprintf(leg->source.engine_id, sizeof leg->source.engine_id, "%s", engine);
}

static const char *read_vllm(struct mock_leg *leg, const struct mock_engine *m, const json_t *body,
                             int *status) {
    const json_t *params = json_object_get(body, "kv_transfer_params");
    if (is_there(params) && !json_is_object(params))
        return refuse(status, 400, "kv_transfer_params is an object");
    if (!is_there(params)) return NULL;
    if (m->options->kv == MOCK_KV_NIXL) read_nixl(leg, params);
    if (m->options->kv == MOCK_KV_MOONCAKE) read_mooncake(leg, m, params);
    const json_t *cached = json_object_get(params, "remote_prefill_cached_tokens");
    leg->has_cached = leg->side == MOCK_LEG_DECODE && json_is_integer(cached);
    leg->cached = leg->has_cached ? (size_t)json_integer_value(cached) : 0;
    return NULL;
}

// ---- SGLang --------------------------------------------------------------------------------------

// A field may be a list, for a batch; there is only one prompt here.
static const json_t *field_of(const json_t *body, const char *name) {
    const json_t *v = json_object_get(body, name);
    return json_is_array(v) && json_array_size(v) == 1 ? json_array_get(v, 0) : v;
}

static bool read_rank(const json_t *body, const char *name, size_t ranks, int *out) {
    const json_t *v = json_object_get(body, name);
    if (!is_there(v)) return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (size_t)json_integer_value(v) >= ranks)
        return false;
    *out = (int)json_integer_value(v);
    return true;
}

static const char *read_prefill_room(struct mock_leg *leg, struct mock_engine *m, uint64_t room,
                                     int hint, int *rank, int *status) {
    int own = (int)(room % m->options->ranks);
    if (*rank < 0) *rank = own;
    leg->side = MOCK_LEG_PREFILL;
    leg->waits_for_peer = true;
    snprintf(leg->key, sizeof leg->key, "room %" PRIu64, room);
    if (*rank != own && hint != *rank)
        return refuse(status, 500, "the room is another rank's: handshake failed");
    return NULL;
}

static const char *read_decode_room(struct mock_leg *leg, const struct mock_engine *m,
                                    const json_t *body, uint64_t room, int hint, int *status) {
    const char *host = json_string_value(field_of(body, "bootstrap_host"));
    const json_t *port = field_of(body, "bootstrap_port");
    if (!host) return refuse(status, 400, "bootstrap_host is missing");
    leg->side = MOCK_LEG_DECODE;
    leg->source = (struct mock_source){
        .rank = hint, .waits = true, .deaf_ms = 2 * m->options->kv_heartbeat_ms};
    set_address(&leg->source, host,
                json_is_integer(port) ? json_integer_value(port) : SGLANG_BOOTSTRAP_PORT);
    snprintf(leg->source.key, sizeof leg->source.key, "room %" PRIu64, room);
    return NULL;
}

// A decoding request finds the other's rank by the hint it has, else that engine tells it by the room.
static const char *read_sglang(struct mock_leg *leg, struct mock_engine *m, const json_t *body,
                               int *rank, int *status) {
    const json_t *room = field_of(body, "bootstrap_room");
    size_t ranks = m->options->ranks;
    int wish = -1, hint = -1;
    bool prefill = m->options->role == MOCK_ROLE_PREFILL;
    if (!read_rank(body, "data_parallel_rank", ranks, &wish) ||
        !read_rank(body, "routed_dp_rank", ranks, &wish))
        return refuse(status, 400, "routed_dp_rank is out of range");
    if (*rank < 0) *rank = wish;
    if (m->options->role == MOCK_ROLE_BOTH) return NULL;
    if (!json_is_integer(room) || json_integer_value(room) < 0)
        return refuse(status, 400, "a disaggregated request needs a bootstrap_room");
    if (!read_rank(body, "disagg_prefill_dp_rank", prefill ? ranks : MOCK_MAX_RANKS, &hint))
        return refuse(status, 400, "disagg_prefill_dp_rank is out of range");
    if (!mock_rooms_add(m->rooms, (uint64_t)json_integer_value(room)))
        return refuse(status, 500, "Duplicate or cancelled bootstrap room: handshake failed");
    uint64_t n = (uint64_t)json_integer_value(room);
    return prefill ? read_prefill_room(leg, m, n, hint, rank, status)
                   : read_decode_room(leg, m, body, n, hint, status);
}

// ---- TensorRT-LLM --------------------------------------------------------------------------------

static void key_of_context(char *out, size_t size, const json_t *request_id, int64_t context_id) {
    if (json_is_integer(request_id))
        snprintf(out, size, "request %" JSON_INTEGER_FORMAT, json_integer_value(request_id));
    else
        snprintf(out, size, "context %" PRId64, context_id);
}

static const char *read_generation(struct mock_leg *leg, const json_t *params, int *status) {
    const json_t *where = json_object_get(params, "ctx_info_endpoint");
    if (json_is_array(where)) where = json_array_get(where, 0);
    const json_t *context = json_object_get(params, "ctx_request_id");
    const json_t *request = json_object_get(params, "disagg_request_id");
    if (!json_is_string(where) || (!json_is_integer(context) && !json_is_integer(request)))
        return refuse(status, 400, "generation_only needs the context's disaggregated_params");
    leg->side = MOCK_LEG_DECODE;
    // Without first tokens the context isn't there yet: the generation came first.
    leg->source = (struct mock_source){
        .rank = -1, .waits = !is_there(json_object_get(params, "first_gen_tokens"))};
    snprintf(leg->source.address, sizeof leg->source.address, "http://%s",
             json_string_value(where));
    key_of_context(leg->source.key, sizeof leg->source.key, request, json_integer_value(context));
    return NULL;
}

static const char *read_trtllm(struct mock_leg *leg, struct mock_engine *m, const json_t *body,
                               int *status) {
    const json_t *params = json_object_get(body, "disaggregated_params");
    const char *type = text_of(params, "request_type");
    if (!is_there(params) || !type || strcmp(type, "context_and_generation") == 0) return NULL;
    if (strcmp(type, "generation_only") == 0) return read_generation(leg, params, status);
    if (strcmp(type, "context_only") != 0) return refuse(status, 400, "no such request_type");
    const json_t *request = json_object_get(params, "disagg_request_id");
    uint64_t words[] = {m->options->seed, m->lives, ++m->n_requests};
    leg->side = MOCK_LEG_PREFILL;
    leg->context_id = (int64_t)(XXH3_64bits(words, sizeof words) >> (64 - CONTEXT_ID_BITS) |
                                (uint64_t)1 << (CONTEXT_ID_BITS - 1));
    leg->request_id = json_is_integer(request) ? json_integer_value(request) : leg->context_id;
    key_of_context(leg->key, sizeof leg->key, request, leg->context_id);
    return NULL;
}

// ---- All -----------------------------------------------------------------------------------------

const char *mock_leg_read(struct mock_leg *leg, struct mock_engine *m, const json_t *body,
                          int *rank, int *status) {
    *leg = (struct mock_leg){.side = MOCK_LEG_WHOLE};
    if (mock_is_sglang(m)) return read_sglang(leg, m, body, rank, status);
    if (m->options->kv == MOCK_KV_TRTLLM) return read_trtllm(leg, m, body, status);
    return read_vllm(leg, m, body, status);
}

void mock_leg_free(struct mock_leg *leg) {
    mock_load_cancel(leg->load);
    if (leg->offer) mock_offer_drop(leg->offer);
    if (leg->timer) event_free(leg->timer);
    free(leg->hashes);
    *leg = (struct mock_leg){.side = MOCK_LEG_WHOLE};
}

// vLLM lets the other engine know that nobody will pull.
void mock_leg_refuse(struct mock_leg *leg, struct mock_engine *m) {
    if (leg->side == MOCK_LEG_DECODE && m->options->kv == MOCK_KV_NIXL)
        mock_load_refuse(&m->transfers, &leg->source);
}

void mock_leg_name(struct mock_leg *leg, const struct mock_engine *m, const char *id, size_t rank) {
    uint64_t words[] = {m->options->seed, m->lives, m->n_requests, rank};
    if (leg->side == MOCK_LEG_PREFILL && m->options->kv == MOCK_KV_NIXL)
        snprintf(leg->key, sizeof leg->key, "%s-%08x", id,
                 (unsigned)XXH3_64bits(words, sizeof words));
}

void mock_leg_look(struct mock_leg *leg, const struct mock_engine *m,
                   const struct mock_tokens *prompt, struct mock_events_names names) {
    size_t size = m->options->engine.block_size;
    if (!m->store || !prompt->n) return;
    leg->n_hashes = (prompt->n - 1) / size;
    leg->hashes = mock_take(leg->n_hashes, sizeof *leg->hashes);
    uint64_t seed = kvr_hash_salt(names.lora, names.lora ? strlen(names.lora) : 0, names.salt,
                                  names.salt ? strlen(names.salt) : 0);
    kvr_hash_tokens(prompt->ids, leg->n_hashes * size, size, seed, NULL, leg->hashes);
    if (m->options->role != MOCK_ROLE_PREFILL)
        leg->stored = mock_store_find(m->store, leg->hashes, leg->n_hashes);
}

void mock_leg_save(const struct mock_leg *leg, const struct mock_engine *m) {
    if (m->store && m->options->role != MOCK_ROLE_DECODE)
        mock_store_add(m->store, leg->hashes, leg->n_hashes);
}

// ---- Answers -------------------------------------------------------------------------------------

static json_t *block_ids(size_t n) {
    json_t *group = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(group, json_integer((json_int_t)i + 1));
    return group;
}

json_t *mock_leg_params(const struct mock_leg *leg, const struct mock_engine *m, size_t rank,
                        size_t n_prompt) {
    const struct mock_options *o = m->options;
    char engine_id[MOCK_ENGINE_ID_SIZE];
    if (leg->side != MOCK_LEG_PREFILL || o->kv != MOCK_KV_NIXL) return NULL;
    mock_engine_id(m, rank, engine_id);
    size_t n = (n_prompt + o->engine.block_size - 1) / o->engine.block_size;
    return json_pack("{s:b,s:b,s:[o],s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:I,s:n,s:s}", "do_remote_prefill",
                     1, "do_remote_decode", 0, "remote_block_ids", block_ids(n), "remote_engine_id",
                     engine_id, "remote_request_id", leg->key, "remote_host", o->kv_host,
                     "remote_port", m->side_port, "tp_size", 1, "dcp_size", 1, "pp_size", 1,
                     "remote_num_tokens", (json_int_t)n_prompt, "remote_blocks_expiry_time",
                     "transfer_mode", "pull");
}

json_t *mock_leg_choice_params(const struct mock_leg *leg, const struct mock_engine *m, size_t rank,
                               uint32_t first_token) {
    if (leg->side != MOCK_LEG_PREFILL || m->options->kv != MOCK_KV_TRTLLM) return NULL;
    return json_pack("{s:s,s:[I],s:I,s:I,s:s,s:n,s:I,s:[o]}", "request_type", "context_only",
                     "first_gen_tokens", (json_int_t)first_token, "ctx_request_id",
                     (json_int_t)leg->context_id, "disagg_request_id", (json_int_t)leg->request_id,
                     "encoded_opaque_state", "bW9jaw==", "draft_tokens", "ctx_dp_rank",
                     (json_int_t)rank, "ctx_info_endpoint",
                     json_sprintf("%s:%d", m->options->kv_host, m->side_port));
}

// ---- What an engine tells of itself --------------------------------------------------------------

const char *mock_connector_name(const struct mock_engine *m) {
    static const char *const names[MOCK_N_KV_KINDS] = {
        [MOCK_KV_NONE] = "none",
        [MOCK_KV_NIXL] = "NixlConnector",
        [MOCK_KV_MOONCAKE] = "MooncakeConnector",
        [MOCK_KV_SHARED] = "LMCacheConnectorV1",
        [MOCK_KV_SGLANG] = "mooncake",
        [MOCK_KV_TRTLLM] = "trtllm",
    };
    return names[m->options->kv];
}

json_t *mock_connector_config(const struct mock_engine *m) {
    static const char *const roles[MOCK_N_ROLES] = {
        [MOCK_ROLE_BOTH] = "kv_both",
        [MOCK_ROLE_PREFILL] = "kv_producer",
        [MOCK_ROLE_DECODE] = "kv_consumer",
    };
    const struct mock_options *o = m->options;
    char id[MOCK_ENGINE_ID_SIZE], *rank;
    mock_engine_id(m, 0, id);
    if ((rank = strstr(id, "_dp"))) *rank = 0;
    return json_pack("{s:s,s:s,s:s,s:s,s:{s:f}}", "kv_connector", mock_connector_name(m), "kv_role",
                     roles[o->role], "engine_id", id, "kv_load_failure_policy",
                     o->load_failure == MOCK_LOAD_FAIL ? "fail" : "recompute",
                     "kv_connector_extra_config", "kv_lease_duration",
                     (double)o->kv_lease_ms / 1000);
}

void mock_serve_query(struct mock_engine *m, struct h1_exchange *x) {
    json_t *table = json_object();
    for (size_t i = 0; i < m->options->ranks; i++) {
        char id[MOCK_ENGINE_ID_SIZE], rank[24];
        mock_engine_id(m, i, id);
        snprintf(rank, sizeof rank, "%zu", i);
        json_object_set_new(table, rank,
                            json_pack("{s:s,s:{s:{s:o}}}", "engine_id", id, "worker_addr", "0", "0",
                                      json_sprintf("%s:%d", m->options->kv_host, m->side_port)));
    }
    mock_reply_json(x, 200, table);
}

void mock_serve_route(struct mock_engine *m, struct h1_exchange *x) {
    const struct mock_options *o = m->options;
    mock_reply_json(x, 200,
                    json_pack("{s:I,s:I,s:s,s:b,s:i}", "dp_size", (json_int_t)o->ranks, "page_size",
                              (json_int_t)o->engine.block_size, "kv_cache_dtype", "auto",
                              "follow_bootstrap_room", 1, "prefill_http_port", m->http_port));
}

void mock_serve_transfers(struct mock_engine *m, struct h1_exchange *x) {
    json_t *out = mock_transfers_describe(&m->transfers);
    char id[MOCK_ENGINE_ID_SIZE];
    json_int_t kept = 0;
    for (size_t i = 0; i < m->options->ranks; i++)
        kept += (json_int_t)mock_scheduler_counts(m->engines[i]).kept;
    mock_engine_id(m, 0, id);
    json_object_set_new(out, "kept", json_integer(kept));
    json_object_set_new(out, "connector", json_string(mock_connector_name(m)));
    json_object_set_new(out, "role", json_string(mock_role_name(m->options->role)));
    json_object_set_new(out, "engine_id", json_string(id));
    mock_reply_json(x, 200, out);
}
