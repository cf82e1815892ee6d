// SPDX-License-Identifier: Apache-2.0
// See event_sources.h.
#include "event_sources.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <kvroute/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Endpoints -----------------------------------------------------------------------------------

static bool names_no_host(const char *host, size_t n) {
    static const char *const anywhere[] = {"", "*", "0.0.0.0", "::", "[::]"};
    for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++)
        if (strlen(anywhere[i]) == n && memcmp(anywhere[i], host, n) == 0) return true;
    return false;
}

// 0: it is none.
static unsigned long port_number(const char *text) {
    size_t digits = strspn(text, "0123456789");
    unsigned long port = digits && digits < 6 && !text[digits] ? strtoul(text, NULL, 10) : 0;
    return port <= 65535 ? port : 0;
}

bool engine_endpoint_at(const char *endpoint, const char *host, char out[ENGINE_ENDPOINT_SIZE]) {
    int n;
    if (strncmp(endpoint, "ipc://", 6) == 0) {
        n = snprintf(out, ENGINE_ENDPOINT_SIZE, "%s", endpoint);
        return n > 0 && n < ENGINE_ENDPOINT_SIZE;
    }
    if (strncmp(endpoint, "tcp://", 6) != 0) return false;
    const char *colon = strrchr(endpoint, ':');
    unsigned long port = colon > endpoint + 5 ? port_number(colon + 1) : 0;
    if (!port) return false;
    if (!names_no_host(endpoint + 6, (size_t)(colon - endpoint) - 6))
        n = snprintf(out, ENGINE_ENDPOINT_SIZE, "%s", endpoint);
    else
        n = snprintf(out, ENGINE_ENDPOINT_SIZE,
                     strchr(host, ':') ? "tcp://[%s]:%lu" : "tcp://%s:%lu", host, port);
    return n > 0 && n < ENGINE_ENDPOINT_SIZE;
}

bool engine_endpoint_of_rank(const char *base, uint32_t rank, char *out, size_t size) {
    const char *colon = strrchr(base, ':');
    int n = -1;
    if (rank == 0) {
        n = snprintf(out, size, "%s", base);
    } else if (strncmp(base, "inproc://", 9) == 0) {
        n = snprintf(out, size, "%s_dp%" PRIu32, base, rank);
    } else if (strncmp(base, "tcp://", 6) == 0 && colon) {
        unsigned long port = strtoul(colon + 1, NULL, 10) + rank;
        if (port > 65535) return false;
        n = snprintf(out, size, "%.*s:%lu", (int)(colon - base), base, port);
    }
    return n >= 0 && (size_t)n < size;
}

// ---- A list of them ------------------------------------------------------------------------------

// Of a rank that is told of twice the first stays.
static bool add(struct engine_sources *s, const struct engine_source *one) {
    for (size_t i = 0; i < s->n; i++)
        if (s->all[i].rank == one->rank) return true;
    struct engine_source *all =
        s->n < KVR_MAX_RANKS ? realloc(s->all, (s->n + 1) * sizeof *all) : NULL;
    if (!all) return false;
    s->all = all;
    size_t at = s->n++;
    for (; at && all[at - 1].rank > one->rank; at--)
        all[at] = all[at - 1];
    all[at] = *one;
    return true;
}

void engine_sources_free(struct engine_sources *s) {
    free(s->all);
    *s = (struct engine_sources){0};
}

bool engine_sources_equal(const struct engine_sources *a, const struct engine_sources *b) {
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = a->all[i].rank == b->all[i].rank && !strcmp(a->all[i].events, b->all[i].events) &&
                !strcmp(a->all[i].replay, b->all[i].replay) &&
                !strcmp(a->all[i].topic, b->all[i].topic);
    return equal;
}

// What isn't there, is null or isn't text, is "".
static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static bool set_topic(struct engine_source *one, const json_t *object) {
    int n = snprintf(one->topic, sizeof one->topic, "%s", text_of(object, "topic"));
    return n >= 0 && (size_t)n < sizeof one->topic;
}

// ---- vLLM's --------------------------------------------------------------------------------------

