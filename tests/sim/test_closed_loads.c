// SPDX-License-Identifier: Apache-2.0
// Loads in closed loop: traces with sessions, users, generated sessions, and what is measured of them.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/trace.h"
#include "bench/sim/loads/loads.h"
#include "bench/sim/loads/users.h"
#include "stest.h"

// ---- Traces --------------------------------------------------------------------------------------

static struct bench_workload read_trace(const char *text) {
    char name[] = "/tmp/kvroute-sessions-XXXXXX", path[32];
    int fd = mkstemp(name);
    struct bench_workload w;
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    unlink(name);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    bench_trace_read(&w, path, 64, 0);
    close(fd);
    return w;
}

#define STEST_LINE(rest) "{\"input_length\":600,\"output_length\":5,\"hash_ids\":[1,2]," rest "}\n"

// Two sessions, the later one first in the file; and a request that is nobody's.
static const char two_sessions[] = STEST_LINE("\"session_id\":\"b\",\"timestamp\":9000")
    STEST_LINE("\"session_id\":\"b\",\"delay\":2500")
        STEST_LINE("\"session_id\":7,\"timestamp\":1000")
            STEST_LINE("\"session_id\":\"b\",\"delay\":0")
                STEST_LINE("\"session_id\":7,\"delay\":500") STEST_LINE("\"timestamp\":1200");

Test(sessions, of_a_trace) {
    struct bench_workload w = read_trace(two_sessions);
    static const double at[] = {1, 1.2, 1.5, 9, 11.5, 11.5};
    static const uint32_t after[] = {BENCH_NO_REQUEST, BENCH_NO_REQUEST, 0, BENCH_NO_REQUEST, 3, 4};
    cr_assert(w.n == 6 && w.sessions == 3 && w.closed);
    for (size_t i = 0; i < w.n; i++)
        cr_assert(w.requests[i].at == at[i] && w.requests[i].after == after[i]);
    cr_assert(w.requests[0].session == w.requests[2].session);
    cr_assert(w.requests[3].session == w.requests[5].session);
    cr_assert(w.requests[1].session != w.requests[0].session);
    cr_assert(w.requests[2].delay == 0.5 && w.requests[4].delay == 2.5);
    bench_workload_free(&w);
}

Test(sessions, open_traces_may_name_them) {
    struct bench_workload w = read_trace(STEST_LINE("\"session_id\":\"a\",\"timestamp\":1")
                                             STEST_LINE("\"session_id\":\"a\",\"timestamp\":2"));
    cr_assert(w.n == 2 && !w.closed && w.sessions == 1 && w.requests[1].after == BENCH_NO_REQUEST);
    bench_workload_free(&w);
}

Test(sessions, a_delay_needs_one_before, .exit_code = 2) {
    read_trace(STEST_LINE("\"session_id\":\"a\",\"delay\":1"));
}

Test(sessions, an_open_trace_is_in_order, .exit_code = 2) {
    read_trace(STEST_LINE("\"timestamp\":2") STEST_LINE("\"timestamp\":1"));
}

// ---- Generated -----------------------------------------------------------------------------------

static struct bench_workload generate(uint64_t seed, unsigned block_size) {
    struct bench_workload w;
    sim_load_make(sim_load_find("sessions"), &w,
                  &(struct sim_load_plan){.block_size = block_size, .seed = seed});
    return w;
}

Test(sessions, generated_ones_are_like_recorded_ones) {
    struct bench_workload w = generate(1, 64);
    double isl = 0, osl = 0, delay = 0;
    uint32_t *last = malloc(w.sessions * sizeof *last), longest = 0, branches = 0;
    memset(last, 0xff, w.sessions * sizeof *last);
    for (uint32_t i = 0; i < w.n; i++) {
        const struct bench_request *r = &w.requests[i];
        cr_assert(r->after == last[r->session], "a session overlaps itself");
        cr_assert(i == 0 || r->at >= w.requests[i - 1].at);
        cr_assert(r->blocks == r->isl / 64 && r->first + r->known <= w.n_hashes);
        if (r->after != BENCH_NO_REQUEST) branches += r->first != w.requests[r->after].first;
        last[r->session] = i;
        isl += r->isl, osl += r->osl, delay += r->delay;
        if (r->isl > longest) longest = r->isl;
    }
    double n = (double)w.n;
    cr_assert(w.closed && n / w.sessions > 50 && n / w.sessions < 130, "%g", n / w.sessions);
    cr_assert(isl / n > 80e3 && isl / n < 150e3, "%g", isl / n);
    cr_assert(osl / n > 350 && osl / n < 600 && delay / n > 12 && delay / n < 25);
    cr_assert(longest > 150000 && longest <= 200000 && branches > w.sessions / 2);
    free(last);
    bench_workload_free(&w);
}

