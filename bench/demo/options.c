// SPDX-License-Identifier: Apache-2.0
// The command line of the demo.
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef REDIS_SERVER
#define REDIS_SERVER "redis-server"
#endif

static const char usage[] =
    "usage: kvroute-demo [options]\n"
    "\n"
    "Starts a real redis-server with the module, simulated workers and router processes, replays "
    "a\n"
    "workload four times (round robin, one router, several, several through crashes of the "
    "server)\n"
    "and prints one table. Exit status 0 means that every check under the table holds.\n"
    "\n"
    "  --routers N       router processes (4)\n"
    "  --workers N       simulated engines (8); mock engines (4)\n"
    "  --engines KIND    simulated, or mock: processes that speak HTTP and ZeroMQ, with bridges "
    "beside\n"
    "                    them, in real time, made faster (simulated)\n"
    "  --scale N         so many times faster, with mock engines (15)\n"
    "  --capacity N      blocks a worker's cache holds (what puts the caches under pressure)\n"
    "  --trace FILE      replay a trace: JSON lines of timestamp, input_length, output_length and\n"
    "                    hash_ids, one id for 512 tokens; otherwise chats are generated\n"
    "  --block-size N    tokens a block (16); divides 512 for a trace\n"
    "  --requests N      at most so many requests\n"
    "  --seed N          of the generated chats (1)\n"
    "  --quick           a small workload, about ten seconds in all\n"
    "  --pool WORDS      options for KVROUTE.CREATE, for example --pool 'PREFILL 2 REQUESTS 4'\n"
    "  --tear BYTES      after the first crash, cut so much off the append-only file, as a loss "
    "of\n"
    "                    power would: routers and workers must put back what is missing (0)\n"
    "  --module PATH     kvroute.so (beside this program: ../module/kvroute.so)\n"
    "  --redis-server PATH\n"
    "  --keep            leave the servers' folders (log, append-only file) and say where\n"
    "  --help\n";

static bool number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (!errno && end != text && !*end && *text != '-' && *out >= min && *out <= max) return true;
    fprintf(stderr, "kvroute-demo: --%s takes a number from %llu to %llu\n", name,
            (unsigned long long)min, (unsigned long long)max);
    return false;
}

// ../module/kvroute.so as seen from the folder of this program, else where the build put it.
static const char *default_module(void) {
    static char path[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash) {
        strcpy(slash, "/../module/kvroute.so");
        if (access(path, R_OK) == 0) return path;
    }
#ifdef KVROUTE_MODULE
    return KVROUTE_MODULE;
#else
    return "kvroute.so";
#endif
}

int options_parse(struct options *o, int argc, char **argv) {
    enum {
        ROUTERS,
        WORKERS,
        ENGINES,
        SCALE,
        CAPACITY,
        TRACE,
        BLOCK,
        REQUESTS,
        SEED,
        QUICK,
        POOL,
        TEAR,
        MODULE,
        SERVER
    };
    enum { KEEP = SERVER + 1, HELP };
    static const struct option longs[] = {
        {"routers", required_argument, NULL, ROUTERS},
        {"workers", required_argument, NULL, WORKERS},
        {"engines", required_argument, NULL, ENGINES},
        {"scale", required_argument, NULL, SCALE},
        {"capacity", required_argument, NULL, CAPACITY},
        {"trace", required_argument, NULL, TRACE},
        {"block-size", required_argument, NULL, BLOCK},
        {"requests", required_argument, NULL, REQUESTS},
        {"seed", required_argument, NULL, SEED},
        {"quick", no_argument, NULL, QUICK},
        {"pool", required_argument, NULL, POOL},
        {"tear", required_argument, NULL, TEAR},
        {"module", required_argument, NULL, MODULE},
        {"redis-server", required_argument, NULL, SERVER},
        {"keep", no_argument, NULL, KEEP},
        {"help", no_argument, NULL, HELP},
        {0},
    };
    const char *server = getenv("REDIS_SERVER"), *module = getenv("KVROUTE_MODULE");
    *o = (struct options){
        .routers = 4,
        .scale = 15,
        .block_size = 16,
        .seed = 1,
        .pool = "",
        .server = server && *server ? server : REDIS_SERVER,
        .module = module && *module ? module : default_module(),
    };
    for (int c, at; (c = getopt_long(argc, argv, "", longs, &at)) != -1;) {
        const char *name = c == '?' ? "" : longs[at].name;
        uint64_t v = 0;
        bool ok = true;
        switch (c) {
        case ROUTERS:
            if ((ok = number(name, optarg, 1, MAX_ROUTERS, &v))) o->routers = (unsigned)v;
            break;
        case WORKERS:
            if ((ok = number(name, optarg, 1, MAX_WORKERS, &v))) o->workers = (unsigned)v;
            break;
        case ENGINES:
            o->mock = !strcmp(optarg, "mock");
            ok = o->mock || !strcmp(optarg, "simulated");
            if (!ok) fprintf(stderr, "kvroute-demo: --engines takes simulated or mock\n");
            break;
        case SCALE:
            if ((ok = number(name, optarg, 1, 1000, &v))) o->scale = (double)v;
            break;
        case CAPACITY:
            if ((ok = number(name, optarg, 1, 1 << 20, &v))) o->capacity = v;
            break;
        case BLOCK:
            if ((ok = number(name, optarg, 1, 4096, &v))) o->block_size = (unsigned)v;
            break;
        case REQUESTS:
            if ((ok = number(name, optarg, 1, 10000000, &v))) o->requests = v;
            break;
        case SEED:
            if ((ok = number(name, optarg, 0, UINT64_MAX, &v))) o->seed = v;
            break;
        case TEAR:
            if ((ok = number(name, optarg, 0, 1 << 30, &v))) o->tear = v;
            break;
        case POOL:
            o->pool = optarg;
            break;
        case TRACE:
            o->trace = optarg;
            break;
        case MODULE:
            o->module = optarg;
            break;
        case SERVER:
            o->server = optarg;
            break;
        case QUICK:
            o->quick = true;
            break;
        case KEEP:
            o->keep = true;
            break;
        case HELP:
            return fputs(usage, stdout) < 0;
        default:
            ok = false;
        }
        if (!ok) return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "kvroute-demo: takes options only; see --help\n");
        return 2;
    }
    if (!o->workers) o->workers = o->mock ? 4 : 8;
    if (o->mock && (o->trace || o->workers > MAX_MOCKS)) {
        fprintf(stderr, "kvroute-demo: with mock engines no --trace, and at most %d --workers\n",
                MAX_MOCKS);
        return 2;
    }
    // The server runs in a folder of its own.
    static char absolute[PATH_MAX];
    if (!realpath(o->module, absolute)) {
        fprintf(stderr, "kvroute-demo: no module at %s: %s\n", o->module, strerror(errno));
        return 2;
    }
    o->module = absolute;
    return -1;
}