static void read_rank(struct engine_sources *s, const json_t *object, uint32_t rank,
                      const char *host) {
    struct engine_source one = {.rank = rank};
    const char *publisher = text_of(object, "publisher"),
               *replay = text_of(object, "replay_endpoint");
    if (json_is_false(json_object_get(object, "enable_kv_cache_events")) ||
        (*publisher && strcmp(publisher, "zmq") != 0) ||
        !engine_endpoint_at(text_of(object, "endpoint"), host, one.events) ||
        (*replay && !engine_endpoint_at(replay, host, one.replay)) || !set_topic(&one, object))
        return;
    add(s, &one);
}

// Two ranks can't publish at one endpoint: then what was told is the setting that all of them were
// started with, and each has taken a port of its own from it.
static void spread(char (*endpoint)[ENGINE_ENDPOINT_SIZE], const char *first, uint32_t rank) {
    char own[ENGINE_ENDPOINT_SIZE];
    if (**endpoint && strcmp(*endpoint, first) == 0 &&
        engine_endpoint_of_rank(first, rank, own, sizeof own))
        memcpy(*endpoint, own, sizeof own);
}

static void spread_all(struct engine_sources *s) {
    for (size_t i = s->n; i-- > 1;) {
        uint32_t rank = s->all[i].rank - s->all[0].rank;
        spread(&s->all[i].events, s->all[0].events, rank);
        spread(&s->all[i].replay, s->all[0].replay, rank);
    }
}

static bool rank_number(const char *text, uint32_t *out) {
    char *end;
    errno = 0;
    unsigned long x = strtoul(text, &end, 10);
    *out = (uint32_t)x;
    return *text >= '0' && *text <= '9' && !*end && !errno && x <= INT32_MAX;
}

static void read_ranks(struct engine_sources *s, json_t *root, const char *host) {
    const char *key;
    json_t *value;
    size_t i;
    uint32_t rank;
    json_object_foreach(root, key, value) {
        if (rank_number(key, &rank)) read_rank(s, value, rank, host);
    }
    json_array_foreach(root, i, value) {
        const json_t *number = json_object_get(value, "data_parallel_rank");
        json_int_t said = json_is_integer(number) ? json_integer_value(number) : -1;
        read_rank(s, value, said >= 0 && said <= INT32_MAX ? (uint32_t)said : (uint32_t)i, host);
    }
    spread_all(s);
}

// ---- SGLang's ------------------------------------------------------------------------------------

// False: there is no such port.
static bool port_endpoint(const json_t *events, const char *name, uint32_t rank, const char *host,
                          char out[ENGINE_ENDPOINT_SIZE]) {
    char endpoint[ENGINE_ENDPOINT_SIZE];
    json_int_t port = json_integer_value(json_object_get(events, name));
    if (port <= 0 || port + (json_int_t)rank > 65535) return false;
    int n = snprintf(endpoint, sizeof endpoint, "tcp://%s:%d", text_of(events, "endpoint_host"),
                     (int)port + (int)rank);
    return n > 0 && (size_t)n < sizeof endpoint && engine_endpoint_at(endpoint, host, out);
}

static void read_kv_events(struct engine_sources *s, const json_t *events, const char *host) {
    json_int_t ranks = json_integer_value(json_object_get(events, "dp_size"));
    if (strcmp(text_of(events, "publisher"), "zmq") != 0) return;
    for (uint32_t rank = 0; rank < (ranks > 0 ? ranks : 1) && rank < KVR_MAX_RANKS; rank++) {
        struct engine_source one = {.rank = rank};
        if (!port_endpoint(events, "endpoint_port_base", rank, host, one.events) ||
            !set_topic(&one, events))
            return;
        port_endpoint(events, "replay_endpoint_port_base", rank, host, one.replay);
        if (!add(s, &one)) return;
    }
}

void engine_sources_read(struct engine_sources *s, const char *text, size_t n, const char *host) {
    json_t *root = n <= ENGINE_SOURCES_MAX ? json_loadb(text, n, 0, NULL) : NULL;
    const json_t *events = json_object_get(root, "kv_events");
    engine_sources_free(s);
    if (json_is_object(events))
        read_kv_events(s, events, host);
    else
        read_ranks(s, root, host);
    json_decref(root);
}
