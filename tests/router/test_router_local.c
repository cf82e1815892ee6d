// SPDX-License-Identifier: Apache-2.0
// What this machine lacks isn't the engines' fault: descriptors, ports, a resolver.
#define _GNU_SOURCE // unshare, prlimit
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/http1/h1_client.h"
#include "rtest_fleet.h"
#include "tests/support/support_home.h"

enum { LOCAL_IDLE = 40, LOCAL_CALLS = 8 };

// ---- The client ----------------------------------------------------------------------------------

// What became of calls to engines.
struct local_call {
    bool over, answered;
    enum h1_failure why;
};

static void on_head(void *ctx, const struct h1_head *reply) {
    (void)ctx;
    (void)reply;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    (void)ctx;
    (void)bytes;
}

static void on_end(void *ctx) {
    struct local_call *c = ctx;
    c->over = c->answered = true;
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct local_call *c = ctx;
    c->over = true;
    c->why = why;
}

static struct event_base *base;
static struct h1_client *up;

static void open_client(size_t max_connections) {
    const struct h1_client_options o = {.connect_ms = 1000,
                                        .head_ms = 10000,
                                        .idle_ms = 10000,
                                        .keep_ms = 60000,
                                        .keep_most = 8,
                                        .max_connections = max_connections};
    base = event_base_new();
    up = h1_client_new(base, &o);
    cr_assert(up);
}

static void close_client(void) {
    h1_client_free(up);
    h1_loop_free(base);
}

static struct h1_call *begin(struct local_call *c, const char *address, bool fresh) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct h1_request r = {.address = address, .method = "GET", .path = "/health", .fresh = fresh};
    *c = (struct local_call){.over = false};
    struct h1_call *call = h1_call_start(up, &r, &port, c, NULL);
    cr_assert(call && !c->over);
    return call;
}

static void await_call(const struct local_call *c) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !c->over;) {
        struct timeval soon = {0, 2000};
        cr_assert(kvr_clock_ms() < end);
        event_base_loopexit(base, &soon);
        event_base_dispatch(base);
    }
}

static struct local_call call(const char *address) {
    struct local_call c;
    begin(&c, address, false);
    await_call(&c);
    return c;
}

static void engines(char urls[2][60]) {
    for (int i = 0; i < 2; i++) {
        rtest_engine(i, "--no-events");
        snprintf(urls[i], 60, "http://127.0.0.1:%d", rtest_fleet.engines[i].port);
    }
}

// No more descriptors than there are now, and so many.
static void leave_descriptors(rlim_t more) {
    int next = dup(0);
    struct rlimit files;
    cr_assert(next > 0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max = (rlim_t)next + more;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
}

// One that is kept unused for another engine is given up for one that is wanted.
Test(local, a_kept_connection_makes_room, .fini = rtest_cluster_down) {
    char urls[2][60];
    struct local_call c[2];
    engines(urls);
    open_client(0);
    cr_assert(call(urls[0]).answered);
    leave_descriptors(0);
    cr_assert_eq(h1_client_kept(up), 1);
    cr_assert(call(urls[1]).answered);
    begin(&c[0], urls[1], false);
    begin(&c[1], urls[0], true); // there is none for it, and none unused
    for (int i = 0; i < 2; i++)
        await_call(&c[i]);
    cr_assert(c[0].answered && !c[1].answered);
    cr_assert_eq(c[1].why, H1_LOCAL);
    close_client();
}

Test(local, connections_have_a_limit, .fini = rtest_cluster_down) {
    char urls[2][60];
    struct local_call c[LOCAL_CALLS];
    int answered = 0, local = 0;
    engines(urls);
    open_client(3);
    for (int i = 0; i < LOCAL_CALLS; i++)
        begin(&c[i], urls[i % 2], false);
    for (int i = 0; i < LOCAL_CALLS; i++) {
        await_call(&c[i]);
        answered += c[i].answered;
        local += !c[i].answered && c[i].why == H1_LOCAL;
    }
    cr_assert(answered == 3 && local == LOCAL_CALLS - 3, "%d and %d", answered, local);
    for (int i = 0; i < LOCAL_CALLS; i++) // kept ones are used again, or make room
        cr_assert(call(urls[i / 2 % 2]).answered);
    cr_assert_leq(h1_client_kept(up), 3);
    close_client();
}

// A machine of its own: nothing but a loopback interface with so many ports.
static void enter_network(const char *ports) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWNET) != 0) cr_skip_test("no network of its own: needs privileges");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    cr_assert(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0);
    close(fd);
    fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
    if (fd < 0 || write(fd, ports, strlen(ports)) < 0)
        cr_skip_test("the range of ports can't be changed");
    close(fd);
}

