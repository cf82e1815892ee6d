// SPDX-License-Identifier: Apache-2.0
// Being stopped; see stop.h.
#include "stop.h"

#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t asked;
static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_SIGNALS = sizeof signals / sizeof *signals };

static void note(int signal_no) {
    asked = signal_no;
}

void stop_watch(void) {
    struct sigaction a = {.sa_handler = note};
    for (size_t i = 0; i < N_SIGNALS; i++)
        sigaction(signals[i], &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool stop_asked(void) {
    return asked != 0;
}

int stop_signal(void) {
    return asked;
}

void stop_leave_it(void) {
    for (size_t i = 0; i < N_SIGNALS; i++)
        signal(signals[i], SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == 1) _exit(1);
}
