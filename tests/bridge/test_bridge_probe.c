// SPDX-License-Identifier: Apache-2.0
// Numbers in what engines say of themselves, wherever they stand; and engines at all kinds of address.
#include <criterion/criterion.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine/engine_probe.h"
#include "client/http1/h1_client.h"
#include "client/http1/h1_server.h"

static const struct {
    const char *text;
    uint32_t number; // of block_size
} number_texts[] = {
    {"{\"block_size\":16}", 16},
    {"{\"a\":{\"block_size\": 32 }}", 32},
    {"CacheConfig(block_size=64, swap=4)", 64},
    {"{'block_size': 8}", 8},
    {"{\"config\":\"{\\\"block_size\\\": 128}\"}", 128}, // text within text
    {"{\"hash_block_size\": 5, \"block_size\": 7}", 7},
    {"{\"block_size_bytes\": 5, \"block_size\": 7}", 7},
    {"{\"block_size\": null, \"x\": {\"block_size\": 9}}", 9},
    {"{\"block_size\": 0}", 0},
    {"{\"block_size\": -4}", 0},
    {"{\"block_size\": \"16\"}", 0}, // a text is no number
    {"the block_size is 16", 0},
    {"block_size", 0},
    {"block_size=", 0},
    {"block_size = 12", 12},
    {"block_size=12", 12},
    {"", 0},
};

Test(probe, numbers_by_name) {
    for (size_t i = 0; i < sizeof number_texts / sizeof *number_texts; i++) {
        // Nothing stands behind it that may be read.
        size_t n = strlen(number_texts[i].text);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, number_texts[i].text, n);
        cr_expect_eq(engine_probe_number(copy, n, "block_size"), number_texts[i].number, "%s: %u",
                     number_texts[i].text, engine_probe_number(copy, n, "block_size"));
        free(copy);
    }
    // The beginning of a number is another number.
    static const char many[] = "block_size=99999999999999999999999999999 block_size=999999999";
    cr_expect_eq(engine_probe_number(many, sizeof many - 1, "block_size"), 999999999u);
}

#define INFO "vllm:cache_config_info{"
static const struct {
    const char *text;
    uint32_t number; // the least of num_gpu_blocks in lines of vllm:cache_config_info
} metric_pages[] = {
    {INFO "block_size=\"16\",num_gpu_blocks=\"27000\"} 1.0\n", 27000},
    {"# HELP x\n" INFO "a=\"\\\"}{,\",num_gpu_blocks=\"7\",b=\"\"} 1.0", 7},
    {INFO "engine=\"0\",num_gpu_blocks=\"9\"} 1\n" INFO "engine=\"1\",num_gpu_blocks=\"8\"} 1\n",
     8},
    {INFO "num_gpu_blocks=\"None\"} 1\n" INFO "num_gpu_blocks=\"8\"} 1\n", 8},
    {INFO "num_gpu_blocks_override=\"5\"} 1\n", 0},
    {INFO "num_gpu_blocks=\"-5\"} 1\n", 0},
    {INFO "num_gpu_blocks=\"5.5\"} 1\n", 0},
    {INFO "num_gpu_blocks=5} 1\n", 0},
    {INFO "num_gpu_blocks=\"", 0},
    {INFO "num_gpu_blocks", 0},
    {INFO, 0},
    {"vllm:cache_config_info 1\nvllm:cache_config_info", 0},
    {"x" INFO "num_gpu_blocks=\"5\"} 1\n", 0},
    {"vllm:cache_config_info_of_old{num_gpu_blocks=\"5\"} 1\n", 0},
    {"", 0},
};

Test(probe, labels_by_name) {
    for (size_t i = 0; i < sizeof metric_pages / sizeof *metric_pages; i++) {
        size_t n = strlen(metric_pages[i].text);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, metric_pages[i].text, n);
        uint32_t found = engine_probe_label(copy, n, "vllm:cache_config_info", "num_gpu_blocks");
        cr_expect_eq(found, metric_pages[i].number, "%s: %u", metric_pages[i].text, found);
        free(copy);
    }
}

Test(probe, lines_of_a_metric) {
    static const char page[] = INFO "engine=\"0\"} 1\n# x\nvllm:cache_config_info 1\n" INFO
                                    "engine=\"1\"} 1\nvllm:cache_config_info_x{} 1\n" INFO;
    cr_expect_eq(engine_probe_lines(page, sizeof page - 1, "vllm:cache_config_info"), 3);
    cr_expect_eq(engine_probe_lines("", 0, "vllm:cache_config_info"), 0);
}

Test(probe, truths_by_name) {
    static const struct {
        const char *text;
        bool is;
    } texts[] = {
        {"{\"is_paused\":true}", true},
        {"{\"is_paused\": true }", true},
        {"{\"is_paused\":false}", false},
        {"{\"is_paused\":tru", false},
        {"{\"is_paused\":", false},
        {"{\"is_paused", false},
        {"is_paused", false},
        {"{\"x\":true}", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i].text);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, texts[i].text, n);
        cr_expect_eq(engine_probe_true(copy, n, "is_paused"), texts[i].is, "%s", texts[i].text);
        free(copy);
    }
}

// ---- Reaching them -------------------------------------------------------------------------------

struct probe_result {
    struct event_base *base;
    int replies;
    const char *trouble;
};

static void on_answer(void *ctx, const char *trouble, bool deliberate) {
    struct probe_result *a = ctx;
    (void)deliberate;
    a->replies++;
    a->trouble = trouble;
    event_base_loopbreak(a->base);
}

static void on_unasked(void *ctx) {
    on_answer(ctx, "can't be asked", false);
}

