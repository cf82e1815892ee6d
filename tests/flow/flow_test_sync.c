// SPDX-License-Identifier: Apache-2.0
// A full resync that breaks off: the test is the primary, and its copy ends after any byte.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow_traffic.h"
#include "tests/support/support_home.h"

TestSuite(sync, .fini = flow_harness_end, .timeout = 180);

struct flow_listener {
    int fd, port;
};

static struct flow_listener listen_anywhere(void) {
    struct sockaddr_in addr = {.sin_family = AF_INET};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof addr;
    struct flow_listener l = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 0};
    cr_assert(bind(l.fd, (struct sockaddr *)&addr, len) == 0 && listen(l.fd, 16) == 0);
    cr_assert(getsockname(l.fd, (struct sockaddr *)&addr, &len) == 0);
    l.port = ntohs(addr.sin_port);
    return l;
}

static void say(struct flow_conn *c, const char *text) {
    flow_conn_write(c, text, strlen(text));
}

// Answers a replica up to its PSYNC, sends the first `sent` of the n bytes, and hangs up. false: it
// was a connection that the replica had given up already.
static bool serve(struct flow_conn *c, const unsigned char *rdb, size_t n, size_t sent) {
    const struct flow_reply *r;
    while ((r = flow_conn_read(c, FLOW_PATIENCE_MS))) {
        const char *word = r->kind == FLOW_REPLY_ARRAY && r->count ? r->items[0].bytes : "";
        if (strcasecmp(word, "PING") == 0) {
            say(c, "+PONG\r\n");
        } else if (strcasecmp(word, "PSYNC") == 0) {
            char head[128];
            snprintf(head, sizeof head, "+FULLRESYNC %040d 1\r\n$%zu\r\n", 7, n);
            say(c, head);
            flow_conn_write(c, rdb, sent);
            if (sent == n) support_sleep_ms(500); // a whole copy: stay until it is loaded
            return true;
        } else {
            say(c, "+OK\r\n");
        }
    }
    return false;
}

static void serve_piece(const struct flow_listener *l, const unsigned char *rdb, size_t n,
                        size_t sent) {
    bool served = false;
    while (!served) {
        struct pollfd pfd = {.fd = l->fd, .events = POLLIN};
        cr_assert(poll(&pfd, 1, FLOW_PATIENCE_MS) == 1, "no replica comes");
        struct flow_conn *c = calloc(1, sizeof *c);
        cr_assert(c);
        c->fd = accept(l->fd, NULL, NULL);
        cr_assert(c->fd >= 0);
        served = serve(c, rdb, n, sent);
        flow_conn_close(c);
    }
}

static unsigned char *read_rdb(const struct flow_server *s, size_t *n) {
    char path[400];
    snprintf(path, sizeof path, "%s/dump.rdb", s->redis.dir);
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    unsigned char *bytes = malloc(1 << 22);
    cr_assert(bytes);
    *n = fread(bytes, 1, 1 << 22, f);
    fclose(f);
    return bytes;
}

static bool sync_has_ended(void *ctx) {
    struct flow_server *s = ctx;
    char text[32];
    flow_server_info_text(s->conn, "replication", "master_sync_in_progress", text, sizeof text);
    bool syncing = strcmp(text, "1") == 0;
    return !syncing && flow_server_info(s->conn, "persistence", "async_loading") == 0 &&
           flow_server_info(s->conn, "persistence", "loading") == 0;
}

static void test_pieces(const char *mode, bool keeps_old) {
    const char *load[] = {"--repl-diskless-load", mode, NULL};
    struct flow_server *source = flow_server_start(NULL), *replica = flow_server_start(load);
    struct flow_traffic t;
    flow_traffic_start(&t, source->conn, "p", "LEASE 0 PREDICT 1000000");
    flow_traffic_run(&t, source->conn, 200);
    struct flow_digest copied = flow_pool_digest(source->conn, "p");
    flow_call_ok(source->conn, "SAVE");
    size_t n;
    unsigned char *rdb = read_rdb(source, &n);
    flow_traffic_start(&t, replica->conn, "p", "LEASE 0");
    flow_traffic_run(&t, replica->conn, 100);
    struct flow_digest own = flow_pool_digest(replica->conn, "p");

    struct flow_listener l = listen_anywhere();
    struct flow_rng r = {flow_test_seed()};
    // Valkey looks after a file only once a second.
    int pieces = !strcmp(mode, "disabled") && flow_server_is("Valkey", 9) ? 40 : 120;
    for (int i = 0; i < pieces; i++) {
        size_t sent = i == 0 ? 0 : i < 30 ? n - (size_t)i : flow_rng_below(&r, n);
        flow_call_ok(replica->conn, "REPLICAOF NO ONE");
        flow_call_ok(replica->conn, "REPLICAOF 127.0.0.1 %d", l.port);
        serve_piece(&l, rdb, n, sent);
        flow_wait_until(sync_has_ended, replica, "the piece is dealt with");
        cr_assert(flow_server_alive(replica), "a piece of %zu of %zu bytes ended the replica", sent,
                  n);
        if (keeps_old)
            cr_assert(flow_same_digest(own, flow_pool_digest(replica->conn, "p")),
                      "after %zu bytes", sent);
        else
            cr_assert(flow_call_int(replica->conn, "DBSIZE") <= 1);
    }
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    flow_call_ok(replica->conn, "REPLICAOF 127.0.0.1 %d", l.port);
    serve_piece(&l, rdb, n, n);
    flow_wait_until(sync_has_ended, replica, "the copy is loaded");
    flow_call_ok(replica->conn, "REPLICAOF NO ONE");
    cr_expect(flow_same_digest(copied, flow_pool_digest(replica->conn, "p")));
    cr_expect(flow_server_info(replica->conn, "kvroute", "kvroute_pools") == 1);
    free(rdb);
    close(l.fd);
}

// Loaded beside the old data, which stays when the copy breaks off.
Test(sync, pieces_into_a_second_db) {
    test_pieces("swapdb", true);
}

// Collected in a file first.
Test(sync, pieces_through_a_file) {
    test_pieces("disabled", true);
}
