// SPDX-License-Identifier: Apache-2.0
// libkvroute: a client of one pool that loses nothing when Redis fails over.
//
// A handle (struct kvr_client) speaks KVROUTE commands for one pool. It finds the primary by itself
// (one server, Sentinels, Cluster), finds it again whenever it goes, and sends again what was under
// way; all commands of the set can be sent twice without harm. It remembers the requests that it
// booked and that haven't ended, and when it sees that Redis lost writes that were acknowledged
// (another history answers, or the pool's version has gone back) it books back those that are
// missing. Nobody has to ask for any of this.
//
//     char error[160];
//     struct kvr_client *c = kvr_client_open("sentinel://s1:26379,s2:26379,s3:26379/main", "pool",
//                                            NULL, error, sizeof error);
//     const struct kvr_result *r = kvr_client_select(c, &(struct kvr_select_call){
//         .request = kvr_text("chat-17"), .blocks = {.hashes = hashes, .n = n}});
//     if (r->code == KVR_CODE_OK) send_to(r->choice.addr);
//     …
//     kvr_client_release(c, &id, 1);
//
// Two forms
//   Blocking: kvr_client_select() and the like run until there is an answer, or the deadline.
//   Asynchronous: kvr_client_select_async() and the like return at once and call back later. They
//   run on the caller's event loop (adapters/libevent.h, or any that hiredis has an adapter for), or,
//   without one, whenever kvr_client_run() is called. Commands are pipelined; replies come in order
//   unless a command had to be sent again.
//   A handle without a loop of the caller's can use both; one with it only the asynchronous form.
//
// Time
//   deadline: within it every call is answered, if only with KVR_CODE_TIMEOUT (default 5000 ms).
//   timeout: a server that is silent for so long while it owes an answer counts as dead (1000 ms).
//   connect_timeout: for reaching a server and greeting it (500 ms).
//
// What a result means
//   KVR_CODE_OK: applied by a primary, or, with `degraded` set, promised (see Degrading).
//   A code of the pool's own (NOPOOL … BADCHAIN) or of the server (OOM, DENIED, REFUSED): nothing has
//   changed; but a RELEASE that was refused is repeated until it goes through. READONLY, LOADING, MASTERDOWN, NOREPLICAS, TRYAGAIN, MISCONF, BUSY and CLUSTERDOWN
//   never come out: they are waited for until the deadline.
//   KVR_CODE_TIMEOUT: it may have been applied or not. Afterwards the handle makes it good where it
//   can: a SELECT is taken back (out of memory: by the end of its lease), an UPDATE or RELEASE still
//   reaches the pool.
//   A RELEASE that had to be sent again may count 0 for what its first sending released, and a
//   WORKER SET may say 0 (updated) where the first sending had created.
//
// Degrading
//   With kvr_client_options.degrade, a handle without a primary goes on: when the deadline has passed
//   (and at once for calls that come later), SELECT answers with one of the last known workers: the
//   one with the fewest requests of this handle, none that was draining or expired, one whose circuit
//   was open only if all were. UPDATE, RELEASE, CLAIM and the WORKER commands are answered OK and
//   carried out later, REPORT is answered OK and forgotten. All of these say `degraded`. When a primary
//   is back, the handle books what it has chosen meanwhile.
//
// Waiting
//   A SELECT with `wait` may wait in the pool's queue until an instance has room, and is answered when it is
//   booked, or with KVR_CODE_NOROOM when that time is over. A pool that has admitted a request tells the
//   handle on a channel of its own (kvroute:<random>): so with the first request that waits, the handle opens
//   one more connection, to the same server, and subscribes. Whatever it is told or isn't, it asks again
//   now and then; a notification that was lost costs a second or so, and nothing else. Who may not subscribe or
//   publish there waits all the same. Failovers and restarts keep the place in the queue.
//   A request that waits is a call under way: it counts for max_pending, and kvr_client_release ends it. In
//   the pool it keeps its place while nobody has asked for it, so a handle that isn't run (see
//   kvr_client_run) doesn't lose it; but once it is admitted, its booking ends unless the handle comes for it
//   within the pool's ACCEPT ms.
//   A pool of a module that knows no waiting refuses such a call (REFUSED).
//
// Memory is bounded: max_pending calls, and max_live requests in max_live_bytes. A request beyond
// these is routed all the same but not remembered (`unremembered` in the result and in the stats).
// A request that its caller never ends is forgotten when its lease is long over. What was said of workers
// is kept of 65,535 of them: of the last 1,024 that were deleted, and of no one whose TTL is long over.
//
// Caveats
//   - A handle, with all that hangs on it, is used by one thread at a time.
//   - hiredis writes to sockets: ignore SIGPIPE (signal(SIGPIPE, SIG_IGN)).
//   - Strings in a result belong to the handle. Those of a blocking call last until the next blocking
//     call on the handle, those that a callback is given until it returns.
//   - A callback may call anything but the blocking forms, kvr_client_run and kvr_client_drain. The
//     asynchronous calls never call back before they return.
//   - A request's id is used once: an id that comes back within minutes of its RELEASE could, after a
//     failover, be released by the memory of the first.
//   - Host names are resolved by hiredis, which waits for it: give addresses where that matters.
//   - Don't share a handle across fork(): open one in the child.
//   - A request belongs to the handle that selected or claimed it. Others may update and release it,
//     but only the owner puts it back after a loss.
//   - The handle's memory dies with it: requests of a process that ends go when their leases end.
#ifndef KVROUTE_CLIENT_H
#define KVROUTE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <kvroute/types.h>

