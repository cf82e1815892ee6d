// SPDX-License-Identifier: Apache-2.0
// Logged decisions: regret by hand, that the same policy chooses the same again, what is refused, and the load.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/sim/compare/fleet_load.h"
#include "bench/sim/decisions/fetch_decisions.h"
#include "bench/sim/decisions/regret.h"
#include "bench/sim/loads/decision_load.h"
#include "module/core/decisions/decision_log.h"
#include "stest.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"

// ---- Files ---------------------------------------------------------------------------------------

static const char *written(const char *text) {
    static char path[256];
    support_path(path, sizeof path, "decisions.jsonl");
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

#define LOGGED_HEAD(request, at, isl, chosen)                                                      \
    "{\"decision\":1,\"serial\":1,\"event\":\"select\",\"at\":" at ",\"request\":\"" request       \
    "\",\"result\":\"OK\",\"by\":\"cost\",\"pair\":0,\"isl\":" isl                                 \
    ",\"osl\":0,\"blocks\":2,\"block_size\":4,\"policy\":\"delay\",\"overlap_weight\":1,"          \
    "\"prefill_weight\":1,\"requests_weight\":0,\"temperature\":0,\"output\":8,"                   \
    "\"first_weight\":2,\"arrivals\":0,\"reuse\":0,\"stick\":0,\"session\":-1,\"chosen\":" chosen  \
    ",\"cost\":1,\"left_out\":0,\"candidates\":["
#define LOGGED_CANDIDATE(worker, reason, ttft, credit, requests)                                   \
    "{\"worker\":\"" worker "\",\"rank\":0,\"reason\":\"" reason "\",\"cost\":1,\"ttft\":" ttft    \
    ",\"tpot\":-1,\"overlap\":0,\"expected\":0,\"credit\":" credit                                 \
    ",\"prefill_tokens\":0,\"queue\":0,\"decode_blocks\":0,\"live\":0,\"begun\":0,"                \
    "\"requests\":" requests ",\"pace\":1,\"full\":0,\"capacity\":50,\"booked\":0}"
#define LOGGED_HASHES "],\"hashes\":\"00000000000000010000000000000002\"}\n"
#define LOGGED_END(request, ttft, output)                                                          \
    "{\"decision\":1,\"serial\":2,\"event\":\"end\",\"at\":9000,\"request\":\"" request            \
    "\",\"ttft\":" ttft ",\"duration\":500,\"output\":" output ",\"lapsed\":0}\n"

// By hand: own = 8 − 4 · credit tokens; cost = (own · (2 + requests) + 8 · requests) / 4 blocks.
//   first:  a: 0 cached, 0 requests: 4;  b: 2 cached, 3 requests: 6;  c would be free but is expired
//   second: a: 0 cached, 1 request: 8;   b: 1 cached, 0 requests: 2
static const char two[] = LOGGED_HEAD("000000000000000a", "1000", "8", "1")
    LOGGED_CANDIDATE("a", "", "40", "0", "0") "," LOGGED_CANDIDATE(
        "b", "", "50", "2", "3") "," LOGGED_CANDIDATE("c", "expired", "-1", "2", "0")
        LOGGED_HASHES LOGGED_HEAD("000000000000000b", "3000", "8", "0")
            LOGGED_CANDIDATE("a", "", "70", "0", "1") "," LOGGED_CANDIDATE("b", "", "20", "1", "0")
                LOGGED_HASHES LOGGED_END("000000000000000a", "100", "12")
                    LOGGED_END("000000000000000c", "1", "1");

static struct sim_regret regret(const struct sim_decisions *d, const char *policy) {
    struct sim_judged_policy p[SIM_MAX_JUDGED];
    struct sim_regret r;
    size_t n;
    cr_assert(sim_judged_parse(policy, p, &n) && n == 1);
    sim_regret_find(d, p, &r);
    cr_assert(r.decisions == d->n && r.predicted == d->n);
    return r;
}

static void regret_of_all(const struct sim_decisions *d) {
    struct sim_judged_policy p[SIM_MAX_JUDGED];
    struct sim_regret r;
    size_t n;
    if (!sim_judged_parse("delay,linear,requests,random,delay:without=expected", p, &n)) _exit(4);
    for (size_t i = 0; i < n; i++)
        sim_regret_find(d, &p[i], &r);
}

static void expect(const char *what, double got, double want) {
    cr_expect(fabs(got - want) < 1e-9, "%s: %.17g instead of %.17g", what, got, want);
}

Test(logged, regret_by_hand) {
    struct sim_decisions d;
    sim_decisions_read(&d, written(two));
    cr_assert(d.n == 2 && d.instances == 3 && d.capacity == 50 && d.block_size == 4);
    struct sim_regret r = regret(&d, "delay"); // a, then b
    expect("agrees", r.agree, 0);
    expect("cost", r.cost, (4 + 2) / 2.0);
    expect("regret", r.mean, 0);
    expect("made", r.made, ((4 - 6) + (2 - 8)) / 2.0);
    expect("ttft", r.ttft, (40 + 20) / 2.0);
    expect("least ttft", r.ttft_least, (40 + 20) / 2.0);
    expect("made ttft", r.ttft_made, (50 + 70) / 2.0);
    r = regret(&d, "requests"); // a, then b
    expect("cost", r.cost, 3);
    r = regret(&d, "random");
    expect("agrees", r.agree, 0.5);
    expect("cost", r.cost, ((4 + 6) / 2.0 + (8 + 2) / 2.0) / 2);
    expect("regret", r.mean, ((5 - 4) + (5 - 2)) / 2.0);
    expect("p99", r.p99, 3);
    r = regret(&d, "delay:requests=5"); // the judge has none of it
    expect("cost", r.cost, 3);
    // By linear: a 2 + 2, b 0 + 2 + … − 0: b, then b.
    r = regret(&d, "linear");
    expect("agrees", r.agree, 0.5);
    expect("cost", r.cost, (6 + 2) / 2.0);
    expect("regret", r.mean, (6 - 4) / 2.0);
    struct sim_regret_scope s;
    sim_regret_scope_find(&d, &s);
    cr_expect(s.decisions == 2 && s.judged == 2 && s.measured == 1);
    expect("measured", s.ttft, 100);
    expect("error", s.error, 0.5); // 50 predicted, 100 measured
    sim_decisions_free(&d);
}

Test(logged, a_load_of_them) {
    struct sim_decisions d;
    struct bench_workload w;
    sim_decisions_read(&d, written(two));
    cr_assert(sim_decision_load_can(&d));
    sim_decision_load(&w, &d, 0);
    cr_assert(w.n == 2 && w.block_size == 4);
    cr_expect(w.requests[0].at == 0 && w.requests[1].at == 2);
    cr_expect(w.requests[0].osl == 12 && w.requests[1].osl == 8); // as it was, as expected
    cr_expect(w.requests[0].isl == 8 && w.requests[1].blocks == 2);
    cr_expect(bench_request_hashes(&w, 1)[0] == 1 && bench_request_hashes(&w, 1)[1] == 2);
    bench_workload_free(&w);
    sim_decision_load(&w, &d, 1);
    cr_expect(w.n == 1);
    bench_workload_free(&w);
    sim_decisions_free(&d);
}

// ---- What is refused -----------------------------------------------------------------------------

static void leave(int status, void *ctx) {
    (void)ctx;
    _exit(status);
}

// A process that may end wherever it is, and does so without a look for leaks: in a forked one that finds fault with
// threads which only its parent has.
static pid_t fork_to_fail(void) {
    pid_t child = fork();
    cr_assert(child >= 0);
    if (!child) on_exit(leave, NULL);
    return child;
}

// Whether reading it ends the program as it should, with a line's number.
static void expect_refused(const char *text, size_t line) {
    const char *path = written(text);
    char said[512] = "", number[32];
    int out[2], status;
    cr_assert(pipe(out) == 0);
    pid_t child = fork_to_fail();
    if (!child) {
        struct sim_decisions d;
        dup2(out[1], STDERR_FILENO);
        close(out[0]);
        sim_decisions_read(&d, path);
        _exit(0);
    }
    close(out[1]);
    for (ssize_t n, at = 0; (n = read(out[0], said + at, sizeof said - 1 - (size_t)at)) > 0;)
        at += n;
    close(out[0]);
    cr_assert(waitpid(child, &status, 0) == child);
    snprintf(number, sizeof number, ".jsonl:%zu: ", line);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 2 && strstr(said, number), "%s: %s", text,
              said);
}

