// SPDX-License-Identifier: Apache-2.0
// What is learned of engines that answer one question and not the other, with far too much, or a byte at a
// time for ever.
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine/engine_probe.h"
#include "client/http1/h1_client.h"
#include "client/http1/h1_server.h"

TestSuite(asked, .timeout = 60);

enum asked_manner { ASKED_WHOLE, ASKED_SILENT, ASKED_DRIPPING };
enum { ASKED_MAX_PATHS = 4, DRIP_MS = 50, LARGE_BODY = 6 << 20 };

struct asked_path {
    const char *path, *body; // body NULL: LARGE_BODY bytes
    enum asked_manner manner;
};

// An engine of these paths, and a probe of it; all else is 404.
struct asked_engine {
    enum engine_kind kind;
    struct asked_path paths[ASKED_MAX_PATHS];
    struct event_base *base;
    struct event *timer;
    struct h1_exchange *drips;
    struct h1_server *server;
    struct h1_client *client;
    struct engine_probe *probe;
    char url[60];
    unsigned answers, unasked, learned;
    const char *trouble;
    struct engine_probe_facts facts; // without sources
    size_t sources;
};

// ---- The engine ----------------------------------------------------------------------------------

static void on_drip(evutil_socket_t fd, short what, void *arg) {
    struct asked_engine *e = arg;
    struct evbuffer *byte = evbuffer_new();
    (void)fd;
    (void)what;
    evbuffer_add(byte, " ", 1);
    if (e->drips) h1_exchange_data(e->drips, byte);
    evbuffer_free(byte);
}

static void on_gone(struct h1_exchange *x) {
    ((struct asked_engine *)x->ctx)->drips = NULL;
}

static void drip(struct h1_exchange *x) {
    struct asked_engine *e = x->ctx;
    struct timeval t = {0, DRIP_MS * 1000};
    x->on_gone = on_gone;
    h1_exchange_start(x, 200, NULL, -1);
    e->drips = x;
    event_add(e->timer, &t);
}

static void say(struct h1_exchange *x) {
    const struct asked_engine *e = x->ctx;
    for (size_t i = 0; i < ASKED_MAX_PATHS && e->paths[i].path; i++) {
        if (strcmp(x->head.path, e->paths[i].path) != 0) continue;
        char *large = e->paths[i].body ? NULL : calloc(1, LARGE_BODY);
        const char *body = large ? large : e->paths[i].body;
        h1_exchange_send(x, 200, NULL, body, large ? LARGE_BODY : strlen(body));
        free(large);
        return;
    }
}

static void keep_silent(struct h1_exchange *x) {
    (void)x;
}

static h1_handler *route(struct h1_exchange *x) {
    static h1_handler *const manners[] = {say, keep_silent, drip};
    const struct asked_engine *e = x->ctx;
    for (size_t i = 0; i < ASKED_MAX_PATHS && e->paths[i].path; i++)
        if (strcmp(x->head.path, e->paths[i].path) == 0) return manners[e->paths[i].manner];
    h1_exchange_refuse(x, 404, "NOTFOUND", "");
    return NULL;
}

// ---- The probe -----------------------------------------------------------------------------------

static void on_answer(void *ctx, const char *trouble, bool deliberate) {
    struct asked_engine *e = ctx;
    (void)deliberate;
    e->answers++;
    e->trouble = trouble;
    event_base_loopbreak(e->base);
}

static void on_unasked(void *ctx) {
    struct asked_engine *e = ctx;
    e->unasked++;
    event_base_loopbreak(e->base);
}

static void on_learned(void *ctx, struct engine_probe_facts *facts) {
    struct asked_engine *e = ctx;
    e->learned++;
    e->facts = *facts;
    e->sources = facts->sources.n;
    e->facts.sources = (struct engine_sources){0};
    event_base_loopbreak(e->base);
}

static void open_engine(struct asked_engine *e, size_t max_connections) {
    char error[200];
    struct h1_server_options o = h1_server_defaults;
    struct h1_client_options client = engine_probe_client;
    struct engine_probe_port port = {e, on_answer, on_unasked, on_learned};
    o.base = e->base = event_base_new();
    o.listen = "127.0.0.1:0";
    o.route = route;
    o.ctx = e;
    client.max_connections = max_connections;
    e->timer = event_new(e->base, -1, EV_PERSIST, on_drip, e);
    e->server = h1_server_new(&o, error, sizeof error);
    cr_assert(e->server, "%s", error);
    snprintf(e->url, sizeof e->url, "http://127.0.0.1:%d", h1_server_port(e->server));
    e->client = h1_client_new(e->base, &client);
    e->probe = engine_probe_new(e->client, e->url, "", e->kind, &port, error, sizeof error);
    cr_assert(e->probe, "%s", error);
}