#define KVR_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

struct kvr_client;
struct redisAsyncContext;

static inline struct kvr_bytes kvr_text(const char *s) {
    struct kvr_bytes b = {s, s ? strlen(s) : 0};
    return b;
}

enum kvr_code {
    KVR_CODE_OK = 0,
    // The pool's answers, as the command set names them.
    KVR_CODE_NOPOOL,    // the key doesn't exist, and options.create is NULL
    KVR_CODE_WRONGTYPE, // the key holds something else
    KVR_CODE_NOWORKER,  // the worker or rank isn't registered; SELECT: no eligible instance
    KVR_CODE_GAP,       // number: the seq expected
    KVR_CODE_STALE,     // number: the current epoch
    KVR_CODE_NOPARENT,  // STORED under a block that the pool doesn't know
    KVR_CODE_BADCHAIN,  // STORED of a block known under another parent
    KVR_CODE_NOROOM, // SELECT: no instance has room; number: ms after which to come back, at least 1
    KVR_CODE_LIMITED, // SELECT: the flow has used up what it may; number: ms likewise
    // The server's.
    KVR_CODE_OOM,     // the server has reached maxmemory
    KVR_CODE_DENIED,  // NOPERM, NOAUTH, WRONGPASS
    KVR_CODE_REFUSED, // any other error, ERR among them: the arguments are wrong
    // The library's.
    KVR_CODE_RELEASED, // SELECT: it was released while it waited; it is booked nowhere
    KVR_CODE_TIMEOUT,  // the deadline has passed
    KVR_CODE_INVALID,  // an argument out of range; nothing was sent
    KVR_CODE_FULL,     // max_pending calls are under way; nothing was sent
    KVR_CODE_NOMEM,    // no memory; nothing was sent, or what was booked is taken back
    KVR_CODE_PROTOCOL, // the answer is not one to this command; what was booked is taken back
    KVR_CODE_CLOSED,   // the handle was closed before the answer came
};

// The code's name, such as "NOWORKER"; never NULL.
KVR_API const char *kvr_code_name(enum kvr_code code);

// ---- Opening -------------------------------------------------------------------------------------

// An event loop, as the library needs it. adapters/libevent.h makes one; for another loop write these
// four. attach is hiredis's own adapter. The timer fires once for each timer_set, in the loop, never
// inside timer_set; a later timer_set replaces an earlier; ms < 0 cancels.
struct kvr_loop {
    void *base;
    int (*attach)(void *base, struct redisAsyncContext *ac); // 0, or -1 when out of memory
    void *(*timer_new)(void *base, void (*fire)(void *arg), void *arg); // NULL: out of memory
    void (*timer_set)(void *timer, int64_t ms);
    void (*timer_free)(void *timer);
};

enum kvr_level { KVR_LOG_DEBUG, KVR_LOG_INFO, KVR_LOG_WARNING, KVR_LOG_ERROR };

// All fields may be 0: then what is said there holds.
struct kvr_client_options {
    // Options of KVROUTE.CREATE as words, such as "BLOCKSIZE 16 LEASE 60000": a pool that isn't there
    // (a server that came back empty) is created with these. NULL: never, NOPOOL is answered.
    const char *create;
    bool degrade;          // answer without a primary, see above; off
    size_t max_pending;    // calls under way; 65,536
    size_t max_live;       // requests remembered; 65,536
    size_t max_live_bytes; // their blocks and ids; 256 MiB
    size_t max_released;   // last releases that are repeated after a loss; 16,384
    int64_t refresh;       // ms between two looks at the workers, for degrading; 1,000
    // One line an event, without a newline; no prompts, tokens or passwords in it.
    void (*log)(void *ctx, enum kvr_level level, const char *line);
    void *log_ctx;
    const struct kvr_loop *loop;   // copied; NULL: the handle's own
    const struct kvr_alloc *alloc; // copied; NULL: malloc. hiredis's own allocations don't use it
};

