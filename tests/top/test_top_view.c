// SPDX-License-Identifier: Apache-2.0
// What becomes of replies: rates, shares, sums, the history, and what stays when something fails.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/top/top_text.h"
#include "ttest_fill.h"

static struct top_view view;

static struct top_pool *new_pool(void) {
    top_view_init(&view, 1000);
    struct top_pool *p = top_view_pool(&view, kvr_text("p"));
    cr_assert(p && view.n_pools == 1);
    return p;
}

static void end_view(void) {
    top_view_free(&view);
}

static bool near(double a, double b) {
    return a - b < 1e-9 && b - a < 1e-9;
}

Test(top_view, rates_are_of_the_last_interval, .fini = end_view) {
    struct top_pool *p = new_pool();
    cr_expect(top_view_rate(p, TOP_SELECTS) < 0 && top_view_share(p, TOP_OVERLAP_BLOCKS, true) < 0);
    ttest_info(p, 1000, "selects 100 select_blocks 1000 overlap_blocks 400 waiting 3 policy delay");
    cr_expect(top_view_rate(p, TOP_SELECTS) < 0);
    cr_expect(near(top_view_share(p, TOP_OVERLAP_BLOCKS, true), 0.4));
    cr_expect(top_view_share(p, TOP_OVERLAP_BLOCKS, false) < 0);
    cr_expect(p->counts[TOP_WORKERS] == -1, "what isn't said isn't known");
    ttest_info(p, 3000, "selects 150 select_blocks 1200 overlap_blocks 550");
    cr_expect(near(top_view_rate(p, TOP_SELECTS), 25));
    cr_expect(near(top_view_share(p, TOP_OVERLAP_BLOCKS, false), 0.75));
    cr_expect(near(top_view_share(p, TOP_OVERLAP_BLOCKS, true), 550.0 / 1200));
    // A server that lost history counts anew.
    ttest_info(p, 4000, "selects 20 select_blocks 100 overlap_blocks 90");
    cr_expect(top_view_rate(p, TOP_SELECTS) < 0);
    cr_expect(top_view_share(p, TOP_OVERLAP_BLOCKS, false) < 0);
}

Test(top_view, what_was_known_stays, .fini = end_view) {
    struct top_pool *p = new_pool();
    ttest_info(p, 1000, "workers 3 policy delay");
    ttest_workers(p, 3);
    struct kvr_result r = ttest_failure(KVR_CODE_TIMEOUT, "no answer");
    top_view_info(p, &r, 2000);
    top_view_workers(p, &r);
    top_view_queue(p, &r);
    top_view_classes(p, &r);
    cr_expect(!top_view_flows(p, &r, true));
    top_view_server(p, &r);
    cr_expect_str_eq(p->message, "TIMEOUT no answer");
    cr_expect(p->code == KVR_CODE_TIMEOUT && p->counts[TOP_WORKERS] == 3 && p->workers.n == 3);
    ttest_info(p, 3000, "workers 3");
    cr_expect(!p->message[0] && p->code == KVR_CODE_OK);
}

Test(top_view, workers_are_summed_up, .fini = end_view) {
    struct top_pool *p = new_pool();
    ttest_info(p, 1000, "maxrequests 8");
    ttest_workers(p, 3);
    const struct top_worker *w = p->workers.items;
    cr_assert(p->workers.n == 3);
    cr_expect_str_eq(w[2].name, "w2");
    cr_expect_str_eq(w[2].tags, "zone=a");
    cr_expect(w[2].requests == 4 && w[2].limit == 16 && w[2].prefill_tokens == 256);
    cr_expect(w[2].held[KVR_DEVICE] == 400 && w[2].held[KVR_HOST] == 10 && w[2].capacity == 2000);
    cr_expect(near(w[2].ttft, 20) && w[2].tpot < 0 && w[0].ttft < 0);
}

