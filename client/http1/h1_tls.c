// SPDX-License-Identifier: Apache-2.0
// See h1_tls.h.
#include "h1_tls.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client/common/clock.h"
#include "client/common/config.h"
#include "client/common/log.h"

enum { TLS_COMPLAINTS = 64, TLS_SILENCE_MS = 60000 };

// Probes come every second, and each would say the same.
struct tls_complaint {
    uint64_t said; // a hash of URL and reason
    int64_t at_ms; // 0: never
};

struct h1_tls {
    SSL_CTX *ctx;
    char *insecure; // hosts; "yes": all
    struct tls_complaint complaints[TLS_COMPLAINTS];
};

// ---- Settings ------------------------------------------------------------------------------------

static bool is_given(const char *text) {
    return text && *text;
}

// A key that wants a password would have OpenSSL ask for it at the terminal.
static int refuse_password(char *out, int size, int writing, void *ctx) {
    (void)out;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
    struct h1_resumption *r = SSL_get_app_data(ssl);
    // What a connection leaves that began when others were trusted isn't for those of now.
    if (!r || r->trust != SSL_get_SSL_CTX(ssl)) return 0;
    // One that was resumed has verified nothing.
    if (!SSL_session_reused(ssl)) r->verified_ms = kvr_clock_ms();
    SSL_SESSION_free(r->session);
    r->session = session;
    return 1;
}

static bool read_files(SSL_CTX *c, const struct h1_tls_options *o, const char **setting,
                       const char **file) {
    *setting = "_ca";
    *file = is_given(o->ca) ? o->ca : "of the system";
    if (is_given(o->ca) ? SSL_CTX_load_verify_locations(c, o->ca, NULL) != 1
                        : SSL_CTX_set_default_verify_paths(c) != 1)
        return false;
    if (!is_given(o->cert)) return true;
    *setting = "_cert";
    *file = o->cert;
    if (SSL_CTX_use_certificate_chain_file(c, o->cert) != 1) return false;
    *setting = "_key";
    *file = o->key;
    return is_given(o->key) && SSL_CTX_use_PrivateKey_file(c, o->key, SSL_FILETYPE_PEM) == 1 &&
           SSL_CTX_check_private_key(c) == 1;
}

static bool set_up(SSL_CTX *c) {
    static const unsigned char protocols[] = "\010http/1.1";
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    // Idle connections are many, and give their buffers back.
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c, keep_session);
    SSL_CTX_set_default_passwd_cb(c, refuse_password);
    return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) &&
           !SSL_CTX_set_alpn_protos(c, protocols, sizeof protocols - 1);
}

static const char *words_of(unsigned long error) {
    if (ERR_SYSTEM_ERROR(error)) return strerror(ERR_GET_REASON(error));
    return ERR_reason_error_string(error);
}

static void warn_insecure(const char *hosts) {
    bool all = !strcmp(hosts, "yes");
    kvr_log_line(
        KVR_LOG_WARNING,
        "INSECURE: engine_insecure is set, so the certificates of %.300s are not verified: "
        "who stands on the way to them reads prompts and answers, and can forge both",
        all ? "all engines" : hosts);
}

struct h1_tls *h1_tls_new(const struct h1_tls_options *o, char *error, size_t error_size) {
    const char *insecure = is_given(o->insecure) && strcmp(o->insecure, "no") ? o->insecure : "";
    const char *setting = "", *file = "TLS";
    struct h1_tls *t = calloc(1, sizeof *t);
    ERR_clear_error();
    if (t) {
        t->ctx = SSL_CTX_new(TLS_client_method());
        t->insecure = strdup(insecure);
    }
    if (t && t->ctx && t->insecure && set_up(t->ctx) && read_files(t->ctx, o, &setting, &file)) {
        ERR_clear_error();
        if (*insecure) warn_insecure(insecure);
        return t;
    }
    const char *why = words_of(ERR_peek_error());
    snprintf(error, error_size, "%s%s %.200s: %s", o->settings ? o->settings : "engine", setting,
             file, why ? why : "can't be used");
    ERR_clear_error();
    h1_tls_free(t);
    return NULL;
}

void h1_tls_free(struct h1_tls *t) {
    if (!t) return;
    SSL_CTX_free(t->ctx);
    free(t->insecure);
    free(t);
}

// ---- Connections ---------------------------------------------------------------------------------

static bool is_insecure(const struct h1_tls *t, const char *host) {
    return !strcmp(t->insecure, "yes") || kvr_config_lists(t->insecure, host);
}

