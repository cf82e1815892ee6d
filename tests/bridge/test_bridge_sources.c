// SPDX-License-Identifier: Apache-2.0
// Where engines say that they publish: each kind's way to say it, and whatever else may come.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine/event_sources.h"

static const struct {
    const char *text, *sources; // rank events replay topic;…
} source_texts[] = {
    // vLLM's
    {"{\"0\":{\"enable_kv_cache_events\":true,\"publisher\":\"zmq\",\"endpoint\":\"tcp://*:5557\","
     "\"replay_endpoint\":null,\"buffer_steps\":10000,\"topic\":\"\"}}",
     "0 tcp://h:5557  ;"},
    {"{\"1\":{\"endpoint\":\"tcp://*:5558\",\"replay_endpoint\":\"tcp://*:5658\"},"
     "\"0\":{\"endpoint\":\"tcp://0.0.0.0:5557\",\"replay_endpoint\":\"tcp://[::]:5657\"}}",
     "0 tcp://h:5557 tcp://h:5657 ;1 tcp://h:5558 tcp://h:5658 ;"},
    // all of them the setting they were started with
    {"{\"4\":{\"endpoint\":\"tcp://*:5557\",\"replay_endpoint\":\"tcp://*:5657\"},"
     "\"5\":{\"endpoint\":\"tcp://*:5557\",\"replay_endpoint\":\"tcp://*:5657\"}}",
     "4 tcp://h:5557 tcp://h:5657 ;5 tcp://h:5558 tcp://h:5658 ;"},
    {"[{\"data_parallel_rank\":1,\"endpoint\":\"tcp://10.0.0.2:41001\",\"topic\":\"kv\"},"
     "{\"data_parallel_rank\":0,\"endpoint\":\"tcp://10.0.0.1:41000\",\"topic\":\"kv\"}]",
     "0 tcp://10.0.0.1:41000  kv;1 tcp://10.0.0.2:41001  kv;"},
    {"[{\"endpoint\":\"tcp://*:1\"},{\"data_parallel_rank\":null,\"endpoint\":\"tcp://*:2\"}]",
     "0 tcp://h:1  ;1 tcp://h:2  ;"},
    {"{\"0\":{\"endpoint\":\"ipc:///tmp/x\"}}", "0 ipc:///tmp/x  ;"},
    // a rank that is told of twice
    {"{\"0\":{\"endpoint\":\"tcp://*:1\"},\"00\":{\"endpoint\":\"tcp://*:2\"}}", "0 tcp://h:1  ;"},
    {"[{\"data_parallel_rank\":7,\"endpoint\":\"tcp://*:1\"},"
     "{\"data_parallel_rank\":7,\"endpoint\":\"tcp://*:2\"}]",
     "7 tcp://h:1  ;"},
    {"{\"0\":{\"endpoint\":\"inproc://monitor-0\"}}", ""},
    {"{\"0\":{\"endpoint\":\"udp://239.0.0.1:5557\"}}", ""},
    {"{\"0\":{\"endpoint\":\"tcp://*:1\",\"replay_endpoint\":\"inproc://monitor-0\"}}", ""},
    {"{}", ""},
    {"{\"0\":{\"enable_kv_cache_events\":false,\"endpoint\":\"tcp://*:5557\"}}", ""},
    {"{\"0\":{\"publisher\":\"null\",\"endpoint\":\"tcp://*:5557\"}}", ""},
    {"{\"0\":{\"publisher\":\"zmq\"}}", ""},
    {"{\"0\":{\"endpoint\":\"tcp://*\"}}", ""},
    {"{\"0\":{\"endpoint\":\"tcp://*:*\"}}", ""},
    {"{\"0\":{\"endpoint\":\"tcp://*:0\"}}", ""},
    {"{\"0\":{\"endpoint\":\"tcp://*:65536\"}}", ""},
    {"{\"0\":{\"endpoint\":5557}}", ""},
    {"{\"0\":\"tcp://*:5557\",\"-1\":{\"endpoint\":\"tcp://*:1\"},\"x\":{\"endpoint\":\"tcp://"
     "*:1\"}}",
     ""},
    {"[1,null,{}]", ""},
    // SGLang's
    {"{\"version\":\"x\",\"dp_size\":1,\"kv_events\":{\"publisher\":\"zmq\",\"endpoint_host\":\"*"
     "\","
     "\"endpoint_port_base\":5557,\"topic\":\"t\",\"block_size\":16,\"dp_size\":2,"
     "\"replay_endpoint_port_base\":5657}}",
     "0 tcp://h:5557 tcp://h:5657 t;1 tcp://h:5558 tcp://h:5658 t;"},
    {"{\"kv_events\":{\"publisher\":\"zmq\",\"endpoint_host\":\"10.1.1.1\",\"endpoint_port_base\":"
     "7}}",
     "0 tcp://10.1.1.1:7  ;"},
    {"{\"kv_events\":{\"publisher\":\"zmq\",\"endpoint_port_base\":65535,\"dp_size\":2}}",
     "0 tcp://h:65535  ;"},
    {"{\"kv_events\":{\"publisher\":\"null\",\"endpoint_port_base\":7}}", ""},
    {"{\"kv_events\":{\"publisher\":\"zmq\"}}", ""},
    {"{\"kv_events\":null}", ""},
    // nobody's
    {"", ""},
    {"{", ""},
    {"null", ""},
    {"<html>", ""},
};

