// SPDX-License-Identifier: Apache-2.0
#include "wakeup.h"

#include <stdbool.h>
#include <stddef.h>

static bool set, soon;
static RedisModuleTimerID timer; // while it is set
static void (*call)(RedisModuleCtx *ctx);

static void on_timer(RedisModuleCtx *ctx, void *data) {
    (void)data;
    set = false;
    call(ctx);
}

void mod_wakeup_after(RedisModuleCtx *ctx, int64_t ms, void (*fire)(RedisModuleCtx *ctx)) {
    if (set) RedisModule_StopTimer(ctx, timer, NULL);
    timer = RedisModule_CreateTimer(ctx, ms, on_timer, NULL);
    call = fire;
    set = true;
    soon = false;
}

void mod_wakeup_soon(RedisModuleCtx *ctx) {
    if (!set || soon) return;
    mod_wakeup_after(ctx, 1, call);
    soon = true;
}
