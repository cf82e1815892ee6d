// SPDX-License-Identifier: Apache-2.0
// TLS to real servers: whose certificate is believed, and what is said of one that isn't. Needs a hiredis that
// has TLS, and openssl to make the certificates.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/support_home.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

enum { TLS_PATIENCE_MS = 60000, TLS_SERVERS = 4 };

// `local` is for localhost and 127.0.0.1, `other` for other.example, `stranger` for localhost from an authority
// of its own; `strict` is `local` for clients that show a certificate.
static struct support_redis servers[TLS_SERVERS];
static int tls_ports[TLS_SERVERS];
enum { TLS_LOCAL, TLS_OTHER, TLS_STRANGER, TLS_STRICT };

static const char make_certificates[] =
    "set -e; cd \"$0\"\n"
    "authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
    "-days 2 -subj /CN=$1 -keyout $1.key -out $1.pem; }\n"
    "certificate() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
    "-subj /CN=$1 -keyout $1.key -out $1.csr; echo subjectAltName=$3 >$1.ext; "
    "openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2 "
    "-extfile $1.ext -out $1.pem; }\n"
    "authority ca; authority unknown\n"
    "certificate local ca DNS:localhost,IP:127.0.0.1\n"
    "certificate other ca DNS:other.example\n"
    "certificate stranger unknown DNS:localhost,IP:127.0.0.1\n"
    "certificate client ca DNS:client\n";

// (To TLS 1.3 it may close before its reason has been read.)
static void start(int which, const char *certificate, const char *clients) {
    char config[900];
    const char *home = support_home();
    tls_ports[which] = support_port();
    snprintf(config, sizeof config,
             "tls-port %d\ntls-cert-file %s/%s.pem\ntls-key-file %s/%s.key\n"
             "tls-ca-cert-file %s/ca.pem\ntls-auth-clients %s\ntls-protocols TLSv1.2\n",
             tls_ports[which], home, certificate, home, certificate, home, clients);
    servers[which].config = config;
    cr_assert(support_redis_start(&servers[which]));
    servers[which].config = NULL;
}

static void needs_tls(void) {
    if (strstr(kvr_client_library(), "no TLS")) cr_skip_test("hiredis has no TLS");
    support_needs_program("openssl", "openssl");
    const char *const argv[] = {"/bin/sh", "-c", make_certificates, support_home(), NULL};
    char said[4000];
    cr_assert(support_run(argv, TLS_PATIENCE_MS, said, sizeof said) == 0, "%s", said);
}

static void stop(void) {
    for (size_t i = 0; i < TLS_SERVERS; i++)
        support_redis_end(&servers[i], SIGKILL);
}

TestSuite(tls_real, .fini = stop, .timeout = 120);

// What comes of a call: "" if it is answered, else the reason.
static const char *outcome(int port, const char *host, const char *parameters, int deadline) {
    static char said[400];
    char url[1600], error[200];
    snprintf(url, sizeof url, "rediss://%s:%d?deadline=%d%s", host, port, deadline, parameters);
    struct kvr_client_options o = {.create = "BLOCKSIZE 16"};
    struct kvr_client *c = kvr_client_open(url, "pool", &o, error, sizeof error);
    if (!c) {
        snprintf(said, sizeof said, "%s", error);
        return said;
    }
    const struct kvr_result *r = kvr_client_worker_list(c);
    snprintf(said, sizeof said, "%s", r->code == KVR_CODE_OK ? "" : r->message);
    kvr_client_close(c);
    return said;
}

// `word` is in the reason; "": it is answered. A reason takes as long as the deadline, so that begins short.
static void expect(int which, const char *host, const char *parameters, const char *word) {
    int port = which < TLS_SERVERS ? tls_ports[which] : which;
    const char *said = "";
    for (int deadline = *word ? 300 : 20000; deadline <= 20000; deadline *= 4) {
        said = outcome(port, host, parameters, deadline);
        if (*word ? strstr(said, word) != NULL : !*said) return;
    }
    cr_expect(false, "%s%s: \"%s\" instead of \"%s\"", host, parameters, said, word);
}

Test(tls_real, who_is_believed) {
    needs_tls();
    char ca[300], unknown[300], both[600], client[1200];
    const char *home = support_home();
    snprintf(ca, sizeof ca, "&cacert=%s/ca.pem", home);
    snprintf(unknown, sizeof unknown, "&cacert=%s/unknown.pem", home);
    snprintf(both, sizeof both, "%s&sni=other.example", ca);
    snprintf(client, sizeof client, "%s&cert=%s/client.pem&key=%s/client.key", ca, home, home);
    start(TLS_LOCAL, "local", "no");
    start(TLS_OTHER, "other", "no");
    start(TLS_STRANGER, "stranger", "no");
    start(TLS_STRICT, "local", "yes");

    expect(TLS_LOCAL, "localhost", ca, "");
    expect(TLS_LOCAL, "127.0.0.1", ca, "");
    expect(TLS_OTHER, "localhost", both, "");
    expect(TLS_STRICT, "localhost", client, "");
    // A certificate for somebody else, by name and by address; a name asked for that it isn't for.
    expect(TLS_OTHER, "localhost", ca, "the server's certificate isn't for localhost");
    expect(TLS_OTHER, "127.0.0.1", ca, "the server's certificate isn't for 127.0.0.1");
    expect(TLS_LOCAL, "localhost", both, "the server's certificate isn't for other.example");
    // An authority that isn't trusted: the server's, and ours.
    expect(TLS_STRANGER, "localhost", ca, "the server's certificate is refused: ");
    expect(TLS_LOCAL, "localhost", unknown, "the server's certificate is refused: ");
    expect(TLS_LOCAL, "localhost", "", "the server's certificate is refused: ");
    // The server wants a certificate, too.
    expect(TLS_STRICT, "localhost", ca, "the server refuses: ");
}

Test(tls_real, files_that_are_no_good) {
    needs_tls();
    const char *home = support_home();
    char parameters[1200];
    expect(9, "localhost", "&cacert=/nowhere/ca.pem", "cacert has no certificate");
    expect(9, "localhost", "&cert=/nowhere/ca.pem", "cert has no certificate");
    snprintf(parameters, sizeof parameters, "&cert=%s/local.pem&key=%s/other.key", home, home);
    expect(9, "localhost", parameters, "key can't be read, or isn't that of cert");
}
