// SPDX-License-Identifier: Apache-2.0
// What routers and workers say to each other: one message each way over a SOCK_SEQPACKET pair.
#ifndef DEMO_WIRE_H
#define DEMO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

enum wire_kind {
    WIRE_HAND,  // this request is yours
    WIRE_LOOK,  // is there news?
    WIRE_DRAIN, // no more requests will come from here; answer when all routers have said so
};
struct wire_call {
    uint32_t kind, request, worker;
};

enum wire_news { WIRE_PREFILLED, WIRE_DONE };
enum { WIRE_NEWS = 256 };
struct wire_answer {
    uint32_t n;
    uint32_t more; // 1: ask again
    struct {
        uint32_t request, what;
    } news[WIRE_NEWS];
};

#endif
