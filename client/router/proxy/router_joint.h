// SPDX-License-Identifier: Apache-2.0
// Where two parts of a stream meet: which text is owed, and stop strings across the joint.
//
//     ids of the answer so far      a b c d e
//     their text                    "one two thr"
//     sent by the first engine      "one two"            it holds back what a stop string could begin with
//     owed                                 " thr"        by whoever goes on, since the second engine takes
//     from the second engine                   "ee …"    it for prompt, and sees no stop string that begins there
//
// So the router sends what is owed, and until so much has come behind it as the longest stop string needs, it looks for
// one that begins in it. Pure.
#ifndef ROUTER_JOINT_H
#define ROUTER_JOINT_H

#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    ROUTER_JOINT_TAIL = 64, // bytes of the text that was sent last, by which it is found again
    ROUTER_JOINT_MAX_STOP = 256,
    ROUTER_JOINT_MAX_STOPS = 16,
};

struct router_joint {
    char tail[ROUTER_JOINT_TAIL]; // of what was sent
    size_t n_tail;
    char *owed; // NULL: nothing is, or it was sent
    size_t owed_size;
    struct evbuffer *joined; // what is owed, and what has come behind it
    const char *stop;        // that was found; of the list
    size_t stop_at;          // in `joined`
};

void router_joint_free(struct router_joint *j);
// At a seam: what was owed at the last one is forgotten; what was sent isn't.
void router_joint_seam(struct router_joint *j);
// The text of a JSON string between its quotes, to the end of `out`. False: no memory.
bool router_joint_decode(const char *json, size_t n, struct evbuffer *out);
// Text was sent.
void router_joint_sent(struct router_joint *j, const char *text, size_t n);

// Bytes of the longest stop string.
size_t router_joint_longest(const json_t *stops);
// Whether there are no more, and no longer ones, than are looked for.
bool router_joint_can(const json_t *stops);
// `text` is that of the last tokens: what of it is owed. False: what was sent isn't in it, or no memory.
bool router_joint_settle(struct router_joint *j, const json_t *stops, const char *text, size_t n);

enum router_joint_state { ROUTER_JOINT_UNSURE, ROUTER_JOINT_STOPS, ROUTER_JOINT_CLEAR };
// What `joined` has by now; over: nothing more comes.
enum router_joint_state router_joint_look(struct router_joint *j, const json_t *stops, bool over);

#endif
