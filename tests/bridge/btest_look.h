// SPDX-License-Identifier: Apache-2.0
// What a fleet's pool and its first bridge say; each waits until it is so, and fails the test if it never is.
#ifndef BTEST_LOOK_H
#define BTEST_LOOK_H

#include "btest_fleet.h"

enum { BTEST_LOOK_MS = 60000 };

// A field of KVROUTE.WORKER GET as text, a list's length; "none": there is no such worker.
void btest_look_field(struct btest_fleet *w, const char *name, const char *field, char out[40]);
void btest_look_becomes(struct btest_fleet *w, const char *name, const char *field,
                        const char *value);
struct support_response btest_look_at(const struct btest_fleet *w, const char *path);
void btest_look_says(struct btest_fleet *w, const char *path, int status, const char *text);
void btest_look_logs(struct btest_fleet *w, const char *text);
bool btest_look_logged(const struct btest_fleet *w, const char *text); // so far

#endif
