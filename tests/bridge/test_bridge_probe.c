// SPDX-License-Identifier: Apache-2.0
// Numbers in what engines say of themselves, wherever they stand; and engines at all kinds of address.
#include <criterion/criterion.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bridge/engine_probe.h"
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
        cr_expect_eq(bridge_probe_number(copy, n, "block_size"), number_texts[i].number, "%s: %u",
                     number_texts[i].text, bridge_probe_number(copy, n, "block_size"));
        free(copy);
    }
    // However long it is.
    static const char many[] = "block_size=99999999999999999999999999999";
    cr_expect_leq(bridge_probe_number(many, sizeof many - 1, "block_size"), 1000000000u);
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
        uint32_t found = bridge_probe_label(copy, n, "vllm:cache_config_info", "num_gpu_blocks");
        cr_expect_eq(found, metric_pages[i].number, "%s: %u", metric_pages[i].text, found);
        free(copy);
    }
}

// ---- Reaching them -------------------------------------------------------------------------------

struct probe_result {
    struct event_base *base;
    int replies;
    bool up;
};

static void on_answer(void *ctx, bool up) {
    struct probe_result *a = ctx;
    a->replies++;
    a->up = up;
    event_base_loopbreak(a->base);
}

static void on_learned(void *ctx, const struct bridge_probe_facts *facts) {
    (void)ctx;
    (void)facts;
}

static void say_well(struct h1_exchange *x) {
    h1_exchange_send(x, 200, NULL, "", 0);
}

static h1_handler *route(struct h1_exchange *x) {
    if (strcmp(x->head.path, "/engine/health") == 0) return say_well;
    h1_exchange_refuse(x, 404, "NOTFOUND", "");
    return NULL;
}

static bool has_address(const char *host, int family) {
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found = NULL;
    bool has = getaddrinfo(host, NULL, &hints, &found) == 0;
    if (has) freeaddrinfo(found);
    return has;
}

// Whether an engine that listens at this address alone is up for who asks under that name. Where the
// machine has no such address, it is.
static bool is_up(const char *address, const char *host) {
    struct probe_result result = {.base = event_base_new()};
    struct h1_server_options o = h1_server_defaults;
    char listen[60], url[100], error[200];
    snprintf(listen, sizeof listen, "%s:0", address);
    o.base = result.base;
    o.listen = listen;
    o.route = route;
    struct h1_server *engine = h1_server_new(&o, error, sizeof error);
    if (engine) {
        struct h1_client *client = h1_client_new(result.base, &bridge_probe_client);
        snprintf(url, sizeof url, "http://%s:%d/engine/", host, h1_server_port(engine));
        struct bridge_probe_port port = {&result, on_answer, on_learned};
        struct bridge_probe *p =
            bridge_probe_new(client, url, "/health", &port, error, sizeof error);
        cr_assert(p, "%s", error);
        bridge_probe_check(p);
        event_base_dispatch(result.base);
        cr_assert(result.replies == 1);
        bridge_probe_free(p);
        h1_client_free(client);
        h1_server_free(engine);
    }
    event_base_free(result.base);
    return !engine || result.up;
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
