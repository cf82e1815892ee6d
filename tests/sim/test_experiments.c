// SPDX-License-Identifier: Apache-2.0
// The experiments run, on small fleets and for short.
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "bench/sim/queue/experiment.h"
#include "stest.h"

static void run_experiment(const char *name, const char *a, const char *b, const char *c) {
    static struct sim_options o;
    struct sim_server server = {0};
    cr_redirect_stdout();
    cr_assert(stest_parse(&o, "--workers=2", a, b, c) == -1);
    const struct sim_experiment *e = sim_experiment_find(name);
    cr_assert(e != NULL && e->run(&o, &server));
}

Test(experiments, batch) {
    run_experiment("batch", "--duration=20", "--router=one:2:room=8", NULL);
}

Test(experiments, shares) {
    run_experiment("shares", "--duration=20", "--router=one:1:room=8", NULL);
}

Test(experiments, retry) {
    run_experiment("retry", "--requests=300", "--router=one:2:room=8", NULL);
}

Test(experiments, quota) {
    run_experiment("quota", "--duration=3", "--model=small", NULL);
}

Test(experiments, pairs) {
    run_experiment("pairs", "--requests=60", "--load=chat", NULL);
}

Test(experiments, roles) {
    run_experiment("roles", "--requests=60", "--load=alone", NULL);
}

Test(experiments, no_other) {
    cr_assert(sim_experiment_find("nothing") == NULL);
}
