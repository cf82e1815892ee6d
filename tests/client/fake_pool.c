// SPDX-License-Identifier: Apache-2.0
// The right answers of the fake's nodes, as RESP2.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_pool.h"
#include "fake_queue.h"

// ---- Replies -------------------------------------------------------------------------------------

static void words(struct fake_buf *b, const char *name, const char *const *list, size_t n) {
    fake_buf_bulk(b, name);
    fake_buf_text(b, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++)
        fake_buf_bulk(b, list[i]);
}

static void text(struct fake_buf *b, const char *name, const char *value) {
    fake_buf_bulk(b, name);
    fake_buf_bulk(b, value);
}

static void address(struct fake_buf *b, int port) {
    char digits[16];
    snprintf(digits, sizeof digits, "%d", port);
    fake_buf_text(b, "*2\r\n");
    fake_buf_bulk(b, "127.0.0.1");
    fake_buf_bulk(b, digits);
}

// ---- Requests ------------------------------------------------------------------------------------

void fake_pool_forget(struct fake_pool *p) {
    p->n_live = p->n_waiting = 0;
    p->version = 0;
    p->history++;
    p->exists = false;
}

// ---- Commands of a server ------------------------------------------------------------------------

struct heard_command {
    struct fake_pool *p;
    int node;
    bool *asking;
    const struct fake_word *argv;
    size_t argc;
    struct fake_buf *out;
};

static int primary_of(const struct fake_pool *p) {
    return p->kind == FAKE_SENTINEL && p->lies.swapped ? 1 : 0;
}

static int owner_of(const struct fake_pool *p) {
    return p->lies.swapped ? 0 : 1;
}

static bool is_sentinel(const struct heard_command *h) {
    return h->p->kind == FAKE_SENTINEL && h->node >= 2;
}

static bool is_replica(const struct heard_command *h) {
    return h->p->kind == FAKE_SENTINEL && h->node < 2 && h->node != primary_of(h->p);
}

static void say_ok(struct heard_command *h) {
    fake_buf_text(h->out, "+OK\r\n");
}

static void say_pong(struct heard_command *h) {
    fake_buf_text(h->out, "+PONG\r\n");
}

static void say_one(struct heard_command *h) {
    fake_buf_text(h->out, ":1\r\n");
}

static void asking(struct heard_command *h) {
    *h->asking = true;
    say_ok(h);
}

static void role(struct heard_command *h) {
    struct fake_buf *b = h->out;
    const char *lie = h->p->lies.role;
    if (is_sentinel(h)) {
        fake_buf_text(b, "*2\r\n$8\r\nsentinel\r\n*1\r\n$4\r\nmain\r\n");
    } else if (lie && strcmp(lie, "slave") != 0) {
        fake_buf_text(b, "*3\r\n");
        fake_buf_bulk(b, lie);
        fake_buf_text(b, ":100\r\n*0\r\n");
    } else if (lie || is_replica(h)) {
        fake_buf_text(b,
                      "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:%d\r\n$9\r\nconnected\r\n:100\r\n",
                      h->p->ports[primary_of(h->p)]);
    } else {
        fake_buf_text(b, "*3\r\n$6\r\nmaster\r\n:100\r\n*0\r\n");
    }
}

static void info(struct heard_command *h) {
    char page[2048];
    bool replica = is_replica(h) || (h->p->lies.role && !strcmp(h->p->lies.role, "slave"));
    int n = snprintf(page, sizeof page,
                     "# Server\r\nredis_version:7.0.15\r\nredis_mode:%s\r\n"
                     "run_id:%08x0123456789abcdef0123456789%06x\r\ntcp_port:%d\r\n"
                     "uptime_in_seconds:77\r\n\r\n"
                     "# Persistence\r\nloading:0\r\n\r\n"
                     "# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n"
                     "master_failover_state:no-failover\r\n"
                     "master_replid:%08xfedcba9876543210fedcba9876543210\r\n"
                     "master_replid2:0000000000000000000000000000000000000000\r\n"
                     "master_repl_offset:%" PRId64 "\r\nsecond_repl_offset:-1\r\n",
                     h->p->kind == FAKE_CLUSTER ? "cluster"
                     : is_sentinel(h)           ? "sentinel"
                                                : "standalone",
                     h->p->history, (unsigned)h->node, h->p->ports[h->node],
                     replica ? "slave" : "master", h->p->history, 100 + 50 * h->p->version);
    fake_buf_text(h->out, "$%d\r\n%s\r\n", n, page);
}

