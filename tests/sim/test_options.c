// SPDX-License-Identifier: Apache-2.0
// The command line: fleets of several engines, and what follows from a load.
#include <criterion/criterion.h>
#include <getopt.h>
#include <string.h>

#include "options.h"

static int parse(struct options *o, const char *a, const char *b, const char *c, const char *d) {
    const char *given[] = {"kvroute-sim", a, b, c, d, NULL};
    char *argv[6] = {0}, room[5][64];
    int n = 0;
    for (; given[n]; n++) {
        strcpy(room[n], given[n]);
        argv[n] = room[n];
    }
    optind = 0; // begins anew
    memset(o, 0, sizeof *o);
    return options_parse(o, n, argv);
}

Test(options, models_and_speeds) {
    static struct options o;
    cr_assert(parse(&o, "--model", "middle:2,large:3", NULL, NULL) == -1);
    cr_assert(o.workers == 5 && !strcmp(o.engines[1].model.name, "middle"));
    cr_assert(!strcmp(o.engines[2].model.name, "large"));
    cr_assert(o.engines[0].blocks == 420000 / 64 && o.engines[4].blocks == 3600000 / 64);
    cr_assert(parse(&o, "--speeds", "2x1,0.4", "--attention", NULL) == -1);
    cr_assert(o.workers == 3 && o.engines[1].speed == 1 && o.engines[2].speed == 0.4);
    cr_assert(o.engines[2].model.attention > 0 && !o.engines[2].model.preempt);
    cr_assert(parse(&o, "--speeds", "1,0.5", "--workers", "5") == -1);
    cr_assert(o.workers == 5 && o.engines[3].speed == 0.5 && o.engines[4].speed == 1);
    cr_assert(parse(&o, "--model", "large", NULL, NULL) == -1 && o.workers == 8);
    cr_assert(o.engines[0].model.attention == 0 && !o.users && !o.warmup && !o.duration);
    cr_assert(parse(&o, "--model", "huge", NULL, NULL) == 2);
    cr_assert(parse(&o, "--speeds", "3y1", NULL, NULL) == 2);
}

Test(options, users_of_a_load) {
    static struct options o;
    cr_assert(parse(&o, "--load", "sessions", "--model", "large") == -1);
    cr_assert(o.users == (uint64_t)o.load->users[2] * 8 && o.duration > 0 && o.warmup > 0);
    cr_assert(parse(&o, "--sessions", "12", "--warmup", "5") == -1);
    cr_assert(o.users == 12 && o.warmup == 5 && o.ramp > 0 && !o.fresh);
}
