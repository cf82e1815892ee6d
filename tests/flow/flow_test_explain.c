// SPDX-License-Identifier: Apache-2.0
// EXPLAIN: its fields in either protocol, that it says what SELECT then does, and that it changes nothing.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"
#include "flow_queue.h"

TestSuite(explanations, .fini = flow_harness_end, .timeout = 120);

static const struct flow_reply *first_of(const struct flow_reply *r) {
    const struct flow_reply *list = flow_map_get(r, "candidates");
    cr_assert(list->kind == FLOW_REPLY_ARRAY && list->count > 0);
    return &list->items[0];
}

static void expect_text(const struct flow_reply *map, const char *field, const char *want) {
    cr_expect_str_eq(flow_map_str(map, field), want, "%s is '%s' instead of '%s'", field,
                     flow_map_str(map, field), want);
}

static void expect_reason(const struct flow_reply *r, const char *worker, const char *reason) {
    const struct flow_reply *row = flow_row_of(flow_map_get(r, "candidates"), worker, 0);
    cr_assert(row, "%s isn't told of", worker);
    expect_text(row, "reason", reason);
    cr_expect(!flow_map_int(row, "place") == (*reason != 0));
}

static const char terms[] = "queue own decoding later evicted output requests";

// For people who read it from the top: what, why, by which rule, then who.
static void expect_form(struct flow_conn *c, bool resp3) {
    const enum flow_reply_kind map = resp3 ? FLOW_REPLY_MAP : FLOW_REPLY_ARRAY;
    const struct flow_reply *r =
        flow_call_kind(c, map, "KVROUTE.EXPLAIN p IDS 4 1 2 3 4 POLICY delay");
    flow_expect_fields(r,
                       "result by retry worker rank addr overlap expected cached cost ttft tpot "
                       "policy overlap_weight prefill_weight requests_weight temperature isl osl "
                       "first_weight arrivals reuse session_worker session_rank "
                       "session_allowance instances places candidates");
    cr_expect(flow_map_get(r, "cost")->kind == (resp3 ? FLOW_REPLY_DOUBLE : FLOW_REPLY_BULK));
    const struct flow_reply *one = first_of(r);
    cr_expect(one->kind == map);
    flow_expect_fields(one, "worker rank place reason cost chance booked terms sum overlap device "
                            "host disk expected cached credit live known own requests "
                            "prefill_tokens queue decode_blocks pace full ttft tpot");
    flow_expect_fields(flow_map_get(one, "terms"), terms);
    r = flow_call_kind(c, map, "KVROUTE.EXPLAIN p IDS 4 1 2 3 4 POLICY linear PAIR");
    flow_expect_fields(r, "result by retry worker rank addr overlap expected cached cost ttft tpot "
                          "prefill_worker prefill_rank prefill_addr prefill_overlap policy "
                          "overlap_weight prefill_weight requests_weight temperature isl osl "
                          "first_weight arrivals reuse transfer session_worker session_rank "
                          "session_allowance instances places candidates");
    one = first_of(r);
    flow_expect_fields(one, "worker rank place reason cost chance booked prefill_worker "
                            "prefill_rank prefill_cost decode_cost transfer_cost prompt_cost "
                            "prompt_reason terms sum overlap device host disk expected cached "
                            "credit live known own requests prefill_tokens queue decode_blocks "
                            "pace full ttft tpot");
    flow_expect_fields(flow_map_get(one, "terms"), "prefill decode requests");
}

Test(explanations, its_fields) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 4");
    const struct flow_reply *r = flow_call(c, "KVROUTE.EXPLAIN p IDS 0");
    expect_text(r, "result", "NOWORKER");
    expect_text(r, "by", "eligible");
    cr_expect(flow_map_int(r, "rank") == -1 && flow_map_int(r, "instances") == 0);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w ADDR here RANKS 2");
    expect_form(c, false);
    expect_form(flow_server_connect(s, 3), true);
}

