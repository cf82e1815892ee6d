// SPDX-License-Identifier: Apache-2.0
// See rtest_authority.h.
#include "rtest_authority.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "tests/support/support_home.h"

enum { RTEST_PATHS = 16 };

static const char *path_of(const char *file, const char *kind) {
    static char paths[RTEST_PATHS][200];
    static size_t n;
    char *path = paths[n++ % RTEST_PATHS];
    snprintf(path, sizeof *paths, "%s/%s.%s", support_home(), file, kind);
    return path;
}

const char *rtest_pem(const char *file) {
    return path_of(file, "pem");
}

const char *rtest_pem_key(const char *file) {
    return path_of(file, "key");
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value) {
    X509V3_CTX c;
    X509V3_set_ctx(&c, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
    cr_assert(e && X509_add_ext(x, e, -1), "%s", value);
    X509_EXTENSION_free(e);
}

static void write_pair(const char *file, X509 *x, EVP_PKEY *key) {
    FILE *f = fopen(rtest_pem(file), "w");
    cr_assert(f && PEM_write_X509(f, x));
    fclose(f);
    f = fopen(rtest_pem_key(file), "w");
    cr_assert(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
}

static void read_pair(const char *file, X509 **x, EVP_PKEY **key) {
    FILE *f = fopen(rtest_pem(file), "r");
    cr_assert(f && (*x = PEM_read_X509(f, NULL, NULL, NULL)));
    fclose(f);
    f = fopen(rtest_pem_key(file), "r");
    cr_assert(f && (*key = PEM_read_PrivateKey(f, NULL, NULL, NULL)));
    fclose(f);
}

void rtest_issue(const struct rtest_issue *i) {
    static long serial;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *issuer_key = key;
    X509 *x = X509_new(), *issuer = x;
    if (i->issuer) read_pair(i->issuer, &issuer, &issuer_key);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), i->expired ? -3600 : 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)i->file, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    extend(x, issuer, NID_basic_constraints, i->issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (i->names) extend(x, issuer, NID_subject_alt_name, i->names);
    cr_assert(X509_sign(x, issuer_key, EVP_sha256()));
    write_pair(i->file, x, key);
    if (issuer != x) X509_free(issuer);
    if (issuer_key != key) EVP_PKEY_free(issuer_key);
    X509_free(x);
    EVP_PKEY_free(key);
}

SSL_CTX *rtest_tls_server(const char *file, const char *asks) {
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    cr_assert(c && SSL_CTX_use_certificate_chain_file(c, rtest_pem(file)) == 1);
    cr_assert(SSL_CTX_use_PrivateKey_file(c, rtest_pem_key(file), SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_session_id_context(c, (const unsigned char *)"test", 4);
    if (!asks) return c;
    cr_assert(SSL_CTX_load_verify_locations(c, rtest_pem(asks), NULL) == 1);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return c;
}
