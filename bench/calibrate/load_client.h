// SPDX-License-Identifier: Apache-2.0
// Sends a load to a server on 127.0.0.1: each request at its time, however the earlier ones fare; its answer
// is read as a stream.
#ifndef CALIB_LOAD_CLIENT_H
#define CALIB_LOAD_CLIENT_H

#include "calib_load.h"
#include "completion.h"

// What became of a request. Times in seconds since the first was planned; negative: never.
struct calib_outcome {
    double sent;        // when it went out; that it was late is in the other times, too
    double first, last; // when its first and last token came
    uint32_t tokens;
    int64_t cached; // tokens of the prompt; -1: it wasn't said
    char engine[CALIB_MAX_NAME];
    char why[CALIB_MAX_WHY]; // "": all is well
};

// Sends all requests to one port; out has room for each.
void calib_client_run(const struct calib_load *l, int port, struct calib_outcome *out);
// One request for one token, to see whether somebody answers.
bool calib_client_try(int port);

#endif
