// SPDX-License-Identifier: Apache-2.0
#include "tls.h"

#ifdef KVR_TLS
#include <hiredis/hiredis_ssl.h>

static const char *given(const char *value) {
    return value[0] ? value : NULL;
}

bool tls_built(void) {
    return true;
}

void *tls_new(const struct topology *t, const char **wrong) {
    redisSSLContextError error = REDIS_SSL_CTX_NONE;
    redisInitOpenSSL();
    redisSSLContext *ctx = redisCreateSSLContext(given(t->cacert), NULL, given(t->cert),
                                                 given(t->key), given(t->sni), &error);
    if (!ctx) *wrong = redisSSLContextGetError(error);
    return ctx;
}

void tls_free(void *tls) {
    if (tls) redisFreeSSLContext(tls);
}

int tls_start(void *tls, redisAsyncContext *ac) {
    return redisInitiateSSLWithContext(&ac->c, tls) == REDIS_OK ? 0 : -1;
}
#else
bool tls_built(void) {
    return false;
}

void *tls_new(const struct topology *t, const char **wrong) {
    (void)t;
    *wrong = "this library was built without TLS";
    return NULL;
}

void tls_free(void *tls) {
    (void)tls;
}

int tls_start(void *tls, redisAsyncContext *ac) {
    (void)tls;
    (void)ac;
    return -1;
}
#endif
