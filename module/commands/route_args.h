// SPDX-License-Identifier: Apache-2.0
// What SELECT, SCORE, EXPLAIN and the effect ENQUEUE have in common: blocks and options.
#ifndef CMD_ROUTE_ARGS_H
#define CMD_ROUTE_ARGS_H

#include "module/command_io/block_list.h"
#include "module/command_io/command_call.h"

enum cmd_route_kind { CMD_ROUTE_SCORE, CMD_ROUTE_EXPLAIN, CMD_ROUTE_SELECT, CMD_ROUTE_ENQUEUE };

struct cmd_route {
    struct kvr_query query;
    struct mod_block_list list;
    int64_t lease; // ms, -1: the pool's
    bool block;
    uint64_t top; // candidates; 0: not said
    int64_t at;   // of an effect; -1: not said
};

// Takes the rest of the arguments, and makes the query ready to be asked.
bool cmd_route_parse(struct mod_call *c, enum cmd_route_kind kind, struct cmd_route *r);
// The same of a command that has no pool yet: only what stands in the arguments.
bool cmd_route_words(struct mod_args *a, enum cmd_route_kind kind, struct cmd_route *r);

#endif
