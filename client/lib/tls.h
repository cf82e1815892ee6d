// SPDX-License-Identifier: Apache-2.0
// TLS, if the hiredis we are built with has it (hiredis_ssl, 1.0 and later).
#ifndef KVR_LIB_TLS_H
#define KVR_LIB_TLS_H

#include <hiredis/async.h>

#include "url.h"

bool tls_built(void);

// The settings of a topology, ready for connections. NULL with a reason (a static text).
void *tls_new(const struct topology *t, const char **wrong);
void tls_free(void *tls); // may be NULL
// Puts TLS on a connection that has just been started. 0 or -1.
int tls_start(void *tls, redisAsyncContext *ac);

#endif