Test(explanations, reasons_and_what_decides) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1 FAILURES 1 OPENTIME 3600000 MAXREQUESTS 1");
    for (const char *w = "abcdefg"; *w; w++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p %b LABELS 1 zone=%s", w, (size_t)1,
                        *w == 'g' ? "x" : "y");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p b STATE draining");
    flow_call(c, "KVROUTE.REPORT p c FAILED");
    flow_expect_int(c, 1, "KVROUTE.CLAIM p r d 0 IDS 1 1");
    flow_expect_int(c, 0, "KVROUTE.WORKER SET p e ROLE prefill");
    const struct flow_reply *r =
        flow_call(c, "KVROUTE.EXPLAIN p IDS 2 1 2 EXCLUDE 1 f WITHOUT 1 zone=x");
    expect_text(r, "result", "OK");
    expect_text(r, "worker", "a");
    expect_text(r, "by", "cost");
    cr_expect(flow_map_int(r, "places") == 1 && flow_map_int(r, "instances") == 7);
    static const char *const reasons[][2] = {
        {"a", ""},     {"b", "draining"}, {"c", "circuit"}, {"d", "maxrequests"},
        {"e", "role"}, {"f", "excluded"}, {"g", "labels"}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        expect_reason(r, reasons[i][0], reasons[i][1]);
    r = flow_call(c, "KVROUTE.EXPLAIN p IDS 2 1 2 AMONG 1 d");
    expect_text(r, "result", "NOROOM");
    expect_text(r, "by", "room");
    expect_reason(r, "a", "among");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p tenant REQUESTS 1");
    flow_call(c, "KVROUTE.SELECT p s IDS 0 FLOW tenant");
    r = flow_call(c, "KVROUTE.EXPLAIN p IDS 0 FLOW tenant");
    expect_text(r, "result", "LIMITED");
    expect_text(r, "by", "flow");
    cr_expect(flow_map_int(r, "retry") > 0);
}

// The counts of what is told, and of what isn't.
Test(explanations, no_more_than_asked_for) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w RANKS 1024");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v RANKS 100");
    const struct {
        const char *option;
        size_t told;
    } cases[] = {{"", 16}, {"TOP 1", 1}, {"TOP 700", 700}, {"TOP 1024", 1024}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct flow_reply *r =
            flow_call_words(c, "KVROUTE.EXPLAIN p IDS 1 1", cases[i].option);
        cr_expect(flow_map_get(r, "candidates")->count == cases[i].told);
        cr_expect(flow_map_int(r, "instances") == 1124 && flow_map_int(r, "places") == 1124);
        expect_text(r, "by", "name");
    }
}

Test(explanations, refusals) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_refused(c, "KVROUTE.EXPLAIN p IDS 0",
                        "TOP|TOP 0|TOP -1|TOP x|TOP 1025|TOP 1 TOP 1|LEASE 5|WAIT 5|NOTIFY c|BLOCK|"
                        "PAIR 1|PAIR PAIR|CLASS|CLASS nosuch|FLOW|AT 5");
    flow_expect_refused(c, "KVROUTE.SELECT p r IDS 0", "TOP 5");
    flow_expect_refused(c, "KVROUTE.SCORE p IDS 0", "TOP 5|CLASS default|FLOW f");
    flow_expect_error(c, "NOPOOL", "KVROUTE.EXPLAIN q IDS 0");
}

// ---- Against SELECT ------------------------------------------------------------------------------

enum { EXPLAIN_WORKERS = 7, EXPLAIN_STEPS = 400 };

static void draw_options(struct flow_rng *r, char *out, size_t n) {
    static const char *const labels[] = {"", " WITH 1 link=a", " WITHOUT 1 link=b"};
    static const char *const others[] = {"",
                                         " SESSION s",
                                         " SESSION t",
                                         " EXCLUDE 2 w1 w5",
                                         " AMONG 3 w0 w2 w4",
                                         " CLASS batch",
                                         " FLOW tenant"};
    snprintf(out, n, "IDS 6 %d %d %d 4 5 6 OSL %d%s%s%s", (int)flow_rng_below(r, 2),
             (int)flow_rng_below(r, 2), (int)flow_rng_below(r, 3), (int)flow_rng_below(r, 500),
             labels[flow_rng_below(r, 3)], others[flow_rng_below(r, 7)],
             flow_rng_below(r, 3) ? "" : " PAIR");
}

