// SPDX-License-Identifier: Apache-2.0
// TLS to engines: whom we believe, and as whom we come. TLS 1.2 or later, ALPN http/1.1, no renegotiation.
//
// An engine must show a certificate that is issued for the host of its URL, a name or an IP address, and that
// leads to an authority which is trusted: those of the system, or those of `ca` alone. Where a host is named as
// insecure nothing is verified, and whoever stands on the way can read and answer.
#ifndef H1_TLS_H
#define H1_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h1_address.h"

struct bufferevent;
struct h1_tls;

struct h1_tls_options {
    const char *ca;         // PEM file with authorities; NULL or "": the system's
    const char *cert, *key; // PEM files, for engines that ask who comes; both, or neither
    // "yes": no engine is verified; or hosts that aren't, separated by spaces. NULL, "" or "no": all are.
    const char *insecure;
    const char *settings; // what the names of these begin with in errors; NULL: "engine"
};

enum { H1_TLS_RESUME_S = 300 }; // after so long a certificate is looked at again

// What a handshake leaves for the next one with the same engine.
struct h1_resumption {
    SSL_SESSION *session; // NULL: nothing
    int64_t verified_ms;  // when the certificate was looked at
    const SSL_CTX *trust; // by which: that of the connection that was last begun
};

// Why a connection has failed.
struct h1_tls_fault {
    bool certificate; // the engine's is to blame
    bool alert;       // the engine has said so
    char why[160];
};

// Texts are read and not kept. NULL with a reason, which names the setting (PREFIX_ca and so on).
struct h1_tls *h1_tls_new(const struct h1_tls_options *o, char *error, size_t error_size);
void h1_tls_free(struct h1_tls *t); // connections that are open go on. NULL: nothing

// For a connection to that engine; to be freed. It resumes what there is of `r`, and what it leaves goes
// there, until h1_tls_end. NULL: no memory.
SSL *h1_tls_begin(const struct h1_tls *t, const struct h1_address *at, struct h1_resumption *r);
// Gives buffers back that hold nothing, for one that will be silent for a while.
void h1_tls_trim(SSL *ssl);
// Tells the engine that this is the end, if that doesn't take waiting. open: there has been a handshake, and no
// error since.
void h1_tls_end(SSL *ssl, bool open);
void h1_resumption_drop(struct h1_resumption *r);         // what it has
bool h1_resumption_is_old(const struct h1_resumption *r); // or empty

// Of a stream that was made of what h1_tls_begin gave; its errors are taken away.
void h1_tls_read_fault(struct bufferevent *stream, const struct h1_address *at,
                       struct h1_tls_fault *out);
// Logs it, unless the same was said of this URL within the last minute.
void h1_tls_complain(struct h1_tls *t, const char *url, const char *why);

#endif
