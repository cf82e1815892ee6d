// SPDX-License-Identifier: Apache-2.0
// What the calibration is made of: its load, the reading of answers, the figures.
#include <criterion/criterion.h>
#include <kvroute/hash.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/calibrate/calib_figures.h"
#include "bench/calibrate/calib_simulate.h"
#include "bench/load/completion.h"
#include "bench/load/script.h"
#include "tests/mock-engine/mock_tokens.h"

static struct bench_script make(uint64_t seed) {
    struct bench_script s;
    bench_script_chat(&s, &(struct bench_script_plan){.block_size = 16,
                                                      .rate = 10,
                                                      .seconds = 40,
                                                      .seed = seed,
                                                      .chats = {8, 200, 800, 40, 200, 4, 4}});
    return s;
}

// ---- The script ----------------------------------------------------------------------------------

Test(calib_load, the_same_for_a_seed_and_at_its_rate) {
    struct bench_script a = make(1), b = make(1), c = make(2);
    cr_assert(a.load.n == b.load.n && a.n_bytes == b.n_bytes);
    cr_assert(!memcmp(a.bytes, b.bytes, a.n_bytes));
    cr_assert(c.n_bytes != a.n_bytes);
    cr_assert(a.load.n > 280 && a.load.n < 520, "%zu", a.load.n);
    for (size_t i = 0; i < a.load.n; i++) {
        cr_assert(a.load.requests[i].at == b.load.requests[i].at);
        cr_assert(a.load.requests[i].at >= (i ? a.load.requests[i - 1].at : 0));
        cr_assert(a.load.requests[i].at < 40 && a.load.requests[i].after == BENCH_NO_REQUEST);
    }
    bench_script_free(&a);
    bench_script_free(&b);
    bench_script_free(&c);
}

// The simulator's tokens and blocks are those that a mock engine makes of the text.
Test(calib_load, text_and_blocks_are_of_one_prompt) {
    struct bench_script s = make(1);
    for (size_t i = 0; i < s.load.n; i++) {
        const struct bench_request *r = &s.load.requests[i], *text = &s.text.requests[i];
        struct mock_tokens t = {0};
        uint64_t hashes[4096];
        mock_tokens_text(&t, bench_script_prompt(&s, i), s.prompts[i].n);
        cr_assert(t.n == r->isl && r->blocks == r->isl / 16 && r->blocks < 4096);
        kvr_hash_tokens(t.ids, t.n, 16, KVR_HASH_SEED, NULL, hashes);
        cr_assert(!memcmp(hashes, bench_request_hashes(&s.load, i), r->blocks * sizeof *hashes));
        cr_assert(text->blocks == s.prompts[i].n / 64 && text->isl == s.prompts[i].n / 4);
        cr_assert(text->isl >= r->isl - 1 && text->at == r->at && text->osl == r->osl);
        mock_tokens_free(&t);
    }
    bench_script_free(&s);
}

// The next turn begins with this one's prompt and what a mock engine answers to it.
Test(calib_load, turns_go_on_from_answers) {
    struct bench_script s = make(1);
    size_t followed = 0;
    for (size_t i = 0; i < s.load.n; i++)
        for (size_t k = i + 1; k < s.load.n; k++) {
            if (s.prompts[k].at != s.prompts[i].at) continue;
            const struct bench_request *r = &s.load.requests[i], *next = &s.load.requests[k];
            struct mock_tokens t = {0};
            const char *at = bench_script_prompt(&s, k) + s.prompts[i].n;
            cr_assert(next->session == r->session && s.prompts[k].n > s.prompts[i].n);
            mock_tokens_text(&t, bench_script_prompt(&s, i), s.prompts[i].n);
            for (uint64_t w = 0, seed = mock_answer_seed(&t); w < r->osl; w++) {
                char word[MOCK_WORD_SIZE];
                size_t n = mock_answer_word(seed, w, word);
                cr_assert(!memcmp(at, word, n));
                at += n;
            }
            cr_assert(next->first == r->first && next->blocks >= r->known);
            mock_tokens_free(&t);
            followed++;
            break;
        }
    cr_assert(followed > s.load.n / 2);
    bench_script_free(&s);
}

