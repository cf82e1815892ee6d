// SPDX-License-Identifier: Apache-2.0
// See log.h.
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static bool debug;

void log_debug(bool on) {
    debug = on;
}

void log_time(char out[LOG_TIME]) {
    struct timespec t;
    struct tm tm;
    char date[21];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, LOG_TIME, "%.19s.%03uZ", date, (unsigned)(t.tv_nsec / 1000000) % 1000);
}

void log_client(void *ctx, enum kvr_level level, const char *line) {
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char now[LOG_TIME];
    (void)ctx;
    if (level == KVR_LOG_DEBUG && !debug) return;
    log_time(now);
    fprintf(stderr, "%s %s %s\n", now, names[level], line);
}

void log_line(enum kvr_level level, const char *format, ...) {
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_client(NULL, level, line);
}
