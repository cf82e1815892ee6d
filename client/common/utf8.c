// SPDX-License-Identifier: Apache-2.0
#include "utf8.h"

#include <stdint.h>

size_t kvr_utf8_size(const char *bytes, size_t n) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; // of a form of so many bytes
    const unsigned char *b = (const unsigned char *)bytes;
    if (!n) return 0;
    if (b[0] < 0x80) return 1;
    size_t size = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc0 || b[0] > 0xf4 || n < size) return 0;
    uint32_t c = b[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (b[i] & 0x3f);
    }
    return c < least[size] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : size;
}
