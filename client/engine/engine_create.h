// SPDX-License-Identifier: Apache-2.0
// Options of KVROUTE.CREATE that don't say how large blocks are: then the first engine of the pool does.
#ifndef ENGINE_ENGINE_CREATE_H
#define ENGINE_ENGINE_CREATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether they leave it to an engine: they name no BLOCKSIZE, and no PREDICT either. Where what was sent counts as
// cached, blocks of any size will do.
bool engine_create_lacks_size(const char *options);
// The options with that size; 0: as they are. False: they don't fit.
bool engine_create_with_size(const char *options, uint32_t block_size, char *out, size_t size);

#endif
