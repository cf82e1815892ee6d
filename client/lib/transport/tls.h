// SPDX-License-Identifier: Apache-2.0
// TLS, if the hiredis we are built with has it (hiredis_ssl, 1.0 and later).
#ifndef KVR_TRANSPORT_TLS_H
#define KVR_TRANSPORT_TLS_H

#include <hiredis/async.h>

#include "url.h"

// The settings of a topology, ready for connections. NULL with a reason (a static text).
void *kvr_tls_new(const struct kvr_topology *t, const char **wrong);
void kvr_tls_free(void *tls); // may be NULL
// Puts TLS on a connection that has just been started. 0 or -1.
int kvr_tls_start(void *tls, redisAsyncContext *ac);

#endif
