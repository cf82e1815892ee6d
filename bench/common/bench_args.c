// SPDX-License-Identifier: Apache-2.0
// Command lines; see bench_args.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "bench_args.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_memory.h"

bool bench_arg_wrong(const char *name, const char *what) {
    fprintf(stderr, "%s: --%s: %s\n", program_invocation_short_name, name, what);
    return false;
}

bool bench_arg_number(const char *name, const char *text, double min, double max, double *out) {
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno || end == text || *end || !(v >= min && v <= max)) {
        fprintf(stderr, "%s: --%s takes a number from %.10g to %.10g\n",
                program_invocation_short_name, name, min, max);
        return false;
    }
    *out = v;
    return true;
}

static void *field(void *options, const struct bench_arg *arg) {
    return (char *)options + arg->at;
}

bool bench_arg_flag(void *options, const struct bench_arg *arg, const char *text) {
    (void)text;
    return *(bool *)field(options, arg) = true;
}

bool bench_arg_text(void *options, const struct bench_arg *arg, const char *text) {
    *(const char **)field(options, arg) = text;
    return true;
}

bool bench_arg_real(void *options, const struct bench_arg *arg, const char *text) {
    return bench_arg_number(arg->name, text, arg->min, arg->max, field(options, arg));
}

bool bench_arg_whole(void *options, const struct bench_arg *arg, const char *text) {
    double v;
    if (!bench_arg_number(arg->name, text, arg->min, arg->max, &v)) return false;
    if (v != floor(v)) return bench_arg_wrong(arg->name, "takes a whole number");
    *(uint64_t *)field(options, arg) = (uint64_t)v;
    return true;
}

int bench_args_read(void *options, const struct bench_arg *args, size_t n, const char *usage,
                    int argc, char **argv) {
    struct option *longs = bench_calloc(n + 3, sizeof *longs);
    int status = -1;
    for (size_t i = 0; i < n; i++)
        longs[i] = (struct option){
            .name = args[i].name, .has_arg = args[i].take != bench_arg_flag, .val = (int)i};
    longs[n] = (struct option){.name = "help", .val = (int)n};
    longs[n + 1] = (struct option){.name = "version", .val = (int)n + 1};
    for (int c; status < 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == (int)n)
            status = fputs(usage, stdout) < 0;
        else if (c == (int)n + 1)
            status = printf("%s %s\n", program_invocation_short_name, KVROUTE_VERSION) < 0;
        else if (c == '?' || !args[c].take(options, &args[c], optarg))
            status = 2;
    }
    free(longs);
    if (status >= 0 || optind == argc) return status;
    fprintf(stderr, "%s: takes options only; see --help\n", program_invocation_short_name);
    return 2;
}