// Opens a handle on the pool `pool` (the key's bytes, as a C string). Doesn't wait for a connection: a
// server that can't be reached shows in the first call. Returns NULL with a reason in `error` (may be
// NULL) when the URL or the options are wrong or memory is short.
//
// URL:
//   redis://[user:password@]host[:port][/db][?settings]        one server
//   unix:///path/of/socket[?settings]                          the same over a unix socket
//   sentinel://[user:password@]host[:port],…/master[/db][?…]   Sentinels, and the master's name
//   cluster://[user:password@]host[:port],…[?settings]         seed nodes
//   rediss://, sentinels://, clusters://                       the same over TLS
// IPv6 addresses stand in [brackets]. User, password, path and names may have %XX in them. Settings:
//   deadline, timeout, connect_timeout   ms, see above
//   db, user, password                   instead of in the address
//   sentinel_user, sentinel_password     for the Sentinels themselves
//   name                                 connection name in CLIENT LIST; "kvroute"
//   role=any                             also a replica will do: for handles that only read
//   cacert, cert, key                    files for TLS (PEM): authorities, instead of the system's; our own
//   sni                                  the name to ask for, and that the server's certificate must be for,
//                                        instead of the host's name or IP address
KVR_API struct kvr_client *kvr_client_open(const char *url, const char *pool,
                                           const struct kvr_client_options *options, char *error,
                                           size_t error_size);

// Answers what is under way with KVR_CODE_CLOSED, closes the connections, frees all. Live requests
// stay booked in the pool until their leases end; of those that wait, the pool is told that they don't any
// more, as far as the connection takes that at once. Publishers of the handle must be freed before. May be
// called in a callback: a blocking call, kvr_client_run or kvr_client_drain that the callback came out
// of ends first, the call with KVR_CODE_CLOSED in a result that is the handle's no more and stays good,
// the drain with false. c may be NULL.
KVR_API void kvr_client_close(struct kvr_client *c);

// From now on a pool that isn't there is created with these options of KVROUTE.CREATE, as by
// kvr_client_options.create; for who learns them only after the handle was opened. False: no memory, all is as it was.
KVR_API bool kvr_client_create_with(struct kvr_client *c, const char *create);

// "0.1.0 (hiredis 0.14.1, no TLS)"
KVR_API const char *kvr_client_library(void);

// ---- Results -------------------------------------------------------------------------------------

struct kvr_choice {
    struct kvr_bytes worker, addr;
    uint32_t rank;
    int64_t overlap; // blocks
    int64_t cached;  // tokens
    int64_t blocks;  // of the request
    double cost;
    bool repeat;     // the request was live already
    int64_t version; // of the pool; -1 when degraded
    int64_t
        expected; // blocks: the overlap, and what live requests are computing there; at least overlap
    double ttft;    // ms to the first token, predicted; -1: unknown
    double tpot;    // ms for each further token, predicted; -1: unknown
    int64_t waited; // ms that it waited for room
    // Of a pair: who computes the prompt. Empty: the instance above does, or it is no pair.
    struct kvr_bytes prefill_worker, prefill_addr;
    uint32_t prefill_rank;
    int64_t prefill_overlap; // blocks that it has
};

struct kvr_score {
    struct kvr_bytes worker, addr;
    uint32_t rank;
    int64_t overlap, device, host, disk; // blocks
    int64_t cached, prefill_tokens;      // tokens
    int64_t decode_blocks, requests;
    double cost;
    int64_t expected;  // blocks, as in kvr_choice; and so the next two
    double ttft, tpot; // ms; -1: unknown
    bool room;         // whether it is within the pool's limits; true of a module that knows none
};

// A summand of a cost, by the name that it has in docs/commands.md.
struct kvr_cost_term {
    struct kvr_bytes name;
    double value;
};

// An instance as EXPLAIN weighs it.
struct kvr_candidate {
    struct kvr_bytes worker;
    uint32_t rank;
    int64_t place; // among those that may be chosen, 1: the least cost; 0: it is none of them
    struct kvr_bytes reason; // why it isn't: draining, circuit, maxrequests … Empty: it is
    double cost;             // of a pair: of the best one that it decodes in
    double chance;           // of being chosen, 0 to 1
    int64_t booked;          // the pool's count of bookings when it was booked last; 0: never
    const struct kvr_cost_term *terms;
    size_t n_terms;
    double sum;                                    // of the terms; the cost isn't rounded there
    int64_t overlap, device, host, disk, expected; // blocks
    int64_t cached;                                // tokens
    double credit, live;                           // blocks
    double known, own, queue;                      // tokens
    int64_t requests, prefill_tokens, decode_blocks;
    double pace, full;
    double ttft, tpot; // ms; -1: unknown
    // Of a pair: who computes the prompt (empty: the instance itself, or it is no pair), and what the cost is made of
    // (-1: nothing). prompt_cost: of the prompt on this instance; prompt_reason: why it can't compute it.
    struct kvr_bytes prefill_worker;
    uint32_t prefill_rank;
    double prefill_cost, decode_cost, transfer_cost, prompt_cost;
    struct kvr_bytes prompt_reason;
};