// A well-formed line with one thing changed.
static void expect_spoilt(const char *from, const char *to) {
    char text[8192];
    const char *at = strstr(two, from);
    cr_assert(at, "no %s", from);
    snprintf(text, sizeof text, "\n%.*s%s%s", (int)(at - two), two, to, at + strlen(from));
    expect_refused(text, 2);
}

Test(logged, what_is_refused) {
    static const char *const changes[][2] = {
        {"\"decision\":1", "\"decision\":2"},
        {"\"decision\":1,", ""},
        {"{\"decision\"", "[{\"decision\""},
        {"\"select\"", "\"other\""},
        {"\"000000000000000a\"", "\"00000000000000a\""},
        {"\"000000000000000a\"", "\"000000000000000A\""},
        {"\"000000000000000a\"", "7"},
        {"\"isl\":8", "\"isl\":-1"},
        {"\"isl\":8", "\"isl\":1.5"},
        {"\"isl\":8", "\"isl\":\"8\""},
        {"\"isl\":8", "\"isl\":1e300"},
        {"\"isl\":8", "\"isl\":8,\"isl\":8"},
        {"\"block_size\":4", "\"block_size\":0"},
        {"\"block_size\":4", "\"block_size\":4097"},
        {"\"policy\":\"delay\"", "\"policy\":\"none\""},
        {"\"chosen\":1", "\"chosen\":3"},
        {"\"chosen\":1", "\"chosen\":-2"},
        {"\"session\":-1", "\"session\":0.5"},
        {"\"rank\":0", "\"rank\":-1"},
        {"\"pace\":1,", ""},
        {"\"pace\":1", "\"pace\":null"},
        {"\"requests\":0", "\"requests\":-1"},
        {"\"reason\":\"\"", "\"reason\":0"},
        {"\"worker\":\"a\"", "\"worker\":1"},
        {"\"candidates\":[", "\"candidates\":[1,"},
        {"\"hashes\":\"0", "\"hashes\":\""},
        {"\"hashes\":\"0", "\"hashes\":\"g"},
        {"\"blocks\":2", "\"blocks\":1"},
        {"}\n{", "} x\n{"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        expect_spoilt(changes[i][0], changes[i][1]);
    expect_refused("", 0);
    expect_refused("\n{}\n", 2);
    expect_refused(LOGGED_END("000000000000000a", "1", "1"), 1);
    static const char other_size[] =
        LOGGED_HEAD("000000000000000a", "1", "8", "-1") "]}\n" LOGGED_HEAD("000000000000000a", "1",
                                                                           "8", "-1") "]}\n";
    char *changed = strdup(other_size);
    cr_assert(changed);
    char *last = strstr(strstr(changed, "block_size\":4") + 1, "block_size\":4");
    last[strlen("block_size\":")] = '8';
    expect_refused(changed, 2);
    free(changed);
}

// A child reads a file; how it ends.
static int read_in_child(const char *path) {
    int status = -1;
    pid_t child = fork_to_fail();
    if (!child) {
        struct sim_decisions d;
        if (!freopen("/dev/null", "w", stderr)) _exit(3);
        sim_decisions_read(&d, path);
        struct sim_regret_scope scope;
        sim_regret_scope_find(&d, &scope);
        regret_of_all(&d);
        sim_decisions_free(&d);
        _exit(0);
    }
    cr_assert(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Bytes changed, taken away or said twice at random: it is refused, or can be judged.
Test(logged, garbage) {
    enum { GARBAGE_FILES = 400 };
    size_t refused = 0, n = strlen(two);
    for (uint64_t i = 0; i < GARBAGE_FILES; i++) {
        char text[2 * sizeof two];
        size_t at = kvr_random_mix(3 * i) % n, more = kvr_random_mix(3 * i + 1) % 40;
        if (at + more > n) more = n - at;
        memcpy(text, two, n + 1);
        if (i % 4 == 0)
            text[at] = (char)(kvr_random_mix(3 * i + 2) % 255 + 1);
        else if (i % 4 == 1)
            text[at] = "0123456789-.e\"{}[],"[kvr_random_mix(3 * i + 2) % 19];
        else if (i % 4 == 2)
            memmove(text + at, text + at + more, n - at - more + 1);
        else
            memmove(text + at + more, text + at, n - at + 1);
        int status = read_in_child(written(text));
        cr_assert(status == 0 || status == 2, "%d: %s", status, text);
        refused += status == 2;
    }
    cr_expect(refused > GARBAGE_FILES / 2 && refused < GARBAGE_FILES);
}

Test(logged, policies_that_are_none) {
    static const char *const lists[] = {"",
                                        "none",
                                        "delay,",
                                        "delay:overlap",
                                        "delay:overlap=x",
                                        "delay:overlap=-1",
                                        "delay:without=none",
                                        "random:overlap=1",
                                        "delay:temperature=1"};
    struct sim_judged_policy p[SIM_MAX_JUDGED];
    size_t n;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        cr_expect(!sim_judged_parse(lists[i], p, &n), "%s", lists[i]);
    cr_assert(
        sim_judged_parse("delay:overlap=2:without=queue:without=pace,random,requests", p, &n));
    cr_expect(n == 3 && p[0].overlap == 2 && p[0].prefill < 0);
    cr_expect(p[0].without == (KVR_TERM_QUEUE | KVR_TERM_PACE) && p[1].kind == SIM_JUDGED_RANDOM);
}

// ---- The same again ------------------------------------------------------------------------------

// What the least and the most was that anybody would have cost by the other policy, of each choice.
enum { LOGGED_CHOICES = 2000 };
static struct { double least, most; } otherwise[LOGGED_CHOICES];

static void score_otherwise(struct kvr_pool *p, int64_t now, const struct kvr_query *q, size_t i) {
    struct kvr_query other = *q;
    const struct kvr_pool_score *scores;
    size_t n;
    other.rule.policy = q->rule.policy == KVR_DELAY ? KVR_LINEAR : KVR_DELAY;
    cr_assert(kvr_scores(p, now, &other, &scores, &n) == KVR_OK && n > 0);
    otherwise[i].least = scores[0].cost;
    otherwise[i].most = scores[n - 1].cost;
}

// Chooses at random for a while, with a log; its lines, to be freed.
static char *random_lines(int policy, double stick, uint64_t seed) {
    struct support_alloc mem = {.fail_at = 0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_options o;
    kvr_options_default(&o);
    o.rule.policy = policy;
    o.block_size = 4;
    o.stick = stick;
    struct kvr_pool *p = kvr_pool_new(&alloc, &o, seed);
    struct kvr_decision_log *l =
        kvr_decision_log_new(&alloc, &(struct kvr_decision_limits){100000, 1 << 30, false}, 1);
    cr_assert(p && l);
    uint64_t hashes[40];
    for (size_t i = 0; i < 40; i++)
        hashes[i] = i + 1;
    for (unsigned w = 0; w < 9; w++) {
        char name[] = {'w', (char)(251 - w * 31),
                       0}; // not in the order of their numbers, nor of ASCII
        int created;
        struct kvr_worker_settings s = {
            .set = KVR_SET_CAPACITY | KVR_SET_RANKS, .capacity = 60, .ranks = 1 + w % 3};
        cr_assert(!kvr_worker_set(p, 1, (struct kvr_bytes){name, 2}, &s, &created));
    }
    for (int64_t i = 0; i < LOGGED_CHOICES; i++) {
        char id[16], session[] = {'s', (char)('a' + kvr_random_mix(seed + (uint64_t)i) % 20)};
        struct kvr_bytes name = {id, (size_t)snprintf(id, sizeof id, "%d", (int)i)};
        struct kvr_query q = {.hashes = hashes,
                              .n = kvr_random_mix(seed * 3 + (uint64_t)i) % 40,
                              .isl = -1,
                              .rule = o.rule,
                              .session = {session, i % 2 ? 2 : 0}};
        struct kvr_pool_choice choice;
        struct kvr_booking booked;
        int live;
        score_otherwise(p, 1000 + 7 * i, &q, (size_t)i);
        struct kvr_decision_record *r = kvr_decision_log_begin(l, p, 1000 + 7 * i, name, &q);
        enum kvr_err err = kvr_select(p, 1000 + 7 * i, name, &q, -1, 0, &choice, &booked);
        cr_assert(err == KVR_OK);
        kvr_decision_log_end(l, r, err, &choice);
        if (i < 50) continue;
        name.n = (size_t)snprintf(id, sizeof id, "%d", (int)i - 40);
        kvr_update(p, 1003 + 7 * i, name, true, 30, -1, &live);
        name.n = (size_t)snprintf(id, sizeof id, "%d", (int)i - 50);
        kvr_decision_log_ended(l, p, 1003 + 7 * i, name, false);
        kvr_release(p, 1003 + 7 * i, &name, 1, KVR_RELEASED);
    }
    struct kvr_decision_stats s;
    kvr_decision_log_stats(l, &s);
    size_t room = 1, n = 0;
    for (uint64_t i = s.first; i < s.next; i++)
        room += kvr_decision_line_room(kvr_decision_log_at(l, i)) + 1;
    char *lines = malloc(room);
    cr_assert(lines && !s.dropped);
    for (uint64_t i = s.first; i < s.next; i++) {
        n += kvr_decision_line(kvr_decision_log_at(l, i), lines + n, room - n);
        lines[n++] = '\n';
    }
    lines[n] = 0;
    kvr_decision_log_free(l);
    kvr_pool_free(p);
    support_alloc_check_freed(&mem, "a logged pool");
    return lines;
}

static void expect_the_same(const struct sim_decisions *d, int policy) {
    struct sim_judged_policy p = {
        .kind = SIM_JUDGED_RULE, .policy = policy, .overlap = -1, .prefill = -1, .requests = -1};
    struct sim_judged_room room;
    sim_judged_room_open(&room, d->instances);
    for (size_t i = 0; i < d->n; i++) {
        const struct sim_decision *x = &d->all[i];
        cr_assert(sim_judged_choice(&p, d, x, &room) == x->chosen, "decision %zu", i);
        for (size_t k = 0; k < x->n; k++)
            cr_assert(room.cost[k] == d->candidates[x->first + k].cost, "decision %zu", i);
    }
    sim_judged_room_close(&room);
}

// What another policy makes of a record is what it would have made of the pool.
static void expect_otherwise(const struct sim_decisions *d, int policy) {
    struct sim_judged_policy p = {
        .kind = SIM_JUDGED_RULE, .policy = policy, .overlap = -1, .prefill = -1, .requests = -1};
    struct sim_judged_room room;
    sim_judged_room_open(&room, d->instances);
    for (size_t i = 0; i < d->n; i++) {
        double least = INFINITY, most = -INFINITY;
        sim_judged_costs(&p, d, &d->all[i], &room);
        for (size_t k = 0; k < d->all[i].n; k++) {
            least = fmin(least, room.cost[k]);
            most = fmax(most, room.cost[k]);
        }
        cr_assert(least == otherwise[i].least && most == otherwise[i].most, "decision %zu", i);
    }
    sim_judged_room_close(&room);
}

Test(logged, the_same_policy_chooses_the_same) {
    static const double sticks[] = {0, 30};
    for (int policy = 0; policy < (int)kvr_policy_count; policy++)
        for (size_t k = 0; k < 2; k++) {
            struct sim_decisions d;
            char *lines = random_lines(policy, sticks[k], 5 + k);
            sim_decisions_read(&d, written(lines));
            cr_assert(d.n == LOGGED_CHOICES && d.instances == 18);
            cr_expect(d.all[100].ended && d.all[100].ttft > 0 && d.all[100].tokens == 30);
            expect_the_same(&d, policy);
            expect_otherwise(&d, policy == KVR_DELAY ? KVR_LINEAR : KVR_DELAY);
            sim_decisions_free(&d);
            free(lines);
        }
}

// ---- From a server -------------------------------------------------------------------------------

Test(logged, what_a_server_decided) {
    static struct stest_fleet s;
    struct sim_decisions d, fetched;
    char path[256], copy[256], url[300];
    support_path(path, sizeof path, "shared.jsonl");
    support_path(copy, sizeof copy, "fetched.jsonl");
    stest_open(&s, "chat", 300, 20);
    stest_router(&s, "shared", 2);
    s.plan.log = path;
    stest_run(&s);
    sim_decisions_read(&d, path);
    cr_assert(d.n == 300 && d.instances == 8 && !d.without_hashes);
    expect_the_same(&d, s.plan.rule.policy);
    snprintf(url, sizeof url, "unix://%s", s.server.redis.socket);
    cr_expect(!sim_fetch_decisions(url, "no such pool", copy));
    cr_expect(!sim_fetch_decisions("rediss://127.0.0.1:1", SIM_POOL, copy));
    cr_expect(!sim_fetch_decisions("nonsense", SIM_POOL, copy));
    cr_assert(sim_fetch_decisions(url, SIM_POOL, copy));
    sim_decisions_read(&fetched, copy);
    cr_expect(fetched.n == d.n && fetched.n_hashes == d.n_hashes);
    // And the options that follow from it.
    static struct sim_options o;
    cr_assert(stest_parse(&o, "--decisions", path, NULL, NULL) == -1);
    cr_expect(o.workers == 8 && o.blocks == s.plan.blocks && o.block_size == d.block_size);
    cr_expect(o.n_specs == 4 && sim_load_same(&o));
    sim_decisions_free(&o.logged);
    cr_expect(stest_parse(&o, "--decisions", path, "--load", "chat") == 2);
    cr_expect(stest_parse(&o, "--fetch-decisions", url, NULL, NULL) == 2);
    cr_expect(stest_parse(&o, "--log-decisions", copy, "--router", "least") == 2);
    cr_expect(stest_parse(&o, "--log-decisions", copy, "--router", "shared") == -1);
    sim_decisions_free(&d);
    sim_decisions_free(&fetched);
    stest_close(&s);
}
