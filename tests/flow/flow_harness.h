// SPDX-License-Identifier: Apache-2.0
// Real servers for tests, and calls that check their replies.
//
// flow_harness_end() goes into every suite's fini: a server that crashed, or whose log shows a sanitizer's
// report, fails the run.
//
//   KVROUTE_MODULE          the module, else what the build was told
//   REDIS_SERVER            the server, else what the build was told, else redis-server of PATH
//   KVROUTE_SERVER_PRELOAD  LD_PRELOAD of the servers alone, for a module built with ASan
//   KVROUTE_SEED            repeats a run of the random tests
//   KVROUTE_KEEP            leaves the directories
#ifndef FLOW_HARNESS_H
#define FLOW_HARNESS_H

#include <signal.h>

#include "flow_resp.h"
#include "tests/support/support_clock.h"
#include "tests/support/support_redis.h"

enum { FLOW_PATIENCE_MS = 60000 }; // how long anything may take before it counts as hanging

struct flow_server {
    struct support_redis redis;
    struct flow_conn *conn; // RESP2, open while it runs
};

extern const char *const flow_with_aof[]; // of commands alone, for `extra`
// Starts a server without persistence unless extra says otherwise, and waits until it answers.
struct flow_server *flow_server_start(const char *const *extra);
// The same, by a clock of ours.
struct flow_server *flow_server_start_by(struct support_clock *clock, const char *const *extra);
struct flow_server *flow_server_start_bare(void);      // one that hasn't got the module yet
void flow_server_kill(struct flow_server *s, int sig); // and waits for its end
// After a kill: whether it starts, or ends by itself.
bool flow_server_comes_up(struct flow_server *s);
void flow_server_restart(struct flow_server *s); // on the same port and directory
void flow_server_replica_of(struct flow_server *s,
                            struct flow_server *primary); // and flow_server_wait_link
struct flow_conn *flow_server_connect(struct flow_server *s,
                                      int protocol); // closed by flow_harness_end
// *replica takes over from *primary, and the two change places.
void flow_server_failover(struct flow_server **primary, struct flow_server **replica);
// Waits until the replica follows the primary and the primary has heard so.
void flow_server_wait_link(struct flow_server *s, struct flow_server *primary);
bool flow_server_alive(struct flow_server *s);
// Whether servers are of this kind ("Redis", "Valkey") and of this major version or a later one. Asks the
// program, so before one is started.
bool flow_server_is(const char *kind, int major);
// A server with a pool "p", created with these options (words); the server's connection.
struct flow_conn *flow_start_pool(const char *options);
void flow_harness_end(void);
const char *flow_module_path(void);

// The longest poll there is: tries until it holds or FLOW_PATIENCE_MS is over, then fails the test.
void flow_wait_until(bool (*holds)(void *), void *ctx, const char *what);
// Until this field of INFO p is at most that.
void flow_wait_info(struct flow_conn *c, const char *field, int64_t most);
int64_t flow_clock_ms(void); // since the epoch

// ---- Calls ---------------------------------------------------------------------------------------
// Formats are hiredis's: %s, %b (pointer, size_t) and printf's numbers. Each fails the test when the
// reply isn't of its kind; the reply is valid until the next call on the connection.

const struct flow_reply *flow_call(struct flow_conn *c, const char *format,
                                   ...); // anything, errors too
// Two parts of a command, split at spaces.
const struct flow_reply *flow_call_words(struct flow_conn *c, const char *head, const char *tail);
const struct flow_reply *flow_call_args(struct flow_conn *c, const struct flow_args *a);
const struct flow_reply *flow_call_kind(struct flow_conn *c, enum flow_reply_kind kind,
                                        const char *format, ...);
void flow_call_ok(struct flow_conn *c, const char *format, ...);
int64_t flow_call_int(struct flow_conn *c, const char *format, ...);
void flow_expect_int(struct flow_conn *c, int64_t want, const char *format, ...);
// Event seq of worker w of pool p: a sequence of n blocks that no other event has.
void flow_store_new(struct flow_conn *c, int64_t seq, size_t n);
void flow_expect_bulk(struct flow_conn *c, const char *want, const char *format, ...);
void flow_expect_null(struct flow_conn *c, const char *format, ...);
void flow_expect_version(struct flow_conn *c, const char *key, int64_t want);
// code: the error's first words, up to a space or the end.
void flow_expect_error(struct flow_conn *c, const char *code, const char *format, ...);
// ERR, for what is made of the head and each of the tails: "a|b c|d".
void flow_expect_refused(struct flow_conn *c, const char *head, const char *tails);
bool flow_is_error(const struct flow_reply *r, const char *code);

// Sends without waiting for the reply, and reads one later.
void flow_post(struct flow_conn *c, const char *format, ...);
const struct flow_reply *flow_collect(struct flow_conn *c);

// Maps of either protocol: a flat array of pairs under RESP2, a map under RESP3.
const struct flow_reply *flow_map_get(const struct flow_reply *map,
                                      const char *field); // fails if it isn't there
int64_t flow_map_int(const struct flow_reply *map, const char *field);
const char *flow_map_str(const struct flow_reply *map, const char *field);
double flow_map_real(const struct flow_reply *map,
                     const char *field); // a double, or a bulk string of one
double flow_real_of(const struct flow_reply *r);
// A map's fields are these, in this order.
void flow_expect_fields(const struct flow_reply *map, const char *names);
// The map in an array of maps that is about this worker and rank (SCORE), or NULL.
const struct flow_reply *flow_row_of(const struct flow_reply *rows, const char *worker,
                                     int64_t rank);

// ---- Pools ---------------------------------------------------------------------------------------

bool flow_no_rewrite(void *c);              // for flow_wait_until: no AOF is being rewritten
void flow_rewrite_aof(struct flow_conn *c); // BGREWRITEAOF, until it is through

struct flow_digest {
    char hex[48],
        learnt[48]; // learnt: empty from flow_debug_digest, and then compared with nothing
};
struct flow_digest flow_pool_digest(struct flow_conn *c,
                                    const char *key); // DIGEST and DIGEST LEARNT
struct flow_digest flow_debug_digest(struct flow_conn *c, const char *key); // DEBUG DIGEST-VALUE
bool flow_same_digest(struct flow_digest a, struct flow_digest b);
bool flow_same_state(struct flow_digest a, struct flow_digest b); // whatever was learnt
int64_t flow_pool_info(struct flow_conn *c, const char *key, const char *field);
// Waits until two servers have the same pool: digests, version and counts.
void flow_expect_equal(struct flow_server *primary, struct flow_server *replica, const char *key);
// The value of "name:" in INFO.
int64_t flow_server_info(struct flow_conn *c, const char *section, const char *name);
// The text of it, cut to fit.
void flow_server_info_text(struct flow_conn *c, const char *section, const char *name, char *out,
                           size_t n);

// The last prefix hash of these blocks (as KVROUTE.HASH takes them), 16 hex digits.
struct flow_hex {
    char digits[17];
};
struct flow_hex flow_prefix_of(struct flow_conn *c, int block_size, const char *blocks);

uint64_t flow_test_seed(void); // of this run; printed
struct flow_rng {
    uint64_t state;
};
uint64_t flow_rng_next(struct flow_rng *r);
uint64_t flow_rng_below(struct flow_rng *r, uint64_t n); // 0..n-1

#endif
