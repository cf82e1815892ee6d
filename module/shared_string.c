// SPDX-License-Identifier: Apache-2.0
#include "shared_string.h"

#include <stdlib.h>
#include <string.h>

RedisModuleString *shared_word(const char *word) {
    enum { WORDS = 8 };
    static struct {
        const char *word;
        RedisModuleString *string;
    } words[WORDS];
    for (int i = 0; i < WORDS; i++) {
        if (!words[i].word) {
            words[i].word = word;
            words[i].string = RedisModule_CreateString(NULL, word, strlen(word));
        }
        if (strcmp(words[i].word, word) == 0) return words[i].string;
    }
    abort(); // more words than there are
}

RedisModuleString *shared_rank(uint32_t rank) {
    enum { RANKS = 32 };
    static RedisModuleString *ranks[RANKS];
    if (rank >= RANKS) return NULL;
    if (!ranks[rank]) ranks[rank] = RedisModule_CreateStringFromLongLong(NULL, rank);
    return ranks[rank];
}

RedisModuleString *shared_time(int64_t ms) {
    static RedisModuleString *string;
    static int64_t last;
    if (string && last == ms) return string;
    if (string) RedisModule_FreeString(NULL, string);
    string = RedisModule_CreateStringFromLongLong(NULL, ms);
    last = ms;
    return string;
}
