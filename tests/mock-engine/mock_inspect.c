// SPDX-License-Identifier: Apache-2.0
// What there is to see of an engine without asking it for an answer.
#include "mock_inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mock_connector.h"
#include "mock_life.h"
#include "mock_memory.h"
#include "mock_reply.h"

void mock_serve_health(struct mock_engine *m, struct h1_exchange *x) {
    if (m->lasting[MOCK_UNHEALTHY].on)
        mock_reply_error(x, 503, "unhealthy on request");
    else
        mock_reply_text(x, 200, "text/plain", "");
}

// What SageMaker asks.
void mock_serve_ping(struct mock_engine *m, struct h1_exchange *x) {
    mock_serve_health(m, x);
}

void mock_serve_version(struct mock_engine *m, struct h1_exchange *x) {
    (void)m;
    mock_reply_json(x, 200, json_pack("{s:s}", "version", KVROUTE_VERSION));
}

// SGLang's way to ask whether it is well; vLLM's health says nothing of a pause.
void mock_serve_ready(struct mock_engine *m, struct h1_exchange *x) {
    if (m->lasting[MOCK_PAUSED].on || m->lasting[MOCK_ASLEEP].on)
        mock_reply_error(x, 503, "paused on request");
    else
        mock_serve_health(m, x);
}

void mock_serve_paused(struct mock_engine *m, struct h1_exchange *x) {
    mock_reply_json(x, 200, json_pack("{s:b}", "is_paused", m->lasting[MOCK_PAUSED].on));
}

void mock_serve_sleeping(struct mock_engine *m, struct h1_exchange *x) {
    mock_reply_json(x, 200, json_pack("{s:b}", "is_sleeping", m->lasting[MOCK_ASLEEP].on));
}

// parent: the model that an adapter is for; NULL: it is none.
static json_t *model_row(const struct mock_engine *m, const char *name, const char *parent) {
    return json_pack("{s:s,s:s,s:i,s:s,s:s,s:s?,s:I}", "id", name, "object", "model", "created", 0,
                     "owned_by", m->options->owner, "root", m->options->model, "parent", parent,
                     "max_model_len", (json_int_t)m->options->max_model_len);
}

void mock_serve_models(struct mock_engine *m, struct h1_exchange *x) {
    json_t *data = json_array();
    json_array_append_new(data, model_row(m, m->options->model, NULL));
    for (size_t i = 0; i < m->options->n_loras; i++)
        json_array_append_new(data, model_row(m, m->options->loras[i], m->options->model));
    mock_reply_json(x, 200, json_pack("{s:s,s:o}", "object", "list", "data", data));
}

// ---- /metrics ------------------------------------------------------------------------------------

static const struct {
    const char *name, *type;
} metric_rows[] = {
    {"vllm:num_requests_running", "gauge"},      {"vllm:num_requests_waiting", "gauge"},
    {"vllm:kv_cache_usage_perc", "gauge"},       {"vllm:prefix_cache_queries_total", "counter"},
    {"vllm:prefix_cache_hits_total", "counter"}, {"vllm:prompt_tokens_total", "counter"},
    {"vllm:generation_tokens_total", "counter"}, {"mock:step_seconds_planned_total", "counter"},
    {"mock:step_seconds_total", "counter"},
};
enum { N_METRICS = sizeof metric_rows / sizeof *metric_rows };

static double value_of(size_t row, const struct mock_scheduler_count *c) {
    const double values[N_METRICS] = {
        (double)c->running,
        (double)c->waiting,
        (double)c->blocks.used / (double)c->blocks.capacity,
        (double)c->queries,
        (double)c->hits,
        (double)c->prompt_tokens,
        (double)c->answer_tokens,
        c->planned,
        c->taken,
    };
    return values[row];
}

