// SPDX-License-Identifier: Apache-2.0
// Whom the client believes over TLS, and what it says of others.
#include <criterion/criterion.h>
#include <event2/listener.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/http1/h1_tls.h"
#include "rtest_authority.h"
#include "rtest_calls.h"
#include "tests/support/support_port.h"

static void trust(struct h1_tls_options o) {
    char error[300];
    struct h1_tls *tls = h1_tls_new(&o, error, sizeof error);
    cr_assert(tls, "%s", error);
    h1_client_trust(rtest_calls.up, tls);
}

// The server shows this certificate from now on.
static void show(const char *file, const char *asks) {
    SSL_CTX_free(rtest_calls.server_tls);
    rtest_calls.server_tls = rtest_tls_server(file, asks);
    server_secure(&rtest_calls.server, rtest_calls.server_tls);
}

static const char *at(const char *host) {
    static char address[100];
    snprintf(address, sizeof address, "https://%s:%d", host, rtest_calls.server.port);
    return address;
}

static const struct h1_handshakes *shakes(void) {
    return h1_client_handshakes(rtest_calls.up);
}

static void served(const char *address, bool fresh) {
    struct rtest_heard h = rtest_call_get(address, fresh);
    cr_assert(h.ends && rtest_call_body_is(&h, "ok"), "%s: %s", address,
              h.failures ? h1_failure_name(h.why) : "");
    rtest_call_forget(&h);
}

static void issue_all(void) {
    static const struct rtest_issue all[] = {
        {.file = "ca"},
        {.file = "other-ca"},
        {.file = "good", .issuer = "ca", .names = "DNS:localhost,IP:127.0.0.1"},
        {.file = "name", .issuer = "ca", .names = "DNS:localhost"},
        {.file = "wrong", .issuer = "ca", .names = "DNS:other.example,IP:127.0.0.2"},
        {.file = "expired", .issuer = "ca", .names = "IP:127.0.0.1", .expired = true},
        {.file = "unknown", .issuer = "other-ca", .names = "IP:127.0.0.1"},
        {.file = "self", .names = "IP:127.0.0.1"},
        {.file = "localhost", .issuer = "ca"}, // by its CN alone
        {.file = "us", .issuer = "ca"},
        {.file = "stranger", .issuer = "other-ca"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        rtest_issue(&all[i]);
}

static void begin(const struct h1_client_options *o) {
    rtest_calls.tls = true;
    rtest_calls_up(rtest_calls_ok, o);
    issue_all();
    trust((struct h1_tls_options){.ca = rtest_pem("ca")});
}

Test(h1_tls, names_and_addresses) {
    begin(&rtest_calls_usual);
    show("good", NULL);
    served(at("127.0.0.1"), false);
    served(at("localhost"), false);
    show("name", NULL);
    served(at("localhost"), true);
    trust((struct h1_tls_options){.ca = rtest_pem("ca")});
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS && shakes()->untrusted == 1);
    show("localhost", NULL);
    trust((struct h1_tls_options){.ca = rtest_pem("ca")});
    cr_assert(rtest_call_failure(at("localhost")) == H1_TLS && shakes()->untrusted == 2);
    rtest_calls_down();
}

Test(h1_tls, connections_are_kept_and_sessions_resumed) {
    begin(&rtest_calls_usual);
    show("good", NULL);
    for (int i = 0; i < 5; i++)
        served(at("127.0.0.1"), false);
    cr_assert(rtest_calls.server.connections == 1 && shakes()->full == 1);
    for (int i = 0; i < 3; i++)
        served(at("127.0.0.1"), true);
    cr_assert(shakes()->full == 1 && shakes()->resumed == 3, "%d, %d", (int)shakes()->full,
              (int)shakes()->resumed);
    // Also by many at once: that one of them has used it is nothing to the others, nor to what comes after.
    for (int round = 0; round < 2; round++) {
        struct rtest_heard h[8] = {0};
        for (int i = 0; i < 8; i++)
            rtest_call_start(&h[i], at("127.0.0.1"), NULL, true);
        for (int i = 0; i < 8; i++) {
            rtest_call_await(&h[i]);
            cr_assert(h[i].ends);
            rtest_call_forget(&h[i]);
        }
    }
    cr_assert(shakes()->full == 1 && shakes()->resumed == 19);
    // Other trust: nothing of before counts any more.
    trust((struct h1_tls_options){.ca = rtest_pem("ca")});
    cr_assert(h1_client_kept(rtest_calls.up) == 0);
    served(at("127.0.0.1"), false);
    cr_assert(shakes()->full == 2);
    trust((struct h1_tls_options){.ca = rtest_pem("other-ca")});
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS && shakes()->untrusted == 1);
    rtest_calls_down();
}

