// SPDX-License-Identifier: Apache-2.0
// A handle, from the inside.
//
// Three things go on in it, each in files of its own:
//   finding (find.c, greet.c)   from no connection to a verified primary, over Sentinels or nodes;
//   calls (calls.c, op.c, outcome.c)   what callers asked for: queued, sent, sent again, answered;
//   repair (repair.c)           what is remembered and not known to be in the present history.
// client.c owns the clock: everything that takes time happens in its tick(), which the loop's timer
// calls. Callbacks of hiredis only take replies in and ask for a tick; nothing else frees
// connections, gives up calls or moves from stage to stage.
//
//   IDLE ──retry_at──> ASKING a Sentinel or node ──> GREETING the primary ──> READY
//     ^                     │ next one                  │                       │
//     └─────────────────────┴───────────────────────────┴── it fails ──────────┘
#ifndef KVR_LIB_CLIENT_IMPL_H
#define KVR_LIB_CLIENT_IMPL_H

#include <kvroute/client.h>

#include "answer.h"
#include "client/common/list.h"
#include "handle.h"
#include "link.h"
#include "memory.h"
#include "poll_loop.h"
#include "url.h"

enum {
    NODES = 64,            // Sentinels or cluster nodes that a handle knows
    STALE = 8,             // connections given up that a server may still know
    CHECKS = 64,           // looks of the repair under way at a time
    SENT_COUNT = 4096,     // calls under way on the connection
    SENT_BYTES = 1 << 20,  // of these; hiredis moves what is unwritten at every write
    BACKOFF_FIRST = 10,    // ms
    BACKOFF_MOST = 250,    // ms
    EARLY_COUNT = 64,      // calls, or
    EARLY_BYTES = 65536,   // bytes that are written without waiting for the loop
    AGAIN = 20,            // ms until a call that was answered TRYAGAIN goes again
    SENTINEL_CHECK = 1000, // ms between two looks whether the primary is still the primary
    RECOVERED = 1000,      // ms of service after which failures count from one again
    ASKING_FOR = 1000,     // ms that a connection says ASKING
    RECOVERING = 10000,    // ms after a loss in which the workers may still be coming back
    WATCH = 100,           // ms between two looks at a connection that owes replies
};

enum stage { STAGE_IDLE, STAGE_ASKING, STAGE_GREETING, STAGE_READY };

enum op_kind {
    OP_SELECT,
    OP_SCORE,
    OP_UPDATE,
    OP_UPDATE_CLAIM, // an UPDATE that found its request gone and books it back
    OP_RELEASE,
    OP_CLAIM,
    OP_WORKER_SET,
    OP_WORKER_DEL,
    OP_WORKER_LIST,
    OP_REPORT,
    OP_EVENT,
    OP_INFO,
};

// A call under way. It is in one list: queue, sent, returned or later; after its caller has had an
// answer (`answered`) only in sent, because the reply is still to come.
struct op {
    struct kvr_list_item in;
    struct kvr_client *client;
    enum op_kind kind;
    struct command command;
    kvr_done *done;
    void *ctx;
    int64_t deadline;                 // NEVER: a publisher's
    int64_t not_before;               // in later
    const struct answer_error *borne; // the last error that kept it from being answered
    unsigned sendings;
    bool answered;
    bool blocking; // its result is kept until the next blocking call
    // SELECT, CLAIM: what is remembered when it is booked, NULL when it isn't to be
    struct live *live;
    struct live *claimed;    // UPDATE_CLAIM: what it books back
    struct kvr_bytes id;     // SELECT, CLAIM, UPDATE: in the command; UPDATE_CLAIM: in claimed
    struct kvr_bytes worker; // CLAIM, WORKER SET, WORKER DEL: in the command
    uint32_t rank;           // CLAIM
    size_t session_at;       // SELECT, CLAIM: where the session's name is in the command; 0: none
    size_t names_at;         // SELECT: where AMONG, EXCLUDE, WITH and WITHOUT begin in the command
    size_t n_among, n_exclude, n_with, n_without;
    bool among;
    size_t ids_at, n_ids; // RELEASE: where the ids begin in the command
    size_t n_live;        // of these ids, ours
};

