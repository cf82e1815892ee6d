// SPDX-License-Identifier: Apache-2.0
// What the programs say on standard error: a line each, with the time and how serious it is. No
// prompts, tokens or passwords. Names and addresses come from others: control characters and what isn't
// UTF-8 are written as \x and two hex digits for each byte, so that nobody else can write a line.
#ifndef KVR_COMMON_LOG_H
#define KVR_COMMON_LOG_H

#include <kvroute/client.h>

void kvr_log_debug(bool on);
void kvr_log_line(enum kvr_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void kvr_log_client(void *ctx, enum kvr_level level, const char *line); // kvr_client_options.log
// The text as it is in a line; cut where there is no more room.
void kvr_log_escape(char *out, size_t room, const char *text);

// "2024-05-17T09:30:00.123Z" of now.
enum { KVR_LOG_TIME_SIZE = 25 };
void kvr_log_time(char out[KVR_LOG_TIME_SIZE]);

#endif
