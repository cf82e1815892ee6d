// SPDX-License-Identifier: Apache-2.0
// One replay; see run.h.
//
// The processes: a redis-server, the fleet (all workers), the routers, and this one, which starts
// them, shows how far they are, kills the server when it is time, and puts everything away. With mock
// engines: these, the bridges beside them, and a front instead of the fleet.
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/measure.h"
#include "bench/common/progress.h"
#include "bench/common/stop.h"
#include "board.h"
#include "fleet.h"
#include "front.h"
#include "mocks.h"
#include "router.h"

enum { FLEET = 0, MAX_CHILDREN = MAX_ROUTERS + 1, TICK_MS = 10 };

enum stage { RUNNING, CRASHED, RESUMED };

struct run {
    const struct run_plan *plan;
    const struct bench_workload *load;
    const struct options *o;
    size_t capacity;
    struct server server;
    struct mocks mocks;
    struct board *board;
    int pairs[MAX_ROUTERS][2]; // router's end, fleet's end
    pid_t children[MAX_CHILDREN];
    unsigned n_children, alive;
    enum stage stage;
    struct progress progress;
    struct run_result *out;
};

// ---- Processes -----------------------------------------------------------------------------------

static void close_pairs(struct run *r, unsigned keep, int end) {
    for (unsigned i = 0; i < r->plan->routers; i++)
        for (int e = 0; e < 2; e++)
            if (!(e == end && (keep == i || keep == MAX_ROUTERS))) close(r->pairs[i][e]);
}

static int fleet_child(struct run *r) {
    int sockets[MAX_ROUTERS];
    close_pairs(r, MAX_ROUTERS, 1);
    for (unsigned i = 0; i < r->plan->routers; i++)
        sockets[i] = r->pairs[i][1];
    struct fleet_plan plan = {
        .load = r->load,
        .board = r->board,
        .workers = r->o->workers,
        .routers = r->plan->routers,
        .capacity = r->capacity,
        .sockets = sockets,
        .publish = !r->plan->round_robin,
        .port = r->server.port,
    };
    return fleet_main(&plan);
}

static int front_child(struct run *r) {
    int sockets[MAX_ROUTERS];
    close_pairs(r, MAX_ROUTERS, 1);
    for (unsigned i = 0; i < r->plan->routers; i++)
        sockets[i] = r->pairs[i][1];
    struct front_plan plan = {
        .load = r->load,
        .board = r->board,
        .workers = r->o->workers,
        .routers = r->plan->routers,
        .sockets = sockets,
        .scale = r->o->scale,
    };
    for (unsigned i = 0; i < plan.workers; i++)
        plan.ports[i] = r->mocks.engines[i].http;
    return front_main(&plan);
}

static int first_child(struct run *r) {
    return r->o->mock ? front_child(r) : fleet_child(r);
}

static int router_child(struct run *r, unsigned i) {
    close_pairs(r, i, 0);
    struct router_plan plan = {
        .load = r->load,
        .board = r->board,
        .router = i,
        .workers = r->o->workers,
        .fleet = r->pairs[i][0],
        .round_robin = r->plan->round_robin,
        .port = r->server.port,
    };
    return router_main(&plan);
}

static bool start_children(struct run *r) {
    for (unsigned i = 0; i < r->plan->routers; i++) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, r->pairs[i]) == 0) continue;
        perror("kvroute-demo: socketpair");
        for (unsigned k = 0; k < i; k++)
            close(r->pairs[k][0]), close(r->pairs[k][1]);
        return false;
    }
    fflush(NULL);
    for (unsigned i = 0; i <= r->plan->routers; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            stop_leave_it();
            _exit(i == FLEET ? first_child(r) : router_child(r, i - 1));
        }
        if (pid < 0) {
            perror("kvroute-demo: fork");
            break;
        }
        r->children[r->n_children++] = pid;
    }
    close_pairs(r, MAX_ROUTERS, 2);
    r->alive = r->n_children;
    return r->alive == r->plan->routers + 1;
}

static void end_children(struct run *r) {
    for (unsigned i = 0; i < r->n_children; i++) {
        if (!r->children[i]) continue;
        kill(r->children[i], SIGKILL);
        waitpid(r->children[i], NULL, 0);
        r->children[i] = 0;
    }
}