static void clients(struct heard_command *h) {
    static const char page[] =
        "id=3 addr=127.0.0.1:40001 laddr=127.0.0.1:7000 fd=8 name=front-7 age=1 cmd=client\n"
        "id=4 addr=127.0.0.1:40002 laddr=127.0.0.1:7000 fd=9 name= age=1 cmd=ping\n"
        "id=5 addr=[::1]:40003 laddr=[::1]:7000 fd=9 name=front-8 age=1 cmd=ping user=default\n";
    fake_buf_text(h->out, "$%zu\r\n%s\r\n", sizeof page - 1, page);
}

// SCAN, in two parts.
static void scan(struct heard_command *h) {
    bool first = h->argc > 1 && fake_word_is(h->argv[1], "0");
    fake_buf_text(h->out, first ? "*2\r\n$2\r\n17\r\n*1\r\n$4\r\npool\r\n"
                                : "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nother\r\n");
}

// ---- Of a Sentinel -------------------------------------------------------------------------------

static void sentinel_address(struct heard_command *h) {
    address(h->out, h->p->ports[primary_of(h->p)]);
}

static void sentinel_about(struct fake_buf *b, const char *name, const char *ip, const char *port,
                           const char *flags, int epoch) {
    char digits[16];
    snprintf(digits, sizeof digits, "%d", epoch);
    fake_buf_text(b, "*14\r\n");
    text(b, "name", name);
    text(b, "ip", ip);
    text(b, "port", port);
    text(b, "runid", "0123456789abcdef0123456789abcdef01234567");
    text(b, "flags", flags);
    text(b, "config-epoch", digits);
    text(b, "quorum", "2");
}

static void sentinel_master(struct heard_command *h) {
    const struct fake_lies *lies = &h->p->lies;
    char port[16];
    if (lies->master) {
        fake_buf_add(h->out, lies->master, strlen(lies->master));
        return;
    }
    snprintf(port, sizeof port, "%d", h->p->ports[primary_of(h->p)]);
    sentinel_about(h->out, "main", lies->ip ? lies->ip : "127.0.0.1",
                   lies->port ? lies->port : port, "master", h->p->epoch);
}

static void sentinel_other(struct heard_command *h, const char *name, int node, const char *flags) {
    char port[16];
    snprintf(port, sizeof port, "%d", h->p->ports[node]);
    fake_buf_text(h->out, "*1\r\n");
    sentinel_about(h->out, name, "127.0.0.1", port, flags, 0);
}

static void sentinel_sentinels(struct heard_command *h) {
    sentinel_other(h, "other", h->node == 2 ? 3 : 2, "sentinel");
}

static void sentinel_replicas(struct heard_command *h) {
    sentinel_other(h, "replica", 1 - primary_of(h->p), "slave");
}

// ---- Of a Cluster node ---------------------------------------------------------------------------

static void slots(struct heard_command *h) {
    const struct fake_pool *p = h->p;
    if (p->lies.slots) {
        fake_buf_add(h->out, p->lies.slots, strlen(p->lies.slots));
        return;
    }
    fake_buf_text(h->out, "*2\r\n");
    for (int half = 0; half < 2; half++) {
        int node = half ? 1 - owner_of(p) : owner_of(p);
        fake_buf_text(h->out, "*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n",
                      half ? 8192 : 0, half ? 16383 : 8191, p->ports[node]);
        fake_buf_text(h->out, "$40\r\n%040d\r\n", node);
    }
}

static void keyslot(struct heard_command *h) {
    fake_buf_text(h->out, ":%d\r\n", FAKE_SLOT);
}

// ---- Of the module -------------------------------------------------------------------------------

static const char *address_of_workers(const struct fake_pool *p) {
    return p->lies.addr ? p->lies.addr : "http://10.0.0.1:8000";
}

static struct fake_word request_of(const struct heard_command *h) {
    return h->argc > 2 ? h->argv[2] : (struct fake_word){"", 0};
}

// A module of version 1 knows none of the words that came later.
static bool too_new(struct heard_command *h) {
    static const char *const later[] = {"SESSION", "WITH",  "WITHOUT", "SPEED",    "LABELS",
                                        "WAIT",    "CLASS", "FLOW",    "NOTIFY",   "MAXREQUESTS",
                                        "PAIR",    "ROLE",  "DRAIN",   "PREFILLER"};
    for (size_t i = 3; h->p->lies.old && i < h->argc && i < FAKE_WORDS; i++)
        for (size_t k = 0; k < sizeof later / sizeof *later; k++)
            if (fake_word_is(h->argv[i], later[k])) {
                fake_buf_text(h->out, "-ERR syntax error\r\n");
                return true;
            }
    return false;
}

