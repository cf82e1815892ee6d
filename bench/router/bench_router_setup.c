// SPDX-License-Identifier: Apache-2.0
// The processes that are measured; see bench_router_setup.h.
#include "bench_router_setup.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/common/bench_engines.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { ROUTER_START_MS = 10000 };

static bool listens(void *ctx) {
    const int *port = ctx;
    int fd = support_http_connect(*port);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

bool bench_router_engines(struct bench_router_setup *s, const char *time_scale,
                          const char *decode_speed) {
    for (int i = 0; i < BENCH_ENGINES; i++) {
        struct bench_engine *e = &s->engines[i];
        *e = (struct bench_engine){.ranks = 1};
        snprintf(e->options, sizeof e->options,
                 "--model=mock --no-events --max-running=1000 --blocks=65536 --time-scale=%s "
                 "--decode-speed=%s",
                 time_scale, decode_speed);
        if (!bench_engine_start(e, support_setting("KVROUTE_MOCK_ENGINE", KVROUTE_MOCK_ENGINE)))
            return false;
    }
    return true;
}

static bool write_settings(const struct bench_router_setup *s, const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(f,
            "[router]\nredis = redis://127.0.0.1:%d\nlisten = 127.0.0.1:%d\n"
            "[pool proxy]\nmodels = mock\ncreate = BLOCKSIZE 16 POLICY delay PREDICT 60000\n"
            "[pool advise]\nmodels = none\n",
            s->redis.port, s->router_port);
    for (int i = 0; i < BENCH_ENGINES; i++)
        fprintf(f, "[engine http://127.0.0.1:%d]\npool = proxy\n", s->engines[i].http);
    return fclose(f) == 0;
}

bool bench_router_router(struct bench_router_setup *s) {
    char path[256], log[256];
    support_path(path, sizeof path, "router.conf");
    support_path(log, sizeof log, "router.log");
    s->router_port = support_port();
    if (!write_settings(s, path)) return false;
    const char *argv[] = {support_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    s->router = support_start(argv, log);
    return support_wait(listens, &s->router_port, ROUTER_START_MS);
}

bool bench_router_haproxy(struct bench_router_setup *s) {
    char path[256], log[256];
    if (access("/usr/sbin/haproxy", X_OK)) return true;
    support_path(path, sizeof path, "haproxy.cfg");
    support_path(log, sizeof log, "haproxy.log");
    s->haproxy_port = support_port();
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(
        f,
        "global\n  nbthread 1\n  maxconn 8000\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        "  option http-keep-alive\n  http-reuse always\n"
        "frontend in\n  bind 127.0.0.1:%d\n  default_backend engines\n"
        "backend engines\n  balance roundrobin\n",
        s->haproxy_port);
    for (int i = 0; i < BENCH_ENGINES; i++)
        fprintf(f, "  server e%d 127.0.0.1:%d\n", i, s->engines[i].http);
    fclose(f);
    const char *argv[] = {"/usr/sbin/haproxy", "-db", "-f", path, NULL};
    s->haproxy = support_start(argv, log);
    return support_wait(listens, &s->haproxy_port, ROUTER_START_MS);
}

void bench_router_end_engines(struct bench_router_setup *s) {
    support_end(&s->router, SIGKILL);
    support_end(&s->haproxy, SIGKILL);
    for (int i = 0; i < BENCH_ENGINES; i++)
        support_end(&s->engines[i].pid, SIGKILL);
}