struct kvr_explanation {
    enum kvr_code answer; // SELECT's: KVR_CODE_OK, NOWORKER, NOROOM, LIMITED
    struct kvr_bytes
        by; // what decided: cost, booked, name, session, draw; or what refused it: eligible, room,
            // queue, flow
    int64_t retry; // ms, of NOROOM and LIMITED; else 0
    struct kvr_choice
        choice; // as SELECT's, but for blocks, repeat, version and waited; of a refusal empty
    struct kvr_bytes policy;
    double overlap, prefill, requests, temperature; // weights
    int64_t isl;                                    // tokens
    double osl;                                     // tokens that the rule expects
    double first_weight, arrivals, reuse;           // see docs/choosing.md
    double transfer;                                // cost of moving a token's KV; 0: no pair
    struct kvr_bytes session_worker;                // empty: of no session that is remembered
    uint32_t session_rank;
    double session_allowance;  // by how much that may cost more than the least
    int64_t instances, places; // of the pool; of these, that may be chosen
    const struct kvr_candidate
        *candidates; // who would be chosen first, the others by place; the result's n
};

struct kvr_rank {
    uint32_t rank;
    uint64_t epoch, seq;
    int64_t held[KVR_TIERS]; // blocks
    int64_t requests, prefill_tokens, decode_blocks;
    double ttft, tpot; // of late, ms to the first token and for each further one; -1: unknown
};

struct kvr_worker {
    struct kvr_bytes name, addr;
    enum kvr_state state;
    int64_t capacity; // blocks an instance; 0: unknown
    int64_t ttl_left; // ms; -1: for ever
    const struct kvr_rank *ranks;
    size_t n_ranks;
    enum kvr_circuit circuit; // KVR_CLOSED also of a module that knows none
    int64_t failures;         // reported since the last success
    double speed;             // as WORKER SET has it; 0: learnt
    const struct kvr_bytes *labels;
    size_t n_labels;
    int64_t max_requests; // live ones an instance, as WORKER SET has it; 0: the pool's
    enum kvr_role role;   // KVR_ROLE_BOTH also of a module that knows none
    int64_t drain_left;   // ms until what is left on it is to be moved; -1: no such time
};

struct kvr_field {
    struct kvr_bytes name, value; // value as text, also of numbers
};

// One that waits for room.
struct kvr_queued {
    struct kvr_bytes request, service_class, flow; // flow empty: of none
    int64_t position;                              // 0: next
    int64_t waited;                                // ms
    int64_t blocks;                                // of the request
};

struct kvr_queue_length {
    int64_t waiting; // requests
    int64_t tokens;  // of these, ISL + OSL
    int64_t
        estimate; // ms that a request of the class `default` would wait, came it now; -1: unknown
};

struct kvr_class {
    struct kvr_bytes name;
    int64_t priority;
    double weight;
    int64_t waiting, tokens;   // requests that wait, and their ISL + OSL
    int64_t oldest;            // ms that the first of them has waited; 0: nobody waits
    int64_t admitted, refused; // so far
    int64_t max_waiting, room; // as CLASS SET has them; -1: the module doesn't say
};

struct kvr_flow {
    struct kvr_bytes name;
    double weight;
    int64_t max_requests;      // live, 0: no limit
    int64_t rate, burst;       // tokens a second, and at once; 0: no limit
    int64_t requests, waiting; // live, and waiting
    int64_t left; // tokens that it may use now, below 0: it owes them; -1 without a rate
};

struct kvr_result {
    enum kvr_code code;
    const char *message; // for people; "" with KVR_CODE_OK. Never holds the caller's bytes
    bool degraded;       // see above
    bool unremembered;   // SELECT, CLAIM: booked, but no room to remember it
    unsigned sendings;   // how often it was sent; 1 unless something failed, or it waited
    // UPDATE 1, 0: not live · RELEASE: how many were live · CLAIM 1, 0: was live already
    // WORKER, CLASS, FLOW SET 1 created, 0 updated · WORKER, CLASS, FLOW DEL 1, 0 · EVENT: last applied seq
    // GAP, STALE, NOROOM, LIMITED: the number named. -1: none
    int64_t number;
    struct kvr_choice choice;         // SELECT
    const struct kvr_score *scores;   // SCORE, least cost first
    const struct kvr_worker *workers; // WORKER LIST, by name
    const struct kvr_field *fields;   // INFO, and what the server says
    size_t n;                 // of scores, workers, fields, queued, classes, flows or candidates
    enum kvr_circuit circuit; // REPORT: the worker's after it
    struct kvr_queue_length queue;             // QUEUE
    const struct kvr_queued *queued;           // QUEUE: the first n in order
    const struct kvr_class *classes;           // CLASS LIST, by name
    const struct kvr_flow *flows;              // FLOW LIST: some of them
    uint64_t cursor;                           // FLOW LIST, pools: where to go on; 0: that was all
    const struct kvr_explanation *explanation; // EXPLAIN
};

