// SPDX-License-Identifier: Apache-2.0
// The event stream: whatever the schema, what it tells is what the cache holds.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "client/common/clock.h"
#include "mock_events.h"
#include "mock_process.h"
#include "mock_stream.h"
#include "mock_traffic.h"
#include "tests/support/support_home.h"

static struct mock_fold fold_from(const struct mock_stream *s) {
    return (struct mock_fold){.next = s->seq + 1};
}

// ---- What is told is what is there ---------------------------------------------------------------

static void tell_all(const struct mock_schema *schema, const char *more) {
    char options[300];
    snprintf(options, sizeof options, "--schema=%s --blocks=40 --block-size=4 --lora=ad %s",
             schema->name, more);
    struct mock_watch w = mock_watch_start(options, true);
    struct mock_traffic t = {.requests = 80, .at_once = 4, .seed = 3, .lora = schema->lora_name};
    t.salts = schema->extra_keys || schema->sglang;
    mock_traffic_run(&w.engine, &t);
    mock_watch_check(&w);
    cr_assert(w.told.n > 10 && !w.told.cleared);
    cr_assert((w.told.unknown > 0) == (strstr(more, "--noise") != NULL));
    // The buffer tells the same, from wherever one asks.
    struct mock_fold again = {0};
    mock_fold_replay(&again, &w.stream);
    mock_fold_check(&again, &w.engine, 0);
    cr_assert(again.next == w.told.next);
    mock_fold_free(&again);
    mock_watch_end(&w);
}

Test(events, every_schema_tells_all) {
    for (size_t i = 0; mock_schema_at(i); i++)
        tell_all(mock_schema_at(i), "");
}

Test(events, binary_hashes_tell_the_same) {
    for (size_t i = 2; mock_schema_at(i); i++)
        if (!mock_schema_at(i)->sglang) tell_all(mock_schema_at(i), "--binary-hashes");
}

Test(events, noise_is_noise) {
    tell_all(mock_schema_find("0.22"), "--noise");
    tell_all(mock_schema_find("0.28"), "--noise --binary-hashes");
    tell_all(mock_schema_find("sglang"), "--noise");
}

Test(events, a_second_tier) {
    for (size_t i = 0; mock_schema_at(i); i++) {
        if (!mock_schema_at(i)->medium || mock_schema_at(i)->sglang) continue;
        tell_all(mock_schema_at(i), "--cpu-blocks=60");
        tell_all(mock_schema_at(i), "--cpu-blocks=15 --binary-hashes");
    }
}

Test(events, a_cache_under_pressure) {
    struct mock_watch w = mock_watch_start(
        "--blocks=64 --block-size=2 --max-running=6 --max-batch-tokens=24 --cpu-blocks=100", true);
    for (unsigned i = 0; i < 12; i++) {
        struct mock_traffic t = {.requests = 96, .at_once = 16, .seed = i, .salts = true};
        mock_traffic_run(&w.engine, &t);
        mock_watch_check(&w);
    }
    cr_assert(w.told.n > 10);
    mock_watch_end(&w);
}

Test(events, what_is_left_by_those_who_go) {
    struct mock_watch w = mock_watch_start("--blocks=40 --block-size=4 --max-running=5 "
                                           "--time-scale=100 --max-batch-tokens=32 --cpu-blocks=60",
                                           true);
    for (unsigned i = 0; i < 10; i++) {
        mock_traffic_run(&w.engine, &(struct mock_traffic){
                                        .requests = 32, .at_once = 8, .seed = i, .leave = 60});
        support_sleep_ms(20); // the engine may not have seen the last of them yet
        mock_watch_check(&w);
    }
    mock_watch_end(&w);
}

Test(events, ranks_have_streams_of_their_own) {
    struct mock_process p = mock_process_start("--ranks=3 --block-size=4 --blocks=50");
    struct mock_stream s[3];
    struct mock_fold f[3];
    for (size_t i = 0; i < 3; i++) {
        s[i] = mock_stream_open(&p, i, true);
        f[i] = fold_from(&s[i]);
    }
    for (size_t i = 0; i < 3; i++)
        mock_traffic_run(&p, &(struct mock_traffic){.rank = i, .requests = 20 * i, .seed = 5});
    for (size_t i = 0; i < 3; i++) {
        mock_fold_follow(&f[i], &s[i], &p, i);
        mock_fold_check(&f[i], &p, i);
        cr_assert((f[i].n > 0) == (i > 0));
        mock_fold_free(&f[i]);
        mock_stream_close(&s[i]);
    }
    mock_process_end(&p, SIGTERM);
}

Test(events, names_are_the_seed_s) {
    uint64_t names[3];
    static const char *const options[] = {"--block-size=4 --seed=7", "--block-size=4 --seed=7",
                                          "--block-size=4"};
    for (size_t i = 0; i < 3; i++) {
        struct mock_watch w = mock_watch_start(options[i], false);
        mock_traffic_one(&w.engine, 0, "hello");
        mock_fold_replay(&w.told, &w.stream);
        names[i] = w.told.blocks[0].name;
        mock_watch_end(&w);
    }
    cr_assert(names[0] == names[1] && names[0] != names[2]);
}

// ---- Frames and replay ---------------------------------------------------------------------------

Test(events, the_topic_is_in_front) {
    struct mock_watch w = mock_watch_start("--topic=kv@pod@mock --block-size=4", true);
    mock_traffic_one(&w.engine, 0, "x");
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    cr_assert(zmq_msg_recv(&frame, w.stream.sub, 0) == 11);
    cr_assert(memcmp(zmq_msg_data(&frame), "kv@pod@mock", 11) == 0 && zmq_msg_more(&frame));
    cr_assert(zmq_msg_recv(&frame, w.stream.sub, 0) == 8 && zmq_msg_more(&frame));
    cr_assert(zmq_msg_recv(&frame, w.stream.sub, 0) > 0 && !zmq_msg_more(&frame));
    zmq_msg_close(&frame);
    mock_watch_end(&w);
}