// Takes note of those that have ended. False: one of them badly.
static bool reap(struct run *r) {
    for (unsigned i = 0; i < r->n_children; i++) {
        int status;
        if (!r->children[i] || waitpid(r->children[i], &status, WNOHANG) != r->children[i])
            continue;
        r->children[i] = 0;
        r->alive--;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        fprintf(stderr, "kvroute-demo: %s has failed (%s %d)\n",
                i == FLEET ? "the fleet of workers" : "a router",
                WIFEXITED(status) ? "status" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        return false;
    }
    return true;
}

// ---- Crashes -------------------------------------------------------------------------------------

// Amid the traffic: nobody is warned.
static bool crash_suddenly(struct run *r) {
    int64_t start = clock_ns();
    server_kill(&r->server);
    if (r->o->tear && !server_tear(&r->server, r->o->tear)) return false;
    if (!server_start(&r->server) || !server_open(&r->server)) return false;
    progress_note(&r->progress,
                  "SIGKILL amid the traffic; back from its append-only file in %.1f s",
                  (double)(clock_ns() - start) / 1e9);
    return true;
}

static bool hold_writers(struct server *s) {
    redisReply *r = server_command(s, "CLIENT PAUSE 60000 WRITE");
    if (r) freeReplyObject(r);
    return r != NULL;
}

// The pool is quiet: one router has a booking whose answer it will never read, the others wait for
// their turn; where time is real, nobody waits, so Redis holds back all writers. What the server knows
// is compared before anybody can change it; the router is let go while it is down.
static bool crash_quietly(struct run *r) {
    struct run_result *out = r->out;
    if (r->o->mock && !hold_writers(&r->server)) return false;
    out->live_at_crash = pool_info(&r->server, "requests");
    if (!server_settle(&r->server) || !pool_digest(&r->server, out->before)) return false;
    int64_t start = clock_ns();
    server_kill(&r->server);
    atomic_store(&r->board->go, true);
    if (!server_start(&r->server) || !pool_digest(&r->server, out->after)) return false;
    if (!server_open(&r->server)) return false;
    progress_note(
        &r->progress,
        "SIGKILL half way, %lld requests in flight; back from its append-only file in %.1f s",
        out->live_at_crash, (double)(clock_ns() - start) / 1e9);
    return true;
}

static bool crash_if_due(struct run *r) {
    struct board *b = r->board;
    if (!r->plan->crash) return true;
    if (r->stage == RUNNING && atomic_load(&b->next) >= r->load->n / 4) {
        r->stage = CRASHED;
        return crash_suddenly(r);
    }
    if (r->stage == CRASHED && atomic_load(&b->held)) {
        r->stage = RESUMED;
        return crash_quietly(r);
    }
    return true;
}

// ---- The replay ----------------------------------------------------------------------------------

static double hit_of(const struct board *b) {
    size_t asked = atomic_load(&b->asked_blocks);
    return asked ? (double)atomic_load(&b->hit_blocks) / (double)asked : 0;
}

static bool watch(struct run *r) {
    while (r->alive) {
        if (stop_asked() || !reap(r) || !crash_if_due(r)) return false;
        progress_show(&r->progress, atomic_load(&r->board->done), 100 * hit_of(r->board));
        clock_sleep_ms(TICK_MS);
    }
    return true;
}

static void count(const struct run *r) {
    const struct board *b = r->board;
    struct run_result *out = r->out;
    out->n = b->n;
    for (size_t i = 0; i < b->n; i++) {
        out->lost += b->over[i] == 0;
        out->twice += b->handed[i] > 1 || b->over[i] > 1;
    }
    out->selects = atomic_load(&b->selects);
    out->repeats = atomic_load(&b->repeats);
    out->put_back = atomic_load(&b->put_back);
    out->resent = atomic_load(&b->resent);
    out->rebuilt = atomic_load(&b->rebuilt);
    out->reconnects = atomic_load(&b->reconnects);
    out->minutes = b->ended / 60;
    out->hit = hit_of(b);
    out->imbalance = measure_imbalance(b->work, r->o->workers);
    double *v = measure_sorted_u64(b->select_ns, b->n, 1e-3);
    out->select_p50 = measure_quantile(v, b->n, 0.50);
    out->select_p99 = measure_quantile(v, b->n, 0.99);
    out->select_max = measure_quantile(v, b->n, 1);
    free(v);
    v = measure_sorted(b->first_token, b->n);
    out->first_p50 = measure_quantile(v, b->n, 0.50);
    out->first_p99 = measure_quantile(v, b->n, 0.99);
    free(v);
}

static bool compare_mocks(struct run *r) {
    long blocks;
    if (!mocks_compare(&r->mocks, &r->server, &blocks)) return false;
    r->out->still_live = pool_info(&r->server, "requests");
    r->out->misjudged = (unsigned)blocks;
    for (size_t i = 0; i < r->mocks.n_bridges; i++) {
        r->out->resent += bridge_count(&r->mocks.bridges[i], "resent_events_total");
        r->out->rebuilt += bridge_count(&r->mocks.bridges[i], "republished_total");
    }
    return r->out->still_live >= 0;
}

// All requests have ended and all events are in: the pool must agree with the workers.
static bool compare(struct run *r) {
    if (r->o->mock) return compare_mocks(r);
    uint64_t held[MAX_WORKERS];
    r->out->still_live = pool_info(&r->server, "requests");
    if (r->out->still_live < 0 || !pool_held(&r->server, r->o->workers, held)) return false;
    for (unsigned w = 0; w < r->o->workers; w++)
        r->out->misjudged += held[w] != r->board->cached[w];
    return true;
}

static bool replay(struct run *r) {
    bool pool = !r->plan->round_robin, mock = r->o->mock;
    if (mock && !mocks_start(&r->mocks, r->o, r->capacity)) return false;
    if (pool && (!server_start(&r->server) || !pool_make(&r->server, r->o, r->capacity) ||
                 !server_open(&r->server)))
        return false;
    if (pool && mock && !mocks_bridge(&r->mocks, &r->server)) return false;
    int64_t start = clock_ns();
    bool ok = start_children(r) && watch(r);
    r->out->seconds = (double)(clock_ns() - start) / 1e9;
    end_children(r);
    if (!ok) return false;
    count(r);
    return !pool || compare(r);
}

bool run_replay(const struct run_plan *plan, const struct bench_workload *w,
                const struct options *o, size_t capacity, struct run_result *out) {
    struct run r = {
        .plan = plan,
        .load = w,
        .o = o,
        .capacity = capacity,
        .server =
            {.plan = {.module = o->module, .server = o->server, .aof = true, .keep = o->keep}},
        .board = board_new(w->n),
        .out = out,
    };
    *out = (struct run_result){0};
    if (plan->crash) r.board->hold_at = w->n / 2;
    progress_begin(&r.progress, plan->name, w->n);
    bool ok = replay(&r);
    progress_end(&r.progress);
    mocks_end(&r.mocks);
    server_remove(&r.server);
    board_free(r.board);
    return ok;
}
