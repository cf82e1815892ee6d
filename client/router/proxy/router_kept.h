// SPDX-License-Identifier: Apache-2.0
// What is kept of a stream so that it can go on at another engine, and the way of its events to the client.
//
//   engine ──> line ──> event ──┬─ text, or the end ──> pending, then this ──> client
//                               └─ ids and no text ──> pending
//
// The engine is asked for the token ids of prompt and answer. They are kept, and taken out of the events unless
// the client has asked for them himself; all other bytes stay as they are.
//
// A stream may be cut only behind a token that brought text: a prompt that ends within a character comes out again
// with the first whole one. So events that bring ids and no text wait for the next one that does. What the
// client has is then always what the ids up to `n_sent` stand for, and the rest is dropped at a seam and
// comes anew.
//
// After a seam the events are another engine's: they get the first one's id, creation time, model and fingerprint,
// and the usage counts all of it. Its cached tokens are those that the pool knew of at the first engine, whose own
// count went with it; other details (tokens of reasoning) would be those of the last part, so they become null.
#ifndef ROUTER_KEPT_H
#define ROUTER_KEPT_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/router/prompt/router_members.h"
#include "router_joint.h"
#include "router_protection.h"

// What the events of a part are: `id` and the like, as JSON.
enum router_kept_name {
    ROUTER_KEPT_ID,
    ROUTER_KEPT_OBJECT,
    ROUTER_KEPT_CREATED,
    ROUTER_KEPT_MODEL,
    ROUTER_KEPT_FINGERPRINT,
    ROUTER_KEPT_NAMES
};

// Of all streams.
struct router_kept_total {
    int64_t bytes, max;
    int64_t streams; // that are protected
};

struct router_kept {
    struct router_protection how;
    struct router_kept_total *total;
    int64_t bytes;               // of this one
    enum router_protected_by by; // how it can go on now
    enum router_because because; // NOT: why it can't
    enum router_protected_by
        asked;             // how it could when the engine was asked: its events are looked at
    struct evbuffer *body; // the client's, from the answer's beginning on
    struct router_members members;  // of it
    uint32_t *ids;                  // of the prompt, then of the answer
    size_t n_prompt, n_ids, n_sent; // up to n_sent the client has the text
    size_t room;
    struct evbuffer *said; // of one that goes on by its text: all that was sent
    size_t n_said;         // events that it came in, about as many as tokens
    struct evbuffer *line; // what has come of the present event
    size_t begun, scanned; // of it: where the present line begins; what has no line's end
    unsigned lines;        // that aren't empty
    struct evbuffer *pending;
    unsigned n_pending;
    char *names[ROUTER_KEPT_NAMES];
    unsigned seams;
    int64_t cached;     // tokens of the prompt that the first engine had, as the pool said
    int64_t block_size; // 0: it didn't
    size_t before;      // tokens of the answer that came before the last seam
    size_t offset;      // of the text, that the last part's offsets count from
    size_t offset_end;  // of the text that was sent
    size_t offset_read;
    struct router_joint joint;
    unsigned last_ids; // that came with the last text
    unsigned rolled;   // ids that were taken back at this seam
    bool settled;      // the text at this seam is known
    bool told;         // a role, or anything of the answer, was sent
    bool texted;       // text was
    bool finished;     // a finish_reason was sent
    bool used;         // the usage was
    bool done;         // [DONE] was
};

// Takes what is in *how. NULL: no memory.
struct router_kept *router_kept_new(struct router_protection *how, struct router_kept_total *total);
void router_kept_free(struct router_kept *k);
// An answer begins at an engine that is asked in this way: the first one, or, when the client has nothing of that
// yet, another one instead.
void router_kept_begin(struct router_kept *k, enum router_protected_by by);
// In RELAY of the first part: what the pool said of its engine's cache. block_size 0: that isn't known.
void router_kept_note_cached(struct router_kept *k, int64_t blocks, uint32_t block_size);
// Moves the request's body here, before it is forgotten. A completion's prompt isn't needed when its ids are here.
void router_kept_take_body(struct router_kept *k, struct evbuffer *body,
                           struct router_members *members);
// It can't go on any more; what isn't needed for passing on is freed.
void router_kept_give_up(struct router_kept *k, enum router_because why);

// The stream leaves its engine: what the client hasn't is forgotten.
void router_kept_seam(struct router_kept *k);
// The engine that was to go on has failed, too, and what it said was nothing for the client yet: that is forgotten.
void router_kept_rewind(struct router_kept *k);
// Room for so many more ids. False: no memory, or as much is kept as may be.
bool router_kept_reserve(struct router_kept *k, size_t more);
// So many bytes more are kept. False: as much is as may be.
bool router_kept_count(struct router_kept *k, size_t bytes);
// Tokens of the answer that were sent.
size_t router_kept_sent(const struct router_kept *k);
// How many may still come; −1: that isn't said.
int64_t router_kept_left(const struct router_kept *k);
// At a seam: whether the text of the last tokens, from router_kept_tail on, is to be asked for.
bool router_kept_is_unsure(const struct router_kept *k);
size_t router_kept_tail(const struct router_kept *k);
// That text. *again: it ends within a character, the last token was taken back, and it is to be asked for again.
// False: the stream can't go on there, or there is no memory.
bool router_kept_settle(struct router_kept *k, const char *text, size_t n, bool *again);
// What an engine that broke off behind the finish_reason hasn't said: the usage, and the end; finish: that, too,
// because the answer is as long as it may be. False: no memory.
bool router_kept_finish(struct router_kept *k, bool finish, struct evbuffer *out);
// An event of the router's own: this text, and how the answer ends, "" if it doesn't. False: no memory.
bool router_kept_say(const struct router_kept *k, const char *text, size_t n, const char *finish,
                     const char *stop, struct evbuffer *out);

#endif
