// SPDX-License-Identifier: Apache-2.0
// A store of KV blocks that several engines share: which prefix hashes are in it. It is a file that all of
// them map; what is in it stays. When a block finds no slot any more it isn't stored.
#ifndef MOCK_STORE_H
#define MOCK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mock_store;

struct mock_store *mock_store_open(const char *path); // made if it isn't there; NULL and errno
void mock_store_close(struct mock_store *s);          // NULL: nothing
void mock_store_add(struct mock_store *s, const uint64_t *hashes, size_t n);
size_t mock_store_find(const struct mock_store *s, const uint64_t *hashes,
                       size_t n); // the first so many

#endif
