// SPDX-License-Identifier: Apache-2.0
// Each fault does what it says, and no more than that.
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "mock_process.h"
#include "mock_stream.h"
#include "mock_traffic.h"
#include "tests/support/support_home.h"

enum { QUIET_MS = 60 };

static void make_batches(const struct mock_process *p, int from, int n) {
    for (int i = from; i < from + n; i++) {
        char prompt[20];
        snprintf(prompt, sizeof prompt, "b%d", i);
        mock_traffic_one(p, 0, prompt);
    }
}

// ---- The event stream ----------------------------------------------------------------------------
// Four batches, counted from the first after the subscription, under a fault of two.

static const struct event_fault {
    const char *query;
    int live[5], n_live; // which arrive, in this order
    int bad;             // so many of them aren't well-formed
    int replayed[4], n_replayed, bad_replayed;
} event_faults[] = {
    {"kind=drop&n=2", {2, 3}, 2, 0, {0, 1, 2, 3}, 4, 0},
    {"kind=duplicate&n=1", {0, 0, 1, 2, 3}, 5, 0, {0, 1, 2, 3}, 4, 0},
    {"kind=reorder&n=2", {1, 0, 2, 3}, 4, 0, {0, 1, 2, 3}, 4, 0},
    {"kind=hole&n=2", {2, 3}, 2, 0, {2, 3}, 2, 0},
    {"kind=malformed&n=2", {0, 1, 2, 3}, 4, 2, {0, 1, 2, 3}, 4, 0},
    {"kind=poison&n=2", {0, 1, 2, 3}, 4, 2, {0, 1, 2, 3}, 4, 2},
};

static bool well_formed(const struct mock_message *m, struct mock_fold *f) {
    struct mock_fold before = *f;
    bool fine = mock_fold_batch(f, m->payload, m->len);
    if (!fine) cr_assert(f->n == before.n);
    return fine;
}

static void check_fault(const struct event_fault *e) {
    struct mock_watch w = mock_watch_start("--block-size=4", true);
    struct mock_fold scratch = {0};
    uint64_t first = w.stream.seq + 1;
    mock_order_fault(&w.engine, e->query);
    make_batches(&w.engine, 0, 4);
    int bad = 0;
    for (int i = 0; i < e->n_live; i++) {
        struct mock_message m = mock_stream_next(&w.stream, MOCK_PATIENCE_MS);
        cr_assert(m.got && m.seq == first + (uint64_t)e->live[i], "%s: %d. is %d", e->query, i,
                  (int)(m.seq - first));
        bad += !well_formed(&m, &scratch);
        mock_message_free(&m);
    }
    cr_assert(bad == e->bad, "%s", e->query);
    mock_stream_ask(&w.stream, first);
    bad = 0;
    for (int i = 0; i <= e->n_replayed; i++) {
        struct mock_message m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
        cr_assert(i < e->n_replayed ? m.seq == first + (uint64_t)e->replayed[i]
                                    : mock_message_is_end(&m));
        if (i < e->n_replayed) bad += !well_formed(&m, &scratch);
        mock_message_free(&m);
    }
    cr_assert(bad == e->bad_replayed, "%s", e->query);
    struct mock_message none = mock_stream_next(&w.stream, QUIET_MS);
    cr_assert(!none.got);
    mock_fold_free(&scratch);
    mock_watch_end(&w);
}

Test(faults, batches_that_go_wrong) {
    for (size_t i = 0; i < sizeof event_faults / sizeof *event_faults; i++)
        check_fault(&event_faults[i]);
}

Test(faults, a_gap_is_filled_by_a_replay) {
    struct mock_watch w = mock_watch_start("--block-size=4 --blocks=30", true);
    make_batches(&w.engine, 0, 3);
    mock_fold_follow(&w.told, &w.stream, &w.engine, 0);
    mock_order_fault(&w.engine, "kind=drop&n=4");
    make_batches(&w.engine, 3, 9);
    struct mock_message m = mock_stream_next(&w.stream, MOCK_PATIENCE_MS);
    cr_assert(m.got && m.seq == w.told.next + 4);
    mock_message_free(&m);
    mock_fold_replay(&w.told, &w.stream);
    mock_fold_check(&w.told, &w.engine, 0);
    mock_watch_end(&w);
}

