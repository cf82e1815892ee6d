// SPDX-License-Identifier: Apache-2.0
// The client's parser of URLs, and of the addresses that a Cluster names, on any bytes.
//
//   input   a URL
#include <stdlib.h>
#include <string.h>

#include "client/lib/transport/url.h"
#include "fuzz_target.h"

static void whole(const char *text, size_t size, const char *what) {
    must(memchr(text, 0, size) != NULL, what);
}

static void check_address(const struct kvr_address *a) {
    struct kvr_address again;
    char text[KVR_MAX_HOST + 32];
    whole(a->host, sizeof a->host, "a host without an end");
    must(a->host[0] && a->port >= 0 && a->port < 65536, "an address that can't be");
    if (!a->port || strchr(a->host, ':') || strchr(a->host, '%')) return;
    // What is written is read again.
    kvr_address_text(a, text, sizeof text);
    must(kvr_address_parse(text, strlen(text), &again) && kvr_address_same(a, &again),
         "another address");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct kvr_topology t;
    struct kvr_address a;
    char *url = malloc(size + 1);
    must(url != NULL, "the fuzzer is out of memory");
    if (size) memcpy(url, data, size);
    url[size] = 0;
    const char *wrong = kvr_url_parse(url, &t);
    if (wrong) {
        must(*wrong, "refused without a reason");
    } else {
        must(t.n_seeds >= 1 && t.n_seeds <= KVR_MAX_SEEDS, "no addresses, or too many");
        for (size_t i = 0; i < t.n_seeds; i++)
            check_address(&t.seeds[i]);
        must(t.deadline > 0 && t.timeout > 0 && t.connect_timeout > 0, "no time");
        must((t.kind == KVR_TOPOLOGY_SENTINEL) == (t.master[0] != 0), "a master without Sentinels");
        whole(t.user, sizeof t.user, "a user without an end");
        whole(t.password, sizeof t.password, "a password without an end");
        whole(t.name, sizeof t.name, "a name without an end");
    }
    free(url);
    // Without the NUL: an address in an error comes with a length.
    char *bytes = malloc(size ? size : 1);
    must(bytes != NULL, "the fuzzer is out of memory");
    if (size) memcpy(bytes, data, size);
    if (kvr_address_parse(bytes, size, &a)) check_address(&a);
    free(bytes);
    return 0;
}