static void create(struct heard_command *h) {
    if (h->p->exists) {
        fake_buf_text(h->out, "-EXISTS the key exists\r\n");
        return;
    }
    if (h->argc > 2 && fake_word_is(h->argv[2], "NOSUCH")) {
        fake_buf_text(h->out, "-ERR syntax error at argument 2\r\n");
        return;
    }
    h->p->exists = true;
    h->p->version++;
    say_ok(h);
}

static void pool_info(struct heard_command *h) {
    fake_buf_text(h->out, "*%d\r\n", h->p->lies.old ? 30 : 36);
    fake_buf_fields(
        h->out,
        "version %" PRId64
        " block_size 16 policy 'linear overlap '1 lease 300000 workers 2 instances 2 eligible 2 "
        "requests %zu memory_bytes 123456 predicted 0 selects 0 repeats 0 gaps 0 stale 0",
        h->p->version, h->p->n_live);
    if (h->p->lies.old) return;
    fake_buf_fields(h->out, "sessions 1 expected_blocks 3 accept %" PRId64, h->p->accept);
}

static bool has_word(const struct heard_command *h, const char *word) {
    for (size_t i = 3; i < h->argc && i < FAKE_WORDS; i++)
        if (fake_word_is(h->argv[i], word)) return true;
    return false;
}

static void select_(struct heard_command *h) {
    if (too_new(h) || !fake_queue_select(h->p, h->argv, h->argc, h->out)) return;
    bool repeat = !fake_request_book(h->p, request_of(h));
    struct fake_buf *b = h->out;
    fake_queue_came(h->p, fake_request_find(h->p, request_of(h)));
    bool pair = has_word(h, "PAIR");
    fake_buf_text(b, "*%d\r\n", h->p->lies.old ? 18 : pair ? 34 : 26);
    fake_buf_fields(
        b,
        "worker 'w1 rank 0 addr '%s overlap 2 cached 32 blocks 4 cost '6.5 repeat %d version "
        "%" PRId64,
        address_of_workers(h->p), repeat, h->p->version);
    if (h->p->lies.old) return;
    fake_buf_fields(b, "expected 3 ttft '125.5 tpot '17.25 waited 0");
    if (pair)
        fake_buf_fields(b, "prefill_worker 'w2 prefill_rank 0 prefill_addr '%s prefill_overlap 3",
                        address_of_workers(h->p));
}

static void score(struct heard_command *h) {
    static const char *const names[] = {"w1", "w2"};
    struct fake_buf *b = h->out;
    if (too_new(h)) return;
    fake_buf_text(b, "*2\r\n");
    for (int i = 0; i < 2; i++) {
        fake_buf_text(b, "*%d\r\n", h->p->lies.old ? 24 : 32);
        fake_buf_fields(b,
                        "worker '%s rank 0 addr '%s overlap %d device %d host 0 disk 0 cached %d "
                        "prefill_tokens 0 decode_blocks 0 requests 0 cost '%s",
                        names[i], address_of_workers(h->p), 2 - i, 2 - i, 32 - 16 * i,
                        i ? "7" : "6.5");
        if (h->p->lies.old) continue;
        fake_buf_fields(b, "expected 3 ttft '%s tpot '%s room %d", i ? "-1" : "125.5",
                        i ? "-1" : "17.25", !i);
    }
}

static void explain_one(struct fake_buf *b, bool first, bool pair) {
    fake_buf_text(b, "*%d\r\n", pair ? 68 : 54);
    fake_buf_fields(b, "worker '%s rank 0 place %d reason '%s cost '%s chance '%d booked %d",
                    first ? "w1" : "w2", first, first ? "" : "maxrequests", first ? "6.5" : "7",
                    first, 8 - first);
    if (pair && first)
        fake_buf_fields(b, "prefill_worker 'w2 prefill_rank 0 prefill_cost '4 decode_cost '2 "
                           "transfer_cost '0.5 prompt_cost '-1 prompt_reason 'role");
    else if (pair)
        fake_buf_fields(b, "prefill_worker ' prefill_rank -1 prefill_cost '-1 decode_cost '-1 "
                           "transfer_cost '-1 prompt_cost '4 prompt_reason '");
    fake_buf_bulk(b, "terms");
    fake_buf_text(b, "*4\r\n");
    fake_buf_fields(b, "queue '0.5 own '6 sum '6.5 overlap 2 device 1 host 1 disk 0 expected 3");
    fake_buf_fields(b,
                    "cached 48 credit '1.5 live '3 known '48 own '16 requests 2 prefill_tokens 9");
    fake_buf_fields(b, "queue '8.5 decode_blocks 7 pace '1 full '0.5 ttft '125.5 tpot '-1");
}