Test(local, out_of_ports) {
    enum { PORT = 8000 };
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct local_call c[3];
    struct h1_call *calls[3];
    enter_network("40000 40001");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 8) == 0);
    open_client(0);
    for (int i = 0; i < 3; i++)
        calls[i] = begin(&c[i], "http://127.0.0.1:8000", true);
    await_call(&c[2]);
    cr_assert_eq(c[2].why, H1_LOCAL);
    cr_assert(!c[0].over && !c[1].over);
    for (int i = 0; i < 2; i++)
        h1_call_cancel(calls[i]);
    // Nobody there is another matter.
    cr_assert_eq(call("http://127.0.0.1:8001").why, H1_CONNECT);
    close_client();
    close(fd);
}

Test(local, no_resolver) {
    enter_network("40000 50000");
    open_client(0);
    cr_assert_eq(call("http://engine-1.example.net:8000").why, H1_LOCAL);
    close_client();
}

// ---- The router ----------------------------------------------------------------------------------

// How many workers have failures or a circuit that isn't closed.
static int blamed(void) {
    json_t *all = rtest_json(rtest_get(rtest_port(), "/v1/workers"), 200);
    json_t *pool = json_array_get(json_object_get(all, "pools"), 0), *w;
    int n = 0;
    size_t i;
    json_array_foreach(json_object_get(pool, "workers"), i, w) n +=
        strcmp(json_string_value(json_object_get(w, "circuit")), "closed") != 0;
    cr_assert_eq(i, 3);
    json_decref(all);
    return n;
}

static bool is_alone(void) {
    return rtest_router_metric(0, "connections") == 1;
}

static void limit_router(rlim_t files) {
    struct rlimit now;
    cr_assert_eq(prlimit(rtest_fleet.routers[0].pid, RLIMIT_NOFILE, NULL, &now), 0);
    now.rlim_cur = files;
    cr_assert_eq(prlimit(rtest_fleet.routers[0].pid, RLIMIT_NOFILE, &now, NULL), 0);
}

// Idle clients are more than it may have: some are refused, and who was let in is served.
Test(local, a_router_with_few_descriptors, .fini = rtest_fleet_down) {
    int fds[LOCAL_IDLE], served = 0, refused = 0;
    char *body = rtest_chat("hello", 2, false);
    rtest_fleet_up(3, "--time-scale 0", 0, NULL);
    leave_descriptors(LOCAL_IDLE + 3); // the router inherits that
    rtest_fleet_routers(3, 1, NULL);
    rtest_expect_log(0, "max_connections 20000 needs", true);
    for (int i = 0; i < LOCAL_IDLE; i++)
        cr_assert_geq(fds[i] = support_http_connect(rtest_port()), 0);
    for (int i = 0; i < LOCAL_IDLE; i++) {
        support_http_request(fds[i], "POST", "/v1/chat/completions",
                             "Content-Type: application/json\r\n", body);
        struct support_response r = support_http_response(fds[i], false, RTEST_WAIT_MS);
        served += r.status == 200;
        refused += r.status == 503 || r.reset;
        support_response_free(&r);
    }
    cr_assert(served >= 10 && refused && served + refused == LOCAL_IDLE, "%d, %d", served, refused);
    for (int i = 0; i < LOCAL_IDLE; i++)
        close(fds[i]);
    rtest_await(is_alone, "the connections stay");
    rtest_ask_well(0, "hello again", 2, true);
    cr_assert_eq(blamed(), 0);
    free(body);
}

// The limit sinks while it runs: nothing can be reached, nobody is blamed, and all is well afterwards.
Test(local, out_of_descriptors, .fini = rtest_fleet_down) {
    char *body = rtest_chat("hello", 2, false);
    // No connection to an engine is there that could be used again.
    rtest_fleet_up(3, "--time-scale 0", 1, (const char *[]){"--learn", "0", "--check", "0", NULL});
    int fd = support_http_connect(rtest_port());
    support_http_request(fd, "GET", "/healthz", NULL, NULL);
    cr_assert(rtest_is_served(support_http_response(fd, false, RTEST_WAIT_MS)));
    limit_router(4);
    for (int i = 0; i < 4; i++) {
        support_http_request(fd, "POST", "/v1/chat/completions",
                             "Content-Type: application/json\r\n", body);
        struct support_response r = support_http_response(fd, false, RTEST_WAIT_MS);
        cr_assert(support_response_has(&r, "Retry-After: 1"));
        cr_assert_str_eq(rtest_error_code(r, 503), "LOCAL");
    }
    limit_router(1000);
    close(fd);
    cr_assert_eq(blamed(), 0);
    cr_assert_geq(rtest_router_metric(0, "local_failures_total"), 4);
    cr_assert_eq(rtest_failed_tries(0), 0);
    for (int i = 0; i < 6; i++)
        rtest_ask_well(0, "hello again", 2, true);
    free(body);
}
