// SPDX-License-Identifier: Apache-2.0
// Being stopped: Ctrl-C and the like set a flag that every wait looks at, so that all is put away.
#ifndef COMMON_STOP_H
#define COMMON_STOP_H

#include <stdbool.h>

void stop_watch(void);    // from now on
bool stop_asked(void);    //
int stop_signal(void);    // which, 0 none
void stop_leave_it(void); // in a child: the parent decides; dies with the parent

#endif
