// SPDX-License-Identifier: Apache-2.0
// Numbers that don't repeat, for ids (splitmix64; each state goes through all of them).
#ifndef ROUTER_DICE_H
#define ROUTER_DICE_H

#include <stdint.h>

static inline uint64_t dice_draw(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

#endif