Test(faults, a_rank_alone) {
    struct mock_process p = mock_process_start("--block-size=4 --ranks=2");
    struct mock_stream s[2] = {mock_stream_open(&p, 0, true), mock_stream_open(&p, 1, true)};
    mock_order_fault(&p, "kind=drop&n=9&rank=1");
    for (size_t rank = 0; rank < 2; rank++) {
        mock_traffic_one(&p, rank, "x");
        struct mock_message m = mock_stream_next(&s[rank], rank ? QUIET_MS : MOCK_PATIENCE_MS);
        cr_assert(m.got == (rank == 0));
        mock_message_free(&m);
        mock_stream_close(&s[rank]);
    }
    mock_process_end(&p, SIGTERM);
}

Test(faults, replays_that_go_wrong) {
    struct mock_watch w = mock_watch_start("--block-size=4", false);
    make_batches(&w.engine, 0, 7);
    mock_order_fault(&w.engine, "kind=replay-mute");
    mock_stream_ask(&w.stream, 0);
    struct mock_message m = mock_stream_reply(&w.stream, QUIET_MS);
    cr_assert(!m.got);
    mock_order_fault(&w.engine, "kind=replay-gap");
    mock_stream_ask(&w.stream, 0);
    static const uint64_t want[] = {0, 1, 3, 4, 6, UINT64_MAX};
    for (size_t i = 0; i < 6; i++) {
        m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
        cr_assert(m.got && m.seq == want[i]);
        mock_message_free(&m);
    }
    mock_order_fault(&w.engine, "kind=replay-unended");
    mock_stream_ask(&w.stream, 5);
    for (uint64_t i = 5; i < 7; i++) {
        m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
        cr_assert(m.got && m.seq == i);
        mock_message_free(&m);
    }
    m = mock_stream_reply(&w.stream, QUIET_MS);
    cr_assert(!m.got);
    mock_fold_replay(&w.told, &w.stream);
    mock_fold_check(&w.told, &w.engine, 0);
    mock_watch_end(&w);
}

Test(faults, a_stream_that_hangs) {
    struct mock_watch w = mock_watch_start("--block-size=4", true);
    mock_order_fault(&w.engine, "kind=hang-events");
    make_batches(&w.engine, 0, 4);
    mock_stream_ask(&w.stream, 0);
    struct mock_message live = mock_stream_next(&w.stream, QUIET_MS),
                        reply = mock_stream_reply(&w.stream, QUIET_MS);
    cr_assert(!live.got && !reply.got);
    cr_assert(mock_rank_number(&w.engine, 0, "held") == 4 &&
              mock_rank_number(&w.engine, 0, "next_seq") == w.told.next);
    mock_order_fault(&w.engine, "kind=clear");
    mock_watch_check(&w);
    reply = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS); // what was asked meanwhile
    cr_assert(reply.got);
    mock_message_free(&reply);
    mock_order_fault(&w.engine, "kind=hang-events&ms=50");
    make_batches(&w.engine, 4, 1);
    live = mock_stream_next(&w.stream, MOCK_PATIENCE_MS);
    cr_assert(live.got);
    mock_message_free(&live);
    mock_watch_end(&w);
}

// ---- A new life ----------------------------------------------------------------------------------

static void check_restart(const char *query, bool cleared, bool rebound) {
    struct mock_watch w = mock_watch_start("--block-size=4 --blocks=30", true);
    struct mock_fold old = {.next = w.stream.seq + 1}, f = {0};
    make_batches(&w.engine, 0, 5);
    mock_fold_follow(&old, &w.stream, &w.engine, 0);
    uint64_t name = old.blocks[0].name;
    mock_order_fault(&w.engine, query);
    cr_assert(mock_rank_number(&w.engine, 0, "next_seq") == cleared &&
              mock_rank_number(&w.engine, 0, "copies") == 0);
    if (rebound) {
        mock_stream_close(&w.stream);
        w.stream = mock_stream_open(&w.engine, 0, true);
        mock_fold_replay(&f, &w.stream); // with what the subscription took
    }
    make_batches(&w.engine, 0, 5);
    mock_fold_follow(&f, &w.stream, &w.engine, 0);
    mock_fold_check(&f, &w.engine, 0);
    cr_assert(f.n > 0 && f.cleared == cleared && f.blocks[0].name != name);
    mock_fold_free(&old);
    mock_fold_free(&f);
    mock_watch_end(&w);
}