static void explain(struct heard_command *h) {
    struct fake_buf *b = h->out;
    bool pair = has_word(h, "PAIR");
    if (h->p->lies.old) {
        fake_buf_text(b, "-ERR unknown command\r\n");
        return;
    }
    fake_buf_text(b, "*%d\r\n", pair ? 66 : 56);
    fake_buf_fields(b,
                    "result 'OK by 'booked retry 0 worker 'w1 rank 0 addr '%s overlap 2 expected 3",
                    address_of_workers(h->p));
    fake_buf_fields(b, "cached 48 cost '6.5 ttft '125.5 tpot '17.25");
    if (pair)
        fake_buf_fields(
            b, "prefill_worker 'w2 prefill_rank 0 prefill_addr '%s prefill_overlap 3 transfer '0.4",
            address_of_workers(h->p));
    fake_buf_fields(b, "policy 'delay overlap_weight '1 prefill_weight '1 requests_weight '0 "
                       "temperature '0 isl 64 osl '320 first_weight '16 arrivals '0.25 reuse '0.5");
    fake_buf_fields(b,
                    "session_worker ' session_rank -1 session_allowance '0 instances 2 places 1");
    fake_buf_bulk(b, "candidates");
    fake_buf_text(b, "*2\r\n");
    explain_one(b, true, pair);
    explain_one(b, false, pair);
}

static void worker_about(struct heard_command *h, const char *name) {
    static const char *const labels[2][2] = {{"zone=a", "gpu=big"}, {"zone=b", "link=1"}};
    struct fake_buf *b = h->out;
    const char *open = h->p->lies.open;
    bool old = h->p->lies.old, second = name[1] == '2';
    fake_buf_text(b, "*%d\r\n", old ? 16 : 26);
    fake_buf_fields(
        b, "worker '%s addr '%s state '%s capacity 0 ttl_left -1", name, address_of_workers(h->p),
        h->p->lies.draining && !strcmp(h->p->lies.draining, name) ? "draining" : "ready");
    fake_buf_bulk(b, "ranks");
    fake_buf_text(b, "*1\r\n*%d\r\n", old ? 18 : 22);
    fake_buf_fields(b,
                    "rank 0 epoch 5 seq 7 device_blocks 10 host_blocks 0 disk_blocks 0 requests 0 "
                    "prefill_tokens 0 decode_blocks 0");
    if (!old)
        fake_buf_fields(b, "ttft '%s tpot '%s", second ? "-1" : "250.5", second ? "-1" : "20");
    fake_buf_fields(b, "circuit '%s failures 3",
                    open && !strcmp(open, name) ? "open" : "half-open");
    if (old) return;
    const char *role = h->p->lies.role_of_w2 ? h->p->lies.role_of_w2 : "decode";
    fake_buf_fields(b, "role '%s speed '%s", second ? role : "both", second ? "0" : "0.5");
    words(b, "labels", labels[second], 2);
    fake_buf_fields(b, "maxrequests 0 drain_left -1");
}

static void worker_list(struct heard_command *h) {
    fake_buf_text(h->out, "*2\r\n");
    worker_about(h, "w1");
    worker_about(h, "w2");
}

static void worker_get(struct heard_command *h) {
    worker_about(h, "w1");
}

static void worker_set(struct heard_command *h) {
    if (too_new(h)) return;
    h->p->version++;
    fake_buf_text(h->out, ":0\r\n");
}

static void report(struct heard_command *h) {
    h->p->version++;
    fake_buf_text(h->out, "+open\r\n");
}

static void event(struct heard_command *h) {
    struct fake_word seq = h->argc > 5 ? h->argv[5] : (struct fake_word){"0", 1};
    h->p->version++;
    fake_buf_text(h->out, ":%.*s\r\n", (int)seq.n, seq.p);
}

