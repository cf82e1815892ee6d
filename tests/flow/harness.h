// SPDX-License-Identifier: Apache-2.0
// Real servers for tests, and calls that check their replies.
//
// Every test process has a directory of its own below TMPDIR and every server a free port and a unix
// socket in it, so any number of tests run at once. The servers die with the test process, however
// that ends, and a helper that outlives it removes the directory. harness_end() goes into every
// suite's fini: a server that crashed, or whose log shows a sanitizer's report, fails the run.
//
//   KVROUTE_MODULE          the module, else what the build was told
//   REDIS_SERVER            the server, else what the build was told, else redis-server of PATH
//   KVROUTE_SERVER_PRELOAD  LD_PRELOAD of the servers alone, for a module built with ASan
//   KVROUTE_SEED            repeats a run of the random tests
//   KVROUTE_KEEP            leaves the directories
#ifndef FLOW_HARNESS_H
#define FLOW_HARNESS_H

#include <signal.h>

#include "resp.h"
#include "tests/support/home.h"

enum { PATIENCE_MS = 60000 }; // how long anything may take before it counts as hanging

struct server {
    pid_t pid; // 0: not running
    int port;
    char dir[256], log[272], unixsocket[272];
    const char *const *extra; // further arguments, NULL-terminated; outlives the server
    struct conn *conn;        // RESP2, open while it runs
};

// Starts a server without persistence unless extra says otherwise, and waits until it answers.
struct server *server_start(const char *const *extra);
void server_kill(struct server *s, int sig); // and waits for its end
bool server_comes_up(struct server *s);      // after a kill: whether it starts, or ends by itself
void server_restart(struct server *s);       // on the same port and directory
void server_replica_of(struct server *s, struct server *primary); // and server_wait_link
struct conn *server_connect(struct server *s, int protocol);      // closed by harness_end
// Waits until the replica follows the primary and the primary has heard so.
void server_wait_link(struct server *s, struct server *primary);
bool server_alive(const struct server *s);
// A server with a pool "p", created with these options (words); the server's connection.
struct conn *start_pool(const char *options);
size_t server_log_count(const struct server *s, const char *text); // how often its log says so
void harness_end(void);
const char *module_path(void);

// The longest poll there is: tries until it holds or PATIENCE_MS is over, then fails the test.
void wait_until(bool (*holds)(void *), void *ctx, const char *what);
int64_t clock_ms(void); // since the epoch

// ---- Calls ---------------------------------------------------------------------------------------
// Formats are hiredis's: %s, %b (pointer, size_t) and printf's numbers. Each fails the test when the
// reply isn't of its kind; the reply is valid until the next call on the connection.

const struct reply *call(struct conn *c, const char *format, ...); // anything, errors too
const struct reply *call_args(struct conn *c, const struct args *a);
const struct reply *call_kind(struct conn *c, enum reply_kind kind, const char *format, ...);
void call_ok(struct conn *c, const char *format, ...);
int64_t call_int(struct conn *c, const char *format, ...);
void expect_int(struct conn *c, int64_t want, const char *format, ...);
void expect_bulk(struct conn *c, const char *want, const char *format, ...);
void expect_null(struct conn *c, const char *format, ...);
void expect_version(struct conn *c, const char *key, int64_t want);
// code: the error's first words, up to a space or the end.
void expect_error(struct conn *c, const char *code, const char *format, ...);
bool is_error(const struct reply *r, const char *code);

// Sends without waiting for the reply, and reads one later.
void post(struct conn *c, const char *format, ...);
const struct reply *collect(struct conn *c);

// Maps of either protocol: a flat array of pairs under RESP2, a map under RESP3.
const struct reply *map_get(const struct reply *map, const char *field); // fails if it isn't there
bool map_has(const struct reply *map, const char *field);
int64_t map_int(const struct reply *map, const char *field);
const char *map_str(const struct reply *map, const char *field);
double map_real(const struct reply *map, const char *field); // a double, or a bulk string of one
double real_of(const struct reply *r);
void check_bulk(const struct reply *r, const char *want);
// The map in an array of maps that is about this worker and rank (SCORE), or NULL.
const struct reply *row_of(const struct reply *rows, const char *worker, int64_t rank);

// ---- Pools ---------------------------------------------------------------------------------------

struct digest {
    char hex[48], learnt[48]; // learnt: empty from debug_digest, and then compared with nothing
};
struct digest pool_digest(struct conn *c, const char *key);  // DIGEST and DIGEST LEARNT
struct digest debug_digest(struct conn *c, const char *key); // DEBUG DIGEST-VALUE
bool same_digest(struct digest a, struct digest b);
bool same_state(struct digest a, struct digest b); // whatever was learnt
int64_t pool_info(struct conn *c, const char *key, const char *field);
// Waits until two servers have the same pool: digests, version and counts.
void expect_equal(struct server *primary, struct server *replica, const char *key);
// The value of "name:" in INFO.
int64_t server_info(struct conn *c, const char *section, const char *name);
// The text of it, cut to fit.
void server_info_text(struct conn *c, const char *section, const char *name, char *out, size_t n);

// The last prefix hash of these blocks (as KVROUTE.HASH takes them), 16 hex digits.
struct hex {
    char digits[17];
};
struct hex prefix_of(struct conn *c, int block_size, const char *blocks);

uint64_t test_seed(void); // of this run; printed
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); // 0..n-1

#endif