static void add_fleet(struct flow_conn *c, struct flow_rng *r) {
    static const char *const roles[] = {"both", "both", "prefill", "decode"};
    for (int i = 0; i < EXPLAIN_WORKERS; i++)
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w%d CAPACITY %d ROLE %s LABELS 1 link=%s", i,
                        (int)flow_rng_below(r, 60), roles[flow_rng_below(r, 4)],
                        flow_rng_below(r, 2) ? "a" : "b");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p batch ROOM 60");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p tenant REQUESTS 3");
}

// What is known of the pool changes by a request's end, an event, a report.
static void change(struct flow_conn *c, struct flow_rng *r, int step, bool prefilled) {
    switch (flow_rng_below(r, 5)) {
    case 0:
        flow_call(c, "KVROUTE.EVENT p w%d 0 1 %d STORED - IDS 3 %d %d 1",
                  (int)flow_rng_below(r, EXPLAIN_WORKERS), step + 1, (int)flow_rng_below(r, 2),
                  (int)flow_rng_below(r, 2));
        break;
    case 1:
        flow_call(c, "KVROUTE.REPORT p w%d %s", (int)flow_rng_below(r, EXPLAIN_WORKERS),
                  flow_rng_below(r, 3) ? "OK" : "FAILED");
        break;
    case 2:
        if (prefilled) flow_call(c, "KVROUTE.UPDATE p r%d PREFILLED", step - 1);
        break;
    default:
        flow_call(c, "KVROUTE.RELEASE p r%d r%d", (int)flow_rng_below(r, (uint64_t)step + 1),
                  (int)flow_rng_below(r, (uint64_t)step + 1));
    }
}

// The cost of each that may be chosen is what its terms add up to; of a pair, its parts.
static void expect_sums(const struct flow_reply *r, bool pair, bool rounded) {
    const struct flow_reply *list = flow_map_get(r, "candidates");
    for (size_t i = 0; i < list->count; i++) {
        const struct flow_reply *one = &list->items[i], *parts = flow_map_get(one, "terms");
        double cost = flow_map_real(one, "cost"), sum = flow_map_real(one, "sum"), all = 0;
        for (size_t k = 1; k < parts->count; k += 2)
            all += flow_real_of(&parts->items[k]);
        cr_expect(fabs(all - sum) <= 1e-9 * (1 + sum));
        if (!pair || !flow_map_int(one, "place"))
            cr_expect(fabs(cost - sum) <= (rounded ? sum / 16 : 0) + 1e-9 * (1 + sum));
        else if (*flow_map_str(one, "prefill_worker"))
            cr_expect(fabs(flow_map_real(one, "prefill_cost") + flow_map_real(one, "decode_cost") +
                           flow_map_real(one, "transfer_cost") - cost) <= 1e-9 * (1 + cost));
    }
}

// An answer to TIME in ms.
static long long clock_of(const struct flow_reply *r) {
    cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == 2);
    return atoll(r->items[0].bytes) * 1000 + atoll(r->items[1].bytes) / 1000;
}

