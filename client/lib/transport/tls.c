// SPDX-License-Identifier: Apache-2.0
#include "tls.h"

#ifdef KVR_TLS
#include <hiredis/hiredis_ssl.h>

static const char *given(const char *value) {
    return value[0] ? value : NULL;
}

void *kvr_tls_new(const struct kvr_topology *t, const char **wrong) {
    redisSSLContextError error = REDIS_SSL_CTX_NONE;
    redisInitOpenSSL();
    redisSSLContext *ctx = redisCreateSSLContext(given(t->cacert), NULL, given(t->cert),
                                                 given(t->key), given(t->sni), &error);
    if (!ctx) *wrong = redisSSLContextGetError(error);
    return ctx;
}

void kvr_tls_free(void *tls) {
    if (tls) redisFreeSSLContext(tls);
}

int kvr_tls_start(void *tls, redisAsyncContext *ac) {
    return redisInitiateSSLWithContext(&ac->c, tls) == REDIS_OK ? 0 : -1;
}
#else
void *kvr_tls_new(const struct kvr_topology *t, const char **wrong) {
    (void)t;
    *wrong = "this library was built without TLS";
    return NULL;
}

void kvr_tls_free(void *tls) {
    (void)tls;
}

int kvr_tls_start(void *tls, redisAsyncContext *ac) {
    (void)tls;
    (void)ac;
    return -1;
}
#endif
