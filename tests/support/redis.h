// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module, as a process of the test's.
#ifndef SUPPORT_OLD_REDIS_H
#define SUPPORT_OLD_REDIS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <sys/types.h>

// Starts one on 127.0.0.1, in the test's folder, saving nothing. more: further words, NULL at the end.
//   KVROUTE_MODULE, REDIS_SERVER   instead of those that the build was told
pid_t redis_start(int port, const char *const *more);

// Whether the server answers. *c is the connection to it: kept, or made anew where there is none, or one
// that has failed; what is asked over it may take five seconds.
bool redis_answers(redisContext **c, int port);

#endif
