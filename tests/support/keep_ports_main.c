// SPDX-License-Identifier: Apache-2.0
// kvroute-keep-ports: ports for a script's servers. Says so many, and keeps them until it is ended, or the script that
// started it is; see support_port.h.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "support_port.h"

enum { KEEP_MAX = 100 };

int main(int argc, char **argv) {
    int n = argc == 2 ? atoi(argv[1]) : 0;
    if (n < 1 || n > KEEP_MAX) {
        fprintf(stderr, "usage: kvroute-keep-ports N (1 to %d)\n", KEEP_MAX);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < n; i++)
        printf("%d%c", support_port(), i + 1 < n ? ' ' : '\n');
    fflush(stdout);
    for (;;)
        pause();
}
