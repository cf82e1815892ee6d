// SPDX-License-Identifier: Apache-2.0
// Plays a script against a server on 127.0.0.1: each request is sent at its time, however the earlier
// ones fare, and its answer is read as a stream.
#ifndef CALIB_PLAYER_H
#define CALIB_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calib_load.h"
#include "completion.h"

// What became of a request. Times in seconds since the first was due; negative: never.
struct calib_outcome {
    double sent;        // when it went out; that it was late is in the other times, too
    double first, last; // when its first and last token came
    uint32_t tokens;
    int64_t cached; // tokens of the prompt; -1: it wasn't said
    char engine[CALIB_NAME];
    char why[CALIB_WHY]; // "": all is well
};

// Plays all requests over one port; out has room for each. False: the program is being stopped.
bool calib_client_run(const struct calib_load *s, int port, struct calib_outcome *out);
// One request for one token, to see whether somebody answers.
bool calib_client_try(int port);

#endif