static void on_learned(void *ctx, struct engine_probe_facts *facts) {
    (void)ctx;
    (void)facts;
}

// An engine of a few lines: which paths it has, and how long its health takes.
struct probe_engine {
    struct event_base *base;
    const char *ready, *paused; // NULL: it has no such path; paused: what it answers there
    int slow_ms;                // of /health
    struct event *timer;
    struct h1_exchange *waits;
    unsigned asked; // times for its health
};

static void say_well(struct h1_exchange *x) {
    h1_exchange_send(x, 200, NULL, "", 0);
}

static void say_paused(struct h1_exchange *x) {
    const struct probe_engine *e = x->ctx;
    h1_exchange_send(x, 200, NULL, e->paused, strlen(e->paused));
}

static void on_slow(evutil_socket_t fd, short what, void *arg) {
    struct probe_engine *e = arg;
    (void)fd;
    (void)what;
    if (e->waits) say_well(e->waits);
    e->waits = NULL;
}

static void on_gone(struct h1_exchange *x) {
    ((struct probe_engine *)x->ctx)->waits = NULL;
}

static void say_slowly(struct h1_exchange *x) {
    struct probe_engine *e = x->ctx;
    struct timeval t = {e->slow_ms / 1000, e->slow_ms % 1000 * 1000};
    e->asked++;
    e->waits = x;
    x->on_gone = on_gone;
    event_add(e->timer, &t);
}

static h1_handler *route(struct h1_exchange *x) {
    const struct probe_engine *e = x->ctx;
    if (strcmp(x->head.path, "/engine/health") == 0) return e->slow_ms ? say_slowly : say_well;
    if (strcmp(x->head.path, "/engine/ready") == 0 && e->ready) return say_well;
    if (strcmp(x->head.path, "/engine/is_paused") == 0 && e->paused) return say_paused;
    h1_exchange_refuse(x, 404, "NOTFOUND", "");
    return NULL;
}

static bool has_address(const char *host, int family) {
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found = NULL;
    bool has = getaddrinfo(host, NULL, &hints, &found) == 0;
    if (has) freeaddrinfo(found);
    return has;
}

// Asks an engine that listens at this address alone under that name, for its health at `path`. Where the
// machine has no such address, it is well. NULL: it is well.
static const char *ask_at(struct probe_engine *e, const char *address, const char *host,
                          const char *path, enum engine_kind kind) {
    struct probe_result result = {.base = event_base_new()};
    struct h1_server_options o = h1_server_defaults;
    char listen[60], url[100], error[200];
    snprintf(listen, sizeof listen, "%s:0", address);
    o.base = e->base = result.base;
    o.listen = listen;
    o.route = route;
    o.ctx = e;
    e->timer = event_new(e->base, -1, 0, on_slow, e);
    struct h1_server *engine = h1_server_new(&o, error, sizeof error);
    if (engine) {
        struct h1_client *client = h1_client_new(result.base, &engine_probe_client);
        snprintf(url, sizeof url, "http://%s:%d/engine/", host, h1_server_port(engine));
        struct engine_probe_port port = {&result, on_answer, on_unasked, on_learned};
        struct engine_probe *p =
            engine_probe_new(client, url, path, kind, &port, error, sizeof error);
        cr_assert(p, "%s", error);
        cr_expect(engine_probe_check(p));
        cr_expect_not(engine_probe_check(p), "one at a time");
        event_base_dispatch(result.base);
        cr_assert(result.replies == 1);
        engine_probe_free(p);
        h1_client_free(client);
        h1_server_free(engine);
    }
    event_free(e->timer);
    h1_loop_free(result.base);
    return result.trouble;
}

static bool is_up(const char *address, const char *host) {
    return !ask_at(&(struct probe_engine){0}, address, host, "", ENGINE_KIND_VLLM);
}

static const char *ask(struct probe_engine *e, const char *path, enum engine_kind kind) {
    return ask_at(e, "127.0.0.1", "127.0.0.1", path, kind);
}

// SGLang's /health takes more than a second by design, and seconds where there is much to do: it is asked
// only where there is nothing quicker, and then waited for.
Test(probe, slow_health_of_sglang) {
    struct probe_engine ready = {.ready = "", .slow_ms = 3000}, older = {.slow_ms = 3000};
    cr_expect_null(ask(&ready, "", ENGINE_KIND_SGLANG));
    cr_expect_eq(ready.asked, 0);
    cr_expect_null(ask(&older, "", ENGINE_KIND_SGLANG));
    cr_expect_eq(older.asked, 1);
    older.asked = 0;
    cr_expect_null(ask(&older, "/health", ENGINE_KIND_SGLANG));
    cr_expect_not_null(ask(&older, "", ENGINE_KIND_VLLM));
    cr_expect_not_null(ask(&ready, "/elsewhere", ENGINE_KIND_SGLANG));
}

Test(probe, paused_engines) {
    struct probe_engine e = {.paused = "{\"is_paused\":true}"};
    cr_expect_str_eq(ask(&e, "", ENGINE_KIND_VLLM), "is paused");
    e.paused = "{\"is_paused\":false}";
    cr_expect_null(ask(&e, "", ENGINE_KIND_VLLM));
}

Test(probe, engines_on_ipv6) {
    cr_expect(is_up("[::1]", "[::1]"));
}

// Whichever of its addresses a name has first.
Test(probe, engines_on_one_address_of_a_name) {
    if (has_address("localhost", AF_INET)) cr_expect(is_up("127.0.0.1", "localhost"));
    if (has_address("localhost", AF_INET6)) cr_expect(is_up("[::1]", "localhost"));
    if (has_address("ip6-localhost", AF_INET6)) cr_expect(is_up("[::1]", "ip6-localhost"));
}
