// SPDX-License-Identifier: Apache-2.0
// The text of a file of engines: one a line,
//
//     # a comment
//     http://10.0.0.1:8000
//     http://10.0.0.2:8000 name=gpu1 role=prefill ranks=2 capacity=4096 pool=demo label=zone=a label=gen=h100
//     http://10.0.0.3:8000 state=draining
//
// A file is taken whole or not at all. One without a byte is refused: most likely somebody is writing it; a comment
// says that there are to be none.
#ifndef DISCOVERY_LINES_H
#define DISCOVERY_LINES_H

#include "discovery_known.h"

struct discovery_lines;

// Reads n bytes. NULL with a reason, which names the line.
struct discovery_lines *discovery_lines_read(const char *text, size_t n,
                                             const struct discovery_config *config,
                                             struct kvr_config_error *e);
void discovery_lines_free(struct discovery_lines *l);
// Tells them as one answer.
void discovery_lines_tell(const struct discovery_lines *l, struct discovery_known *k);

#endif
