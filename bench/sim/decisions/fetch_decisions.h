// SPDX-License-Identifier: Apache-2.0
// Copies a pool's log of decisions into a file.
#ifndef SIM_FETCH_DECISIONS_H
#define SIM_FETCH_DECISIONS_H

#include <stdbool.h>

// From the server at url (redis://[user:password@]host[:port][/db] or unix:…, as the client library has it, without
// TLS), of the pool of this key, what is in the log now. False, with a message: it can't.
bool sim_fetch_decisions(const char *url, const char *key, const char *path);

#endif