// Prompts of a script have as much in common as those of the trace, to the block.
Test(calib_load, a_trace_as_texts) {
    uint64_t hashes[] = {1, 2, 3, 1, 2, 4, 1, 2, 3, 5};
    struct bench_request requests[] = {
        {.at = 0, .isl = 50, .osl = 3, .blocks = 3, .first = 0},
        {.at = 1, .isl = 48, .osl = 0, .blocks = 3, .first = 3},
        {.at = 2, .isl = 70, .osl = 9, .blocks = 4, .first = 6},
    };
    struct bench_workload trace = {
        .requests = requests, .n = 3, .hashes = hashes, .n_hashes = 10, .block_size = 16};
    struct bench_script s;
    bench_script_trace(&s, &trace);
    cr_assert_eq(s.load.n, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct bench_request *r = &s.load.requests[i];
        const uint64_t *own = bench_request_hashes(&s.load, i);
        struct mock_tokens t = {0};
        uint64_t made[8];
        cr_assert(r->at == requests[i].at && r->blocks == requests[i].blocks && r->osl >= 1);
        cr_assert(r->isl == requests[i].isl || (i == 1 && r->isl == 49));
        mock_tokens_text(&t, bench_script_prompt(&s, i), s.prompts[i].n);
        cr_assert_eq(t.n, r->isl);
        kvr_hash_tokens(t.ids, t.n, 16, KVR_HASH_SEED, NULL, made);
        cr_assert(!memcmp(made, own, r->blocks * sizeof *own));
        for (size_t k = 0; k < i; k++)
            for (size_t b = 0; b < 3; b++)
                cr_assert_eq(own[b] == bench_request_hashes(&s.load, k)[b],
                             bench_request_hashes(&trace, i)[b] ==
                                 bench_request_hashes(&trace, k)[b]);
        mock_tokens_free(&t);
    }
    bench_script_free(&s);
}

// ---- Answers -------------------------------------------------------------------------------------

static char answer[2048]; // two tokens and the usage, as a router may write it anew

static void add_chunk(const char *text) {
    size_t n = strlen(answer);
    snprintf(answer + n, sizeof answer - n, "%s", text);
}

static void make_answer(void) {
    *answer = 0;
    add_chunk("data: {\"choices\":[{\"index\":0,\"text\":\" one\",\"finish_reason\":null}]}\n\n");
    add_chunk("data: {\"choices\": [{\"text\": \" two\", \"finish_reason\": \"length\"}]}\n\n");
    add_chunk(
        "data: {\"choices\": [], \"system_fingerprint\": \"e3\", \"usage\": {\"prompt_tokens\":"
        " 40, \"prompt_tokens_details\": {\"cached_tokens\": 32}}}\n\ndata: [DONE]\n\n");
}

Test(completion, however_it_is_cut) {
    make_answer();
    size_t n = strlen(answer);
    for (size_t cut = 0; cut <= n; cut++) {
        struct bench_completion s;
        bench_completion_begin(&s);
        bench_completion_read(&s, answer, cut);
        bench_completion_read(&s, answer + cut, n - cut);
        cr_assert(s.ended && !*s.why, "cut at %zu: %s", cut, s.why);
        cr_assert(s.tokens == 2 && s.cached == 32 && !strcmp(s.engine, "e3"));
    }
}

Test(completion, the_first_token_is_seen_when_it_is_there) {
    struct bench_completion s;
    make_answer();
    bench_completion_begin(&s);
    const char *first = strstr(answer, "null}]}\n");
    bench_completion_read(&s, answer, (size_t)(first - answer));
    cr_assert(s.tokens == 0);
    bench_completion_read(&s, first, strlen("null}]}\n"));
    cr_assert(s.tokens == 1 && !s.ended);
}

static struct bench_completion all_of(const char *bytes) {
    struct bench_completion s;
    bench_completion_begin(&s);
    bench_completion_read(&s, bytes, strlen(bytes));
    return s;
}

Test(completion, what_is_no_answer) {
    struct bench_completion s = all_of("data: {\"error\": {\"message\": \"no\"}}\n");
    cr_assert(strstr(s.why, "no") && !s.ended);
    s = all_of("\n\n: a comment\ndata: {\"usage\": null}\n");
    cr_assert(!*s.why && !s.ended && s.tokens == 0 && s.cached == -1);
    char endless[BENCH_MAX_EVENT + 1];
    memset(endless, 97, sizeof endless);
    endless[BENCH_MAX_EVENT] = 0;
    cr_assert(*all_of(endless).why);
}

// ---- Figures -------------------------------------------------------------------------------------

