// SPDX-License-Identifier: Apache-2.0
// Where requests are sent: http://host[:port][/prefix], or https://, taken apart.
#ifndef H1_ADDRESS_H
#define H1_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct h1_address {
    char *host;        // without the brackets of IPv6
    char *prefix;      // of every path, without a slash at its end; ""
    char *host_header; // host and port as the header Host has them
    int port;
    bool tls; // https
};

// False: it isn't one (*wrong is set), or no memory; then nothing is to be freed.
bool h1_address_parse(struct h1_address *a, const char *url, bool *wrong);
void h1_address_free(struct h1_address *a); // what it has

// Whether requests can be sent there.
bool h1_is_url(const char *url);
// What a message may say of a text that was to be one: not that text if it may have a password in it.
const char *h1_url_shown(const char *url);
// Of one that is: where its host and port stand in it, with brackets, as it is written; *n bytes.
const char *h1_url_place(const char *url, size_t *n);
// Whether a host is an IP address, without brackets, and no name.
bool h1_is_ip(const char *host);

#endif