static void update(struct heard_command *h) {
    struct fake_request *r = fake_request_find(h->p, request_of(h));
    if (r) fake_queue_came(h->p, r);
    fake_buf_text(h->out, ":%d\r\n", r != NULL);
}

static void claim(struct heard_command *h) {
    if (too_new(h)) return;
    for (size_t i = 3; h->p->lies.classless && i < h->argc && i < FAKE_WORDS; i++)
        if (fake_word_is(h->argv[i], "CLASS")) {
            fake_buf_text(h->out, "-ERR no such class\r\n");
            return;
        }
    if (h->p->lies.unprefilled && has_word(h, "PREFILLER")) {
        fake_buf_text(h->out, "-NOWORKER no such worker or rank\r\n");
        return;
    }
    fake_queue_drop(h->p, request_of(h));
    fake_buf_text(h->out, ":%d\r\n", fake_request_book(h->p, request_of(h)));
    fake_queue_came(h->p, fake_request_find(h->p, request_of(h)));
}

static void release(struct heard_command *h) {
    int n = 0;
    for (size_t i = 2; i < h->argc && i < FAKE_WORDS; i++)
        n += fake_request_drop(h->p, h->argv[i]) || fake_queue_drop(h->p, h->argv[i]);
    fake_queue_tick(h->p);
    fake_buf_text(h->out, ":%d\r\n", n);
}

static void request_get(struct heard_command *h) {
    struct fake_buf *b = h->out;
    if (h->argc < 4 || !fake_request_find(h->p, h->argv[3])) {
        fake_buf_text(b, "$-1\r\n");
        return;
    }
    fake_buf_text(b, "*22\r\n");
    fake_buf_bulk(b, "request");
    fake_buf_text(b, "$%zu\r\n", h->argv[3].n);
    fake_buf_add(b, h->argv[3].p, h->argv[3].n);
    fake_buf_text(b, "\r\n");
    fake_buf_fields(
        b, "worker 'w1 rank 0 isl 64 cached 32 output 0 blocks 4 prefilled 0 age 10 lease_left "
           "299990 osl 0");
}

static void request_list(struct heard_command *h) {
    fake_buf_text(h->out, "*2\r\n$1\r\n0\r\n*%zu\r\n", h->p->n_live);
    for (size_t i = 0; i < h->p->n_live; i++) {
        fake_buf_text(h->out, "$%zu\r\n", h->p->live[i].n);
        fake_buf_add(h->out, h->p->live[i].id, h->p->live[i].n);
        fake_buf_text(h->out, "\r\n");
    }
}

static void queue(struct heard_command *h) {
    fake_queue_answer(h->p, h->argv, h->argc, h->out);
}

// ---- The table -----------------------------------------------------------------------------------

enum fake_where { AT_ANY, AT_DATA, AT_SENTINELS, AT_CLUSTERS, AT_POOL_READ, AT_POOL_WRITE };

