// SPDX-License-Identifier: Apache-2.0
// The processes that are measured; see stage.h.
#include "stage.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/process.h"
#include "bench/common/stop.h"

enum { START_S = 10 };

static bool listens(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int64_t end = clock_ns() + START_S * INT64_C(1000000000);
         clock_ns() < end && !stop_asked(); clock_sleep_ms(20)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
        if (fd >= 0) close(fd);
        if (ok) return true;
    }
    return false;
}

bool stage_engines(struct stage *s, const char *time_scale, const char *decode_speed) {
    for (int i = 0; i < ENGINES; i++) {
        struct engine_process *e = &s->engines[i];
        *e = (struct engine_process){.ranks = 1};
        snprintf(e->options, sizeof e->options,
                 "--model=mock --no-events --max-running=1000 --blocks=65536 --time-scale=%s "
                 "--decode-speed=%s",
                 time_scale, decode_speed);
        if (!engine_start(e, process_setting("KVROUTE_MOCK_ENGINE", KVROUTE_MOCK_ENGINE)))
            return false;
    }
    return true;
}

static bool write_settings(const struct stage *s, const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(f,
            "[router]\nredis = redis://127.0.0.1:%d\nlisten = 127.0.0.1:%d\n"
            "[pool proxy]\nmodels = mock\ncreate = BLOCKSIZE 16 POLICY delay PREDICT 60000\n"
            "[pool advise]\nmodels = none\n",
            s->server.port, s->router_port);
    for (int i = 0; i < ENGINES; i++)
        fprintf(f, "[engine http://127.0.0.1:%d]\npool = proxy\n", s->engines[i].http);
    return fclose(f) == 0;
}

bool stage_router(struct stage *s) {
    char path[256], log[256];
    snprintf(path, sizeof path, "%s/router.conf", s->server.dir);
    snprintf(log, sizeof log, "%s/router.log", s->server.dir);
    s->router_port = process_ports(1);
    if (!write_settings(s, path)) return false;
    const char *argv[] = {process_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    s->router = process_start(argv, log, -1);
    return s->router > 0 && listens(s->router_port);
}

bool stage_haproxy(struct stage *s) {
    char path[256], log[256];
    if (access("/usr/sbin/haproxy", X_OK)) return true;
    snprintf(path, sizeof path, "%s/haproxy.cfg", s->server.dir);
    snprintf(log, sizeof log, "%s/haproxy.log", s->server.dir);
    s->haproxy_port = process_ports(1);
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
    for (int i = 0; i < ENGINES; i++)
        fprintf(f, "  server e%d 127.0.0.1:%d\n", i, s->engines[i].http);
    fclose(f);
    const char *argv[] = {"/usr/sbin/haproxy", "-db", "-f", path, NULL};
    s->haproxy = process_start(argv, log, -1);
    return s->haproxy > 0 && listens(s->haproxy_port);
}

void stage_end_engines(struct stage *s) {
    process_end(&s->router, SIGKILL);
    process_end(&s->haproxy, SIGKILL);
    for (int i = 0; i < ENGINES; i++)
        process_end(&s->engines[i].pid, SIGKILL);
}

void stage_end(struct stage *s) {
    stage_end_engines(s);
    server_remove(&s->server);
}
