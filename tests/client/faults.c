// SPDX-License-Identifier: Apache-2.0
// See faults.h. What only delays an answer may not show in it: OK is all that is left then. An answer
// of the wrong kind may be told (PROTOCOL), an error is told as what it is. A fault that hits the
// handle's own commands, not one of a call, may be got over without a word.
#include "faults.h"

#include <kvroute/client.h>

enum {
    NOTHING = 0,
    STRANGE = 1u << KVR_CODE_PROTOCOL,
    DENIED = 1u << KVR_CODE_DENIED,
    REFUSED = 1u << KVR_CODE_REFUSED,
    // No command at all has such an answer, so it may be told as either.
    ODD = STRANGE | REFUSED,
};

// A call of codes that the pool itself gives.
enum {
    NOPOOL = 1u << KVR_CODE_NOPOOL,
    WRONGTYPE = 1u << KVR_CODE_WRONGTYPE,
    NOWORKER = 1u << KVR_CODE_NOWORKER,
    GAP = 1u << KVR_CODE_GAP,
    STALE = 1u << KVR_CODE_STALE,
    NOPARENT = 1u << KVR_CODE_NOPARENT,
    BADCHAIN = 1u << KVR_CODE_BADCHAIN,
    OOM = 1u << KVR_CODE_OOM,
};

static const char garbage[] = {(char)0xff, 0x00, 0x13, (char)0x80, 'x', '\r', '\n', 0x00, 'y'};
static const char nul_error[] = {'-', 'E', 'R', 'R', ' ', 0, 0, '\r', '\n'};

