// SPDX-License-Identifier: Apache-2.0
// The processes that are measured; see bench_router_setup.h.
#include "bench_router_setup.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/bench_engines.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { ROUTER_START_MS = 10000, ROUTER_OPENSSL_MS = 20000 };

static bool listens(void *ctx) {
    const int *port = ctx;
    int fd = support_http_connect(*port);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

void bench_router_certificate(struct bench_router_setup *s) {
    char error[200];
    support_path(s->certificate, sizeof s->certificate, "engine.pem");
    support_path(s->key, sizeof s->key, "engine.key");
    const char *argv[] = {"openssl",
                          "req",
                          "-x509",
                          "-newkey",
                          "ec",
                          "-pkeyopt",
                          "ec_paramgen_curve:P-256",
                          "-nodes",
                          "-subj",
                          "/CN=bench",
                          "-addext",
                          "subjectAltName=IP:127.0.0.1",
                          "-keyout",
                          s->key,
                          "-out",
                          s->certificate,
                          NULL};
    if (support_run(argv, ROUTER_OPENSSL_MS, error, sizeof error)) *s->certificate = 0;
}

static void add_tls(struct bench_router_setup *s, int i) {
    struct bench_engine *e = &s->engines[i];
    size_t n = strlen(e->options);
    if (!*s->certificate) return;
    if (!s->tls_ports[i]) s->tls_ports[i] = support_port();
    snprintf(e->options + n, sizeof e->options - n, " --tls-port=%d --tls-cert=%s --tls-key=%s",
             s->tls_ports[i], s->certificate, s->key);
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
        add_tls(s, i);
        if (!bench_engine_start(e, support_setting("KVROUTE_MOCK_ENGINE", KVROUTE_MOCK_ENGINE)))
            return false;
    }
    return true;
}

static bool write_settings(const struct bench_router_setup *s, const char *path, bool tls) {
    const char *pool = tls ? "proxy-tls" : "proxy";
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(f, "[router]\nredis = redis://127.0.0.1:%d\nlisten = 127.0.0.1:%d\n", s->redis.port,
            tls ? s->tls_router_port : s->router_port);
    if (tls) fprintf(f, "engine_ca = %s\n", s->certificate);
    fprintf(f,
            "[pool %s]\nmodels = mock\ncreate = BLOCKSIZE 16 POLICY delay PREDICT 60000\n"
            "[pool advise]\nmodels = none\n",
            pool);
    for (int i = 0; i < BENCH_ENGINES; i++)
        fprintf(f, "[engine http%s://127.0.0.1:%d]\npool = %s\n", tls ? "s" : "",
                tls ? s->tls_ports[i] : s->engines[i].http, pool);
    return fclose(f) == 0;
}

static bool start_router(struct bench_router_setup *s, bool tls) {
    char path[256], log[256];
    int *port = tls ? &s->tls_router_port : &s->router_port;
    support_path(path, sizeof path, "router%s.conf", tls ? "-tls" : "");
    support_path(log, sizeof log, "router%s.log", tls ? "-tls" : "");
    *port = support_port();
    if (!write_settings(s, path, tls)) return false;
    const char *argv[] = {support_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    *(tls ? &s->tls_router : &s->router) = support_start(argv, log);
    return support_wait(listens, port, ROUTER_START_MS);
}

bool bench_router_routers(struct bench_router_setup *s) {
    return start_router(s, false) && (!*s->certificate || start_router(s, true));
}

static void write_backend(const struct bench_router_setup *s, FILE *f, const char *name,
                          const char *options) {
    fprintf(f, "backend %s\n  balance roundrobin\n%s", name, options);
    for (int i = 0; i < BENCH_ENGINES; i++)
        fprintf(f, "  server e%d 127.0.0.1:%d\n", i, s->engines[i].http);
}

bool bench_router_haproxy(struct bench_router_setup *s) {
    char path[256], log[256];
    if (access("/usr/sbin/haproxy", X_OK)) return true;
    support_path(path, sizeof path, "haproxy.cfg");
    support_path(log, sizeof log, "haproxy.log");
    s->haproxy_port = support_port();
    s->haproxy_at_once_port = support_port();
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(
        f,
        "global\n  nbthread 1\n  maxconn 8000\n"
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        "  option http-keep-alive\n  http-reuse always\n"
        "frontend in\n  bind 127.0.0.1:%d\n  default_backend engines\n"
        "frontend at-once\n  bind 127.0.0.1:%d\n  option http-no-delay\n"
        "  default_backend engines-at-once\n",
        s->haproxy_port, s->haproxy_at_once_port);
    write_backend(s, f, "engines", "");
    write_backend(s, f, "engines-at-once", "  option http-no-delay\n");
    fclose(f);
    const char *argv[] = {"/usr/sbin/haproxy", "-db", "-f", path, NULL};
    s->haproxy = support_start(argv, log);
    return support_wait(listens, &s->haproxy_port, ROUTER_START_MS);
}

void bench_router_end_engines(struct bench_router_setup *s) {
    support_end(&s->router, SIGKILL);
    support_end(&s->tls_router, SIGKILL);
    support_end(&s->haproxy, SIGKILL);
    for (int i = 0; i < BENCH_ENGINES; i++)
        support_end(&s->engines[i].pid, SIGKILL);
}

void bench_router_fill_advise(struct support_redis *redis) {
    redisReply *r = support_redis_command(redis, "KVROUTE.CREATE advise POLICY delay");
    for (int i = 0; i < BENCH_ADVISE_WORKERS && r; i++) {
        freeReplyObject(r);
        r = support_redis_command(redis, "KVROUTE.WORKER SET advise w%d ADDR http://127.0.0.1:%d",
                                  i, 20000 + i);
    }
    if (!r) support_fail("the pool can't be made");
    freeReplyObject(r);
}
