// SPDX-License-Identifier: Apache-2.0
// See rtest_pairs.h.
#define _GNU_SOURCE // asprintf
#include "rtest_pairs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

enum { PAIRS_PROMPT = 40 };

const char *const rtest_pair_kinds[RTEST_PAIR_KINDS] = {"nixl", "mooncake", "shared", "sglang",
                                                        "trtllm"};
static struct rtest_pairs now;
static int side_ports[RTEST_ENGINES];

static bool prefills(int engine) {
    return engine < now.prefills;
}

void rtest_pairs_engine(int i, const char *more) {
    char options[700], store[200];
    bool shared = !strcmp(now.kind, "shared");
    support_path(store, sizeof store, "store");
    if (!side_ports[i]) side_ports[i] = support_port();
    snprintf(options, sizeof options,
             "--no-events --time-scale 0 --answers ids --end-every 0 --disaggregation %s --role %s "
             "--side-port %d --ranks %d %s%s %s %s",
             now.kind, prefills(i) ? "prefill" : "decode", side_ports[i], now.ranks ? now.ranks : 1,
             shared ? "--shared-store " : "", shared ? store : "", now.options ? now.options : "",
             more);
    rtest_engine(i, options);
}

static void create(void) {
    redisReply *r = rtest_command(
        "KVROUTE.CREATE kvroute POLICY delay PREDICT 600000 LOCALPREFILL %d", now.local);
    cr_assert(r && r->type == REDIS_REPLY_STATUS, "%s", r ? r->str : "");
    freeReplyObject(r);
}

static void add_worker(int i) {
    int port = rtest_fleet.engines[i].port;
    redisReply *r = rtest_command("KVROUTE.WORKER SET kvroute 127.0.0.1:%d ADDR "
                                  "http://127.0.0.1:%d RANKS %d ROLE %s LABELS 1 bootstrap_port=%d",
                                  port, port, now.ranks ? now.ranks : 1,
                                  prefills(i) ? "prefill" : "decode", side_ports[i]);
    cr_assert(r && r->type == REDIS_REPLY_INTEGER, "%s", r ? r->str : "");
    freeReplyObject(r);
}

void rtest_pairs_up(const struct rtest_pairs *plan) {
    char pool[80];
    const char *flags[40] = {"--pool", pool, "--refresh", "100", NULL};
    size_t n = 4;
    now = *plan;
    rtest_clients_open();
    rtest_redis();
    create();
    for (int i = 0; i < now.prefills + now.decodes; i++) {
        rtest_pairs_engine(i, "");
        add_worker(i);
    }
    rtest_engine(RTEST_REFERENCE, "--no-events --time-scale 0 --answers ids --end-every 0");
    snprintf(pool, sizeof pool, "kvroute connector=%s", now.kind);
    for (const char *const *f = now.flags; f && *f; f++)
        flags[n++] = *f;
    rtest_router(0, flags);
    rtest_await_ready(0);
    rtest_await_workers(0, now.prefills + now.decodes);
}

// ---- Requests ------------------------------------------------------------------------------------

static char *body_of(const char *path, const char *first, int tokens, bool stream) {
    char more[1000] = "", *body;
    bool chat = strstr(path, "chat") != NULL;
    for (int i = 0, n = 0; i < PAIRS_PROMPT; i++)
        n += snprintf(more + n, sizeof more - (size_t)n, " word%d", i);
    cr_assert(asprintf(&body,
                       "{\"model\":\"mock\",%s%s%s%s,\"max_tokens\":%d,\"stream\":%s,"
                       "\"min_tokens\":2}",
                       chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"" : "\"prompt\":\"",
                       first, more, chat ? "\"}]" : "\"", tokens, stream ? "true" : "false") > 0);
    return body;
}

struct rtest_client rtest_pairs_ask(int port, const char *path, const char *first, bool stream) {
    char *body = body_of(path, first, 12, stream);
    struct rtest_client who = rtest_client_call(port, path, "X-Request-Id: the-same\r\n", body);
    free(body);
    return who;
}

void rtest_pairs_begin(struct rtest_client *who, const char *first, int tokens, bool stream) {
    char *body = body_of("/v1/completions", first, tokens, stream);
    rtest_client_start(who, rtest_port(), "/v1/completions", "X-Request-Id: the-same\r\n", body);
    free(body);
}

static char *choices_of(struct rtest_client *who) {
    char *text = rtest_client_text(who);
    json_t *all = json_loads(text, 0, NULL), *choices = json_object_get(all, "choices");
    char *out = choices ? json_dumps(choices, JSON_SORT_KEYS) : strdup("");
    json_decref(all);
    free(text);
    return out;
}

bool rtest_pairs_same(struct rtest_client *a, struct rtest_client *b) {
    if (strstr(a->type, "event-stream")) return rtest_same_answer(a, b);
    char *x = choices_of(a), *y = choices_of(b);
    bool same = *x && !strcmp(x, y);
    free(x);
    free(y);
    return same;
}

bool rtest_pairs_by(const char *worker, int engine) {
    char name[40];
    snprintf(name, sizeof name, "127.0.0.1:%d", rtest_fleet.engines[engine].port);
    return strcmp(worker, name) == 0;
}

// ---- What is left --------------------------------------------------------------------------------

long long rtest_transfers(int engine, const char *name) {
    json_t *all = rtest_json(rtest_get(rtest_fleet.engines[engine].port, "/mock/transfers"), 200);
    const json_t *value = json_object_get(all, name);
    cr_assert(json_is_integer(value), "%s", name);
    long long n = json_integer_value(value);
    json_decref(all);
    return n;
}

bool rtest_pairs_is_idle(int engine) {
    if (!rtest_fleet.engines[engine].pid) return true;
    return !rtest_engine_metric(engine, "num_requests_running") &&
           !rtest_engine_metric(engine, "num_requests_waiting") &&
           !rtest_transfers(engine, "half_open");
}

static bool pool_is_idle(void) {
    redisReply *r = rtest_command("KVROUTE.INFO kvroute");
    bool idle = r && r->type == REDIS_REPLY_ARRAY;
    static const char *const fields[] = {"requests", "prefill_tokens", "decode_blocks"};
    for (size_t i = 0; idle && i + 1 < r->elements; i += 2)
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
            if (!strcmp(r->element[i]->str, fields[k]) && r->element[i + 1]->integer) idle = false;
    if (r) freeReplyObject(r);
    return idle && rtest_nothing_booked();
}

void rtest_pairs_settle(void) {
    rtest_await(pool_is_idle, "something stays booked");
    for (int i = 0; i < now.prefills + now.decodes; i++)
        for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !rtest_pairs_is_idle(i);
             rtest_clients_run(10))
            cr_assert(kvr_clock_ms() < end, "engine %d isn't done", i);
}