// A connection that is in use when the trust changes serves to the end, and isn't kept.
Test(h1_tls, trust_changes_under_an_answer) {
    struct rtest_heard h = {.then = RTEST_PAUSE_AT_HEAD};
    begin(&rtest_calls_usual);
    show("good", NULL);
    rtest_call_start(&h, at("127.0.0.1"), NULL, false);
    while (!h.heads)
        rtest_calls_turn(2);
    trust((struct h1_tls_options){.ca = rtest_pem("other-ca")});
    h.then = RTEST_NOTHING;
    h1_call_resume(h.call);
    rtest_call_await(&h);
    cr_assert(h.ends && h1_client_kept(rtest_calls.up) == 0);
    rtest_call_forget(&h);
    rtest_calls_down();
}

static int distrust(SSL *ssl, void *once) {
    bool *wanted = once;
    (void)ssl;
    if (*wanted) trust((struct h1_tls_options){.ca = rtest_pem("ca")});
    *wanted = false;
    return 1;
}

// Nor is what a handshake leaves that began before of any use afterwards: nobody would look at the certificate again.
Test(h1_tls, trust_changes_within_a_handshake) {
    bool wanted = true;
    begin(&rtest_calls_usual);
    show("unknown", NULL);
    trust((struct h1_tls_options){.ca = rtest_pem("other-ca")});
    SSL_CTX_set_cert_cb(rtest_calls.server_tls, distrust, &wanted);
    served(at("127.0.0.1"), true);
    cr_assert_not(wanted);
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS);
    cr_assert(shakes()->full == 1 && shakes()->resumed == 0);
    rtest_calls_down();
}

Test(h1_tls, who_is_not_believed) {
    static const char *const files[] = {"wrong", "expired", "unknown", "self"};
    begin(&rtest_calls_usual);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        show(files[i], NULL);
        cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS, "%s", files[i]);
        cr_assert(shakes()->untrusted == i + 1 && !shakes()->failed, "%s", files[i]);
    }
    cr_assert(rtest_calls.server.requests == 0);
    trust((struct h1_tls_options){.ca = rtest_pem("self")});
    served(at("127.0.0.1"), false);
    // The system's authorities don't know ours.
    trust((struct h1_tls_options){.ca = ""});
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS && shakes()->untrusted == 5);
    rtest_calls_down();
}

Test(h1_tls, hosts_that_are_not_verified) {
    begin(&rtest_calls_usual);
    show("expired", NULL);
    trust((struct h1_tls_options){.ca = rtest_pem("ca"), .insecure = "a.example 127.0.0.1"});
    served(at("127.0.0.1"), false);
    cr_assert(rtest_call_failure(at("localhost")) == H1_TLS);
    trust((struct h1_tls_options){.insecure = "yes"});
    served(at("localhost"), false);
    trust((struct h1_tls_options){.ca = rtest_pem("ca"), .insecure = "no"});
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS);
    rtest_calls_down();
}

static void ask_both_ways(void) {
    struct h1_tls_options o = {.ca = rtest_pem("ca")};
    uint64_t failed = shakes()->failed;
    trust(o);
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS);
    o.cert = rtest_pem("stranger");
    o.key = rtest_pem_key("stranger");
    trust(o);
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS);
    cr_assert(shakes()->failed == failed + 2 && !shakes()->untrusted);
    o.cert = rtest_pem("us");
    o.key = rtest_pem_key("us");
    trust(o);
    served(at("127.0.0.1"), false);
    served(at("127.0.0.1"), true);
}

Test(h1_tls, engines_that_ask_who_comes) {
    begin(&rtest_calls_usual);
    show("good", "ca");
    ask_both_ways();
    show("good", "ca");
    SSL_CTX_set_max_proto_version(rtest_calls.server_tls, TLS1_2_VERSION);
    ask_both_ways();
    rtest_calls_down();
}

Test(h1_tls, old_versions_are_refused) {
    begin(&rtest_calls_usual);
    show("good", NULL);
    SSL_CTX_set_security_level(rtest_calls.server_tls, 0);
    SSL_CTX_set_min_proto_version(rtest_calls.server_tls, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(rtest_calls.server_tls, TLS1_1_VERSION);
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_TLS && shakes()->failed == 1);
    rtest_calls_down();
}

static int chosen; // 1: http/1.1

static int choose(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                  unsigned size, void *ctx) {
    (void)ssl;
    (void)ctx;
    chosen = size == 9 && !memcmp(in, "\010http/1.1", 9);
    *out = in + 1;
    *n = in[0];
    return SSL_TLSEXT_ERR_OK;
}

static int told; // 1: localhost

static int hear_name(SSL *ssl, int *alert, void *ctx) {
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    (void)ctx;
    told = !name ? 0 : !strcmp(name, "localhost") ? 1 : -1;
    return SSL_TLSEXT_ERR_OK;
}