static void tell(const struct engine_sources *s, char out[400]) {
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < s->n; i++)
        n += (size_t)snprintf(out + n, 400 - n, "%u %s %s %s;", (unsigned)s->all[i].rank,
                              s->all[i].events, s->all[i].replay, s->all[i].topic);
}

Test(sources, as_engines_tell_them) {
    struct engine_sources s = {0};
    for (size_t i = 0; i < sizeof source_texts / sizeof *source_texts; i++) {
        char told[400];
        size_t n = strlen(source_texts[i].text);
        char *copy = malloc(n ? n : 1); // nothing stands behind it that may be read
        memcpy(copy, source_texts[i].text, n);
        engine_sources_read(&s, copy, n, "h");
        tell(&s, told);
        cr_expect_str_eq(told, source_texts[i].sources, "%s: %s", source_texts[i].text, told);
        free(copy);
    }
    engine_sources_free(&s);
}

// As many ranks as there may be, with all that an engine says of one; more isn't read at all.
Test(sources, as_many_as_there_may_be) {
    enum { SOURCE_ROOM = 400 };
    struct engine_sources s = {0};
    char *text = malloc(ENGINE_SOURCES_MAX + 1), *to = text;
    for (unsigned i = 0; i < KVR_MAX_RANKS; i++)
        to +=
            snprintf(to, SOURCE_ROOM,
                     "%s\"%u\":{\"endpoint\":\"tcp://a-host-of-some-length.example:%u\",\"topic\":"
                     "\"kv-events\",\"publisher\":\"zmq\",\"enable_kv_cache_events\":true,"
                     "\"replay_endpoint\":\"tcp://a-host-of-some-length.example:%u\"}",
                     i ? "," : "{", i, 5000 + i, 9000 + i);
    *to++ = '}';
    cr_assert_lt(to - text, ENGINE_SOURCES_MAX);
    memset(to, ' ', (size_t)(text + ENGINE_SOURCES_MAX + 1 - to));
    engine_sources_read(&s, text, ENGINE_SOURCES_MAX, "h");
    cr_expect_eq(s.n, KVR_MAX_RANKS);
    engine_sources_read(&s, text, ENGINE_SOURCES_MAX + 1, "h");
    cr_expect_eq(s.n, 0);
    engine_sources_free(&s);
    free(text);
}

Test(sources, endpoints) {
    static const struct {
        const char *endpoint, *host, *there; // NULL: it is none
    } endpoints[] = {
        {"tcp://*:1", "h", "tcp://h:1"},
        {"tcp://:1", "h", "tcp://h:1"},
        {"tcp://:::1", "h", "tcp://h:1"},
        {"tcp://[::]:1", "::1", "tcp://[::1]:1"},
        {"tcp://127.0.0.1:1", "h", "tcp://127.0.0.1:1"},
        {"tcp://[::1]:1", "h", "tcp://[::1]:1"},
        {"ipc:///x", "h", "ipc:///x"},
        {"inproc://x", "h", NULL}, // would be the bridge itself
        {"udp://h:1", "h", NULL},
        {"tcp://h: 1", "h", NULL},
        {"tcp://h:+1", "h", NULL},
        {"tcp://h:-1", "h", NULL},
        {"tcp://h:-18446744073709546059", "h", NULL}, // 5557, if it wrapped
        {"tcp://h:000001", "h", NULL},
        {"tcp://", "h", NULL},
        {"tcp://x", "h", NULL},
        {"tcp://x:1y", "h", NULL},
        {"", "h", NULL},
    };
    char out[ENGINE_ENDPOINT_SIZE], longest[400];
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        bool good = engine_endpoint_at(endpoints[i].endpoint, endpoints[i].host, out);
        cr_expect_eq(good, endpoints[i].there != NULL, "%s", endpoints[i].endpoint);
        if (good && endpoints[i].there) cr_expect_str_eq(out, endpoints[i].there);
    }
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "ipc://", 6);
    longest[sizeof longest - 1] = 0;
    cr_expect_not(engine_endpoint_at(longest, "h", out));
    cr_expect_not(engine_endpoint_at("tcp://*:1", longest, out));
}

Test(sources, equal_or_not) {
    struct engine_sources a = {0}, b = {0};
    static const char text[] = "{\"0\":{\"endpoint\":\"tcp://*:1\"}}";
    engine_sources_read(&a, text, sizeof text - 1, "h");
    cr_expect_not(engine_sources_equal(&a, &b));
    engine_sources_read(&b, text, sizeof text - 1, "h");
    cr_expect(engine_sources_equal(&a, &b));
    engine_sources_read(&b, text, sizeof text - 1, "g");
    cr_expect_not(engine_sources_equal(&a, &b));
    engine_sources_free(&a);
    engine_sources_free(&b);
}
