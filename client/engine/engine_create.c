// SPDX-License-Identifier: Apache-2.0
#include "engine_create.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "client/common/config.h"

static bool names(const char *options, const char *option, size_t size) {
    size_t n;
    for (const char *at = options; (n = kvr_config_word(&at)); at += n)
        if (n == size && strncasecmp(at, option, n) == 0) return true;
    return false;
}

bool engine_create_lacks_size(const char *options) {
    static const char size[] = "BLOCKSIZE", predict[] = "PREDICT";
    return !names(options, size, sizeof size - 1) && !names(options, predict, sizeof predict - 1);
}

bool engine_create_with_size(const char *options, uint32_t block_size, char *out, size_t size) {
    int n = block_size ? snprintf(out, size, "BLOCKSIZE %" PRIu32 " %s", block_size, options)
                       : snprintf(out, size, "%s", options);
    return n >= 0 && (size_t)n < size;
}