// The field of an INFO as an integer; `otherwise` if it isn't there or is none.
KVR_API int64_t kvr_info_int(const struct kvr_result *info, const char *name, int64_t otherwise);

// Called once for each asynchronous call that returned KVR_CODE_OK.
typedef void kvr_done(void *ctx, const struct kvr_result *r);

// ---- Calls ---------------------------------------------------------------------------------------
// Every call has two forms. The blocking one returns the result, never NULL. The asynchronous one
// returns KVR_CODE_OK and later calls back, or returns INVALID, FULL, NOMEM or CLOSED and doesn't.
// `done` may be NULL. What a call is given is copied before it returns.

// The blocks of a request: hashes, or tokens that the server hashes.
struct kvr_blocks {
    const uint64_t *hashes;       // prefix hashes, see hash.h; with tokens NULL
    const uint32_t *tokens;       // token ids; all of them, also the last partial block's
    size_t n;                     // hashes or tokens
    struct kvr_bytes lora, space; // with tokens: adapter, cache namespace; may be empty
};

enum {
    KVR_WEIGH_OVERLAP = 1,
    KVR_WEIGH_PREFILL = 2,
    KVR_WEIGH_REQUESTS = 4,
    KVR_WEIGH_TEMPERATURE = 8,
};
#define KVR_NO_LEASE (-1) // in a field `lease`: until released

struct kvr_select_call {      // SCORE takes the same, without request and lease
    struct kvr_bytes request; // 1..KVR_MAX_ID bytes
    struct kvr_blocks blocks;
    int64_t isl;                             // tokens; 0: what the pool takes it to be
    int64_t osl;                             // tokens expected; 0: unknown
    int64_t lease;                           // ms; 0: the pool's
    const struct kvr_bytes *among, *exclude; // names of workers; among NULL: all
    size_t n_among, n_exclude;
    const char *policy; // NULL: the pool's
    unsigned weigh;     // which of these to use instead of the pool's
    double overlap, prefill, requests, temperature;
    int64_t deadline; // ms for this call, without its waiting; 0: the handle's
    // A booking of a session goes where its last one went, if the pool's STICK allows; 1..KVR_MAX_ID
    // bytes, empty: of none. A module that knows no sessions or labels refuses the call (REFUSED).
    struct kvr_bytes session;
    const struct kvr_bytes *with, *without; // labels that a worker must have, and must not
    size_t n_with, n_without;               // at most KVR_MAX_LABELS each
    // Where no instance has room: ms that the request may wait for it, in the pool's queue; 0: it may not, and
    // the answer is NOROOM. It is measured from the call on, and over failovers. `deadline` counts only while there
    // is no primary that could let it wait. Not when degraded: then nothing waits.
    int64_t wait;
    struct kvr_bytes service_class, flow; // up to KVR_MAX_ID bytes; empty: `default`, and none
    // An instance for the prompt as well, chosen and booked in the same step. NOWORKER: there is none; ask without.
    // Degraded: no pair, the instance that is chosen computes the prompt itself. A module that knows no pairs
    // refuses the call (REFUSED).
    bool pair;
};

struct kvr_update_call {
    struct kvr_bytes request;
    bool prefilled;
    int64_t output; // tokens so far, all of them; 0: not said
    int64_t lease;  // ms; 0: as it is
    int64_t deadline;
};

struct kvr_claim_call {
    struct kvr_bytes request, worker;
    uint32_t rank;
    struct kvr_blocks blocks;
    int64_t isl, cached, output;
    bool prefilled;
    int64_t lease;
    int64_t deadline;
    int64_t osl;                          // tokens expected; 0: unknown
    struct kvr_bytes session;             // empty: of none
    struct kvr_bytes service_class, flow; // empty: `default`, and none
    struct kvr_bytes prefill_worker;      // who computes the prompt; empty: the worker itself
    uint32_t prefill_rank;
};

