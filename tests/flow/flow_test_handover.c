// SPDX-License-Identifier: Apache-2.0
// Slots that go from one node to another with all that is in them (Valkey 9: CLUSTER MIGRATESLOTS). Pools then
// come in pieces; to stop between two of them, the test itself plays the node that sends.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "flow_traffic.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

TestSuite(handover, .fini = flow_harness_end, .timeout = 180);

enum { FLOW_HANDOVER_NODES = 3, FLOW_HANDOVER_PIECES = 64 };

// [0] has all slots, [1] none, [2] is or becomes the replica of [1].
struct flow_nodes {
    struct flow_server *at[FLOW_HANDOVER_NODES];
    char id[FLOW_HANDOVER_NODES][64];
};

static void needs_handover(void) {
    if (!flow_server_is("Valkey", 9)) cr_skip_test("needs Valkey 9: ./dev test --on valkey-9");
}

static bool nodes_are_well(void *ctx) {
    const struct flow_nodes *n = ctx;
    for (size_t i = 0; i < FLOW_HANDOVER_NODES; i++) {
        struct flow_conn *c = n->at[i]->conn;
        const char *nodes = flow_call(c, "CLUSTER NODES")->bytes;
        size_t connected = 0;
        for (const char *at = nodes; (at = strstr(at, " connected")); at++)
            connected++;
        if (connected < FLOW_HANDOVER_NODES || strstr(nodes, "handshake")) return false;
        if (!strstr(flow_call(c, "CLUSTER INFO")->bytes, "cluster_state:ok")) return false;
    }
    return true;
}