// A name may end with a dot in a URL, and doesn't in a certificate. An address isn't told to the engine.
static bool expect_host(SSL *ssl, const char *host) {
    char name[256];
    snprintf(name, sizeof name, "%s", host);
    size_t n = strlen(name);
    if (n > 1 && name[n - 1] == '.') name[n - 1] = 0;
    if (h1_is_ip(name)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    // A name is one of subjectAltName's, not a CN (RFC 9525).
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

// A copy: with the ticket that follows OpenSSL makes a session that was used unfit for others, and so for those who have
// begun with it at the same time, what they get for it.
static void resume(SSL *ssl, const struct h1_resumption *r) {
    SSL_SESSION *copy = h1_resumption_is_old(r) ? NULL : SSL_SESSION_dup(r->session);
    if (copy) SSL_set_session(ssl, copy);
    SSL_SESSION_free(copy);
}

SSL *h1_tls_begin(const struct h1_tls *t, const struct h1_address *at, struct h1_resumption *r) {
    SSL *ssl = SSL_new(t->ctx);
    ERR_clear_error();
    if (!ssl || !expect_host(ssl, at->host)) {
        SSL_free(ssl);
        return NULL;
    }
    if (is_insecure(t, at->host)) SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    if (r->trust != t->ctx) h1_resumption_drop(r);
    r->trust = t->ctx;
    resume(ssl, r);
    SSL_set_app_data(ssl, r);
    return ssl;
}

// SSL_free_buffers looks only at what isn't decrypted yet.
void h1_tls_trim(SSL *ssl) {
    if (!SSL_has_pending(ssl)) SSL_free_buffers(ssl);
}

void h1_tls_end(SSL *ssl, bool open) {
    SSL_set_app_data(ssl, NULL);
    if (!open) return;
    // Received or not: we don't wait for the engine's. Without this OpenSSL would think that the session is broken, and
    // not resume it.
    SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
    SSL_shutdown(ssl);
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    ERR_clear_error();
}

void h1_resumption_drop(struct h1_resumption *r) {
    SSL_SESSION_free(r->session);
    r->session = NULL;
}

bool h1_resumption_is_old(const struct h1_resumption *r) {
    return !r->session || kvr_clock_ms() - r->verified_ms > (int64_t)H1_TLS_RESUME_S * 1000;
}

// ---- Failures ------------------------------------------------------------------------------------

// The first error, which the later ones follow from. What is no error of OpenSSL's own is what SSL_get_error said.
static unsigned long take_errors(struct bufferevent *stream, bool *alert) {
    unsigned long first = 0;
    for (unsigned long e; (e = bufferevent_get_openssl_error(stream));) {
        if (e <= SSL_ERROR_WANT_CLIENT_HELLO_CB) continue;
        first = e;
        *alert |= ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET;
    }
    return first;
}

void h1_tls_read_fault(struct bufferevent *stream, const struct h1_address *at,
                       struct h1_tls_fault *out) {
    SSL *ssl = bufferevent_openssl_get_ssl(stream);
    long verdict = SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER ? SSL_get_verify_result(ssl) : 0;
    out->alert = false;
    out->certificate = verdict != X509_V_OK;
    unsigned long error = take_errors(stream, &out->alert);
    const char *words = words_of(error);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
        snprintf(out->why, sizeof out->why, "its certificate isn't for %.100s", at->host);
    else if (verdict != X509_V_OK)
        snprintf(out->why, sizeof out->why, "its certificate is refused: %.110s",
                 X509_verify_cert_error_string(verdict));
    else if (out->alert)
        snprintf(out->why, sizeof out->why, "it refuses: %.130s", words ? words : "an alert");
    else if (error && ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(out->why, sizeof out->why, "what it says is no TLS");
    else
        snprintf(out->why, sizeof out->why, "%.150s", words ? words : "it ended the connection");
}

void h1_tls_complain(struct h1_tls *t, const char *url, const char *why) {
    uint64_t said = XXH3_64bits_withSeed(url, strlen(url), XXH3_64bits(why, strlen(why)));
    struct tls_complaint *at = &t->complaints[said % TLS_COMPLAINTS];
    int64_t now = kvr_clock_ms();
    if (at->at_ms && at->said == said && now - at->at_ms < TLS_SILENCE_MS) return;
    *at = (struct tls_complaint){said, now};
    kvr_log_line(KVR_LOG_WARNING, "no TLS with %s: %s", url, why);
}