Test(calib_figures, by_hand) {
    static const struct calib_request all[] = {
        {.at = 1, .first = 1.5, .last = 2.5, .tokens = 11, .prompt = 100, .cached = 50},
        {.at = 2, .first = 2.1, .last = 2.1, .tokens = 1, .prompt = 50, .cached = 0},
        {.at = 3, .first = 3.3, .last = 4.3, .tokens = 6, .prompt = 50, .cached = 48},
    };
    struct calib_figures t;
    calib_figures_of(all, 3, &t);
    cr_assert(t.n == 3 && fabs(t.hits - 0.49) < 1e-9 && fabs(t.ttft_mean - 0.3) < 1e-9);
    cr_assert(fabs(t.ttft_p50 - 0.3) < 1e-9 && t.ttft_p99 > 0.3 && t.ttft_p99 < 0.501);
    cr_assert(fabs(t.tbt - 2.0 / 15) < 1e-9);
    calib_figures_of(all, 0, &t);
    cr_assert(t.n == 0 && t.hits == 0 && t.ttft_mean == 0 && t.tbt == 0);
}

Test(calib_figures, medians) {
    static const struct calib_figures all[] = {
        {.n = 5, .hits = 0.5, .ttft_mean = 9, .ttft_p50 = 0.5, .ttft_p99 = 4, .tbt = 0.02},
        {.n = 5, .hits = 0.6, .ttft_mean = 1, .ttft_p50 = 1.5, .ttft_p99 = 8, .tbt = 0.03},
        {.n = 5, .hits = 0.7, .ttft_mean = 2, .ttft_p50 = 1, .ttft_p99 = 99, .tbt = 0.01},
    };
    struct calib_figures t;
    calib_figures_medians(all, 3, &t);
    cr_assert(t.n == 5 && t.hits == 0.6 && t.ttft_mean == 2 && t.ttft_p50 == 1);
    cr_assert(t.ttft_p99 == 8 && t.tbt == 0.02);
}

Test(calib_figures, what_is_apart) {
    struct calib_figures real = {.hits = 0.7, .ttft_p50 = 1, .ttft_p99 = 10}, x = real;
    char what[4];
    cr_assert(calib_figures_agree(&real, &x, what) && !*what);
    x = (struct calib_figures){.hits = 0.719, .ttft_p50 = 0.86, .ttft_p99 = 13.4};
    cr_assert(calib_figures_agree(&real, &x, what));
    x = (struct calib_figures){.hits = 0.679, .ttft_p50 = 1.16, .ttft_p99 = 6.4};
    cr_assert(!calib_figures_agree(&real, &x, what) && !strcmp(what, "hmt"));
}

// What failed isn't in the figures, and the others' times count from when they were due.
Test(calib_figures, played) {
    struct bench_script s = make(1);
    struct bench_outcome *played = calloc(s.load.n, sizeof *played);
    for (size_t i = 0; i < s.load.n; i++) {
        const struct bench_request *r = &s.load.requests[i];
        played[i] = (struct bench_outcome){.sent = r->at + 0.01,
                                           .first = r->at + 0.2,
                                           .last = r->at + 1.2,
                                           .tokens = 11,
                                           .cached = i ? (int64_t)r->isl : -1};
    }
    strcpy(played[1].why, "no connection");
    played[1].first = 1000;
    struct calib_figures t;
    calib_figures_played(&s, played, &t);
    cr_assert(t.n == (double)s.load.n - 1 && fabs(t.ttft_mean - 0.2) < 1e-6 &&
              fabs(t.tbt - 0.1) < 1e-6);
    cr_assert(t.hits > 0.9 && t.hits < 1);
    free(played);
    bench_script_free(&s);
}

// ---- The simulator with given choices ------------------------------------------------------------

Test(calib_simulate, goes_where_it_is_told) {
    struct bench_script s = make(1);
    uint32_t *engines = calloc(s.load.n, sizeof *engines);
    for (size_t i = 0; i < s.load.n; i++)
        engines[i] = i % 7 % 4;
    struct sim_model m = *sim_model_find("mock");
    struct calib_simulation plan = {.engines = engines, .model = &m, .workers = 4, .hop = 1e-3};
    struct sim_stats stats;
    cr_assert(calib_simulate(&s, &plan, &stats));
    for (size_t i = 0; i < s.load.n; i++) {
        cr_assert(stats.outcomes[i].worker == engines[i] && stats.outcomes[i].tries == 1);
        cr_assert(stats.outcomes[i].done >= stats.outcomes[i].first);
    }
    struct calib_figures t;
    calib_figures_simulated(&s, stats.outcomes, &t);
    cr_assert(t.n == (double)s.load.n && t.hits > 0.1 && t.tbt >= m.batch);
    sim_stats_close(&stats);
    free(engines);
    bench_script_free(&s);
}