// vLLM's way to tell how large its cache is.
static void put_cache_config(const struct mock_engine *m, struct evbuffer *out) {
    evbuffer_add_printf(out, "# TYPE vllm:cache_config_info gauge\n");
    for (size_t rank = 0; rank < m->options->ranks; rank++)
        evbuffer_add_printf(out,
                            "vllm:cache_config_info{block_size=\"%zu\",cache_dtype=\"auto\","
                            "enable_prefix_caching=\"True\",engine=\"%zu\","
                            "num_gpu_blocks=\"%zu\",num_gpu_blocks_override=\"None\"} 1.0\n",
                            (size_t)m->options->engine.block_size, rank,
                            (size_t)m->options->engine.blocks);
}

void mock_serve_metrics(struct mock_engine *m, struct h1_exchange *x) {
    struct evbuffer *out = evbuffer_new();
    json_t *name = json_string(m->options->model);
    char *model = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    for (size_t i = 0; i < N_METRICS; i++) {
        evbuffer_add_printf(out, "# TYPE %s %s\n", metric_rows[i].name, metric_rows[i].type);
        for (size_t rank = 0; rank < m->options->ranks; rank++) {
            struct mock_scheduler_count c = mock_scheduler_counts(m->engines[rank]);
            evbuffer_add_printf(out, "%s{engine=\"%zu\",model_name=%s} %.17g\n",
                                metric_rows[i].name, rank, model ? model : "\"\"", value_of(i, &c));
        }
    }
    if (!mock_is_sglang(m)) put_cache_config(m, out);
    free(model);
    json_decref(name);
    mock_reply_buffer(x, "text/plain; version=0.0.4; charset=utf-8", out);
    evbuffer_free(out);
}

// ---- /server_info --------------------------------------------------------------------------------

// SGLang's way: of each rank, in tokens.
static json_t *states_of(const struct mock_options *o) {
    json_t *states = json_array();
    for (size_t i = 0; i < o->ranks; i++)
        json_array_append_new(
            states, json_pack("{s:I}", "max_total_num_tokens",
                              (json_int_t)o->engine.blocks * (json_int_t)o->engine.block_size));
    return states;
}

// What each kind of engine tells of disaggregation, in its own words.
static void add_roles(const struct mock_engine *m, json_t *info) {
    static const char *const modes[MOCK_N_ROLES] = {
        [MOCK_ROLE_BOTH] = "null",
        [MOCK_ROLE_PREFILL] = "prefill",
        [MOCK_ROLE_DECODE] = "decode",
    };
    const struct mock_options *o = m->options;
    if (mock_is_sglang(m)) {
        json_object_set_new(info, "disaggregation_mode", json_string(modes[o->role]));
        json_object_set_new(info, "disaggregation_transfer_backend", json_string("mooncake"));
        json_object_set_new(info, "disaggregation_bootstrap_port",
                            o->kv ? json_integer(m->side_port) : json_null());
    } else if (o->kv == MOCK_KV_TRTLLM) {
        json_object_set_new(info, "disaggregated_params",
                            json_pack("{s:[o],s:n}", "ctx_info_endpoint",
                                      json_sprintf("%s:%d", o->kv_host, m->side_port),
                                      "ctx_dp_rank"));
    } else {
        json_object_set_new(info, "vllm_config",
                            json_pack("{s:o}", "kv_transfer_config",
                                      o->kv ? mock_connector_config(m) : json_null()));
    }
}

void mock_serve_info(struct mock_engine *m, struct h1_exchange *x) {
    const struct mock_options *o = m->options;
    json_t *info = json_pack("{s:s,s:s,s:I,s:I,s:I,s:s}", "engine", "kvroute-mock-engine",
                             "model_path", o->model, "block_size", (json_int_t)o->engine.block_size,
                             "page_size", (json_int_t)o->engine.block_size, "dp_size",
                             (json_int_t)o->ranks, "schema", o->engine.schema->name);
    json_t *events = json_null();
    if (!o->no_events)
        events = json_pack("{s:s,s:s,s:i,s:s,s:I,s:I,s:o}", "publisher", "zmq", "endpoint_host",
                           "*", "endpoint_port_base", m->events_port, "topic", o->publish.topic,
                           "block_size", (json_int_t)o->engine.block_size, "dp_size",
                           (json_int_t)o->ranks, "replay_endpoint_port_base",
                           o->no_replay ? json_null() : json_integer(m->replay_port));
    if (info) json_object_set_new(info, "kv_events", events);
    if (info) add_roles(m, info);
    if (info && mock_is_sglang(m)) json_object_set_new(info, "internal_states", states_of(o));
    mock_reply_json(x, 200, info);
}