Test(top_view, names_are_made_printable, .fini = end_view) {
    struct top_pool *p = new_pool();
    static const struct {
        const char *bytes;
        size_t n;
        const char *want;
    } names[] = {{"plain", 5, "plain"},
                 {"a\033[2J", 5, "a\\x1b[2J"},
                 {"\xc3\xbc\0z", 4, "\xc3\xbc\\x00z"},
                 {"\xff\xc3", 2, "\\xff\\xc3"},
                 {"", 0, ""}};
    struct kvr_rank rank = {.ttft = -1, .tpot = -1};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct kvr_bytes b = {names[i].bytes, names[i].n};
        struct kvr_worker worker = {
            .name = b, .addr = b, .ranks = &rank, .n_ranks = 1, .labels = &b, .n_labels = 1};
        top_view_workers(p, &(struct kvr_result){.code = KVR_CODE_OK, .workers = &worker, .n = 1});
        const struct top_worker *w = p->workers.items;
        cr_expect_str_eq(w->name, names[i].want);
        cr_expect_str_eq(w->addr, names[i].want);
        cr_expect_str_eq(w->tags, names[i].want);
    }
}

Test(top_view, pools_are_bounded) {
    char key[8];
    top_view_init(&view, 1000);
    for (int i = 0; i < TOP_MAX_POOLS; i++) {
        snprintf(key, sizeof key, "p%d", i);
        cr_expect(top_view_pool(&view, kvr_text(key)) != NULL);
    }
    cr_expect(!view.more_pools);
    cr_expect(top_view_pool(&view, kvr_text("p3")) == view.pools[3]);
    cr_expect(!top_view_pool(&view, kvr_text("one more")) && view.more_pools);
    cr_expect(!top_view_pool(&view, (struct kvr_bytes){"a\0b", 3}));
    cr_expect(!top_view_pool(&view, (struct kvr_bytes){"", 0}));
    end_view();
}

// ---- The queue -----------------------------------------------------------------------------------

static void say_classes(struct top_pool *p, int64_t first, int64_t second) {
    struct kvr_class classes[] = {
        {.name = kvr_text("batch"), .weight = 1, .admitted = first, .room = 100},
        {.name = kvr_text("default"), .weight = 2, .admitted = second, .room = 100}};
    top_view_classes(p, &(struct kvr_result){.code = KVR_CODE_OK, .classes = classes, .n = 2});
}

Test(top_view, what_classes_had_since, .fini = end_view) {
    struct top_pool *p = new_pool();
    say_classes(p, 10, 100);
    const struct top_class *c = p->classes.items;
    cr_expect(p->classes.n == 2 && c[0].admitted == -1 && c[1].admitted == -1);
    say_classes(p, 15, 130);
    c = p->classes.items;
    cr_expect(c[0].admitted == 5 && c[1].admitted == 30);
    say_classes(p, 1, 131);
    c = p->classes.items;
    cr_expect(c[0].admitted == -1 && c[1].admitted == 1);
}

static bool say_flows(struct top_pool *p, size_t from, size_t n, uint64_t cursor) {
    static struct kvr_flow flows[TOP_MAX_FLOWS + 10];
    static char names[TOP_MAX_FLOWS + 10][8];
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "f%zu", from + i);
        flows[i] = (struct kvr_flow){
            .name = kvr_text(names[i]), .weight = 1, .requests = (int64_t)(from + i), .left = -1};
    }
    struct kvr_result r = {.code = KVR_CODE_OK, .flows = flows, .n = n, .cursor = cursor};
    return top_view_flows(p, &r, from == 0);
}

Test(top_view, flows_come_in_parts, .fini = end_view) {
    struct top_pool *p = new_pool();
    cr_expect(say_flows(p, 0, 3, 17) && p->flows.n == 0);
    cr_expect(say_flows(p, 3, 0, 18) && p->flows.n == 0);
    cr_expect(!say_flows(p, 3, 2, 0) && p->flows.n == 5 && !p->flows_cut);
    cr_expect_str_eq(((struct top_flow *)p->flows.items)[0].name, "f4", "the busiest first");
    // The next list begins anew, and ends where there is no more room.
    cr_expect(say_flows(p, 0, TOP_MAX_FLOWS - 1, 3));
    cr_expect(!say_flows(p, TOP_MAX_FLOWS - 1, 5, 4));
    cr_expect(p->flows.n == TOP_MAX_FLOWS && p->flows_cut);
    cr_expect(!say_flows(p, 0, 2, 0) && p->flows.n == 2 && !p->flows_cut);
}

