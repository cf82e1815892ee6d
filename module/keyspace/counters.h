// SPDX-License-Identifier: Apache-2.0
// What this server process has been asked and has refused: counts for INFO, no state.
#ifndef MOD_COUNTERS_H
#define MOD_COUNTERS_H

#include <stdint.h>

enum mod_command {
    MOD_COMMAND_CREATE,
    MOD_COMMAND_ALTER,
    MOD_COMMAND_INFO,
    MOD_COMMAND_DIGEST,
    MOD_COMMAND_WORKER_SET,
    MOD_COMMAND_WORKER_DEL,
    MOD_COMMAND_WORKER_GET,
    MOD_COMMAND_WORKER_LIST,
    MOD_COMMAND_REPORT,
    MOD_COMMAND_EVENT,
    MOD_COMMAND_SELECT,
    MOD_COMMAND_SCORE,
    MOD_COMMAND_UPDATE,
    MOD_COMMAND_RELEASE,
    MOD_COMMAND_CLAIM,
    MOD_COMMAND_REQUEST_GET,
    MOD_COMMAND_REQUEST_LIST,
    MOD_COMMAND_SESSION_GET,
    MOD_COMMAND_SESSION_LIST,
    MOD_COMMAND_SESSION_DEL,
    MOD_COMMAND_TREE,
    MOD_COMMAND_HASH,
    MOD_COMMAND_FORGET,
    MOD_COMMAND_LOAD,
    MOD_COMMANDS,
};

// The codes that an error reply starts with.
enum mod_error {
    MOD_ERROR_ERR,
    MOD_ERROR_NOPOOL,
    MOD_ERROR_WRONGTYPE,
    MOD_ERROR_EXISTS,
    MOD_ERROR_NOWORKER,
    MOD_ERROR_GAP,
    MOD_ERROR_STALE,
    MOD_ERROR_NOPARENT,
    MOD_ERROR_BADCHAIN,
    MOD_ERROR_TRYAGAIN,
    MOD_ERROR_OOM,
    MOD_ERRORS,
};

struct mod_counters {
    uint64_t calls[MOD_COMMANDS];
    uint64_t errors[MOD_ERRORS];
};
extern struct mod_counters mod_counts; // the server's main thread only
extern const char *const mod_command_names[MOD_COMMANDS];
extern const char *const mod_error_codes[MOD_ERRORS];

#endif
