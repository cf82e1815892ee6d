// SPDX-License-Identifier: Apache-2.0
#include "server_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct known_error {
    const char *word;
    struct kvr_reply_error as;
} known_errors[] = {
    {"NOPOOL",
     {KVR_CODE_NOPOOL, KVR_REPLY_FINAL,
      "the pool doesn't exist: the setting `create` makes it, or KVROUTE.CREATE"}},
    {"WRONGTYPE", {KVR_CODE_WRONGTYPE, KVR_REPLY_FINAL, "the key holds something else"}},
    {"NOWORKER",
     {KVR_CODE_NOWORKER, KVR_REPLY_FINAL,
      "no such worker or rank; or none that may be chosen: none is there, or all have expired, are "
      "draining or "
      "fail"}},
    {"GAP", {KVR_CODE_GAP, KVR_REPLY_FINAL, "an event came too early"}},
    {"STALE", {KVR_CODE_STALE, KVR_REPLY_FINAL, "an event of an earlier epoch"}},
    {"NOPARENT", {KVR_CODE_NOPARENT, KVR_REPLY_FINAL, "a block's parent isn't known"}},
    {"BADCHAIN", {KVR_CODE_BADCHAIN, KVR_REPLY_FINAL, "a block is known under another parent"}},
    {"NOROOM", {KVR_CODE_NOROOM, KVR_REPLY_FINAL, "no instance has room"}},
    {"LIMITED", {KVR_CODE_LIMITED, KVR_REPLY_FINAL, "the flow has used up what it may"}},
    {"OOM", {KVR_CODE_OOM, KVR_REPLY_FINAL, "the server has reached maxmemory"}},
    {"NOPERM",
     {KVR_CODE_DENIED, KVR_REPLY_FINAL,
      "the server's user may not do this with this key: ACL LOG says which"}},
    {"NOAUTH", {KVR_CODE_DENIED, KVR_REPLY_FINAL, "the server wants a password"}},
    {"WRONGPASS", {KVR_CODE_DENIED, KVR_REPLY_FINAL, "wrong user or password"}},
    {"DENIED", {KVR_CODE_DENIED, KVR_REPLY_ELSEWHERE, "the server is in protected mode"}},
    {"TRYAGAIN", {KVR_CODE_TIMEOUT, KVR_REPLY_LATER, "the server asks to try again"}},
    {"BUSY", {KVR_CODE_TIMEOUT, KVR_REPLY_LATER, "the server is busy with a script"}},
    {"READONLY", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the server is a replica"}},
    {"LOADING", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the server is loading its data"}},
    {"MASTERDOWN", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the server has lost its primary"}},
    {"NOREPLICAS", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the primary has too few replicas"}},
    {"MISCONF", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the server can't save its data"}},
    {"CLUSTERDOWN", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the cluster is down"}},
    {"UNBLOCKED", {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE, "the server has become a replica"}},
    {"MOVED", {KVR_CODE_TIMEOUT, KVR_REPLY_MOVED, "the slot has moved"}},
    {"ASK", {KVR_CODE_TIMEOUT, KVR_REPLY_ASK, "the slot is moving"}},
};

const struct kvr_reply_error *kvr_reply_error_of(const char *text, size_t n) {
    static const struct kvr_reply_error refused = {KVR_CODE_REFUSED, KVR_REPLY_FINAL,
                                                   "the server refuses the command"};
    // What a server says before it closes the door.
    static const struct kvr_reply_error full = {KVR_CODE_TIMEOUT, KVR_REPLY_ELSEWHERE,
                                                "the server has too many clients"};
    for (size_t i = 0; i < sizeof known_errors / sizeof *known_errors; i++) {
        size_t len = strlen(known_errors[i].word);
        if (n < len || memcmp(text, known_errors[i].word, len) != 0) continue;
        if (n == len || text[len] == ' ') return &known_errors[i].as;
    }
    static const char clients[] = "ERR max number of clients";
    if (n >= sizeof clients - 1 && !memcmp(text, clients, sizeof clients - 1)) return &full;
    return &refused;
}

const char *kvr_reply_words(const char *text, size_t n, struct kvr_arena *a) {
    enum { REPLY_WORDS = 120 };
    static const char code[] = "ERR ";
    size_t skip = sizeof code - 1;
    if (n <= skip || n - skip > REPLY_WORDS || memcmp(text, code, skip) != 0) return NULL;
    for (size_t i = skip; i < n; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '\'' || text[i] == '"' || text[i] == '`')
            return NULL;
    char *words = kvr_arena_take(a, n - skip + 1);
    if (!words) return NULL;
    memcpy(words, text + skip, n - skip);
    words[n - skip] = 0;
    return words;
}

bool kvr_parse_int64(const char *text, size_t n, int64_t *out) {
    char copy[24], *end;
    if (n == 0 || n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    errno = 0;
    long long v = strtoll(copy, &end, 10);
    *out = v;
    return *end == 0 && errno == 0 && copy[0] != ' ';
}

int64_t kvr_reply_number(const char *text, size_t n) {
    int64_t v;
    size_t from = n;
    while (from > 0 && text[from - 1] != ' ')
        from--;
    return from > 0 && kvr_parse_int64(text + from, n - from, &v) ? v : -1;
}

int64_t kvr_reply_first_number(const char *text, size_t n) {
    const char *from = memchr(text, ' ', n);
    if (!from) return -1;
    from++;
    size_t left = n - (size_t)(from - text), len = 0;
    int64_t v;
    while (len < left && from[len] != ' ')
        len++;
    return kvr_parse_int64(from, len, &v) ? v : -1;
}

const redisReply *kvr_reply_field(const redisReply *map, const char *name) {
    size_t n = strlen(name);
    if (map->type != REDIS_REPLY_ARRAY) return NULL;
    for (size_t i = 0; i + 1 < map->elements; i += 2) {
        const redisReply *key = map->element[i];
        if (key->type == REDIS_REPLY_STRING && key->len == n && !memcmp(key->str, name, n))
            return map->element[i + 1];
    }
    return NULL;
}
