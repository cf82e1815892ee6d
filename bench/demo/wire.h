// SPDX-License-Identifier: Apache-2.0
// What routers and workers say to each other, over a SOCK_SEQPACKET pair each.
#ifndef DEMO_WIRE_H
#define DEMO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

enum wire_kind {
    WIRE_ARRIVES, // this request has come; what is news by now? Answered
    WIRE_HAND,    // it is yours. Not answered
    WIRE_LOOK,    // is there more news? Answered
    WIRE_DRAIN,   // no more will come from here; answered when all routers have said so
};
struct wire_call {
    uint32_t kind, request, worker;
};

enum wire_news { WIRE_PREFILLED, WIRE_DONE };
enum { WIRE_NEWS = 256 };
struct wire_answer {
    uint32_t n;
    uint32_t more; // 1: look again
    struct {
        uint32_t request, what;
    } news[WIRE_NEWS];
};

#endif
