// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static bool debug;

void kvr_log_debug(bool on) {
    debug = on;
}

void kvr_log_time(char out[KVR_LOG_TIME_SIZE]) {
    struct timespec t;
    struct tm tm;
    char date[21];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, KVR_LOG_TIME_SIZE, "%.19s.%03uZ", date, (unsigned)(t.tv_nsec / 1000000) % 1000);
}

void kvr_log_client(void *ctx, enum kvr_level level, const char *line) {
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char now[KVR_LOG_TIME_SIZE];
    (void)ctx;
    if (level == KVR_LOG_DEBUG && !debug) return;
    kvr_log_time(now);
    fprintf(stderr, "%s %s %s\n", now, names[level], line);
}

void kvr_log_line(enum kvr_level level, const char *format, ...) {
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    kvr_log_client(NULL, level, line);
}
