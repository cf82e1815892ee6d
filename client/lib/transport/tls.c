// SPDX-License-Identifier: Apache-2.0
#include "tls.h"

#ifdef KVR_TLS
#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_settings {
    SSL_CTX *ctx;
    char name[KVR_MAX_URL_VALUE]; // to ask for and to check; empty: the host's
};

struct tls_session {
    SSL *ssl;  // hiredis holds it, too
    int alert; // the last that the server sent; -1: none
    char name[KVR_MAX_URL_VALUE];
};

// ---- Settings ------------------------------------------------------------------------------------

static void note_alert(const SSL *ssl, int where, int what) {
    struct tls_session *s = SSL_get_app_data(ssl);
    if (s && (where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) s->alert = what;
}

static const char *set_up(SSL_CTX *ctx, const struct kvr_topology *t) {
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_info_callback(ctx, note_alert);
    if (t->cacert[0] ? SSL_CTX_load_verify_locations(ctx, t->cacert, NULL) != 1
                     : SSL_CTX_set_default_verify_paths(ctx) != 1)
        return "TLS: cacert has no certificate that can be read";
    if (t->cert[0] && SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
        return "TLS: cert has no certificate that can be read";
    if (t->key[0] && SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1)
        return "TLS: key can't be read, or isn't that of cert";
    return NULL;
}

void *kvr_tls_new(const struct kvr_topology *t, const char **wrong) {
    struct tls_settings *s = calloc(1, sizeof *s);
    *wrong = "out of memory";
    if (!s) return NULL;
    s->ctx = SSL_CTX_new(TLS_client_method());
    *wrong = s->ctx ? set_up(s->ctx, t) : "TLS: OpenSSL can't start";
    ERR_clear_error();
    if (*wrong) {
        kvr_tls_free(s);
        return NULL;
    }
    snprintf(s->name, sizeof s->name, "%s", t->sni);
    return s;
}

void kvr_tls_free(void *tls) {
    struct tls_settings *s = tls;
    if (!s) return;
    SSL_CTX_free(s->ctx);
    free(s);
}

// ---- Sessions ------------------------------------------------------------------------------------

static bool is_ip(const char *name) {
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

// An IP address stands in a certificate as such, and isn't asked for.
static bool expect_name(SSL *ssl, const char *name) {
    if (!name[0]) return true;
    if (is_ip(name)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

bool kvr_tls_start(void *tls, const struct kvr_address *to, redisAsyncContext *ac, void **session) {
    const struct tls_settings *settings = tls;
    struct tls_session *s = calloc(1, sizeof *s);
    SSL *ssl = s ? SSL_new(settings->ctx) : NULL;
    const char *name = settings->name[0] ? settings->name : to->port ? to->host : "";
    ERR_clear_error();
    *session = NULL;
    if (!ssl || !expect_name(ssl, name) || SSL_up_ref(ssl) != 1) {
        SSL_free(ssl);
        free(s);
        return false;
    }
    *session = s;
    s->ssl = ssl;
    s->alert = -1;
    snprintf(s->name, sizeof s->name, "%s", name);
    SSL_set_app_data(ssl, s);
    if (redisInitiateSSL(&ac->c, ssl) == REDIS_OK) return true;
    SSL_free(ssl); // not taken over
    return false;
}

bool kvr_tls_failure(void *session, char *out, size_t size) {
    const struct tls_session *s = session;
    if (!s) return false;
    long verdict = SSL_get_verify_result(s->ssl);
    unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(error);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
        snprintf(out, size, "TLS: the server's certificate isn't for %s", s->name);
    else if (verdict != X509_V_OK)
        snprintf(out, size, "TLS: the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verdict));
    else if (s->alert >= 0 && (s->alert & 0xff) != SSL_AD_CLOSE_NOTIFY)
        snprintf(out, size, "TLS: the server refuses: %s", SSL_alert_desc_string_long(s->alert));
    else if (error && reason)
        snprintf(out, size, "TLS: %s", reason);
    else
        return false;
    ERR_clear_error();
    return true;
}

void kvr_tls_end(void *session) {
    struct tls_session *s = session;
    if (!s) return;
    SSL_set_app_data(s->ssl, NULL);
    SSL_free(s->ssl);
    free(s);
}
#else
void *kvr_tls_new(const struct kvr_topology *t, const char **wrong) {
    (void)t;
    *wrong = "TLS isn't there: this was built with a hiredis that has none";
    return NULL;
}

void kvr_tls_free(void *tls) {
    (void)tls;
}

bool kvr_tls_start(void *tls, const struct kvr_address *to, redisAsyncContext *ac, void **session) {
    (void)tls;
    (void)to;
    (void)ac;
    *session = NULL;
    return false;
}

bool kvr_tls_failure(void *session, char *out, size_t size) {
    (void)session;
    (void)out;
    (void)size;
    return false;
}

void kvr_tls_end(void *session) {
    (void)session;
}
#endif
