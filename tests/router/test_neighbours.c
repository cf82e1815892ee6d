// SPDX-License-Identifier: Apache-2.0
// Replicas and other routers as a router reads them out of what Redis says, and how often it asks: at a
// fake server.
#include <criterion/criterion.h>
#include <event2/event.h>
#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/router/pools/router_neighbours.h"
#include "client/router/pools/router_pool.h"
#include "client/router/router_config.h"
#include "tests/client/fake_server.h"

enum { NEIGHBOURS_WAIT_MS = 60000 };

static struct event_base *base;
static struct fake_server *fake;
static struct router_pool pool;

static void begin(void) {
    char url[200], why[160];
    base = event_base_new();
    fake = fake_start(FAKE_TCP);
    fake_url(fake, "deadline=15000", url, sizeof url);
    struct kvr_loop loop = kvr_libevent(base);
    struct kvr_client_options o = {.loop = &loop};
    pool.client = kvr_client_open(url, FAKE_POOL, &o, why, sizeof why);
    cr_assert(pool.client, "%s", why);
}

static void end(void) {
    kvr_client_close(pool.client);
    free(pool.neighbours);
    event_base_free(base);
    fake_stop(fake);
}

TestSuite(neighbours, .init = begin, .fini = end, .timeout = 60);

// Asks, whenever that was last done, and waits for the answers. info: what INFO says, NULL: as it is.
static void ask(const char *info) {
    char bytes[2000];
    struct fake_fault fault = {"info", FAKE_FAULT_SAY, bytes, 0};
    struct timeval soon = {0, 5000};
    if (pool.neighbours) pool.neighbours->asked_us = 0;
    if (info) {
        snprintf(bytes, sizeof bytes, "$%zu\r\n%s\r\n", strlen(info), info);
        fake_set_fault(fake, &fault, 1, false);
    }
    router_neighbours_ask(&pool);
    for (int64_t until = kvr_clock_ms() + NEIGHBOURS_WAIT_MS; pool.asking_neighbours;) {
        cr_assert(kvr_clock_ms() < until);
        event_base_loopexit(base, &soon);
        event_base_dispatch(base);
    }
    fake_heal(fake);
}

static void connect_first(void) {
    ask(NULL);
    cr_assert(pool.neighbours->server == KVR_CODE_OK && pool.neighbours->server_us);
}

Test(neighbours, replicas) {
    const struct router_replica *r;
    connect_first();
    struct router_neighbours *b = pool.neighbours;
    cr_expect(b->n_replicas == 0 && b->most_replicas == 0);
    cr_expect_str_eq(b->version, "7.0.15");
    ask("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\nconnected_slaves:3\r\n"
        "slave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=0\r\n"
        "slave1:ip=fd00::7,port=6380,state=wait_bgsave,offset=0,lag=0\r\n"
        "slave2:ip=10.0.0.4,port=6379,state=online,offset=1200,lag=6\r\n"
        "master_repl_offset:1000\r\n");
    r = b->replicas;
    cr_assert(b->n_replicas == 3 && b->most_replicas == 3);
    cr_expect_str_eq(b->version, "8.0.1");
    cr_expect_str_eq(r[0].address, "10.0.0.2:6379");
    cr_expect(r[0].online && r[0].behind == 100 && r[0].lag == 0);
    cr_expect_str_eq(r[1].address, "[fd00::7]:6380");
    cr_expect(!r[1].online && r[2].behind == 0);
    cr_expect(!router_replica_is_behind(&r[0]) && router_replica_is_behind(&r[1]) &&
              router_replica_is_behind(&r[2]));
    // One is gone, and comes back.
    ask("connected_slaves:1\r\nslave0:ip=a,port=1,state=online,offset=0,lag=1\r\n");
    cr_expect(b->n_replicas == 1 && b->most_replicas == 3 && b->fewer_us > 0);
    ask("connected_slaves:3\r\nslave0:ip=a,port=1,state=online,offset=0,lag=1\r\n"
        "slave1:ip=b,port=1,state=online\r\nslave2:ip=c,port=1,state=online,offset=,lag=x\r\n"
        "master_repl_offset:10000000\r\n");
    cr_expect(b->n_replicas == 3 && !b->fewer_us && b->replicas[1].lag == -1);
    cr_expect(router_replica_is_behind(&b->replicas[1]), "ten million bytes behind");
    // What can't be read is none.
    ask("connected_slaves:2\r\nslave0:ip=,port=1,state=online\r\nslave1:nothing\r\n");
    cr_expect(b->n_replicas == 0 && b->fewer_us);
    ask("connected_slaves:-7\r\n");
    cr_expect_eq(b->n_replicas, 0);
}