// ---- /kv_event_sources ---------------------------------------------------------------------------

static json_t *any_host(int port, size_t rank) {
    return json_sprintf("tcp://*:%d", port + (int)rank);
}

// vLLM's way, of each rank.
void mock_serve_sources(struct mock_engine *m, struct h1_exchange *x) {
    const struct mock_options *o = m->options;
    json_t *sources = json_object();
    for (size_t i = 0; i < o->ranks && !o->no_events; i++) {
        char rank[24];
        snprintf(rank, sizeof rank, "%zu", i);
        json_object_set_new(
            sources, rank,
            json_pack("{s:b,s:s,s:o,s:o,s:I,s:s}", "enable_kv_cache_events", 1, "publisher", "zmq",
                      "endpoint", any_host(m->events_port, i), "replay_endpoint",
                      o->no_replay ? json_null() : any_host(m->replay_port, i), "buffer_steps",
                      (json_int_t)o->publish.buffer, "topic", o->publish.topic));
    }
    mock_reply_json(x, 200, sources);
}

// ---- /mock/cache, /reset_prefix_cache ------------------------------------------------------------

static json_t *hashes_of(const struct mock_blocks *b) {
    json_t *all = json_array();
    uint64_t *hashes = mock_take(b ? mock_blocks_counts(b).cached : 0, sizeof *hashes);
    size_t n = b ? mock_blocks_list(b, hashes) : 0;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_sprintf("%016" PRIx64, hashes[i]));
    free(hashes);
    return all;
}

static json_t *rank_row(const struct mock_engine *m, size_t rank) {
    const struct mock_scheduler *e = m->engines[rank];
    const struct mock_publisher *p = m->publishers[rank];
    struct mock_scheduler_count c = mock_scheduler_counts(e);
    json_t *blocks = hashes_of(mock_scheduler_blocks(e));
    size_t copies = m->options->engine.schema->merges ? json_array_size(blocks) : c.blocks.cached;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "rank", (json_int_t)rank,
                     "capacity", (json_int_t)c.blocks.capacity, "used", (json_int_t)c.blocks.used,
                     "copies", (json_int_t)copies, "running", (json_int_t)c.running, "waiting",
                     (json_int_t)c.waiting, "steps", (json_int_t)c.steps, "next_seq",
                     (json_int_t)(p ? mock_publisher_next(p) : 0), "held",
                     (json_int_t)(p ? mock_publisher_held(p) : 0), "pending", (json_int_t)c.pending,
                     "blocks", blocks, "cpu", hashes_of(mock_scheduler_cpu(e)));
}

void mock_serve_cache(struct mock_engine *m, struct h1_exchange *x) {
    json_t *ranks = json_array();
    for (size_t i = 0; i < m->options->ranks; i++)
        json_array_append_new(ranks, rank_row(m, i));
    mock_reply_json(x, 200,
                    json_pack("{s:I,s:I,s:o}", "life", (json_int_t)m->lives, "block_size",
                              (json_int_t)m->options->engine.block_size, "ranks", ranks));
}

void mock_serve_reset(struct mock_engine *m, struct h1_exchange *x) {
    bool all = true;
    for (size_t i = 0; i < m->options->ranks; i++)
        all &= mock_scheduler_reset(m->engines[i]);
    mock_reply_json(x, 200, json_pack("{s:b}", "reset", all));
}