Test(sessions, generated_ones_are_the_same_for_a_seed) {
    struct bench_workload a = generate(3, 512), b = generate(3, 512), c = generate(4, 512);
    cr_assert(a.n == b.n && !memcmp(a.requests, b.requests, a.n * sizeof *a.requests));
    cr_assert(!memcmp(a.hashes, b.hashes, a.n_hashes * sizeof *a.hashes));
    cr_assert(a.n != c.n || memcmp(a.requests, c.requests, a.n * sizeof *a.requests));
    bench_workload_free(&a);
    bench_workload_free(&b);
    bench_workload_free(&c);
}

// Every model's engine has room for the longest, though not for many.
Test(sessions, generated_ones_fit) {
    struct bench_workload w = generate(1, 512);
    for (size_t m = 0; m < SIM_MODELS; m++)
        for (uint32_t i = 0; i < w.n; i++)
            cr_assert(sim_engine_fits(&w, i, sim_models[m].capacity / 512));
    bench_workload_free(&w);
}

// ---- Users ---------------------------------------------------------------------------------------

// Two sessions of three requests; they share their first block, and the requests of a session all else.
static void open_two(struct stest_load *s) {
    stest_load_open(s, 4);
    for (uint32_t session = 0; session < 2; session++)
        for (uint32_t k = 0; k < 3; k++) {
            stest_load_add(s, session, 8 + 4 * k, 4, 100 * (session + 1));
            struct bench_request *r = &s->requests[s->load.n - 1];
            s->hashes[r->first] = 1;
            r->session = session;
            r->delay = k ? 3 : 0;
            r->after = k ? (uint32_t)(s->load.n - 2) : BENCH_NO_REQUEST;
        }
    s->load.sessions = 2;
    s->load.closed = true;
}

static const struct sim_users_plan five = {
    .users = 5, .ramp = 10, .until = 40, .pace = 0.1, .seed = 1, .fresh = true};

Test(users, begin_over_the_ramp_and_go_on_until_the_end) {
    struct stest_load s;
    struct bench_workload w;
    open_two(&s);
    sim_users_make(&w, &s.load, &five);
    size_t begin = 0;
    uint32_t *follows = calloc(w.n, sizeof *follows);
    for (size_t i = 0; i < w.n; i++) {
        const struct bench_request *r = &w.requests[i];
        cr_assert(r->at < 40 && r->session < w.sessions);
        if (r->after == BENCH_NO_REQUEST) {
            cr_assert(fabs(r->at - 2.0 * (double)begin++) < 1e-9);
            continue;
        }
        // Within a session, and between two, it is three seconds: the mean.
        cr_assert(r->delay == 3 && r->after < i && follows[r->after]++ == 0);
    }
    cr_assert(begin == 5 && w.closed);
    // A request takes at least 3.5 s, so a user can't have more than that.
    cr_assert(w.n > 5 * 8 && w.n <= 5 * 12, "%zu", w.n);
    free(follows);
    bench_workload_free(&w);
}

Test(users, have_copies_of_their_own_and_share_what_sessions_share) {
    struct stest_load s;
    struct bench_workload w;
    open_two(&s);
    sim_users_make(&w, &s.load, &five);
    for (size_t i = 0; i < w.n; i++)
        for (size_t k = 0; k < w.n; k++) {
            const uint64_t *a = bench_request_hashes(&w, i), *b = bench_request_hashes(&w, k);
            bool same = w.requests[i].session == w.requests[k].session;
            cr_assert(a[0] == 1 && b[0] == 1);
            for (uint32_t d = 1; d < w.requests[i].known && d < w.requests[k].known; d++)
                cr_assert((a[d] == b[d]) == same);
        }
    bench_workload_free(&w);
}

Test(users, begin_in_the_midst_of_sessions) {
    struct bench_workload sessions = generate(1, 512), w;
    struct sim_users_plan plan = {.users = 400, .until = 1, .pace = 1, .seed = 1};
    sim_users_make(&w, &sessions, &plan);
    double all = 0, first = 0;
    size_t n = 0;
    for (size_t i = 0; i < sessions.n; i++)
        all += sessions.requests[i].isl;
    for (size_t i = 0; i < w.n; i++)
        if (w.requests[i].after == BENCH_NO_REQUEST) first += w.requests[i].isl, n++;
    cr_assert(n == 400);
    double ratio = first / (double)n / (all / (double)sessions.n);
    cr_assert(ratio > 0.9 && ratio < 1.1, "%g", ratio);
    bench_workload_free(&w);
    plan.fresh = true;
    sim_users_make(&w, &sessions, &plan);
    for (size_t i = 0; i < w.n; i++)
        cr_assert(w.requests[i].after != BENCH_NO_REQUEST || w.requests[i].isl < 60000);
    bench_workload_free(&w);
    bench_workload_free(&sessions);
}

