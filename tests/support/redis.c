// SPDX-License-Identifier: Apache-2.0
// See redis.h.
#include "redis.h"

#include <stddef.h>
#include <stdio.h>

#include "home.h"
#include "program.h"

enum { MOST_WORDS = 32 };

pid_t redis_start(int port, const char *const *more) {
    char text[12];
    snprintf(text, sizeof text, "%d", port);
    const char *argv[MOST_WORDS] = {home_setting("REDIS_SERVER", REDIS_SERVER),
                                    "--port",
                                    text,
                                    "--bind",
                                    "127.0.0.1",
                                    "--save",
                                    "",
                                    "--dir",
                                    home_path(),
                                    "--loadmodule",
                                    home_setting("KVROUTE_MODULE", KVROUTE_MODULE)};
    for (size_t n = 11; *more && n + 1 < MOST_WORDS; more++)
        argv[n++] = *more;
    return program_start(argv, -1, -1, -1);
}

bool redis_answers(redisContext **c, int port) {
    struct timeval patience = {5, 0};
    if (*c && !(*c)->err) return true;
    if (*c) redisFree(*c);
    *c = redisConnectWithTimeout("127.0.0.1", port, patience);
    if (!*c || (*c)->err) return false;
    redisSetTimeout(*c, patience);
    redisReply *r = redisCommand(*c, "PING");
    bool good = r && r->type == REDIS_REPLY_STATUS;
    if (r) freeReplyObject(r);
    return good;
}