Test(faults, restarts_in_place) {
    check_restart("kind=restart", false, false);
    check_restart("kind=restart&cleared=1", true, false);
    check_restart("kind=restart&rebind=1", false, true);
    check_restart("kind=restart&rebind=1&cleared=1", true, true);
}

Test(faults, a_restart_ends_what_runs) {
    struct mock_process p = mock_process_start("--block-size=4");
    mock_order_fault(&p, "kind=hang-engine");
    int fd = mock_http_open(&p);
    const char *text =
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"x\"}";
    support_http_send(fd, text, strlen(text));
    while (mock_metric(&p, "num_requests_running") == 0)
        support_sleep_ms(2);
    mock_order_fault(&p, "kind=restart");
    bool was_reset;
    size_t len;
    free(mock_http_read(fd, NULL, &len, &was_reset));
    cr_assert(len == 0 && was_reset);
    close(fd);
    cr_assert(mock_metric(&p, "num_requests_running") == 0);
    mock_traffic_one(&p, 0, "x");
    mock_process_end(&p, SIGTERM);
}

Test(faults, the_cache_is_reset_if_nobody_uses_it) {
    struct mock_watch w = mock_watch_start("--block-size=4", true);
    make_batches(&w.engine, 0, 3);
    mock_http_expect(&w.engine, "/reset_prefix_cache", "", 200);
    make_batches(&w.engine, 0, 1);
    mock_watch_check(&w);
    cr_assert(w.told.cleared == 1);
    mock_watch_end(&w);
}

Test(faults, an_end_without_goodbye) {
    struct mock_process p = mock_process_start("");
    struct support_response r = mock_http_post(&p, "/mock/fault?kind=exit", "");
    support_response_free(&r);
    int status;
    cr_assert(waitpid(p.pid, &status, 0) == p.pid && WEXITSTATUS(status) == 1);
}

// ---- HTTP ----------------------------------------------------------------------------------------

static const char body[] = "{\"prompt\":\"x y\",\"max_tokens\":8,\"stream\":true}";

static size_t events_in(const char *text) {
    size_t n = 0;
    for (; (text = strstr(text, "data: ")); text++)
        n++;
    return n;
}

static void check_answers(const struct mock_process *p) {
    struct support_response r = mock_http_post(p, "/v1/completions", body);
    cr_assert(r.status == 200 && events_in(r.body) == 9, "%d %s", r.status, r.body);
    support_response_free(&r);
}

Test(faults, errors_of_the_server) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=fail&n=2&status=502");
    mock_http_expect(&p, "/v1/completions", body, 502);
    mock_http_expect(&p, "/v1/chat/completions", "{}", 502);
    check_answers(&p);
    mock_order_fault(&p, "kind=fail");
    mock_http_expect(&p, "/tokenize", "{\"prompt\":\"x\"}", 200);
    mock_http_expect(&p, "/v1/completions", body, 503);
    mock_order_fault(&p, "kind=fail&n=100");
    mock_order_fault(&p, "kind=clear");
    check_answers(&p);
    mock_process_end(&p, SIGTERM);
}

Test(faults, resets_before_the_first_byte) {
    struct mock_process p = mock_process_start("");
    static const char *const queries[] = {"kind=reset", "kind=reset&gently=1"};
    for (size_t i = 0; i < 2; i++) {
        mock_order_fault(&p, queries[i]);
        struct support_response r = mock_http_post(&p, "/v1/completions", body);
        cr_assert(r.n == 0 && r.reset == (i == 0));
        support_response_free(&r);
        check_answers(&p);
    }
    mock_process_end(&p, SIGTERM);
}