enum { // which fields of kvr_worker_call are meant; the names are those of WORKER SET
    KVR_WORKER_ADDR = 1,
    KVR_WORKER_RANKS = 2,
    KVR_WORKER_CAPACITY = 4,
    KVR_WORKER_STATE = 8,
    KVR_WORKER_TTL = 16,
    KVR_WORKER_SPEED = 32,
    KVR_WORKER_LABELS = 64,
    KVR_WORKER_MAX_REQUESTS = 128,
    KVR_WORKER_ROLE = 256,
    KVR_WORKER_DRAIN = 512, // together with the state KVR_DRAINING
};

struct kvr_worker_call {
    struct kvr_bytes worker, addr;
    unsigned set; // none: a heartbeat
    uint32_t ranks;
    int64_t capacity;
    enum kvr_state state; // KVR_READY or KVR_DRAINING
    int64_t ttl;          // ms
    int64_t deadline;
    double speed; // against the others' 1; 0: learnt by the pool
    // All that it has from now on, KVR_MAX_LABEL bytes each; usually key=value.
    const struct kvr_bytes *labels;
    size_t n_labels;      // at most KVR_MAX_LABELS
    int64_t max_requests; // live ones an instance; 0: the pool's
    enum kvr_role role;
    int64_t
        drain; // ms after which what is left on it is to be moved. After a loss it is said anew, whole
};

enum { // which fields of kvr_class_call are meant
    KVR_CLASS_SET_PRIORITY = 1,
    KVR_CLASS_SET_WEIGHT = 2,
    KVR_CLASS_SET_WAITING = 4,
    KVR_CLASS_SET_ROOM = 8,
};

struct kvr_class_call {
    struct kvr_bytes name; // 1..KVR_MAX_ID bytes
    unsigned set;
    int64_t priority; // -100..100; higher goes first
    double weight;    // above 0, up to 10^6: share among classes of equal priority
    int64_t waiting;  // requests that may wait; 0: no limit
    int64_t room;     // percent of an instance's limits that it may use, 0..100
    int64_t deadline;
};

enum { // which fields of kvr_flow_call are meant
    KVR_FLOW_SET_WEIGHT = 1,
    KVR_FLOW_SET_REQUESTS = 2,
    KVR_FLOW_SET_RATE = 4,
    KVR_FLOW_SET_BURST = 8,
};

struct kvr_flow_call {
    struct kvr_bytes name; // 1..KVR_MAX_ID bytes
    unsigned set;
    double weight;       // above 0, up to 10^6: share within its class
    int64_t requests;    // live; 0: no limit
    int64_t rate, burst; // tokens a second, and at once; 0: no limit, and a second's rate
    int64_t deadline;
};

enum kvr_op_kind { KVR_OP_STORED, KVR_OP_REMOVED, KVR_OP_CLEARED };

struct kvr_op {
    enum kvr_op_kind kind;
    int tier;               // enum kvr_tier; CLEARED: -1 for all
    const uint64_t *parent; // STORED: the block before the first; NULL: start of a sequence
    const uint64_t *hashes;
    size_t n;
};

struct kvr_event_call { // programs that publish use publisher.h, which keeps all this right
    struct kvr_bytes worker;
    uint32_t rank;
    uint64_t epoch, seq; // 1..INT64_MAX
    const struct kvr_op *ops;
    size_t n_ops;
    int64_t deadline;
};

// Chooses an instance and books the request on it. The handle remembers the request until it is
// released. Released while its SELECT waits for room, the request ends in the pool and the SELECT is answered
// KVR_CODE_RELEASED.
KVR_API const struct kvr_result *kvr_client_select(struct kvr_client *c,
                                                   const struct kvr_select_call *call);
KVR_API enum kvr_code kvr_client_select_async(struct kvr_client *c,
                                              const struct kvr_select_call *call, kvr_done *done,
                                              void *ctx);

// What SELECT would weigh, least cost first; books nothing.
KVR_API const struct kvr_result *kvr_client_score(struct kvr_client *c,
                                                  const struct kvr_select_call *call);
KVR_API enum kvr_code kvr_client_score_async(struct kvr_client *c,
                                             const struct kvr_select_call *call, kvr_done *done,
                                             void *ctx);

// Why SELECT would choose what it would choose now, for a request that may not wait; books nothing. It takes what SELECT
// takes, and looks at neither request, lease nor wait. top: how many candidates to tell of, up to 1,024; 0: as many as the
// module likes. A module that can't explain refuses the call (REFUSED).
KVR_API const struct kvr_result *kvr_client_explain(struct kvr_client *c,
                                                    const struct kvr_select_call *call, size_t top);
KVR_API enum kvr_code kvr_client_explain_async(struct kvr_client *c,
                                               const struct kvr_select_call *call, size_t top,
                                               kvr_done *done, void *ctx);

