// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "utf8.h"

enum { LOG_MAX_LINE = 600, LOG_MAX_ESCAPED = 4 * LOG_MAX_LINE };

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

// C0 and C1, and what isn't UTF-8.
static bool is_control(const char *c, size_t size) {
    unsigned char first = (unsigned char)c[0];
    return !size || first < ' ' || first == 127 || (first == 0xc2 && (unsigned char)c[1] < 0xa0);
}

void kvr_log_escape(char *out, size_t room, const char *text) {
    static const char digits[] = "0123456789abcdef";
    size_t at = 0, n = strlen(text);
    for (size_t size; n && at + 5 <= room; text += size, n -= size) {
        size = kvr_utf8_size(text, n);
        if (!is_control(text, size)) {
            memcpy(out + at, text, size);
            at += size;
            continue;
        }
        unsigned char byte = (unsigned char)*text;
        memcpy(out + at, (char[]){'\\', 'x', digits[byte >> 4], digits[byte & 15]}, 4);
        at += 4;
        size = 1;
    }
    out[at] = 0;
}

void kvr_log_client(void *ctx, enum kvr_level level, const char *line) {
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char now[KVR_LOG_TIME_SIZE], escaped[LOG_MAX_ESCAPED];
    (void)ctx;
    if (level == KVR_LOG_DEBUG && !debug) return;
    kvr_log_time(now);
    kvr_log_escape(escaped, sizeof escaped, line);
    fprintf(stderr, "%s %s %s\n", now, names[level], escaped);
}

void kvr_log_line(enum kvr_level level, const char *format, ...) {
    char line[LOG_MAX_LINE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    kvr_log_client(NULL, level, line);
}