// What a handle knows of where the primary is.
struct finder {
    struct address nodes[NODES]; // Sentinels or cluster nodes; the URL's first
    size_t n_nodes, next, asked; // asked: in this round
    struct address target;       // of the greeting; in a round of ASKING the best said so far
    int64_t target_epoch;        // Sentinel's config epoch of it; -1: none yet
    struct address known;        // the last verified primary
    int64_t known_epoch;
    bool has_known, has_target;
    bool asking; // the key is at target, its slot isn't yet
    int64_t asking_until;
    int64_t retry_at;
    unsigned failures; // in a row
    int64_t check_at;  // when to look whether it is still the primary
    bool checking;
};

// A connection of ours that was given up while it owed replies. What it was sent may still reach the
// server, after its repetition and whatever followed that; so the server is asked to end it first.
struct stale {
    uint64_t run; // of the server, a hash of its run id
    int64_t id;   // as CLIENT ID names it; 0: none
};

// What greeting the primary has found out.
struct greeting {
    unsigned owed; // replies
    uint64_t run;  // a hash of the run id
    int64_t id;    // of this connection; 0: we may not ask
    bool is_primary, no_pool, knows_history, ended_stale;
    uint64_t history; // a hash of run id and replication id
    int64_t version, lease;
};

struct kvr_client {
    struct kvr_alloc alloc;
    struct kvr_loop loop;
    struct poll_loop *own; // the loop, if the caller has given none
    void *timer;
    int64_t timer_at;  // NEVER: not set
    int64_t ticked_at; // ms
    struct topology where;
    void *tls;
    char *pool, *create; // create may be NULL
    bool degrade;
    size_t max_pending;
    int64_t refresh;
    void (*log)(void *ctx, enum kvr_level level, const char *line);
    void *log_ctx;
    uint64_t random;

    enum stage stage;
    struct link primary, guide;
    struct finder finder;
    struct greeting greeting;
    struct stale stale[STALE];
    size_t next_stale;
    struct command greet_info; // the pool's INFO, encoded once
    char why[160];             // the last reason for having no primary
    bool denied;               // that reason is a matter of users and passwords

    struct kvr_list_item queue, sent, returned, later;
    size_t pending; // callers without an answer
    size_t sent_count, sent_bytes;
    size_t unwritten_count, unwritten_bytes; // handed to hiredis since the loop last turned
    int64_t next_deadline;                   // not after the first one of a pending call

    struct memory memory;
    uint64_t history; // of the primary that answered last
    bool knows_history;
    int64_t version;    // of the pool, the highest seen in this history
    int64_t lease;      // the pool's
    int64_t lost_at;    // ms, when another history was found; 0: never
    int64_t ready_at;   // ms, when this primary was reached
    int64_t down_since; // ms; meaningless in READY
    int64_t refresh_at, repair_at, forget_at;
    int64_t release_at;        // ms; before it nothing is released by the repair
    unsigned release_failures; // in a row, of its releases
    bool refreshing, creating, was_ready;
    size_t looks; // of the repair, under way

    struct follower followers; // the head
    bool tell_followers;       // of another history

    struct kvr_arena passing, kept; // strings of results: of callbacks; of the last blocking call
    struct kvr_result result;       // of the last blocking call
    bool has_result;
    unsigned depth; // callers' callbacks under way
    unsigned turns; // blocking calls, runs and drains on the stack: they outlast a close
    bool closing, in_tick;
    struct kvr_client_stats stats;
};

// ---- client.c ------------------------------------------------------------------------------------
void client_wake(struct kvr_client *c, int64_t at); // a tick not later than this
uint64_t client_random(struct kvr_client *c);
int64_t client_jitter(struct kvr_client *c, int64_t ms); // half to one and a half of it
struct link_means client_means(struct kvr_client *c);
void client_history_lost(struct kvr_client *c); // nothing is confirmed any more
// Around whatever turns the handle's own loop. After it the handle may be gone: false, it was closed.
void client_enter(struct kvr_client *c);
bool client_leave(struct kvr_client *c);

