// SPDX-License-Identifier: Apache-2.0
// The TLS listener.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_cluster.h"
#include "rtest_tls.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

static int tls_port;

static void up(const char *const *more) {
    char listen[60];
    const char *argv[20] = {"--tls_listen", listen,      "--tls_cert",
                            rtest_tls.cert, "--tls_key", rtest_tls.key};
    rtest_certificate(1);
    rtest_redis();
    close(support_listen(&tls_port));
    snprintf(listen, sizeof listen, "127.0.0.1:%d", tls_port);
    for (size_t n = 6; more && *more; n++)
        argv[n] = *more++;
    rtest_router(0, argv);
}

Test(tls, requests_and_another_certificate, .fini = rtest_cluster_down) {
    static const char request[] = "POST /v1/update HTTP/1.1\r\nHost: a\r\nContent-Type: "
                                  "application/json\r\nContent-Length: 2\r\n\r\n{}"
                                  "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    long serial;
    up(NULL);
    char *answer = rtest_tls_ask(tls_port, request, &serial);
    cr_assert(serial == 1 && rtest_tls.ended);
    cr_assert(strstr(answer, "HTTP/1.1 400") && strstr(answer, "HTTP/1.1 200"));
    cr_assert(strstr(answer, "kvroute_router_access_log_lost_total"));
    free(answer);
    rtest_certificate(2);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; serial != 2; support_sleep_ms(20)) {
        free(rtest_tls_ask(tls_port, request, &serial));
        cr_assert(kvr_clock_ms() < end);
    }
    // One that is no good changes nothing.
    FILE *f = fopen(rtest_tls.cert, "w");
    fputs("nonsense\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    support_sleep_ms(200);
    free(rtest_tls_ask(tls_port, request, &serial));
    cr_assert_eq(serial, 2);
}

Test(tls, what_is_no_tls, .fini = rtest_cluster_down) {
    up((const char *[]){"--header_timeout", "400", NULL});
    bool closed;
    int fd = support_http_connect(tls_port);
    rtest_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    char *all = support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL);
    cr_assert(closed && !strstr(all, "HTTP/1.1 200"));
    free(all);
    close(fd);
    fd = support_http_connect(tls_port); // a handshake that never goes on
    support_http_send(fd, "\026\003\001", 3);
    free(support_http_read(fd, NULL, RTEST_WAIT_MS, NULL, &closed, NULL));
    cr_assert(closed);
    close(fd);
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/healthz")));
}