// How far a request is; renews its lease. What pools learn of lengths and speeds they learn from
// `prefilled` at the first token and from the last `output` before the RELEASE: say both, the
// last one just before the RELEASE, where it costs no round trip of its own. A request of this handle that the pool doesn't know (its
// lease ended, or a failover lost it) is booked back, and the answer is 1.
KVR_API const struct kvr_result *kvr_client_update(struct kvr_client *c,
                                                   const struct kvr_update_call *call);
KVR_API enum kvr_code kvr_client_update_async(struct kvr_client *c,
                                              const struct kvr_update_call *call, kvr_done *done,
                                              void *ctx);

// Ends requests: they are forgotten here at once, and in the pool when the answer comes. One that the
// server refuses (DENIED, REFUSED, OOM) has changed nothing in the pool so far; the handle says it again, with
// pauses, until it is carried out.
KVR_API const struct kvr_result *kvr_client_release(struct kvr_client *c,
                                                    const struct kvr_bytes *requests, size_t n);
KVR_API enum kvr_code kvr_client_release_async(struct kvr_client *c,
                                               const struct kvr_bytes *requests, size_t n,
                                               kvr_done *done, void *ctx);

// Books a request on a given instance; the handle remembers it as after SELECT.
KVR_API const struct kvr_result *kvr_client_claim(struct kvr_client *c,
                                                  const struct kvr_claim_call *call);
KVR_API enum kvr_code kvr_client_claim_async(struct kvr_client *c,
                                             const struct kvr_claim_call *call, kvr_done *done,
                                             void *ctx);

// Registers or changes a worker; also its heartbeat. The handle remembers what it said of a worker
// and says it again after a loss. WORKER DEL likewise.
KVR_API const struct kvr_result *kvr_client_worker_set(struct kvr_client *c,
                                                       const struct kvr_worker_call *call);
KVR_API enum kvr_code kvr_client_worker_set_async(struct kvr_client *c,
                                                  const struct kvr_worker_call *call,
                                                  kvr_done *done, void *ctx);
KVR_API const struct kvr_result *kvr_client_worker_del(struct kvr_client *c,
                                                       struct kvr_bytes worker);
KVR_API enum kvr_code kvr_client_worker_del_async(struct kvr_client *c, struct kvr_bytes worker,
                                                  kvr_done *done, void *ctx);
// What the handle said of the worker isn't said again after a loss: somebody else looks after it now, or has
// taken it out. Nothing is sent. False: it is being said again right now; ask later.
KVR_API bool kvr_client_worker_forget(struct kvr_client *c, struct kvr_bytes worker);
// How a call to the worker went. Failures in a row open its circuit: for a while nobody is sent there,
// whoever asks the pool. One that had to be sent again may count twice. Without a primary a degrading
// handle answers OK and forgets it: reports aren't worth keeping.
KVR_API const struct kvr_result *kvr_client_report(struct kvr_client *c, struct kvr_bytes worker,
                                                   bool ok);
KVR_API enum kvr_code kvr_client_report_async(struct kvr_client *c, struct kvr_bytes worker,
                                              bool ok, kvr_done *done, void *ctx);
KVR_API const struct kvr_result *kvr_client_worker_list(struct kvr_client *c);
KVR_API enum kvr_code kvr_client_worker_list_async(struct kvr_client *c, kvr_done *done, void *ctx);

KVR_API const struct kvr_result *kvr_client_event(struct kvr_client *c,
                                                  const struct kvr_event_call *call);
KVR_API enum kvr_code kvr_client_event_async(struct kvr_client *c,
                                             const struct kvr_event_call *call, kvr_done *done,
                                             void *ctx);

// Who waits for room: how many, and the first n of them in order (0: ten).
KVR_API const struct kvr_result *kvr_client_queue(struct kvr_client *c, size_t n);
KVR_API enum kvr_code kvr_client_queue_async(struct kvr_client *c, size_t n, kvr_done *done,
                                             void *ctx);

// Classes and flows are an operator's settings: the handle sends them once, and doesn't repair them after a
// loss. The class `default` is always there; it and a class of which requests wait can't be deleted (REFUSED).
KVR_API const struct kvr_result *kvr_client_class_set(struct kvr_client *c,
                                                      const struct kvr_class_call *call);
KVR_API enum kvr_code kvr_client_class_set_async(struct kvr_client *c,
                                                 const struct kvr_class_call *call, kvr_done *done,
                                                 void *ctx);
KVR_API const struct kvr_result *kvr_client_class_del(struct kvr_client *c, struct kvr_bytes name);
KVR_API enum kvr_code kvr_client_class_del_async(struct kvr_client *c, struct kvr_bytes name,
                                                 kvr_done *done, void *ctx);
