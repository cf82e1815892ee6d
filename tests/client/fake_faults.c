// SPDX-License-Identifier: Apache-2.0
// See fake_faults.h. What only delays an answer may not show in it: OK is all that is left then. An answer
// of the wrong kind may be told (PROTOCOL), an error is told as what it is. A fault that hits the
// handle's own commands, not one of a call, may be got over without a word.
#include "fake_faults.h"

#include "client/common/random.h"

#include <hiredis/hiredis.h>

#include <kvroute/client.h>

enum {
    TOLD_NOTHING = 0,
    TOLD_STRANGE = 1u << KVR_CODE_PROTOCOL,
    TOLD_DENIED = 1u << KVR_CODE_DENIED,
    TOLD_REFUSED = 1u << KVR_CODE_REFUSED,
    // No command at all has such an answer, so it may be told as either.
    TOLD_ODD = TOLD_STRANGE | TOLD_REFUSED,
    // To a hiredis that knows RESP2 alone it is no answer.
    TOLD_IF_READ = HIREDIS_MAJOR >= 1 ? TOLD_STRANGE : TOLD_NOTHING,
};

// A call of codes that the pool itself gives.
enum {
    TOLD_NOPOOL = 1u << KVR_CODE_NOPOOL,
    TOLD_WRONGTYPE = 1u << KVR_CODE_WRONGTYPE,
    TOLD_NOWORKER = 1u << KVR_CODE_NOWORKER,
    TOLD_GAP = 1u << KVR_CODE_GAP,
    TOLD_STALE = 1u << KVR_CODE_STALE,
    TOLD_NOPARENT = 1u << KVR_CODE_NOPARENT,
    TOLD_BADCHAIN = 1u << KVR_CODE_BADCHAIN,
    TOLD_OOM = 1u << KVR_CODE_OOM,
};

static const char garbage[] = {(char)0xff, 0x00, 0x13, (char)0x80, 'x', '\r', '\n', 0x00, 'y'};
static const char nul_error[] = {'-', 'E', 'R', 'R', ' ', 0, 0, '\r', '\n'};