// ---- Runs ----------------------------------------------------------------------------------------

// Users on four large engines, over a few minutes.
static void open_users(struct stest_fleet *s, struct bench_workload *w, unsigned users) {
    stest_open(s, "sessions", 0, 1);
    struct bench_workload sessions = s->load;
    sim_users_make(w, &sessions,
                   &(struct sim_users_plan){
                       .users = users, .ramp = 60, .until = 300, .pace = 0.025, .seed = 2});
    bench_workload_free(&sessions);
    s->load = *w;
    s->o.engines[0].model = *sim_model_find("large");
    s->plan.blocks = s->o.engines[0].model.capacity / 64;
    s->plan.workers = 4;
    s->plan.until = 300;
}

Test(sessions, each_waits_for_the_one_before) {
    struct stest_fleet s;
    struct bench_workload w;
    struct sim_stats stats;
    open_users(&s, &w, 40);
    stest_router(&s, "least", 3);
    cr_assert(sim_run(&s.plan, &stats));
    size_t served = 0;
    for (size_t i = 0; i < w.n; i++) {
        const struct bench_request *r = &w.requests[i];
        const struct sim_outcome *o = &stats.outcomes[i];
        if (o->arrived < 0) {
            cr_assert(o->done < 0 && o->tries == 0);
            continue;
        }
        served++;
        cr_assert(o->done > o->arrived && o->arrived < 300 && o->tries == 1);
        if (r->after == BENCH_NO_REQUEST)
            cr_assert(fabs(o->arrived - r->at) < 1e-9);
        else
            cr_assert(fabs(o->arrived - stats.outcomes[r->after].done - r->delay) < 1e-9);
    }
    cr_assert(served > 200 && served < w.n, "%zu of %zu", served, w.n);
    // Whoever should have come before the end has come.
    for (size_t i = 0; i < w.n; i++) {
        const struct bench_request *r = &w.requests[i];
        if (r->after == BENCH_NO_REQUEST || stats.outcomes[r->after].done < 0) continue;
        bool in_time = stats.outcomes[r->after].done + r->delay < 300;
        cr_assert(in_time == (stats.outcomes[i].arrived >= 0));
    }
    sim_stats_close(&stats);
    stest_close(&s);
}

Test(sessions, every_option_twice_the_same_and_nothing_lost) {
    static const struct sim_incident incidents[] = {{SIM_WORKER_DIES, 100, 30, 2, true},
                                                    {SIM_ROUTER_DIES, 150, 20, 1, true},
                                                    {SIM_WORKERS_JOIN, 200, 0, 1, 0}};
    static const char *kinds[] = {"least", "shared", "events"};
    struct stest_fleet s;
    struct bench_workload w;
    open_users(&s, &w, 30);
    struct sim_engine_plan engines[2] = {{s.o.engines[0].model, 1, 9000, KVR_ROLE_BOTH},
                                         {s.o.engines[0].model, 0.6, 12000, KVR_ROLE_BOTH}};
    for (size_t i = 0; i < 2; i++) {
        engines[i].model.preempt = true;
        sim_model_attend(&engines[i].model);
    }
    s.plan.engines = engines;
    s.plan.n_engines = 2;
    s.plan.host = 20000;
    s.plan.from = 60;
    s.plan.incidents = incidents;
    s.plan.n_incidents = 3;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        stest_router(&s, kinds[i], 2);
        struct sim_figures a = stest_run(&s), b = stest_run(&s);
        cr_assert(!memcmp(&a, &b, sizeof a), "%s", kinds[i]);
        cr_assert(a.requests > 100 && a.retried > 0 && a.loaded > 0, "%s", kinds[i]);
    }
    stest_close(&s);
}

Test(sessions, only_what_arrives_in_time_is_measured) {
    struct stest_fleet s;
    struct sim_stats stats;
    struct sim_figures f;
    stest_open(&s, "alone", 600, 20);
    stest_router(&s, "least", 1);
    s.plan.from = 10;
    s.plan.until = 20;
    cr_assert(sim_run(&s.plan, &stats));
    sim_stats_figures(&stats, &s.load, &s.o.slo, &f);
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < s.load.n; i++) {
        double at = s.load.requests[i].at - s.load.requests[0].at;
        const struct sim_outcome *o = &stats.outcomes[i];
        cr_assert((o->done >= 0) == (at < 20));
        if (at >= 10 && at < 20) sum += o->first - o->arrived, n++;
    }
    cr_assert(f.requests == (double)n && fabs(f.ttft_mean - sum / (double)n) < 1e-9);
    cr_assert(fabs(f.goodput - f.kept * f.requests / 10) < 1e-9);
    sim_stats_close(&stats);
    s.plan.max_measured = 50;
    f = stest_run(&s);
    cr_assert(f.requests == 50);
    stest_close(&s);
}
