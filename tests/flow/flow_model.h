// SPDX-License-Identifier: Apache-2.0
// A pool over the socket beside the naive model, and the command at hand: what the random stream and the comparison
// of the whole state share. There is one of it, as in its test.
#ifndef FLOW_MODEL_H
#define FLOW_MODEL_H

#include "flow_universe.h"
#include "tests/unit/unit_model.h"

enum {
    FLOW_MODEL_WORKERS = 6,
    FLOW_MODEL_RANKS = 3,
    FLOW_MODEL_REQUESTS = 40,
    FLOW_MODEL_LABELS = 3,
    FLOW_MODEL_SESSIONS = 8,
    FLOW_MODEL_NOW = 1,
};

extern struct unit_model flow_model;
extern struct flow_universe flow_model_universe;
extern struct flow_conn *flow_model_conn;
extern struct flow_args flow_model_args;
extern int flow_model_step;
extern char flow_model_last[2000]; // the latest command of the stream
extern const struct kvr_bytes flow_model_labels[FLOW_MODEL_LABELS];

void flow_model_spell(char *text,
                      size_t size); // the command being built, in a form that can be read
void flow_model_check(bool holds, const char *what);
struct kvr_bytes flow_model_name(const char *kind,
                                 int number); // names of one command are valid together
struct kvr_bytes flow_model_add(struct kvr_bytes bytes);
const struct flow_reply *flow_model_send(void);
void flow_model_expect_bytes(const struct flow_reply *map, const char *field,
                             struct kvr_bytes want);
void flow_model_expect_field(const struct flow_reply *map, const char *field, uint64_t want);

// Asks for workers, requests, sessions and counts, and compares all of it.
void flow_model_compare(void);

#endif
