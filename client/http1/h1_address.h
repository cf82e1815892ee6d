// SPDX-License-Identifier: Apache-2.0
// Where requests are sent: http://host[:port][/prefix], taken apart.
#ifndef H1_ADDRESS_H
#define H1_ADDRESS_H

#include <stdbool.h>

struct h1_address {
    char *host;        // without the brackets of IPv6
    char *prefix;      // of every path, without a slash at its end; ""
    char *host_header; // host and port as the header Host has them
    int port;
};

// False: it isn't one (*wrong is set), or no memory; then nothing is to be freed.
bool h1_address_parse(struct h1_address *a, const char *url, bool *wrong);
void h1_address_free(struct h1_address *a); // what it has

// Whether requests can be sent there.
bool h1_is_url(const char *url);

#endif