// ---- The server ----------------------------------------------------------------------------------

Test(top_view, replicas_and_their_lag, .fini = end_view) {
    struct top_pool *p = new_pool();
    const struct kvr_field fields[] = {
        {kvr_text("redis_version"), kvr_text("7.0.15")},
        {kvr_text("uptime_in_seconds"), kvr_text("90")},
        {kvr_text("role"), kvr_text("master")},
        {kvr_text("slave0"), kvr_text("ip=h,port=1,state=online,offset=900,lag=1")},
        {kvr_text("slave1"), kvr_text("ip=h,port=2,state=online,offset=1000,lag=4")},
        {kvr_text("slave_x"), kvr_text("1")},
        {kvr_text("master_repl_offset"), kvr_text("1000")},
    };
    struct kvr_result r = {
        .code = KVR_CODE_OK, .fields = fields, .n = sizeof fields / sizeof *fields};
    top_view_server(p, &r);
    const struct top_server *s = &p->server;
    cr_expect_str_eq(s->version, "7.0.15");
    cr_expect(s->known && !s->replica && s->replicas == 2 && s->lag == 4000 && s->behind == 100);
    cr_expect(s->uptime == 90000);
}

Test(top_view, failovers_are_seen, .fini = end_view) {
    struct top_pool *p = new_pool();
    const struct top_link *l = &p->link;
    ttest_away(p, 0, 0);
    cr_expect(!l->connected && !l->ever);
    ttest_connected(p, 1, "h:1", 1000);
    cr_expect(l->connected && l->failovers == 0 && !*l->was);
    ttest_away(p, 1, 2000);
    ttest_away(p, 1, 3000);
    cr_expect(!l->connected && l->since == 2000 && l->since_date == 1700000002);
    cr_expect_str_eq(l->primary, "h:1");
    ttest_connected(p, 2, "h:2", 5000);
    cr_expect(l->connected && l->failovers == 1 && l->last_gap == 2300);
    cr_expect_str_eq(l->was, "h:1");
    cr_expect_str_eq(l->primary, "h:2");
    ttest_connected(p, 2, "h:2", 6000);
    cr_expect(l->failovers == 1);
    ttest_connected(p, 3, "h:2", 7000); // it went and came back between two looks
    cr_expect(l->failovers == 2);
    cr_expect_str_eq(l->was, "h:1");
}

// ---- The last minutes ----------------------------------------------------------------------------

Test(top_view, moments) {
    struct top_history h;
    struct top_moment m[TOP_MOMENTS + 1];
    top_history_init(&h, 1000);
    cr_expect(top_history_last(&h, m, 10) == 0);
    top_history_add(&h, 0, 3, 10, 5);
    top_history_add(&h, 4999, 2, 10, 10);
    cr_expect(top_history_last(&h, m, 10) == 1 && m[0].waiting == 3 && m[0].blocks == 20 &&
              m[0].hits == 15);
    top_history_add(&h, 15000, 1, 0, 0); // two moments of which nothing is known
    cr_expect(top_history_last(&h, m, 10) == 4 && m[1].waiting == -1 && m[2].waiting == -1 &&
              m[3].waiting == 1);
    cr_expect(top_history_last(&h, m, 2) == 2 && m[0].waiting == -1 && m[1].waiting == 1);
    for (int64_t i = 4; i < 1000; i++)
        top_history_add(&h, i * TOP_MOMENT_MS, i, 0, 0);
    cr_expect(top_history_last(&h, m, TOP_MOMENTS + 1) == TOP_MOMENTS);
    cr_expect(m[0].waiting == 1000 - TOP_MOMENTS && m[TOP_MOMENTS - 1].waiting == 999);
    top_history_add(&h, (int64_t)1 << 40, 7, 0, 0); // after a long sleep
    cr_expect(top_history_last(&h, m, 10) == 1 && m[0].waiting == 7);
}
