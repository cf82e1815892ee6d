// SPDX-License-Identifier: Apache-2.0
// Certificates, and requests over TLS.
#ifndef RTEST_TLS_H
#define RTEST_TLS_H

#include <stdbool.h>

struct rtest_tls {
    char cert[200], key[200]; // files
    bool ended;               // the latest answer's end was said, as TLS wants it
};

extern struct rtest_tls rtest_tls;

// Makes the files, or others in their place.
void rtest_certificate(long serial);
// What comes back for a request, until the end, to be freed; the certificate's serial number; 0: no TLS.
char *rtest_tls_ask(int port, const char *text, long *serial);

#endif
