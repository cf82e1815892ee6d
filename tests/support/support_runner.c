// SPDX-License-Identifier: Apache-2.0
// What suites that start processes set before Criterion's own main: one job more than there are
// processors, because their tests spend much of their time waiting.
//
// Not a main of ours: Criterion starts a test by running the program anew with main replaced, and what it
// replaces is the main of its own library where that is linked with -Bsymbolic-functions, as Ubuntu's is.
#include <criterion/options.h>
#include <signal.h>
#include <unistd.h>

__attribute__((constructor)) static void set_up(void) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    criterion_options.jobs = cpus > 0 ? (size_t)cpus + 1 : 2;
    signal(SIGPIPE, SIG_IGN); // as libkvroute's caveats ask; what tests start inherits it
}
