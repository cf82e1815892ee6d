// SPDX-License-Identifier: Apache-2.0
// The TLS listener, with certificates made here.
#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "rtest_cluster.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

static char cert_file[200], key_file[200];
static int tls_port;

static void make_certificate(long serial) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    snprintf(cert_file, sizeof cert_file, "%s/cert.pem", support_home());
    snprintf(key_file, sizeof key_file, "%s/key.pem", support_home());
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, name);
    cr_assert(X509_sign(x, key, EVP_sha256()));
    FILE *f = fopen(cert_file, "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(key_file, "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void up(const char *const *more) {
    char listen[60];
    const char *argv[20] = {"--tls_listen", listen, "--tls_cert", cert_file, "--tls_key", key_file};
    make_certificate(1);
    rtest_redis();
    close(support_listen(&tls_port));
    snprintf(listen, sizeof listen, "127.0.0.1:%d", tls_port);
    for (size_t n = 6; more && *more; n++)
        argv[n] = *more++;
    rtest_router(0, argv);
}

// What comes back for a request over TLS, until the end; the certificate's serial number; 0: no TLS.
static char *ask(const char *text, long *serial) {
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(c);
    int fd = support_http_connect(tls_port), n;
    size_t all = 0;
    char *answer = calloc(1, 1 << 20);
    SSL_set_fd(ssl, fd);
    *serial = 0;
    if (SSL_connect(ssl) == 1) {
        X509 *x = SSL_get1_peer_certificate(ssl);
        *serial = ASN1_INTEGER_get(X509_get_serialNumber(x));
        X509_free(x);
        for (const char *p = text; *p; p++) // byte by byte: each a record of its own
            SSL_write(ssl, p, 1);
        while ((n = SSL_read(ssl, answer + all, (1 << 20) - 1 - (int)all)) > 0)
            all += (size_t)n;
    }
    SSL_free(ssl);
    SSL_CTX_free(c);
    close(fd);
    return answer;
}

Test(tls, requests_and_another_certificate, .fini = rtest_cluster_down) {
    static const char request[] =
        "POST /v1/update HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
        "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    long serial;
    up(NULL);
    char *answer = ask(request, &serial);
    cr_assert_eq(serial, 1);
    cr_assert(strstr(answer, "HTTP/1.1 400") && strstr(answer, "HTTP/1.1 200"));
    cr_assert(strstr(answer, "kvroute_router_access_log_lost_total"));
    free(answer);
    make_certificate(2);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    for (int64_t end = kvr_clock_ms() + 5000; serial != 2; support_sleep_ms(20)) {
        free(ask(request, &serial));
        cr_assert(kvr_clock_ms() < end);
    }
    // One that is no good changes nothing.
    FILE *f = fopen(cert_file, "w");
    fputs("nonsense\n", f);
    fclose(f);
    rtest_kill(&rtest_fleet.routers[0], SIGHUP);
    support_sleep_ms(200);
    free(ask(request, &serial));
    cr_assert_eq(serial, 2);
}

Test(tls, what_is_no_tls, .fini = rtest_cluster_down) {
    up((const char *[]){"--header_timeout", "400", NULL});
    bool closed;
    int fd = support_http_connect(tls_port);
    rtest_say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    char *all = support_http_read(fd, NULL, 5000, NULL, &closed, NULL);
    cr_assert(closed && !strstr(all, "HTTP/1.1 200"));
    free(all);
    close(fd);
    fd = support_http_connect(tls_port); // a handshake that never goes on
    support_http_send(fd, "\026\003\001", 3);
    free(support_http_read(fd, NULL, 5000, NULL, &closed, NULL));
    cr_assert(closed);
    close(fd);
    cr_assert(rtest_is_served(rtest_get(rtest_port(), "/healthz")));
}