static const struct misdeed list[] = {
    // Silence, and half an answer.
    {{"hangs", FAULT_HANG, "", 0}, NOTHING, false},
    {{"stalls", FAULT_STALL, "", 0}, NOTHING, false},
    {{"closes", FAULT_CLOSE, "", 0}, NOTHING, false},
    {{"closes before it has done anything", FAULT_DROP, "", 0}, NOTHING, false},
    {{"half an answer, then silence", FAULT_HALF_HANG, "", 0}, NOTHING, false},
    {{"half an answer, then closes", FAULT_HALF_CLOSE, "", 0}, NOTHING, false},
    {{"dies", FAULT_DIE, "", 0}, NOTHING, true},
    {{"every byte alone", FAULT_BYTEWISE, "", 0}, NOTHING, false},
    {{"answers twice", FAULT_TWICE, "", 0}, STRANGE, false},
    // No RESP.
    {{"garbage", FAULT_SAY, garbage, sizeof garbage}, NOTHING, false},
    {{"HTTP", FAULT_SAY_CLOSE, "HTTP/1.1 400 Bad Request\r\n\r\n", 0}, NOTHING, false},
    {{"an empty line", FAULT_SAY, "\r\n", 0}, NOTHING, false},
    {{"a NUL", FAULT_SAY, "", 1}, NOTHING, false},
    {{"RESP3 map", FAULT_SAY, "%1\r\n$1\r\na\r\n:1\r\n", 0}, NOTHING, false},
    {{"RESP3 null", FAULT_SAY, "_\r\n", 0}, NOTHING, false},
    {{"RESP3 push", FAULT_SAY, ">1\r\n$1\r\na\r\n", 0}, NOTHING, false},
    {{"a length that is none", FAULT_SAY, "$x\r\n", 0}, NOTHING, false},
    {{"a length without digits", FAULT_SAY, "*\r\n", 0}, NOTHING, false},
    {{"an integer that is none", FAULT_SAY, ":12a\r\n", 0}, NOTHING, false},
    {{"an integer without digits", FAULT_SAY, ":\r\n", 0}, NOTHING, false},
    {{"an integer too large", FAULT_SAY, ":9223372036854775808\r\n", 0}, NOTHING, false},
    {{"an integer of a hundred digits", FAULT_SAY,
      ":1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "00000000\r\n",
      0},
     NOTHING,
     false},
    {{"a string of length -2", FAULT_SAY, "$-2\r\n", 0}, NOTHING, false},
    {{"an array of length -2", FAULT_SAY, "*-2\r\n", 0}, NOTHING, false},
    {{"a string of 10 GB", FAULT_SAY_HANG, "$9999999999\r\nabc", 0}, NOTHING, false},
    {{"a string of 2^64 bytes", FAULT_SAY_HANG, "$18446744073709551616\r\nabc", 0}, NOTHING, false},
    {{"an array of 2 G", FAULT_SAY_HANG, "*2147483647\r\n", 0}, NOTHING, false},
    {{"an array of 2^62", FAULT_SAY_HANG, "*4611686018427387904\r\n", 0}, NOTHING, false},
    {{"an array of 3 M", FAULT_SAY_HANG, "*3000000\r\n:1\r\n", 0}, NOTHING, false},
    {{"nested too deep", FAULT_SAY,
      "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
      0},
     NOTHING,
     false},
    {{"a string longer than it says", FAULT_SAY, "$3\r\nabcdef\r\n", 0}, ODD, false},
    // RESP, but not the answer to this.
    {{"a positive integer", FAULT_SAY, ":1\r\n", 0}, STRANGE, false},
    {{"zero", FAULT_SAY, ":0\r\n", 0}, STRANGE, false},
    {{"a negative integer", FAULT_SAY, ":-9223372036854775808\r\n", 0}, STRANGE, false},
    {{"the largest integer", FAULT_SAY, ":9223372036854775807\r\n", 0}, STRANGE, false},
    {{"a status", FAULT_SAY, "+OK\r\n", 0}, STRANGE, false},
    {{"an empty status", FAULT_SAY, "+\r\n", 0}, STRANGE, false},
    {{"QUEUED", FAULT_SAY, "+QUEUED\r\n", 0}, STRANGE, false},
    {{"an empty string", FAULT_SAY, "$0\r\n\r\n", 0}, STRANGE, false},
    {{"a string", FAULT_SAY, "$4\r\n1234\r\n", 0}, STRANGE, false},
    {{"null", FAULT_SAY, "$-1\r\n", 0}, STRANGE, false},
    {{"a null array", FAULT_SAY, "*-1\r\n", 0}, STRANGE, false},
    {{"an empty array", FAULT_SAY, "*0\r\n", 0}, STRANGE, false},
    {{"an array of empty arrays", FAULT_SAY, "*2\r\n*0\r\n*0\r\n", 0}, STRANGE, false},
    {{"nested arrays", FAULT_SAY, "*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n", 0},
     STRANGE,
     false},
    {{"an array of nulls", FAULT_SAY, "*4\r\n$-1\r\n$-1\r\n*-1\r\n$-1\r\n", 0}, STRANGE, false},
    {{"an array of odd length", FAULT_SAY, "*3\r\n$6\r\nworker\r\n$1\r\nw\r\n$4\r\nrank\r\n", 0},
     STRANGE,
     false},
    {{"a map with missing fields", FAULT_SAY,
      "*4\r\n$6\r\nworker\r\n$1\r\nw\r\n$4\r\nrank\r\n:0\r\n", 0},
     STRANGE,
     false},
    {{"a map of wrong values", FAULT_SAY,
      "*18\r\n$6\r\nworker\r\n:1\r\n$4\r\nrank\r\n$1\r\nx\r\n$4\r\naddr\r\n$-1\r\n$7\r\noverlap\r\n"
      "*0\r\n$6\r\ncached\r\n:1\r\n$6\r\nblocks\r\n:1\r\n$4\r\ncost\r\n$0\r\n\r\n$6\r\nrepeat\r\n"
      "$1\r\n1\r\n$7\r\nversion\r\n$-1\r\n",
      0},
     STRANGE,
     false},
    {{"a choice of a rank that can't be", FAULT_SAY,
      "*18\r\n$6\r\nworker\r\n$1\r\nw\r\n$4\r\nrank\r\n:70000\r\n$4\r\naddr\r\n$1\r\na\r\n$7\r\n"
      "overlap\r\n:1\r\n$6\r\ncached\r\n:1\r\n$6\r\nblocks\r\n:1\r\n$4\r\ncost\r\n$3\r\n0.5\r\n$"
      "6\r\n"
      "repeat\r\n:0\r\n$7\r\nversion\r\n:1\r\n",
      0},
     STRANGE,
     false},
    {{"an error within an array", FAULT_SAY, "*2\r\n-ERR x\r\n:1\r\n", 0}, STRANGE, false},
    // Errors that pass.
    {{"LOADING", FAULT_SAY, "-LOADING Redis is loading the dataset in memory\r\n", 0},
     NOTHING,
     false},
    {{"MASTERDOWN", FAULT_SAY, "-MASTERDOWN Link with MASTER is down\r\n", 0}, NOTHING, false},
    {{"READONLY", FAULT_SAY, "-READONLY You can't write against a read only replica.\r\n", 0},
     NOTHING,
     false},
    {{"NOREPLICAS", FAULT_SAY, "-NOREPLICAS Not enough good replicas to write.\r\n", 0},
     NOTHING,
     false},
    {{"TRYAGAIN", FAULT_SAY, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n", 0},
     NOTHING,
     false},
    {{"MISCONF", FAULT_SAY, "-MISCONF Redis is configured to save RDB snapshots\r\n", 0},
     NOTHING,
     false},
    {{"BUSY", FAULT_SAY, "-BUSY Redis is busy running a script.\r\n", 0}, NOTHING, false},
    {{"CLUSTERDOWN", FAULT_SAY, "-CLUSTERDOWN The cluster is down\r\n", 0}, NOTHING, false},
    {{"max clients", FAULT_SAY_CLOSE, "-ERR max number of clients reached\r\n", 0}, NOTHING, false},
    {{"MOVED to the right node", FAULT_REDIRECT, "MOVED", 0}, ODD, false},
    {{"ASK the right node", FAULT_REDIRECT, "ASK", 0}, ODD, false},
    {{"MOVED to a port where nobody listens", FAULT_SAY, "-MOVED 785 127.0.0.1:1\r\n", 0},
     ODD,
     false},
    {{"MOVED to nowhere", FAULT_SAY, "-MOVED 785 :6379\r\n", 0}, ODD, false},
    {{"MOVED without a place", FAULT_SAY, "-MOVED\r\n", 0}, ODD, false},
    {{"MOVED to garbage", FAULT_SAY, "-MOVED x y z\r\n", 0}, ODD, false},
    {{"MOVED to a port that is none", FAULT_SAY, "-MOVED 99999 127.0.0.1:99999\r\n", 0},
     ODD,
     false},
    {{"ASK without a place", FAULT_SAY, "-ASK 785 \r\n", 0}, ODD, false},
    {{"ASK a port where nobody listens", FAULT_SAY, "-ASK 785 127.0.0.1:1\r\n", 0}, ODD, false},
    // Errors that are told.
    {{"NOAUTH", FAULT_SAY, "-NOAUTH Authentication required.\r\n", 0}, DENIED, false},
    {{"WRONGPASS", FAULT_SAY, "-WRONGPASS invalid username-password pair\r\n", 0}, DENIED, false},
    {{"NOPERM", FAULT_SAY, "-NOPERM this user has no permissions\r\n", 0}, DENIED, false},
    {{"OOM", FAULT_SAY, "-OOM command not allowed when used memory > 'maxmemory'.\r\n", 0},
     OOM,
     false},
    {{"ERR", FAULT_SAY, "-ERR wrong number of arguments\r\n", 0}, REFUSED, false},
    {{"an unknown error", FAULT_SAY, "-WHATEVER of a later version\r\n", 0}, REFUSED, false},
    {{"an error without a text", FAULT_SAY, "-\r\n", 0}, REFUSED, false},
    {{"an error with NULs", FAULT_SAY, nul_error, sizeof nul_error}, REFUSED, false},
    {{"NOPOOL", FAULT_SAY, "-NOPOOL no such pool\r\n", 0}, NOPOOL, false},
    {{"WRONGTYPE", FAULT_SAY, "-WRONGTYPE the key holds something else\r\n", 0}, WRONGTYPE, false},
    {{"NOWORKER", FAULT_SAY, "-NOWORKER no such worker\r\n", 0}, NOWORKER, false},
    {{"GAP", FAULT_SAY, "-GAP expected 17\r\n", 0}, GAP, false},
    {{"GAP without a number", FAULT_SAY, "-GAP\r\n", 0}, GAP, false},
    {{"GAP with too large a number", FAULT_SAY, "-GAP expected 99999999999999999999\r\n", 0},
     GAP,
     false},
    {{"STALE", FAULT_SAY, "-STALE current -5\r\n", 0}, STALE, false},
    {{"NOPARENT", FAULT_SAY, "-NOPARENT\r\n", 0}, NOPARENT, false},
    {{"BADCHAIN", FAULT_SAY, "-BADCHAIN\r\n", 0}, BADCHAIN, false},
    {{"EXISTS", FAULT_SAY, "-EXISTS the key exists\r\n", 0}, REFUSED, false},
};

const struct misdeed *const misdeeds = list;
const size_t n_misdeeds = sizeof list / sizeof *list;