static const struct fake_command {
    const char *name, *sub; // sub NULL: whatever follows
    enum fake_where where;
    void (*answer)(struct heard_command *h);
} commands[] = {
    {"PING", NULL, AT_ANY, say_pong},
    {"AUTH", NULL, AT_ANY, say_ok},
    {"CLIENT", "SETNAME", AT_ANY, say_ok},
    {"CLIENT", "SETINFO", AT_ANY, say_ok},
    {"CLIENT", "ID", AT_ANY, say_one},
    {"CLIENT", "KILL", AT_ANY, say_one},
    {"CLIENT", "LIST", AT_ANY, clients},
    {"ROLE", NULL, AT_ANY, role},
    {"INFO", NULL, AT_ANY, info},
    {"SCAN", NULL, AT_DATA, scan},
    {"SELECT", NULL, AT_DATA, say_ok},
    {"READONLY", NULL, AT_CLUSTERS, say_ok},
    {"ASKING", NULL, AT_CLUSTERS, asking},
    {"CLUSTER", "SLOTS", AT_CLUSTERS, slots},
    {"CLUSTER", "KEYSLOT", AT_CLUSTERS, keyslot},
    {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", AT_SENTINELS, sentinel_address},
    {"SENTINEL", "MASTER", AT_SENTINELS, sentinel_master},
    {"SENTINEL", "SENTINELS", AT_SENTINELS, sentinel_sentinels},
    {"SENTINEL", "REPLICAS", AT_SENTINELS, sentinel_replicas},
    {"KVROUTE.CREATE", NULL, AT_POOL_WRITE, create},
    {"KVROUTE.INFO", NULL, AT_POOL_READ, pool_info},
    {"KVROUTE.SELECT", NULL, AT_POOL_WRITE, select_},
    {"KVROUTE.SCORE", NULL, AT_POOL_READ, score},
    {"KVROUTE.EXPLAIN", NULL, AT_POOL_READ, explain},
    {"KVROUTE.UPDATE", NULL, AT_POOL_WRITE, update},
    {"KVROUTE.RELEASE", NULL, AT_POOL_WRITE, release},
    {"KVROUTE.CLAIM", NULL, AT_POOL_WRITE, claim},
    {"KVROUTE.EVENT", NULL, AT_POOL_WRITE, event},
    {"KVROUTE.WORKER", "SET", AT_POOL_WRITE, worker_set},
    {"KVROUTE.WORKER", "DEL", AT_POOL_WRITE, worker_set},
    {"KVROUTE.WORKER", "GET", AT_POOL_READ, worker_get},
    {"KVROUTE.WORKER", "LIST", AT_POOL_READ, worker_list},
    {"KVROUTE.REPORT", NULL, AT_POOL_WRITE, report},
    {"KVROUTE.QUEUE", NULL, AT_POOL_READ, queue},
    {"KVROUTE.CLASS", "LIST", AT_POOL_READ, queue},
    {"KVROUTE.CLASS", NULL, AT_POOL_WRITE, queue},
    {"KVROUTE.FLOW", "LIST", AT_POOL_READ, queue},
    {"KVROUTE.FLOW", NULL, AT_POOL_WRITE, queue},
    {"KVROUTE.REQUEST", "GET", AT_POOL_READ, request_get},
    {"KVROUTE.REQUEST", "LIST", AT_POOL_READ, request_list},
};

// Where the key isn't, a node of a Cluster says where it is. True: it has said so.
static bool elsewhere(struct heard_command *h, bool was_asking) {
    const struct fake_pool *p = h->p;
    int owner = owner_of(p), other = 1 - h->node;
    if (p->kind != FAKE_CLUSTER) return false;
    if (p->lies.circle) {
        fake_buf_text(h->out, "-MOVED %d 127.0.0.1:%d\r\n", FAKE_SLOT, p->ports[other]);
    } else if (p->lies.ask && h->node == owner) {
        fake_buf_text(h->out, "-ASK %d 127.0.0.1:%d\r\n", FAKE_SLOT, p->ports[other]);
    } else if (h->node != owner && !(p->lies.ask && was_asking)) {
        fake_buf_text(h->out, "-MOVED %d 127.0.0.1:%d\r\n", FAKE_SLOT, p->ports[owner]);
    } else {
        return false;
    }
    return true;
}

static bool known_here(const struct heard_command *h, enum fake_where where) {
    switch (where) {
    case AT_ANY:
        return true;
    case AT_SENTINELS:
        return is_sentinel(h);
    case AT_CLUSTERS:
        return h->p->kind == FAKE_CLUSTER;
    default:
        return !is_sentinel(h);
    }
}

static const struct fake_command *look_up(const struct heard_command *h) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct fake_command *c = &commands[i];
        if (!fake_word_is(h->argv[0], c->name) || !known_here(h, c->where)) continue;
        if (!c->sub || (h->argc > 1 && fake_word_is(h->argv[1], c->sub))) return c;
    }
    return NULL;
}

void fake_pool_answer(struct fake_pool *p, int node, bool *asks, const struct fake_word *argv,
                      size_t argc, struct fake_buf *out) {
    struct heard_command h = {p, node, asks, argv, argc, out};
    const struct fake_command *c = look_up(&h);
    bool was_asking = *asks;
    *asks = false;
    if (p->lies.fails && fake_word_is(argv[0], p->lies.fails)) {
        fake_buf_text(out, "-%s\r\n", p->lies.error);
    } else if (!c) {
        fake_buf_text(out, "-ERR unknown command\r\n");
    } else if (c->where < AT_POOL_READ) {
        c->answer(&h);
    } else if (elsewhere(&h, was_asking)) {
        return;
    } else if (c->where == AT_POOL_WRITE && is_replica(&h)) {
        fake_buf_text(out, "-READONLY You can't write against a read only replica.\r\n");
    } else if (!p->exists && c->answer != create) {
        fake_buf_text(out, "-NOPOOL no such pool\r\n");
    } else {
        c->answer(&h);
    }
}
