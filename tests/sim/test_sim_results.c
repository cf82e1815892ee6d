// SPDX-License-Identifier: Apache-2.0
// What is written of runs: JSON and the lines around the table.
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/sim/compare/results.h"
#include "bench/sim/compare/sim_options.h"
#include "bench/sim/routers/routers.h"

static struct sim_options o;

// Two rows, of which the first predicts and is without two terms.
static void open_results(struct sim_results *r) {
    char *argv[] = {"kvroute-sim", NULL};
    memset(&o, 0, sizeof o);
    cr_assert(sim_options_parse(&o, 1, argv) == -1);
    *r = (struct sim_results){.o = &o, .load = "none"};
    struct sim_row *row = sim_results_add(r);
    row->spec = (struct sim_spec){
        .kind = sim_router_find("events"), .routers = 1, .without = KVR_TERM_QUEUE | KVR_TERM_PACE};
    row->spec.policy = KVR_DELAY;
    strcpy(row->name, "one");
    row->figures.error = 0.125;
    row = sim_results_add(r);
    row->spec = (struct sim_spec){.kind = sim_router_find("least"), .routers = 1};
    strcpy(row->name, "two");
    row->figures.error = NAN;
}

Test(results, json_has_errors_and_what_was_left_out) {
    struct sim_results r;
    char path[] = "/tmp/kvroute-sim-json.XXXXXX";
    int file = mkstemp(path);
    open_results(&r);
    cr_assert(file >= 0 && sim_results_json(&r, path));
    json_t *all = json_load_file(path, 0, NULL);
    close(file);
    unlink(path);
    cr_assert(all != NULL);
    json_t *runs = json_object_get(all, "runs"), *one = json_array_get(runs, 0),
           *two = json_array_get(runs, 1);
    json_t *error = json_object_get(json_object_get(one, "figures"), "ttft_prediction_error");
    cr_assert(json_real_value(error) == 0.125);
    cr_assert(!json_object_get(json_object_get(two, "figures"), "ttft_prediction_error"));
    json_t *without = json_object_get(one, "without");
    cr_assert(json_array_size(without) == 2 && !json_object_get(two, "without"));
    cr_assert_str_eq(json_string_value(json_array_get(without, 0)), "queue");
    cr_assert_str_eq(json_string_value(json_array_get(without, 1)), "pace");
    json_decref(all);
    sim_results_free(&r);
}

static char *errors_from(const struct sim_results *r, size_t first) {
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    cr_assert(f != NULL);
    sim_table_errors(f, r, first);
    fclose(f);
    return text;
}

Test(results, one_line_for_those_that_predict) {
    struct sim_results r;
    open_results(&r);
    struct sim_row *row = sim_results_add(&r);
    strcpy(row->name, "three");
    row->figures.error = 0.5;
    char *all = errors_from(&r, 0), *rest = errors_from(&r, 1), *none;
    cr_assert_str_eq(all, "\npredicted TTFT, median error: one 12.5%; three 50.0%\n");
    cr_assert_str_eq(rest, "\npredicted TTFT, median error: three 50.0%\n");
    row->figures.error = NAN;
    none = errors_from(&r, 1);
    cr_assert_str_eq(none, "");
    free(all);
    free(rest);
    free(none);
    sim_results_free(&r);
}

// Means of several seeds are unknown when one of them is.
Test(results, means_of_what_is_unknown) {
    struct sim_figures sum = {0}, known = {.error = 0.5}, unknown = {.error = NAN};
    sim_figures_add(&sum, &known);
    sim_figures_add(&sum, &known);
    sim_figures_divide(&sum, 2);
    cr_assert(sum.error == 0.5);
    sim_figures_add(&sum, &unknown);
    cr_assert(isnan(sum.error));
}
