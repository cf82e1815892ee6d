// SPDX-License-Identifier: Apache-2.0
// Plays a script against a server on 127.0.0.1: each request is sent at its time, however the earlier
// ones fare, and its answer is read as a stream.
#ifndef CALIBRATE_PLAYER_H
#define CALIBRATE_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "script.h"
#include "sse.h"

// What became of a request. Times in seconds since the first was due; negative: never.
struct played {
    double sent;        // when it went out; that it was late is in the other times, too
    double first, last; // when its first and last token came
    uint32_t tokens;
    int64_t cached; // tokens of the prompt; -1: it wasn't said
    char engine[SSE_NAME];
    char why[SSE_WHY]; // "": all is well
};

// Plays all requests over one port; out has room for each. False: the program is being stopped.
bool player_run(const struct script *s, int port, struct played *out);
// One request for one token, to see whether somebody answers.
bool player_try(int port);

#endif