static const struct fake_misdeed list[] = {
    // Silence, and half an answer.
    {TOLD_NOTHING, {"hangs", FAKE_FAULT_HANG, "", 0}},
    {TOLD_NOTHING, {"stalls", FAKE_FAULT_STALL, "", 0}},
    {TOLD_NOTHING, {"closes", FAKE_FAULT_CLOSE, "", 0}},
    {TOLD_NOTHING, {"closes before it has done anything", FAKE_FAULT_DROP, "", 0}},
    {TOLD_NOTHING, {"half an answer, then silence", FAKE_FAULT_HALF_HANG, "", 0}},
    {TOLD_NOTHING, {"half an answer, then closes", FAKE_FAULT_HALF_CLOSE, "", 0}},
    {TOLD_NOTHING, {"dies", FAKE_FAULT_DIE, "", 0}},
    {TOLD_NOTHING, {"every byte alone", FAKE_FAULT_BYTEWISE, "", 0}},
    {TOLD_STRANGE, {"answers twice", FAKE_FAULT_TWICE, "", 0}},
    // No RESP.
    {TOLD_NOTHING, {"garbage", FAKE_FAULT_SAY, garbage, sizeof garbage}},
    {TOLD_NOTHING, {"HTTP", FAKE_FAULT_SAY_CLOSE, "HTTP/1.1 400 Bad Request\r\n\r\n", 0}},
    {TOLD_NOTHING, {"an empty line", FAKE_FAULT_SAY, "\r\n", 0}},
    {TOLD_NOTHING, {"a NUL", FAKE_FAULT_SAY, "", 1}},
    {TOLD_IF_READ, {"RESP3 map", FAKE_FAULT_SAY, "%1\r\n$1\r\na\r\n:1\r\n", 0}},
    {TOLD_IF_READ, {"RESP3 null", FAKE_FAULT_SAY, "_\r\n", 0}},
    {TOLD_IF_READ, {"RESP3 push", FAKE_FAULT_SAY, ">1\r\n$1\r\na\r\n", 0}},
    {TOLD_NOTHING, {"a length that is none", FAKE_FAULT_SAY, "$x\r\n", 0}},
    {TOLD_NOTHING, {"a length without digits", FAKE_FAULT_SAY, "*\r\n", 0}},
    {TOLD_NOTHING, {"an integer that is none", FAKE_FAULT_SAY, ":12a\r\n", 0}},
    {TOLD_NOTHING, {"an integer without digits", FAKE_FAULT_SAY, ":\r\n", 0}},
    {TOLD_NOTHING, {"an integer too large", FAKE_FAULT_SAY, ":9223372036854775808\r\n", 0}},
    {TOLD_NOTHING,
     {"an integer of a hundred digits", FAKE_FAULT_SAY,
      ":1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "00000000\r\n",
      0}},
    {TOLD_NOTHING, {"a string of length -2", FAKE_FAULT_SAY, "$-2\r\n", 0}},
    {TOLD_NOTHING, {"an array of length -2", FAKE_FAULT_SAY, "*-2\r\n", 0}},
    {TOLD_NOTHING, {"a string of 10 GB", FAKE_FAULT_SAY_HANG, "$9999999999\r\nabc", 0}},
    {TOLD_NOTHING,
     {"a string of 2^64 bytes", FAKE_FAULT_SAY_HANG, "$18446744073709551616\r\nabc", 0}},
    {TOLD_NOTHING, {"an array of 2 G", FAKE_FAULT_SAY_HANG, "*2147483647\r\n", 0}},
    {TOLD_NOTHING, {"an array of 2^62", FAKE_FAULT_SAY_HANG, "*4611686018427387904\r\n", 0}},
    {TOLD_NOTHING, {"an array of 3 M", FAKE_FAULT_SAY_HANG, "*3000000\r\n:1\r\n", 0}},
    {TOLD_IF_READ,
     {"nested too deep", FAKE_FAULT_SAY,
      "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
      0}},
    {TOLD_ODD, {"a string longer than it says", FAKE_FAULT_SAY, "$3\r\nabcdef\r\n", 0}},
    // RESP, but not the answer to this.
    {TOLD_STRANGE, {"a positive integer", FAKE_FAULT_SAY, ":1\r\n", 0}},
    {TOLD_STRANGE, {"zero", FAKE_FAULT_SAY, ":0\r\n", 0}},
    {TOLD_STRANGE, {"a negative integer", FAKE_FAULT_SAY, ":-9223372036854775808\r\n", 0}},
    {TOLD_STRANGE, {"the largest integer", FAKE_FAULT_SAY, ":9223372036854775807\r\n", 0}},
    {TOLD_STRANGE, {"a status", FAKE_FAULT_SAY, "+OK\r\n", 0}},
    {TOLD_STRANGE, {"an empty status", FAKE_FAULT_SAY, "+\r\n", 0}},
    {TOLD_STRANGE, {"QUEUED", FAKE_FAULT_SAY, "+QUEUED\r\n", 0}},
    {TOLD_STRANGE, {"an empty string", FAKE_FAULT_SAY, "$0\r\n\r\n", 0}},
    {TOLD_STRANGE, {"a string", FAKE_FAULT_SAY, "$4\r\n1234\r\n", 0}},
    {TOLD_STRANGE, {"null", FAKE_FAULT_SAY, "$-1\r\n", 0}},
    {TOLD_STRANGE, {"a null array", FAKE_FAULT_SAY, "*-1\r\n", 0}},
    {TOLD_STRANGE, {"an empty array", FAKE_FAULT_SAY, "*0\r\n", 0}},
    {TOLD_STRANGE, {"an array of empty arrays", FAKE_FAULT_SAY, "*2\r\n*0\r\n*0\r\n", 0}},
    {TOLD_STRANGE,
     {"nested arrays", FAKE_FAULT_SAY, "*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n", 0}},
    {TOLD_STRANGE, {"an array of nulls", FAKE_FAULT_SAY, "*4\r\n$-1\r\n$-1\r\n*-1\r\n$-1\r\n", 0}},
    {TOLD_STRANGE,
     {"an array of odd length", FAKE_FAULT_SAY, "*3\r\n$6\r\nworker\r\n$1\r\nw\r\n$4\r\nrank\r\n",
      0}},
    {TOLD_STRANGE,
     {"a map with missing fields", FAKE_FAULT_SAY,
      "*4\r\n$6\r\nworker\r\n$1\r\nw\r\n$4\r\nrank\r\n:0\r\n", 0}},
    {TOLD_STRANGE,
     {"a map of wrong values", FAKE_FAULT_SAY,
      "*18\r\n$6\r\nworker\r\n:1\r\n$4\r\nrank\r\n$1\r\nx\r\n$4\r\naddr\r\n$-1\r\n$7\r\noverlap\r\n"
      "*0\r\n$6\r\ncached\r\n:1\r\n$6\r\nblocks\r\n:1\r\n$4\r\ncost\r\n$0\r\n\r\n$6\r\nrepeat\r\n"
      "$1\r\n1\r\n$7\r\nversion\r\n$-1\r\n",
      0}},
    {TOLD_STRANGE,
     {"a choice of a rank that can't be", FAKE_FAULT_SAY,
      "*18\r\n$6\r\nworker\r\n$1\r\nw\r\n$4\r\nrank\r\n:70000\r\n$4\r\naddr\r\n$1\r\na\r\n$7\r\n"
      "overlap\r\n:1\r\n$6\r\ncached\r\n:1\r\n$6\r\nblocks\r\n:1\r\n$4\r\ncost\r\n$3\r\n0.5\r\n$"
      "6\r\n"
      "repeat\r\n:0\r\n$7\r\nversion\r\n:1\r\n",
      0}},
    {TOLD_STRANGE, {"an error within an array", FAKE_FAULT_SAY, "*2\r\n-ERR x\r\n:1\r\n", 0}},
    // Errors that pass.
    {TOLD_NOTHING,
     {"LOADING", FAKE_FAULT_SAY, "-LOADING Redis is loading the dataset in memory\r\n", 0}},
    {TOLD_NOTHING, {"MASTERDOWN", FAKE_FAULT_SAY, "-MASTERDOWN Link with MASTER is down\r\n", 0}},
    {TOLD_NOTHING,
     {"READONLY", FAKE_FAULT_SAY, "-READONLY You can't write against a read only replica.\r\n", 0}},
    {TOLD_NOTHING,
     {"NOREPLICAS", FAKE_FAULT_SAY, "-NOREPLICAS Not enough good replicas to write.\r\n", 0}},
    {TOLD_NOTHING,
     {"TRYAGAIN", FAKE_FAULT_SAY, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
      0}},
    {TOLD_NOTHING,
     {"MISCONF", FAKE_FAULT_SAY, "-MISCONF Redis is configured to save RDB snapshots\r\n", 0}},
    {TOLD_NOTHING, {"BUSY", FAKE_FAULT_SAY, "-BUSY Redis is busy running a script.\r\n", 0}},
    {TOLD_NOTHING, {"CLUSTERDOWN", FAKE_FAULT_SAY, "-CLUSTERDOWN The cluster is down\r\n", 0}},
    {TOLD_NOTHING,
     {"max clients", FAKE_FAULT_SAY_CLOSE, "-ERR max number of clients reached\r\n", 0}},
    {TOLD_ODD, {"MOVED to the right node", FAKE_FAULT_REDIRECT, "MOVED", 0}},
    {TOLD_ODD, {"ASK the right node", FAKE_FAULT_REDIRECT, "ASK", 0}},
    {TOLD_ODD,
     {"MOVED to a port where nobody listens", FAKE_FAULT_SAY, "-MOVED 785 127.0.0.1:1\r\n", 0}},
    {TOLD_ODD, {"MOVED to nowhere", FAKE_FAULT_SAY, "-MOVED 785 :1\r\n", 0}},
    {TOLD_ODD, {"MOVED without a place", FAKE_FAULT_SAY, "-MOVED\r\n", 0}},
    {TOLD_ODD, {"MOVED to garbage", FAKE_FAULT_SAY, "-MOVED x y z\r\n", 0}},
    {TOLD_ODD,
     {"MOVED to a port that is none", FAKE_FAULT_SAY, "-MOVED 99999 127.0.0.1:99999\r\n", 0}},
    {TOLD_ODD, {"ASK without a place", FAKE_FAULT_SAY, "-ASK 785 \r\n", 0}},
    {TOLD_ODD, {"ASK a port where nobody listens", FAKE_FAULT_SAY, "-ASK 785 127.0.0.1:1\r\n", 0}},
    // Errors that are told.
    {TOLD_DENIED, {"NOAUTH", FAKE_FAULT_SAY, "-NOAUTH Authentication required.\r\n", 0}},
    {TOLD_DENIED,
     {"WRONGPASS", FAKE_FAULT_SAY, "-WRONGPASS invalid username-password pair\r\n", 0}},
    {TOLD_DENIED, {"NOPERM", FAKE_FAULT_SAY, "-NOPERM this user has no permissions\r\n", 0}},
    {TOLD_OOM,
     {"OOM", FAKE_FAULT_SAY, "-OOM command not allowed when used memory > 'maxmemory'.\r\n", 0}},
    {TOLD_REFUSED, {"ERR", FAKE_FAULT_SAY, "-ERR wrong number of arguments\r\n", 0}},
    {TOLD_REFUSED, {"an unknown error", FAKE_FAULT_SAY, "-WHATEVER of a later version\r\n", 0}},
    {TOLD_REFUSED, {"an error without a text", FAKE_FAULT_SAY, "-\r\n", 0}},
    {TOLD_REFUSED, {"an error with NULs", FAKE_FAULT_SAY, nul_error, sizeof nul_error}},
    {TOLD_NOPOOL, {"NOPOOL", FAKE_FAULT_SAY, "-NOPOOL no such pool\r\n", 0}},
    {TOLD_WRONGTYPE,
     {"WRONGTYPE", FAKE_FAULT_SAY, "-WRONGTYPE the key holds something else\r\n", 0}},
    {TOLD_NOWORKER, {"NOWORKER", FAKE_FAULT_SAY, "-NOWORKER no such worker\r\n", 0}},
    {TOLD_GAP, {"GAP", FAKE_FAULT_SAY, "-GAP expected 17\r\n", 0}},
    {TOLD_GAP, {"GAP without a number", FAKE_FAULT_SAY, "-GAP\r\n", 0}},
    {TOLD_GAP,
     {"GAP with too large a number", FAKE_FAULT_SAY, "-GAP expected 99999999999999999999\r\n", 0}},
    {TOLD_STALE, {"STALE", FAKE_FAULT_SAY, "-STALE current -5\r\n", 0}},
    {TOLD_NOPARENT, {"NOPARENT", FAKE_FAULT_SAY, "-NOPARENT\r\n", 0}},
    {TOLD_BADCHAIN, {"BADCHAIN", FAKE_FAULT_SAY, "-BADCHAIN\r\n", 0}},
    {TOLD_REFUSED, {"EXISTS", FAKE_FAULT_SAY, "-EXISTS the key exists\r\n", 0}},
};

const struct fake_misdeed *const fake_misdeeds = list;
const size_t fake_n_misdeeds = sizeof list / sizeof *list;

const struct fake_fault *fake_draw_fault(uint64_t *random, bool *stays) {
    for (;;) {
        const struct fake_misdeed *m = &list[kvr_random(random) % fake_n_misdeeds];
        if (m->codes & ~(1u << KVR_CODE_PROTOCOL) || m->fault.kind == FAKE_FAULT_TWICE ||
            m->fault.bytes[0] == ':')
            continue;
        *stays = m->fault.kind == FAKE_FAULT_DIE || kvr_random(random) % 4 == 0;
        return &m->fault;
    }
}