static void close_engine(struct asked_engine *e) {
    engine_probe_free(e->probe);
    h1_client_free(e->client);
    event_free(e->timer);
    h1_server_free(e->server);
    h1_loop_free(e->base);
}

enum {
    ALL_WISHES = ENGINE_PROBE_SIZE | ENGINE_PROBE_RANKS | ENGINE_PROBE_CACHE | ENGINE_PROBE_SOURCES,
};

#define SOURCES "{\"0\":{\"endpoint\":\"tcp://*:5557\"}}"
#define METRICS "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\"} 1\n"

// An answer that doesn't come, or not in time, costs what it would have told and nothing else; one that
// is too large tells nothing, and isn't waited for again.
Test(asked, what_the_others_told_stays) {
    static const struct {
        struct asked_path paths[ASKED_MAX_PATHS];
        unsigned unheard;
        size_t sources;
        uint32_t block_size;
        int64_t cache_tokens;
    } engines[] = {
        {{{"/kv_event_sources", SOURCES, 0}, {"/metrics", METRICS, 0}}, 0, 1, 16, 1600},
        {{{"/kv_event_sources", SOURCES, 0}, {"/metrics", NULL, 0}}, 0, 1, 0, 0},
        {{{"/kv_event_sources", SOURCES, 0}, {"/metrics", METRICS, ASKED_SILENT}},
         ENGINE_PROBE_SIZE | ENGINE_PROBE_CACHE,
         1,
         0,
         0},
        {{{"/kv_event_sources", SOURCES, 0}, {"/metrics", METRICS, ASKED_DRIPPING}},
         ENGINE_PROBE_SIZE | ENGINE_PROBE_CACHE,
         1,
         0,
         0},
        {{{"/kv_event_sources", SOURCES, ASKED_SILENT}, {"/metrics", METRICS, 0}},
         ENGINE_PROBE_SOURCES,
         0,
         16,
         1600},
        {{{"/kv_event_sources", SOURCES, 0},
          {"/metrics",
           "vllm:cache_config_info{block_size=\"999999999\",num_gpu_blocks=\"999999999\"} 1\n", 0}},
         0,
         1,
         999999999,
         0},
    };
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        struct asked_engine e = {.answers = 0};
        memcpy(e.paths, engines[i].paths, sizeof e.paths);
        open_engine(&e, 0);
        engine_probe_learn(e.probe, ALL_WISHES);
        event_base_dispatch(e.base);
        cr_expect_eq(e.learned, 1, "%zu", i);
        cr_expect_eq(e.facts.unheard, engines[i].unheard, "%zu: %u", i, e.facts.unheard);
        cr_expect_eq(e.sources, engines[i].sources, "%zu", i);
        cr_expect_eq(e.facts.block_size, engines[i].block_size, "%zu", i);
        cr_expect_eq(e.facts.cache_tokens, engines[i].cache_tokens, "%zu", i);
        close_engine(&e);
    }
}

// Which program it is, and what it does of a pair, by what it has and says.
Test(asked, kind_and_role) {
    static const struct {
        struct asked_path paths[ASKED_MAX_PATHS];
        enum engine_kind kind;
        enum kvr_role role;
    } engines[] = {
        {{{"/kv_event_sources", "{}", 0}}, ENGINE_KIND_VLLM, KVR_ROLE_BOTH},
        {{{"/metrics", "vllm:num_requests_running 1\n", 0}}, ENGINE_KIND_VLLM, KVR_ROLE_BOTH},
        {{{"/metrics", "sglang:num_running_reqs 1\n", 0}}, ENGINE_KIND_SGLANG, KVR_ROLE_BOTH},
        {{{"/server_info", "{\"vllm_config\":{},\"disaggregation_mode\":\"prefill\"}", 0}},
         ENGINE_KIND_VLLM,
         KVR_ROLE_BOTH},
        {{{"/server_info", "{\"disaggregation_mode\": \"prefill\"}", 0}},
         ENGINE_KIND_SGLANG,
         KVR_ROLE_PREFILL},
        {{{"/get_server_info", "{\"disaggregation_mode\":\"decode\"}", 0}},
         ENGINE_KIND_SGLANG,
         KVR_ROLE_DECODE},
        {{{"/server_info", "{\"disaggregation_mode\":\"null\"}", 0}},
         ENGINE_KIND_SGLANG,
         KVR_ROLE_BOTH},
        {{{"/server_info", "{\"disaggregation_mode", 0}}, ENGINE_KIND_SGLANG, KVR_ROLE_BOTH},
        {{{"/other", "", 0}}, ENGINE_KIND_ANY, KVR_ROLE_BOTH},
    };
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        struct asked_engine e = {.kind = ENGINE_KIND_ANY};
        memcpy(e.paths, engines[i].paths, sizeof e.paths);
        open_engine(&e, 0);
        engine_probe_learn(e.probe, ENGINE_PROBE_KIND | ENGINE_PROBE_ROLE);
        event_base_dispatch(e.base);
        cr_expect_eq(e.facts.kind, engines[i].kind, "%zu: %d", i, (int)e.facts.kind);
        cr_expect_eq(e.facts.role, engines[i].role, "%zu: %d", i, (int)e.facts.role);
        // Of one that isn't known, that it has no such path is an answer, too.
        cr_assert(engine_probe_check(e.probe));
        event_base_dispatch(e.base);
        cr_expect_eq(!e.trouble, engines[i].kind == ENGINE_KIND_ANY, "%zu: %s", i, e.trouble);
        close_engine(&e);
    }
}

