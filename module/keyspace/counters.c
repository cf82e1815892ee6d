// SPDX-License-Identifier: Apache-2.0
// What this server process has been asked and has refused.
#include "counters.h"

struct mod_counters mod_counts;

const char *const mod_command_names[MOD_COMMANDS] = {
    [MOD_COMMAND_CREATE] = "create",
    [MOD_COMMAND_ALTER] = "alter",
    [MOD_COMMAND_INFO] = "info",
    [MOD_COMMAND_DIGEST] = "digest",
    [MOD_COMMAND_WORKER_SET] = "worker_set",
    [MOD_COMMAND_WORKER_DEL] = "worker_del",
    [MOD_COMMAND_WORKER_GET] = "worker_get",
    [MOD_COMMAND_WORKER_LIST] = "worker_list",
    [MOD_COMMAND_REPORT] = "report",
    [MOD_COMMAND_EVENT] = "event",
    [MOD_COMMAND_SELECT] = "select",
    [MOD_COMMAND_SCORE] = "score",
    [MOD_COMMAND_UPDATE] = "update",
    [MOD_COMMAND_RELEASE] = "release",
    [MOD_COMMAND_CLAIM] = "claim",
    [MOD_COMMAND_REQUEST_GET] = "request_get",
    [MOD_COMMAND_REQUEST_LIST] = "request_list",
    [MOD_COMMAND_SESSION_GET] = "session_get",
    [MOD_COMMAND_SESSION_LIST] = "session_list",
    [MOD_COMMAND_SESSION_DEL] = "session_del",
    [MOD_COMMAND_TREE] = "tree",
    [MOD_COMMAND_HASH] = "hash",
    [MOD_COMMAND_FORGET] = "forget",
    [MOD_COMMAND_LOAD] = "load",
};

const char *const mod_error_codes[MOD_ERRORS] = {
    [MOD_ERROR_ERR] = "ERR",
    [MOD_ERROR_NOPOOL] = "NOPOOL",
    [MOD_ERROR_WRONGTYPE] = "WRONGTYPE",
    [MOD_ERROR_EXISTS] = "EXISTS",
    [MOD_ERROR_NOWORKER] = "NOWORKER",
    [MOD_ERROR_GAP] = "GAP",
    [MOD_ERROR_STALE] = "STALE",
    [MOD_ERROR_NOPARENT] = "NOPARENT",
    [MOD_ERROR_BADCHAIN] = "BADCHAIN",
    [MOD_ERROR_TRYAGAIN] = "TRYAGAIN",
    [MOD_ERROR_OOM] = "OOM",
};
