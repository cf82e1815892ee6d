// SPDX-License-Identifier: Apache-2.0
// Numbers as text, for replies and effects.
#ifndef MOD_DOUBLE_TEXT_H
#define MOD_DOUBLE_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { MOD_MAX_U64 = 20 };
size_t mod_format_u64(uint64_t v, char out[MOD_MAX_U64]); // the length

// As printf's %.17g, from which every double comes back the same. Most costs are multiples of 1/16 and
// take a tenth of the time.
enum { MOD_MAX_DOUBLE = 32 };
size_t mod_format_double(double v, char out[MOD_MAX_DOUBLE]); // the length

#endif
