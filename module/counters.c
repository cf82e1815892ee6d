// SPDX-License-Identifier: Apache-2.0
// What this server process has been asked and has refused.
#include "counters.h"

struct counters counters;

const char *const command_names[COMMANDS] = {
    [CMD_CREATE] = "create",
    [CMD_ALTER] = "alter",
    [CMD_INFO] = "info",
    [CMD_DIGEST] = "digest",
    [CMD_WORKER_SET] = "worker_set",
    [CMD_WORKER_DEL] = "worker_del",
    [CMD_WORKER_GET] = "worker_get",
    [CMD_WORKER_LIST] = "worker_list",
    [CMD_REPORT] = "report",
    [CMD_EVENT] = "event",
    [CMD_SELECT] = "select",
    [CMD_SCORE] = "score",
    [CMD_UPDATE] = "update",
    [CMD_RELEASE] = "release",
    [CMD_CLAIM] = "claim",
    [CMD_REQUEST_GET] = "request_get",
    [CMD_REQUEST_LIST] = "request_list",
    [CMD_SESSION_GET] = "session_get",
    [CMD_SESSION_LIST] = "session_list",
    [CMD_SESSION_DEL] = "session_del",
    [CMD_TREE] = "tree",
    [CMD_HASH] = "hash",
    [CMD_FORGET] = "forget",
    [CMD_LOAD] = "load",
};

const char *const error_codes[ERRORS] = {
    [ERROR_ERR] = "ERR",           [ERROR_NOPOOL] = "NOPOOL",     [ERROR_WRONGTYPE] = "WRONGTYPE",
    [ERROR_EXISTS] = "EXISTS",     [ERROR_NOWORKER] = "NOWORKER", [ERROR_GAP] = "GAP",
    [ERROR_STALE] = "STALE",       [ERROR_NOPARENT] = "NOPARENT", [ERROR_BADCHAIN] = "BADCHAIN",
    [ERROR_TRYAGAIN] = "TRYAGAIN", [ERROR_OOM] = "OOM",
};
