// SPDX-License-Identifier: Apache-2.0
// TLS, if the hiredis we are built with has it (hiredis_ssl, 1.0 and later).
//
// A server is believed if its certificate comes from an authority that we trust and is for the name, or the IP
// address, that we connect to; where the topology has an `sni`, for that name instead. hiredis checks the first only
// and has no words for what failed, so sessions are made here and given to it.
#ifndef KVR_TRANSPORT_TLS_H
#define KVR_TRANSPORT_TLS_H

#include <hiredis/async.h>

#include "url.h"

// The settings of a topology, ready for connections. NULL with a reason (a static text).
void *kvr_tls_new(const struct kvr_topology *t, const char **wrong);
void kvr_tls_free(void *tls); // may be NULL
// Puts TLS on a connection to `to` that has just been started. false: kvr_tls_failure or ac->c may say why.
// *session: to be ended either way; NULL: there is none.
bool kvr_tls_start(void *tls, const struct kvr_address *to, redisAsyncContext *ac, void **session);
// What was wrong with it. false: nothing that TLS knows of.
bool kvr_tls_failure(void *session, char *out, size_t size);
void kvr_tls_end(void *session); // may be NULL

#endif