// Of what both say, field by field; text for text, so to the bit. The time to the first token is a matter of
// the clock, once it is learnt: what live requests still have to compute gets less. So it is compared where the clock
// hasn't moved, and all is asked in one go, within which it seldom does: then this is true.
static bool expect_the_same(struct flow_conn *c, int step, const char *options) {
    static const char *const fields[] = {"worker",         "addr",         "cost",
                                         "prefill_worker", "prefill_addr", "ttft"};
    bool pair = strstr(options, "PAIR") != NULL;
    char explain[240], select[240];
    snprintf(explain, sizeof explain, "KVROUTE.EXPLAIN p %s", options);
    snprintf(select, sizeof select, "KVROUTE.SELECT p r%d %s", step, options);
    const struct flow_reply *all =
        flow_transaction(c, (const char *[]){"TIME", explain, select, "TIME"}, 4);
    const struct flow_reply *told = &all->items[1], *chosen = &all->items[2];
    cr_assert(told->kind == FLOW_REPLY_ARRAY, "%s: %s", options, told->bytes ? told->bytes : "");
    expect_sums(told, pair, !strcmp(flow_map_str(told, "policy"), "delay"));
    const char *result = flow_map_str(told, "result");
    if (strcmp(result, "OK") != 0) {
        cr_expect(flow_is_error(chosen, result), "%s: %s, not %s", options,
                  chosen->bytes ? chosen->bytes : "OK", result);
        return false;
    }
    cr_assert(chosen->kind == FLOW_REPLY_ARRAY, "%s: %s, of %d", options,
              chosen->bytes ? chosen->bytes : "", (int)flow_map_int(told, "places"));
    bool still = clock_of(&all->items[0]) == clock_of(&all->items[3]);
    for (size_t i = 0; i < 6; i++)
        if (i == 5 ? still : pair || i < 3)
            expect_text(chosen, fields[i], flow_map_str(told, fields[i]));
    return still;
}

// Nothing else here is a matter of time: no lease ends and no circuit goes half-open.
static void follow(const char *policy, bool prefilled) {
    struct flow_rng r = {.state = flow_test_seed()};
    char create[200], options[200];
    snprintf(create, sizeof create,
             "BLOCKSIZE 1 POLICY %s MAXREQUESTS 4 MAXPREFILL 60 MAXBLOCKS 100 FAILURES 2 OPENTIME "
             "3600000 STICK 10 LOCALPREFILL 2 LEASE 0",
             policy);
    struct flow_conn *c = flow_start_pool(create);
    add_fleet(c, &r);
    int still = 0;
    for (int i = 0; i < EXPLAIN_STEPS; i++) {
        draw_options(&r, options, sizeof options);
        still += expect_the_same(c, i, options);
        change(c, &r, i, prefilled);
    }
    cr_expect(still, "the clock moved between any two calls");
}

Test(explanations, what_select_then_does) {
    follow("delay", false);
}

Test(explanations, what_select_then_does_by_the_linear_rule) {
    follow("linear", true);
}

Test(explanations, changes_nothing_and_replicas_answer) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p a");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p b");
    flow_call(c, "KVROUTE.SELECT p r IDS 3 1 2 3");
    flow_call(c, "KVROUTE.UPDATE p r PREFILLED OUTPUT 1");
    flow_server_replica_of(replica, s);
    struct flow_digest before = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version"),
            selects = flow_pool_info(c, "p", "selects");
    int64_t memory = flow_pool_info(c, "p", "memory_bytes");
    for (int i = 0; i < 50; i++)
        flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.EXPLAIN p IDS 3 1 2 %d SESSION s%s", i,
                       i % 2 ? " PAIR" : "");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    cr_expect(flow_pool_info(c, "p", "version") == version);
    cr_expect(flow_pool_info(c, "p", "selects") == selects);
    cr_expect(flow_pool_info(c, "p", "memory_bytes") == memory);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_calls_explain") == 50);
    flow_expect_equal(s, replica, "p");
    const struct flow_reply *r = flow_call(replica->conn, "KVROUTE.EXPLAIN p IDS 3 1 2 3");
    expect_text(r, "result", "OK");
    char worker[8];
    snprintf(worker, sizeof worker, "%s", flow_map_str(r, "worker"));
    expect_text(flow_call(c, "KVROUTE.SELECT p s IDS 3 1 2 3"), "worker", worker);
    cr_expect(flow_call(replica->conn, "EVAL_RO %s 1 p",
                        "return #redis.call('KVROUTE.EXPLAIN', KEYS[1], 'IDS', 0)")
                  ->integer > 0);
}