Test(h1_tls, what_is_said_in_the_handshake) {
    begin(&rtest_calls_usual);
    show("good", NULL);
    SSL_CTX_set_alpn_select_cb(rtest_calls.server_tls, choose, NULL);
    SSL_CTX_set_tlsext_servername_callback(rtest_calls.server_tls, hear_name);
    served(at("localhost"), true);
    cr_assert(chosen == 1 && told == 1);
    served(at("127.0.0.1"), true);
    cr_assert(told == 0);
    rtest_calls_down();
}

// ---- Ends ----------------------------------------------------------------------------------------

static void to_the_end(struct server *s, size_t n, struct bufferevent *to) {
    (void)n;
    s->rude = n == 0;
    server_say(to, "HTTP/1.1 200 OK\r\n\r\nok");
    server_end(to, false);
}

// Without a length only the engine's word is an end: anybody can close a connection.
Test(h1_tls, an_end_without_a_word_is_none) {
    begin(&rtest_calls_usual);
    show("good", NULL);
    rtest_calls.server.serve = to_the_end;
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_RESET);
    served(at("127.0.0.1"), false);
    rtest_calls_down();
}

// ---- No TLS --------------------------------------------------------------------------------------

static void say_something(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from,
                          int n, void *text) {
    (void)l;
    (void)from;
    (void)n;
    size_t size = strlen(text);
    cr_assert(write(fd, text, size) == (ssize_t)size);
    if (size) close(fd);
}

// Something that listens and says this to whoever comes; nothing: it is silent.
static enum h1_failure what_comes_of(const char *text) {
    char address[60];
    int port, fd = support_listen(&port);
    struct evconnlistener *l = evconnlistener_new(rtest_calls.base, say_something, (void *)text,
                                                  LEV_OPT_CLOSE_ON_FREE, 0, fd);
    evutil_make_socket_nonblocking(fd);
    snprintf(address, sizeof address, "https://127.0.0.1:%d", port);
    enum h1_failure why = rtest_call_failure(address);
    evconnlistener_free(l);
    return why;
}

Test(h1_tls, what_speaks_no_tls) {
    static char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n", garbage[] = "\001\377garbage, a lot",
                cut[] = "\026\003\003", silence[] = "";
    struct h1_client_options o = rtest_calls_usual;
    o.connect_ms = 500;
    begin(&o);
    cr_assert(what_comes_of(text) == H1_TLS);
    cr_assert(what_comes_of(garbage) == H1_TLS);
    cr_assert(what_comes_of(cut) == H1_TLS);
    cr_assert(what_comes_of(silence) == H1_TLS);
    cr_assert(shakes()->failed == 4 && !shakes()->untrusted);
    evconnlistener_free(rtest_calls.server.listener);
    rtest_calls.server.listener = NULL;
    cr_assert(rtest_call_failure(at("127.0.0.1")) == H1_CONNECT && shakes()->failed == 4);
    rtest_calls_down();
}

Test(h1_tls, cancelled_in_the_handshake) {
    begin(&rtest_calls_usual);
    show("good", NULL);
    for (int turns = 0; turns < 12; turns++) {
        struct rtest_heard h = {0};
        rtest_call_start(&h, at("127.0.0.1"), NULL, true);
        for (int i = 0; i < turns; i++)
            event_base_loop(rtest_calls.base, EVLOOP_NONBLOCK);
        bool over = h.ends;
        if (!over) h1_call_cancel(h.call);
        cr_assert(!h.failures && h1_client_calls(rtest_calls.up) == 0);
        rtest_call_forget(&h);
    }
    served(at("127.0.0.1"), true);
    rtest_calls_down();
}

// ---- Settings ------------------------------------------------------------------------------------

static void refused(struct h1_tls_options o, const char *what) {
    char error[300];
    struct h1_tls *tls = h1_tls_new(&o, error, sizeof error);
    cr_assert(!tls && strstr(error, what), "%s", tls ? "taken" : error);
}

static void lock_key(const char *file) {
    FILE *f = fopen(rtest_pem_key(file), "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    f = fopen(rtest_pem_key(file), "w");
    cr_assert(key && PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), NULL, 0, NULL, "secret"));
    fclose(f);
    EVP_PKEY_free(key);
}

Test(h1_tls, settings_that_are_no_good) {
    issue_all();
    refused((struct h1_tls_options){.ca = "/no/such/file"}, "engine_ca /no/such/file: ");
    refused((struct h1_tls_options){.ca = rtest_pem_key("ca")}, "engine_ca ");
    refused((struct h1_tls_options){.cert = "/no/such", .key = "/no/such"}, "engine_cert ");
    refused((struct h1_tls_options){.cert = rtest_pem("us"), .key = rtest_pem_key("good")},
            "engine_key ");
    refused((struct h1_tls_options){.cert = rtest_pem("us")}, "engine_key ");
    lock_key("us");
    refused((struct h1_tls_options){.cert = rtest_pem("us"), .key = rtest_pem_key("us")},
            "engine_key ");
}