// A check that is under way when the kind is learned, whichever comes first: its path was another kind's.
Test(asked, whether_it_is_well_while_its_kind_is_learned) {
    for (int first = 0; first < 2; first++) {
        struct asked_engine e = {.kind = ENGINE_KIND_ANY,
                                 .paths = {{"/health", "", 0}, {"/kv_event_sources", "{}", 0}}};
        open_engine(&e, 0);
        if (first) engine_probe_learn(e.probe, ENGINE_PROBE_KIND);
        cr_assert(engine_probe_check(e.probe));
        if (!first) engine_probe_learn(e.probe, ENGINE_PROBE_KIND);
        while (!e.answers || !e.learned)
            event_base_dispatch(e.base);
        cr_expect(e.facts.kind == ENGINE_KIND_VLLM && !e.trouble, "%s", e.trouble);
        for (unsigned answers = e.answers; e.answers == answers; event_base_dispatch(e.base))
            cr_assert(engine_probe_check(e.probe));
        cr_expect_null(e.trouble);
        close_engine(&e);
    }
}

// A heartbeat that never ends is none, and one with a long story to it is one.
Test(asked, health_without_end) {
    struct asked_engine e = {.paths = {{"/health", "", ASKED_DRIPPING}}};
    open_engine(&e, 0);
    engine_probe_check(e.probe);
    event_base_dispatch(e.base);
    cr_expect(e.answers == 1 && e.trouble);
    close_engine(&e);
    struct asked_engine large = {.paths = {{"/health", NULL, 0}}};
    open_engine(&large, 0);
    engine_probe_check(large.probe);
    event_base_dispatch(large.base);
    cr_expect(large.answers == 1 && !large.trouble);
    close_engine(&large);
}

// It is paused until it says that it isn't, or is gone.
Test(asked, a_paused_engine_that_falls_silent) {
    struct asked_engine e = {
        .paths = {{"/health", "", 0}, {"/is_paused", "{\"is_paused\":true}", 0}}};
    open_engine(&e, 0);
    for (unsigned i = 0; i < 3; i++) {
        if (i) e.paths[1].manner = ASKED_SILENT;
        cr_assert(engine_probe_check(e.probe));
        event_base_dispatch(e.base);
        cr_expect(e.trouble && strcmp(e.trouble, "is paused") == 0);
    }
    e.paths[1] = (struct asked_path){"/is_paused", "{\"is_paused\":false}", 0};
    cr_assert(engine_probe_check(e.probe));
    event_base_dispatch(e.base);
    cr_expect_null(e.trouble);
    close_engine(&e);
}

// Whoever has no connection to spare has asked nobody.
Test(asked, nobody) {
    static const struct h1_callbacks nothing;
    struct asked_engine e = {.paths = {{"/health", "", 0}, {"/busy", "", ASKED_SILENT}}};
    open_engine(&e, 1);
    struct h1_request busy = {.address = e.url, .method = "GET", .path = "/busy"};
    struct h1_call *call = h1_call_start(e.client, &busy, &nothing, NULL, NULL);
    cr_assert(call);
    engine_probe_check(e.probe);
    event_base_dispatch(e.base);
    cr_expect(e.unasked == 1 && e.answers == 0);
    engine_probe_learn(e.probe, ENGINE_PROBE_SIZE);
    event_base_dispatch(e.base);
    cr_expect(e.learned == 1 && e.facts.unheard == ENGINE_PROBE_SIZE);
    h1_call_cancel(call);
    close_engine(&e);
}