KVR_API const struct kvr_result *kvr_client_class_list(struct kvr_client *c);
KVR_API enum kvr_code kvr_client_class_list_async(struct kvr_client *c, kvr_done *done, void *ctx);

// Limits of a tenant; one that has none needn't be registered. Its list comes in parts: the first with
// cursor 0, the next with the result's cursor, until that is 0. count: about how many a part; 0: as many as the
// module likes.
KVR_API const struct kvr_result *kvr_client_flow_set(struct kvr_client *c,
                                                     const struct kvr_flow_call *call);
KVR_API enum kvr_code kvr_client_flow_set_async(struct kvr_client *c,
                                                const struct kvr_flow_call *call, kvr_done *done,
                                                void *ctx);
KVR_API const struct kvr_result *kvr_client_flow_del(struct kvr_client *c, struct kvr_bytes name);
KVR_API enum kvr_code kvr_client_flow_del_async(struct kvr_client *c, struct kvr_bytes name,
                                                kvr_done *done, void *ctx);
KVR_API const struct kvr_result *kvr_client_flow_list(struct kvr_client *c, uint64_t cursor,
                                                      size_t count);
KVR_API enum kvr_code kvr_client_flow_list_async(struct kvr_client *c, uint64_t cursor,
                                                 size_t count, kvr_done *done, void *ctx);

// KVROUTE.INFO of the pool.
KVR_API const struct kvr_result *kvr_client_info(struct kvr_client *c);
KVR_API enum kvr_code kvr_client_info_async(struct kvr_client *c, kvr_done *done, void *ctx);

// Redis's own INFO of the primary, the sections server, clients and replication, its lines as fields: which
// version it is, and how far its replicas are.
KVR_API const struct kvr_result *kvr_client_server(struct kvr_client *c);
KVR_API enum kvr_code kvr_client_server_async(struct kvr_client *c, kvr_done *done, void *ctx);

// Who is connected to the primary and has a name (CLIENT LIST): a field for each connection, its name and its
// address. The server looks at every connection for it, so ask seldom.
KVR_API const struct kvr_result *kvr_client_connections(struct kvr_client *c);
KVR_API enum kvr_code kvr_client_connections_async(struct kvr_client *c, kvr_done *done, void *ctx);

// Which pools there are on the primary's database (SCAN), whichever the handle is of: a field for each, its key, the
// value empty. They come in parts, as flows do; a key may come twice. Of a cluster, those on the node of the handle's
// pool. Every key of the server is looked at, a thousand a part.
KVR_API const struct kvr_result *kvr_client_pools(struct kvr_client *c, uint64_t cursor);
KVR_API enum kvr_code kvr_client_pools_async(struct kvr_client *c, uint64_t cursor, kvr_done *done,
                                             void *ctx);

// ---- Running without an event loop ---------------------------------------------------------------

// Lets the handle work for up to ms (0: only what is ready), until something has happened. A program
// that uses the asynchronous form without a loop calls it often; one that is idle should call it now and
// then, or losses wait for the next call to be noticed. Nothing with a loop of the caller's.
KVR_API void kvr_client_run(struct kvr_client *c, int64_t ms);

// The same until no call is under way and nothing is left to put back, or ms have passed: returns whether
// all is done. It isn't while there is no primary that could have what the handle remembers.
KVR_API bool kvr_client_drain(struct kvr_client *c, int64_t ms);

// ---- Looking -------------------------------------------------------------------------------------

struct kvr_client_stats {
    bool connected;    // to a verified primary
    char primary[128]; // its address, "" before the first
    size_t pending;    // calls under way
    size_t live;       // requests remembered
    size_t live_bytes;
    size_t unconfirmed;       // of these, not yet known to be booked in the present history
    uint64_t calls, sendings; // sendings − calls: what was sent again, also by waiting
    uint64_t connects;        // verified primaries reached
    uint64_t losses;          // times when another history was found: writes may have been lost
    uint64_t lost;            // live requests that were missing then
    uint64_t repaired;        // of these and of the degraded choices, booked back
    uint64_t degraded;        // answers without a primary
    uint64_t unremembered;
    uint64_t forgotten;  // live requests whose lease was over without a word
    uint64_t timeouts;   // calls answered KVR_CODE_TIMEOUT
    int64_t longest_gap; // ms, the longest time without a primary since one was first reached
    int64_t last_gap;    // ms, the latest of these
    size_t waiting;      // of the calls under way, those that wait for room
    uint64_t waited;     // calls that were booked after they had waited
    bool subscribed;     // the pool's word of admissions comes through at present
};
KVR_API void kvr_client_stats(const struct kvr_client *c, struct kvr_client_stats *out);

#ifdef __cplusplus
}
#endif

#endif
