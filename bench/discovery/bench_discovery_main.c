// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-discovery: engines that come and go by DNS, and how long routers take to notice.
//
// A Redis with the module, routers with --discover, and in this process a DNS server and one listener that is all
// engines: their addresses are 127.1.x.y. Engine number i of n comes at i/n of the first half of the time and leaves
// half of it later, so that all have come and gone in the end, and most are there in the middle. The pool is looked at
// ten times a second, less often if that takes long.
//
//   found    from its record in DNS to a worker that may be chosen
//   gone     from the end of its record to one that mayn't: drained, expired or deleted
//   deleted  to none at all
#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_usage.h"
#include "client/common/clock.h"
#include "client/http1/h1_server.h"
#include "tests/discovery/dtest_dns.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

enum {
    COMING_MAX_ENGINES = 4000,
    COMING_MAX_ROUTERS = 8,
    COMING_LOOK_MS = 100,
    COMING_LATE_MS = 10000, // gone so long, an engine shouldn't be chosen any more
    COMING_FIRST = 0x7f010001,
};

enum coming_engine_state { COMING_AWAITED, COMING_LISTED, COMING_ENDED };

struct coming_engine {
    enum coming_engine_state state;    // of its record
    bool ready, there, was_ready;      // in the pool, as last seen
    int64_t listed_ms, ended_ms;       // when its record came and went
    double found_s, gone_s, deleted_s; // −1: not yet
    unsigned dropped;                  // times that it wasn't ready any more while it had a record
};

static struct coming_options {
    uint64_t engines, routers, seconds, every;
} options = {.engines = 1000, .routers = 2, .seconds = 60, .every = 1000};

static struct coming_engine engines[COMING_MAX_ENGINES];
static struct dtest_dns dns;
static struct support_redis redis;
static struct event_base *base;
static int engine_port;
static int64_t began_ms;
static size_t most_listed;
static struct event *looks;

// ---- Engines -------------------------------------------------------------------------------------

static void answer_all(struct h1_exchange *x) {
    static const char models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":"
                                 "\"model\",\"owned_by\":\"vllm\"}]}";
    h1_exchange_send(x, 200, "application/json", models, sizeof models - 1);
}

static h1_handler *route_all(struct h1_exchange *x) {
    (void)x;
    return answer_all;
}

// At all of 127.1.x.y, and for nobody but this machine.
static int listen_loopback(int port) {
    static const char loopback[] = "lo";
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, loopback, sizeof loopback) ||
        bind(fd, (const struct sockaddr *)&any, sizeof any) || listen(fd, SOMAXCONN))
        support_fail("engines can't listen: %s", strerror(errno));
    return fd;
}

static struct h1_server *start_engines(void) {
    char error[200];
    struct h1_server_options o = h1_server_defaults;
    engine_port = support_port();
    struct h1_socket engine = {listen_loopback(engine_port), H1_PLACE_PLAIN, true};
    o.base = base;
    o.sockets = &engine;
    o.n_sockets = 1;
    o.route = route_all;
    struct h1_server *s = h1_server_new(&o, error, sizeof error);
    if (!s) support_fail("engines: %s", error);
    return s;
}

// ---- What happens --------------------------------------------------------------------------------

static void move_engines(int64_t now) {
    int64_t half = (int64_t)options.seconds * 500;
    for (size_t i = 0; i < options.engines; i++) {
        struct coming_engine *e = &engines[i];
        int64_t comes = began_ms + half * (int64_t)i / (int64_t)options.engines;
        if (e->state == COMING_AWAITED && now >= comes) {
            dtest_dns_add(&dns, COMING_FIRST + (uint32_t)i);
            e->state = COMING_LISTED;
            e->listed_ms = now;
        } else if (e->state == COMING_LISTED && now >= comes + half) {
            dtest_dns_remove(&dns, COMING_FIRST + (uint32_t)i);
            e->state = COMING_ENDED;
            e->ended_ms = now;
        }
    }
    if (dns.n > most_listed) most_listed = dns.n;
}

static struct coming_engine *engine_named(const char *name) {
    unsigned x, y;
    if (sscanf(name, "127.1.%u.%u:", &x, &y) != 2) return NULL;
    size_t i = (x << 8 | y) - 1;
    return i < options.engines ? &engines[i] : NULL;
}

static void look(void) {
    redisReply *all = support_redis_command(&redis, "KVROUTE.WORKER LIST kvroute");
    for (size_t i = 0; i < options.engines; i++)
        engines[i].ready = engines[i].there = false;
    for (size_t i = 0; all && i < all->elements; i++) {
        const redisReply *name = support_redis_field(all->element[i], "worker");
        const redisReply *state = support_redis_field(all->element[i], "state");
        struct coming_engine *e = name ? engine_named(name->str) : NULL;
        if (!e) continue;
        e->there = true;
        e->ready = state && !strcmp(state->str, "ready");
    }
    if (all) freeReplyObject(all);
}

static void note(int64_t now) {
    for (size_t i = 0; i < options.engines; i++) {
        struct coming_engine *e = &engines[i];
        if (e->state == COMING_LISTED && e->ready && e->found_s < 0)
            e->found_s = (double)(now - e->listed_ms) / 1000;
        if (e->state == COMING_LISTED && e->was_ready && !e->ready) e->dropped++;
        if (e->state == COMING_ENDED && !e->ready && e->gone_s < 0)
            e->gone_s = (double)(now - e->ended_ms) / 1000;
        if (e->state == COMING_ENDED && e->ready) e->gone_s = -1;
        if (e->state == COMING_ENDED && !e->there && e->deleted_s < 0)
            e->deleted_s = (double)(now - e->ended_ms) / 1000;
        e->was_ready = e->ready;
    }
}

