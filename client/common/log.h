// SPDX-License-Identifier: Apache-2.0
// What the programs say on standard error: a line each, with the time and how serious it is. No
// prompts, tokens or passwords.
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <kvroute/client.h>

void log_debug(bool on);
void log_line(enum kvr_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_client(void *ctx, enum kvr_level level, const char *line); // kvr_client_options.log

// "2024-05-17T09:30:00.123Z" of now.
enum { LOG_TIME = 25 };
void log_time(char out[LOG_TIME]);

#endif