// Sorted, each once; what isn't a router isn't one.
Test(neighbours, routers) {
    connect_first();
    struct router_neighbours *b = pool.neighbours;
    cr_expect(b->n_names == 0 && b->list_us);
    static const char list[] = "id=1 addr=a:1 name=kvroute-router:host-b:8080:7 age=1\n"
                               "id=2 addr=a:2 name=kvroute age=1\n"
                               "id=3 addr=a:3 name=kvroute-router:host-a:8080:9 age=1\n"
                               "id=4 addr=a:4 name=kvroute-router:host-b:8080:7 age=1\n";
    char bytes[500];
    snprintf(bytes, sizeof bytes, "$%zu\r\n%s\r\n", strlen(list), list);
    struct fake_fault fault = {"list", FAKE_FAULT_SAY, bytes, 0};
    fake_set_fault(fake, &fault, 2, false); // after INFO
    ask(NULL);
    cr_assert_eq(b->n_names, 2);
    cr_expect_str_eq(b->names[0], "host-a:8080:9");
    cr_expect_str_eq(b->names[1], "host-b:8080:7");
}

// The more connections there are, the more seldom; with very many never. INFO goes on.
Test(neighbours, a_busy_redis_is_spared) {
    connect_first();
    struct router_neighbours *b = pool.neighbours;
    uint64_t heard = fake_heard(fake);
    router_neighbours_ask(&pool); // just asked
    cr_expect(!pool.asking_neighbours && fake_heard(fake) == heard);
    ask("connected_clients:1000\r\n");
    cr_expect_eq(fake_heard(fake), heard + 2);
    cr_expect(b->list_again_us > kvr_clock_us() + 10 * 1000000 && !b->crowded);
    ask(NULL);
    cr_expect_eq(fake_heard(fake), heard + 3);
    b->list_again_us = 0;
    ask("connected_clients:1001\r\n");
    cr_expect(fake_heard(fake) == heard + 4 && b->crowded && !b->list_us);
}

Test(neighbours, a_router_has_a_name) {
    static const struct {
        const char *listen, *tls, *part;
    } cases[] = {{"0.0.0.0:8080", "", ":8080:"},
                 {"[::1]:8081 127.0.0.1:9", "", ":8081:"},
                 {"unix:/run/a:b", "", ":unix:"},
                 {"", "10.0.0.1:8443", ":8443:"},
                 {"10.0.0.1:http s", "", ":http:"}};
    char pid[24], name[ROUTER_IDENTITY_SIZE], connection[ROUTER_IDENTITY_SIZE + 20];
    snprintf(pid, sizeof pid, ":%ld", (long)getpid());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct router_config c;
        snprintf(c.listen, sizeof c.listen, "%s", cases[i].listen);
        snprintf(c.tls_listen, sizeof c.tls_listen, "%s", cases[i].tls);
        router_identity(&c, name);
        cr_expect(strstr(name, cases[i].part) && strstr(name, pid) && !strpbrk(name, " /?&="), "%s",
                  name);
        snprintf(connection, sizeof connection, ROUTER_IDENTITY_PREFIX "%s", name);
        cr_expect_str_eq(router_identity_of(connection), name);
    }
    cr_expect(!router_identity_of("kvroute") && !router_identity_of(""));
}
