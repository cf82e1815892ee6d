// SPDX-License-Identifier: Apache-2.0
// How far it is; see bench_progress.h.
#include "bench_progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "client/common/clock.h"

enum { BAR = 30 };
static const long long on_terminal = 100000000, elsewhere = 5000000000; // ns between lines

static bool terminal(void) {
    return isatty(STDERR_FILENO);
}

static void wipe(void) {
    if (terminal()) fputs("\r\033[K", stderr);
}

void bench_progress_begin(struct bench_progress *p, const char *what, size_t total) {
    long long now = kvr_clock_ns(CLOCK_MONOTONIC);
    *p = (struct bench_progress){.what = what, .total = total, .started = now, .shown = now};
}

void bench_progress_show(struct bench_progress *p, size_t done, double hit_percent) {
    long long now = kvr_clock_ns(CLOCK_MONOTONIC);
    if (now - p->shown < (terminal() ? on_terminal : elsewhere)) return;
    p->shown = now;
    char bar[BAR + 1];
    for (size_t i = 0; i < BAR; i++)
        bar[i] = i * p->total < done * BAR ? '#' : '.';
    bar[BAR] = 0;
    wipe();
    fprintf(stderr, "%-28s [%s] %zu of %zu, %.1f %% hit, %.0f s", p->what, bar, done, p->total,
            hit_percent, (double)(now - p->started) / 1e9);
    if (!terminal()) fputc('\n', stderr);
}

void bench_progress_end(void) {
    wipe();
}
