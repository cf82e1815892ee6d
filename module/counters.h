// SPDX-License-Identifier: Apache-2.0
// What this server process has been asked and has refused: counters for INFO, no state.
#ifndef KVR_COUNTERS_H
#define KVR_COUNTERS_H

#include <stdint.h>

enum command {
    CMD_CREATE,
    CMD_ALTER,
    CMD_INFO,
    CMD_DIGEST,
    CMD_WORKER_SET,
    CMD_WORKER_DEL,
    CMD_WORKER_GET,
    CMD_WORKER_LIST,
    CMD_REPORT,
    CMD_EVENT,
    CMD_SELECT,
    CMD_SCORE,
    CMD_UPDATE,
    CMD_RELEASE,
    CMD_CLAIM,
    CMD_REQUEST_GET,
    CMD_REQUEST_LIST,
    CMD_SESSION_GET,
    CMD_SESSION_LIST,
    CMD_SESSION_DEL,
    CMD_TREE,
    CMD_HASH,
    CMD_FORGET,
    CMD_LOAD,
    COMMANDS,
};

// The codes that an error reply starts with.
enum error {
    ERROR_ERR,
    ERROR_NOPOOL,
    ERROR_WRONGTYPE,
    ERROR_EXISTS,
    ERROR_NOWORKER,
    ERROR_GAP,
    ERROR_STALE,
    ERROR_NOPARENT,
    ERROR_BADCHAIN,
    ERROR_TRYAGAIN,
    ERROR_OOM,
    ERRORS,
};

struct counters {
    uint64_t calls[COMMANDS];
    uint64_t errors[ERRORS];
};
extern struct counters counters; // the server's main thread only
extern const char *const command_names[COMMANDS];
extern const char *const error_codes[ERRORS];

#endif