Test(faults, streams_cut_after_some_tokens) {
    struct mock_process p = mock_process_start("");
    static const struct {
        const char *query;
        size_t events;
        bool reset;
    } cases[] = {{"kind=cut", 1, true},
                 {"kind=cut&tokens=5", 5, true},
                 {"kind=cut&tokens=8", 8, true}, // all that come, and no [DONE]
                 {"kind=cut&tokens=5&gently=1", 5, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mock_order_fault(&p, cases[i].query);
        struct support_response r = mock_http_post(&p, "/v1/completions", body);
        cr_assert(r.status == 0 && r.reset == cases[i].reset, "%s", cases[i].query);
        cr_assert(events_in(r.body) == cases[i].events, "%s", r.body);
        support_response_free(&r);
        check_answers(&p);
    }
    mock_order_fault(&p, "kind=cut&tokens=3");
    struct support_response r =
        mock_http_post(&p, "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":8}");
    cr_assert(r.n == 0 && r.reset);
    support_response_free(&r);
    cr_assert(mock_metric(&p, "num_requests_running") == 0);
    cr_assert(mock_metric(&p, "kv_cache_usage_perc") == 0);
    mock_process_end(&p, SIGTERM);
}

// What vLLM does with a request that it drops: the answer looks well to its end.
Test(faults, answers_that_are_aborted) {
    struct mock_process p = mock_process_start("--block-size=4");
    mock_order_fault(&p, "kind=abort&n=2&tokens=3");
    struct support_response r = mock_http_post(&p, "/v1/completions", body);
    cr_expect(r.status == 200 && events_in(r.body) == 4 && strstr(r.body, "data: [DONE]") &&
                  strstr(r.body, "\"finish_reason\":\"abort\""),
              "%d %s", r.status, r.body);
    support_response_free(&r);
    r = mock_http_post(&p, "/v1/completions", "{\"prompt\":\"x y\",\"max_tokens\":8}");
    cr_expect(r.status == 200 && strstr(r.body, "\"finish_reason\":\"abort\"") &&
                  strstr(r.body, "\"completion_tokens\":3"),
              "%d %s", r.status, r.body);
    support_response_free(&r);
    check_answers(&p);
    while (mock_metric(&p, "num_requests_running") > 0)
        support_sleep_ms(2);
    mock_process_end(&p, SIGTERM);
}

// Health says nothing of it with vLLM; with SGLang it does.
Test(faults, paused_and_asleep) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=pause");
    json_t *told = mock_http_json(&p, "/is_paused");
    cr_expect(json_is_true(json_object_get(told, "is_paused")));
    json_decref(told);
    mock_http_expect_get(&p, "/health", 200);
    mock_order_fault(&p, "kind=sleep");
    told = mock_http_json(&p, "/is_sleeping");
    cr_expect(json_is_true(json_object_get(told, "is_sleeping")));
    json_decref(told);
    mock_order_fault(&p, "kind=clear");
    check_answers(&p);
    mock_process_end(&p, SIGTERM);
    p = mock_process_start("--schema=sglang");
    mock_order_fault(&p, "kind=pause");
    mock_http_expect_get(&p, "/ready", 503);
    mock_order_fault(&p, "kind=clear");
    mock_http_expect_get(&p, "/ready", 200);
    mock_process_end(&p, SIGTERM);
}

Test(faults, connections_refused_for_a_time) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=refuse&ms=200");
    int fd = mock_http_open(&p);
    cr_assert(fd < 0 && errno == ECONNREFUSED);
    int64_t deadline = kvr_clock_ms() + MOCK_PATIENCE_MS;
    while ((fd = mock_http_open(&p)) < 0) {
        cr_assert(kvr_clock_ms() < deadline);
        support_sleep_ms(5);
    }
    close(fd);
    check_answers(&p);
    mock_process_end(&p, SIGTERM);
}

Test(faults, no_answers_for_a_time) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=hang-http");
    const char *text = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fds[2] = {mock_http_open(&p), mock_http_open(&p)}, gone = mock_http_open(&p);
    support_http_send(gone, text, strlen(text));
    for (size_t i = 0; i < 2; i++)
        support_http_send(fds[i], text, strlen(text));
    support_sleep_ms(QUIET_MS);
    close(gone);
    mock_order_fault(&p, "kind=clear");
    for (size_t i = 0; i < 2; i++) {
        char *answer = mock_http_read(fds[i], NULL, NULL, NULL);
        cr_assert(strncmp(answer, "HTTP/1.1 200", 12) == 0);
        free(answer);
        close(fds[i]);
    }
    mock_order_fault(&p, "kind=hang-http&ms=50");
    check_answers(&p);
    mock_process_end(&p, SIGTERM);
}

Test(faults, ill_for_a_time) {
    struct mock_process p = mock_process_start("");
    mock_order_fault(&p, "kind=unhealthy");
    struct support_response r = mock_http_get(&p, "/health");
    cr_assert(r.status == 503);
    support_response_free(&r);
    check_answers(&p);
    mock_order_fault(&p, "kind=clear");
    r = mock_http_get(&p, "/health");
    cr_assert(r.status == 200);
    support_response_free(&r);
    mock_process_end(&p, SIGTERM);
}