static void nodes_start(struct flow_nodes *n) {
    for (size_t i = 0; i < FLOW_HANDOVER_NODES; i++) {
        char bus[16];
        snprintf(bus, sizeof bus, "%d", support_port());
        const char *extra[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
        n->at[i] = flow_server_start(extra);
        n->at[i]->redis.words = NULL; // it isn't started again
        struct flow_conn *c = n->at[i]->conn;
        snprintf(n->id[i], sizeof n->id[i], "%s", flow_call(c, "CLUSTER MYID")->bytes);
        flow_call_ok(c, "CLUSTER SET-CONFIG-EPOCH %d", (int)i + 1);
        for (size_t k = 0; k < i; k++) {
            char port[16];
            snprintf(port, sizeof port, "%s",
                     flow_call(n->at[k]->conn, "CONFIG GET cluster-port")->items[1].bytes);
            flow_call_ok(c, "CLUSTER MEET 127.0.0.1 %d %s", n->at[k]->redis.port, port);
        }
    }
    flow_call_ok(n->at[0]->conn, "CLUSTER ADDSLOTSRANGE 0 16383");
    flow_wait_until(nodes_are_well, n, "the cluster is up");
}

static bool knows_replica(void *ctx) {
    const struct flow_nodes *n = ctx;
    return flow_server_info(n->at[1]->conn, "replication", "connected_slaves") == 1 &&
           strstr(flow_call(n->at[1]->conn, "INFO replication")->bytes, "state=online");
}

static void nodes_replicate(struct flow_nodes *n) {
    flow_call_ok(n->at[2]->conn, "CLUSTER REPLICATE %s", n->id[1]);
    flow_wait_until(knows_replica, n, "the replica follows");
    flow_server_wait_link(n->at[2], n->at[1]);
}

// ---- Pieces --------------------------------------------------------------------------------------

struct flow_pieces {
    char *bytes[FLOW_HANDOVER_PIECES];
    size_t lengths[FLOW_HANDOVER_PIECES], n;
    struct flow_digest whole;
};

// A pool of several pieces, in which much is due soon, as an AOF spells it out.
static void pieces_make(struct flow_pieces *p) {
    struct flow_server *s = flow_server_start(flow_with_aof);
    struct flow_conn *c = s->conn;
    enum { FLOW_HANDOVER_CHAIN = 30000 };
    static uint64_t chain[FLOW_HANDOVER_CHAIN];
    struct flow_rng rng = {flow_test_seed()};
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    for (size_t i = 0; i < FLOW_HANDOVER_CHAIN; i++)
        chain[i] = flow_rng_next(&rng);
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - HASHES %b", chain, sizeof chain);
    for (int i = 0; i < 40; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 1 %d LEASE 2000", i, i);
    flow_rewrite_aof(c);
    p->whole = flow_debug_digest(c, "p");
    char path[400];
    snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.2.base.aof", s->redis.dir);
    flow_server_kill(s, SIGKILL);
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    char *text = malloc(4 << 20);
    size_t n = fread(text, 1, 4 << 20, f);
    fclose(f);
    for (size_t at = 0; at < n;) {
        struct flow_reply r;
        long took = flow_reply_parse(text + at, n - at, &r);
        cr_assert(took > 0 && r.kind == FLOW_REPLY_ARRAY);
        if (strcmp(r.items[0].bytes, "KVROUTE.LOAD") == 0) {
            cr_assert(p->n < FLOW_HANDOVER_PIECES);
            p->lengths[p->n] = r.items[2].n;
            p->bytes[p->n] = malloc(r.items[2].n);
            memcpy(p->bytes[p->n++], r.items[2].bytes, r.items[2].n);
        }
        flow_reply_clear(&r);
        at += (size_t)took;
    }
    free(text);
    cr_assert(p->n >= 3, "%zu pieces", p->n);
}

// A sender of the slot that this key is in.
static struct flow_conn *sender(struct flow_nodes *n, const char *key, char job) {
    struct flow_conn *c = flow_server_connect(n->at[1], 2);
    int64_t slot = flow_call_int(c, "CLUSTER KEYSLOT %s", key);
    char name[41];
    memset(name, job, 40);
    name[40] = 0;
    flow_call_ok(c, "CLUSTER SYNCSLOTS ESTABLISH SOURCE %s NAME %s SLOTSRANGE %d %d", n->id[0],
                 name, (int)slot, (int)slot);
    return c;
}

static void send_pieces(struct flow_conn *c, const struct flow_pieces *p, const char *key,
                        size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        flow_post(c, "KVROUTE.LOAD %s %b", key, p->bytes[i], p->lengths[i]);
}

struct flow_pools {
    struct flow_conn *c;
    int64_t n;
};

static bool has_pools(void *ctx) {
    const struct flow_pools *p = ctx;
    return flow_server_info(p->c, "kvroute", "kvroute_pools") == p->n;
}

static void wait_pools(struct flow_nodes *n, int64_t pools) {
    for (size_t i = 1; i < FLOW_HANDOVER_NODES; i++) {
        struct flow_pools p = {n->at[i]->conn, pools};
        flow_wait_until(has_pools, &p, "as many pools are there");
    }
}

struct flow_job {
    struct flow_conn *c;
    char name; // its first letter; 0: whatever it is called
};

static bool is_over(void *ctx) {
    const struct flow_job *job = ctx;
    const struct flow_reply *r = flow_call(job->c, "CLUSTER GETSLOTMIGRATIONS");
    for (size_t i = 0; i < r->count; i++) {
        const char *state = flow_map_str(&r->items[i], "state");
        if (job->name && flow_map_str(&r->items[i], "name")[0] != job->name) continue;
        return strcmp(state, "success") == 0 || strcmp(state, "failed") == 0;
    }
    return false;
}

Test(handover, pieces_of_several_senders_and_a_replica_in_between) {
    needs_handover();
    struct flow_nodes n;
    struct flow_pieces p = {.n = 0};
    pieces_make(&p);
    nodes_start(&n);
    struct flow_conn *first = sender(&n, "p", 'a'), *second = sender(&n, "q", 'b');
    send_pieces(first, &p, "p", 0, 1);
    send_pieces(second, &p, "q", 0, 2);
    send_pieces(first, &p, "p", 1, 2);
    support_sleep_ms(200);
    nodes_replicate(&n);
    send_pieces(first, &p, "p", 2, p.n);
    wait_pools(&n, 1);
    // Much of it is due by now, but the node that sends decides.
    support_sleep_ms(2500);
    for (size_t i = 1; i < FLOW_HANDOVER_NODES; i++)
        cr_expect(flow_same_digest(p.whole, flow_debug_digest(n.at[i]->conn, "p")), "node %zu", i);
    // One gives up in the middle, and another begins anew.
    shutdown(second->fd, SHUT_RDWR);
    struct flow_job job = {n.at[1]->conn, 'b'};
    flow_wait_until(is_over, &job, "the second import is given up");
    second = sender(&n, "q", 'c');
    send_pieces(second, &p, "q", 0, p.n);
    wait_pools(&n, 2);
    for (size_t i = 1; i < FLOW_HANDOVER_NODES; i++)
        cr_expect(flow_same_digest(p.whole, flow_debug_digest(n.at[i]->conn, "q")), "node %zu", i);
    shutdown(first->fd, SHUT_RDWR);
    shutdown(second->fd, SHUT_RDWR);
    wait_pools(&n, 0);
}

// All that a node has goes to another, under traffic.
Test(handover, the_slots_of_a_busy_pool) {
    needs_handover();
    struct flow_nodes n;
    nodes_start(&n);
    nodes_replicate(&n);
    static struct flow_traffic t;
    flow_traffic_start(&t, n.at[0]->conn, "p", "LEASE 0 SESSIONTTL 1000000");
    flow_traffic_run(&t, n.at[0]->conn, 2000);
    struct flow_digest before = flow_debug_digest(n.at[0]->conn, "p");
    flow_call_ok(n.at[0]->conn, "CLUSTER MIGRATESLOTS SLOTSRANGE 0 16383 NODE %s", n.id[1]);
    struct flow_job job = {n.at[0]->conn, 0};
    flow_wait_until(is_over, &job, "the slots have moved");
    wait_pools(&n, 1);
    for (size_t i = 1; i < FLOW_HANDOVER_NODES; i++)
        cr_expect(flow_same_digest(before, flow_debug_digest(n.at[i]->conn, "p")), "node %zu", i);
    flow_traffic_run(&t, n.at[1]->conn, 500);
    flow_call_ok(n.at[2]->conn, "READONLY");
    flow_expect_equal(n.at[1], n.at[2], "p");
}
