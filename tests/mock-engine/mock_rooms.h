// SPDX-License-Identifier: Apache-2.0
// A set of numbers: the rooms that have been used, none of which can be used again.
#ifndef MOCK_ROOMS_H
#define MOCK_ROOMS_H

#include <stdbool.h>
#include <stdint.h>

struct mock_rooms;

struct mock_rooms *mock_rooms_new(void);
void mock_rooms_free(struct mock_rooms *r);
void mock_rooms_clear(struct mock_rooms *r);
bool mock_rooms_add(struct mock_rooms *r, uint64_t room); // false: it was there

#endif
