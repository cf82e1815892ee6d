// SPDX-License-Identifier: Apache-2.0
#include "context.h"

#include <stdarg.h>
#include <stdio.h>

#include "client/common/random.h"

int64_t kvr_context_jitter(struct kvr_context *c, int64_t ms) {
    return ms / 2 + (int64_t)(kvr_random(&c->random) % (uint64_t)(ms + 1));
}

void kvr_context_wake(struct kvr_context *c, int64_t at) {
    c->wake(c->handle, at);
}

void kvr_context_log(struct kvr_context *c, enum kvr_level level, const char *format, ...) {
    char line[512];
    va_list args;
    if (!c->log) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->callbacks++;
    c->log(c->log_ctx, level, line);
    c->callbacks--;
}