// ---- find.c --------------------------------------------------------------------------------------
void find_init(struct kvr_client *c);
void find_step(struct kvr_client *c, int64_t now); // from the tick, while there is no primary
// The primary, or the way to it, has failed. The next try comes after a while.
void find_failed(struct kvr_client *c, const char *why, bool denied, int64_t now);
// A node said MOVED or ASK. false: it named no address.
bool find_redirect(struct kvr_client *c, const char *error, size_t n, bool ask);
void find_check(struct kvr_client *c, int64_t now); // whether Sentinels still say the same
void find_guide_opened(struct link *l);

// ---- greet.c -------------------------------------------------------------------------------------
void greet_opened(struct link *l);

// ---- op.c ----------------------------------------------------------------------------------------
struct op *op_new(struct kvr_client *c, enum op_kind kind, int64_t deadline, kvr_done *done,
                  void *ctx); // NULL: no memory
void op_free(struct op *o);
enum kvr_code op_submit(struct op *o);             // takes the op over
void op_pump(struct kvr_client *c, int64_t now);   // sends what can be sent
void op_connection_lost(struct kvr_client *c);     // what was sent is to be sent again
void op_expire(struct kvr_client *c, int64_t now); // deadlines, and what waited to go again
void op_close_all(struct kvr_client *c);
void op_answer(struct op *o, struct kvr_result *r); // to its caller; o may be freed

// ---- results -------------------------------------------------------------------------------------
struct kvr_result result_of(enum kvr_code code, const char *message); // op.c

// ---- calls.c -------------------------------------------------------------------------------------
// Who wants the result of a call.
struct caller {
    kvr_done *done;
    void *ctx;
    bool blocking;
};

enum kvr_code call_select(struct kvr_client *c, const struct kvr_select_call *q, struct caller who);
enum kvr_code call_score(struct kvr_client *c, const struct kvr_select_call *q, struct caller who);
enum kvr_code call_update(struct kvr_client *c, const struct kvr_update_call *q, struct caller who);
enum kvr_code call_release(struct kvr_client *c, const struct kvr_bytes *ids, size_t n,
                           struct caller who);
enum kvr_code call_claim(struct kvr_client *c, const struct kvr_claim_call *q, struct caller who);
enum kvr_code call_worker(struct kvr_client *c, const struct kvr_worker_call *q, bool del,
                          struct caller who);
enum kvr_code call_event(struct kvr_client *c, const struct kvr_event_call *q, struct caller who);
enum kvr_code call_report(struct kvr_client *c, struct kvr_bytes worker, bool ok,
                          struct caller who);
// WORKER LIST, INFO: a command of the pool alone.
enum kvr_code call_look(struct kvr_client *c, enum op_kind kind, struct caller who);
void call_encode_worker(struct wire *w, const char *pool, const struct kvr_worker_call *q,
                        bool del);

// ---- outcome.c -----------------------------------------------------------------------------------
// What an answer changes in the memory, and in the answer. Called once for an op that a primary has
// answered, before its caller is. false: the op has been queued anew and isn't answered yet.
bool call_answered(struct op *o, struct kvr_result *r);
// The same for one that gets no answer from a primary in time. Fills in the result.
void call_given_up(struct op *o, struct kvr_result *r);
// The command that books a remembered request back. false: no memory.
bool call_encode_claim(struct kvr_client *c, const struct live *l, struct command *out);

// ---- degrade.c -----------------------------------------------------------------------------------
// Chooses without a primary, among the last known instances. false: there is none.
bool degrade_choose(struct op *o, struct kvr_result *r);
void degrade_refresh(struct kvr_client *c, int64_t now); // asks for the workers

// ---- repair.c ------------------------------------------------------------------------------------
void repair_step(struct kvr_client *c, int64_t now);
void repair_create_pool(struct kvr_client *c);
bool repair_done(const struct kvr_client *c); // nothing is left to look at

#endif
