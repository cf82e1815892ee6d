// SPDX-License-Identifier: Apache-2.0
// Names and addresses come from others, with any bytes in them; logs and metrics are UTF-8.
#ifndef KVR_COMMON_UTF8_H
#define KVR_COMMON_UTF8_H

#include <stddef.h>

// The bytes, 1 to 4, of the character that the n bytes begin with; 0: they begin with none, or n is 0. As
// Unicode has it: no longer forms than needed, no surrogates, nothing above U+10FFFF.
size_t kvr_utf8_size(const char *bytes, size_t n);

#endif