static bool is_over(int64_t now) {
    size_t left = 0;
    for (size_t i = 0; i < options.engines; i++)
        left += engines[i].state != COMING_ENDED || engines[i].there;
    return !left || now > began_ms + (int64_t)options.seconds * 1000 + 60000;
}

static void on_look(evutil_socket_t fd, short what, void *ctx) {
    int64_t now = kvr_clock_ms();
    (void)fd;
    (void)what;
    (void)ctx;
    if (now >= began_ms) look(); // then routers have made the pool
    note(now);
    move_engines(now);
    if (is_over(now)) event_base_loopbreak(base);
    // Engines and DNS are in this loop, too: most of the time is theirs.
    int64_t rest = 4 * (kvr_clock_ms() - now);
    struct timeval next = kvr_timeval(rest > COMING_LOOK_MS ? rest : COMING_LOOK_MS);
    event_add(looks, &next);
}

// ---- Routers -------------------------------------------------------------------------------------

static void start_routers(pid_t *routers) {
    char url[60], listen[40], source[200], log[200];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", redis.port);
    snprintf(source, sizeof source, "dns://" DTEST_DNS_NAME ".:%d servers=%s every=%u", engine_port,
             dns.server, (unsigned)options.every);
    for (uint64_t i = 0; i < options.routers; i++) {
        snprintf(listen, sizeof listen, "127.0.0.1:%d", support_port());
        support_path(log, sizeof log, "router-%u.log", (unsigned)i);
        routers[i] = support_start((const char *[]){KVROUTE_ROUTER, "--redis", url, "--listen",
                                                    listen, "--discover", source, NULL},
                                   log);
    }
}

// ---- Figures -------------------------------------------------------------------------------------

static void print_times(const char *what, size_t at) {
    static double values[COMING_MAX_ENGINES];
    size_t n = 0;
    for (size_t i = 0; i < options.engines; i++) {
        double value;
        memcpy(&value, (const char *)&engines[i] + at, sizeof value);
        if (value >= 0) values[n++] = value;
    }
    double *sorted = bench_sorted(values, n);
    printf("%-8s %5zu of %5zu   p50 %6.2f s   p99 %6.2f s   max %6.2f s\n", what, n,
           (size_t)options.engines, bench_quantile(sorted, n, 0.5), bench_quantile(sorted, n, 0.99),
           bench_quantile(sorted, n, 1));
    free(sorted);
}

static bool print_figures(double cpu_s, double seconds) {
    size_t missed = 0, late = 0, dropped = 0;
    for (size_t i = 0; i < options.engines; i++) {
        missed += engines[i].found_s < 0;
        late += engines[i].gone_s < 0 || engines[i].gone_s * 1000 > COMING_LATE_MS;
        dropped += engines[i].dropped > 0;
    }
    print_times("found", offsetof(struct coming_engine, found_s));
    print_times("gone", offsetof(struct coming_engine, gone_s));
    print_times("deleted", offsetof(struct coming_engine, deleted_s));
    printf("at most %zu at a time; %u questions over UDP, %u over TCP\n", most_listed, dns.udp,
           dns.tcp);
    printf("missed %zu, kept longer than %d s %zu, left out while they were there %zu\n", missed,
           COMING_LATE_MS / 1000, late, dropped);
    printf("a router's processor time: %.1f %% of one\n",
           100 * cpu_s / seconds / (double)options.routers);
    return !missed && !late && !dropped;
}

static const char usage[] =
    "usage: kvroute-bench-discovery [options]\n"
    "\n"
    "Engines come and go by DNS; how long until routers have them in the pool, and out of it.\n"
    "\n"
    "  --engines N   1000\n"
    "  --routers N   2\n"
    "  --seconds N   in which all of them come and go; 60\n"
    "  --every MS    between two questions to DNS; 1000\n";

int main(int argc, char **argv) {
    static const struct bench_arg args[] = {
        {"engines", bench_arg_whole, offsetof(struct coming_options, engines), 1,
         COMING_MAX_ENGINES},
        {"routers", bench_arg_whole, offsetof(struct coming_options, routers), 1,
         COMING_MAX_ROUTERS},
        {"seconds", bench_arg_whole, offsetof(struct coming_options, seconds), 2, 3600},
        {"every", bench_arg_whole, offsetof(struct coming_options, every), 100, 3600000},
    };
    pid_t routers[COMING_MAX_ROUTERS] = {0};
    int status = bench_args_read(&options, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench_raise_files();
    for (size_t i = 0; i < options.engines; i++)
        engines[i] = (struct coming_engine){.found_s = -1, .gone_s = -1, .deleted_s = -1};
    base = event_base_new();
    if (!base || !support_redis_start(&redis)) return 1;
    dtest_dns_start(&dns, base);
    struct h1_server *server = start_engines();
    start_routers(routers);
    looks = event_new(base, -1, 0, on_look, NULL);
    event_active(looks, EV_TIMEOUT, 0);
    began_ms = kvr_clock_ms() + 2000; // routers have found their pool
    event_base_dispatch(base);
    double cpu_s = 0, seconds = (double)(kvr_clock_ms() - began_ms) / 1000;
    for (uint64_t i = 0; i < options.routers; i++)
        cpu_s += bench_cpu_s(routers[i]);
    bool good = print_figures(cpu_s, seconds);
    for (uint64_t i = 0; i < options.routers; i++)
        support_end(&routers[i], SIGKILL);
    support_redis_end(&redis, SIGKILL);
    event_free(looks);
    h1_server_free(server);
    dtest_dns_stop(&dns);
    event_base_free(base);
    return good ? 0 : 1;
}