Test(events, replies_have_the_schema_s_layout) {
    static const char *const names[] = {"0.24", "0.26"};
    for (size_t i = 0; i < 2; i++) {
        char options[60];
        snprintf(options, sizeof options, "--schema=%s --block-size=4", names[i]);
        struct mock_watch w = mock_watch_start(options, false);
        mock_traffic_one(&w.engine, 0, "x");
        mock_stream_ask(&w.stream, 0);
        for (size_t k = 0; k < 2; k++) {
            struct mock_message m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
            cr_assert(m.got && m.topic == (i == 1) && mock_message_is_end(&m) == (k == 1));
            mock_message_free(&m);
        }
        mock_watch_end(&w);
    }
}

Test(events, a_replay_begins_where_it_can) {
    struct mock_watch w = mock_watch_start("--buffer=5 --block-size=4", false);
    static const struct {
        uint64_t from, first;
    } cases[] = {{0, 7}, {7, 7}, {10, 10}, {11, 11}, {12, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}};
    for (int i = 0; i < 12; i++) {
        char prompt[20];
        snprintf(prompt, sizeof prompt, "p%d", i);
        mock_traffic_one(&w.engine, 0, prompt);
    }
    cr_assert(mock_rank_number(&w.engine, 0, "next_seq") == 12);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mock_stream_ask(&w.stream, cases[i].from);
        for (uint64_t want = cases[i].first; want <= 12; want++) {
            struct mock_message m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
            cr_assert(m.got && (want < 12 ? m.seq == want : mock_message_is_end(&m)));
            mock_message_free(&m);
        }
        if (cases[i].first == UINT64_MAX) {
            struct mock_message m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
            cr_assert(mock_message_is_end(&m));
            mock_message_free(&m);
        }
    }
    mock_watch_end(&w);
}

// Only an empty frame and a number are a request; nothing else is answered, and all else goes on.
Test(events, other_requests_have_no_answer) {
    struct mock_watch w = mock_watch_start("--block-size=4", false);
    mock_traffic_one(&w.engine, 0, "x");
    zmq_send(w.stream.dealer, "\0\0\0\0\0\0\0\0", 8, 0);
    zmq_send(w.stream.dealer, "x", 1, ZMQ_SNDMORE);
    zmq_send(w.stream.dealer, "", 0, 0);
    for (size_t i = 0; i < 20; i++)
        zmq_send(w.stream.dealer, "", 0, i < 19 ? ZMQ_SNDMORE : 0);
    struct mock_message m = mock_stream_reply(&w.stream, 100);
    cr_assert(!m.got);
    mock_fold_replay(&w.told, &w.stream);
    mock_fold_check(&w.told, &w.engine, 0);
    // Numbers are of any length; none is 0.
    static const struct {
        const char *number;
        size_t len;
        bool all;
    } cases[] = {{"", 0, true},
                 {"\0", 1, true},
                 {"\1", 1, false},
                 {"\0\0\0\0\0\0\0\0\0\1", 10, false},
                 {"\1\0\0\0\0\0\0\0\0", 9, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zmq_send(w.stream.dealer, "", 0, ZMQ_SNDMORE);
        zmq_send(w.stream.dealer, cases[i].number, cases[i].len, 0);
        m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
        cr_assert(m.got && mock_message_is_end(&m) != cases[i].all);
        mock_message_free(&m);
        if (cases[i].all) m = mock_stream_reply(&w.stream, MOCK_PATIENCE_MS);
        mock_message_free(&m);
    }
    mock_watch_end(&w);
}

Test(events, who_joins_late_has_the_replay) {
    struct mock_process p = mock_process_start("--publish-at-start=8 --block-size=4 --ranks=2");
    for (size_t rank = 0; rank < 2; rank++) {
        struct mock_stream s = mock_stream_open(&p, rank, true);
        cr_assert(s.seq >= 8);
        struct mock_fold f = {0};
        mock_fold_replay(&f, &s);
        cr_assert(f.n == 16);
        mock_fold_check(&f, &p, rank);
        mock_fold_free(&f);
        mock_stream_close(&s);
    }
    mock_process_end(&p, SIGTERM);
}

Test(events, sockets_connect_where_they_are_told) {
    void *zmq = zmq_ctx_new(), *sub = zmq_socket(zmq, ZMQ_SUB);
    char endpoint[100], options[200];
    size_t size = sizeof endpoint;
    int patience = MOCK_PATIENCE_MS;
    zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0);
    zmq_setsockopt(sub, ZMQ_RCVTIMEO, &patience, sizeof patience);
    cr_assert(zmq_bind(sub, "tcp://127.0.0.1:*") == 0);
    zmq_getsockopt(sub, ZMQ_LAST_ENDPOINT, endpoint, &size);
    snprintf(options, sizeof options, "--connect=%s --block-size=4", endpoint);
    struct mock_process p = mock_process_start(options);
    zmq_pollitem_t wait = {.socket = sub, .events = ZMQ_POLLIN};
    for (int i = 0; zmq_poll(&wait, 1, 20) == 0; i++) {
        char prompt[20];
        snprintf(prompt, sizeof prompt, "q%d", i);
        cr_assert(i < 3000);
        mock_traffic_one(&p, 0, prompt);
    }
    mock_process_end(&p, SIGTERM);
    zmq_close(sub);
    zmq_ctx_term(zmq);
}
