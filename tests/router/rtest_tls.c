// SPDX-License-Identifier: Apache-2.0
// See rtest_tls.h.
#include "rtest_tls.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rtest_http.h"
#include "tests/support/support_home.h"

struct rtest_tls rtest_tls;

void rtest_certificate(long serial) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    snprintf(rtest_tls.cert, sizeof rtest_tls.cert, "%s/cert.pem", support_home());
    snprintf(rtest_tls.key, sizeof rtest_tls.key, "%s/key.pem", support_home());
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, name);
    cr_assert(X509_sign(x, key, EVP_sha256()));
    FILE *f = fopen(rtest_tls.cert, "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(rtest_tls.key, "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

char *rtest_tls_ask(int port, const char *text, long *serial) {
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(c);
    int fd = support_http_connect(port), n;
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
        rtest_tls.ended = SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN;
    }
    SSL_free(ssl);
    SSL_CTX_free(c);
    close(fd);
    return answer;
}
