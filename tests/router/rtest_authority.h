// SPDX-License-Identifier: Apache-2.0
// Certificates that are issued by one another, in files.
#ifndef RTEST_AUTHORITY_H
#define RTEST_AUTHORITY_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct rtest_issue {
    const char *file;   // its name: FILE.pem has the certificate, FILE.key the key
    const char *issuer; // FILE of that; NULL: itself, as an authority
    const char *names;  // as OpenSSL writes them: DNS:localhost,IP:127.0.0.1; NULL: none
    bool expired;
};

void rtest_issue(const struct rtest_issue *i);
// The path of FILE.pem or FILE.key; static, for the last few calls.
const char *rtest_pem(const char *file);
const char *rtest_pem_key(const char *file);
// A server's side with that certificate. asks: NULL, or FILE of the authority whose certificates clients must have.
// To be freed.
SSL_CTX *rtest_tls_server(const char *file, const char *asks);

#endif
