// SPDX-License-Identifier: Apache-2.0
// URLs: what the good ones mean, and that bad ones are refused with a reason that tells no secrets.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/transport/url.h"
#include "tests/support/testmem.h"

// ---- Good ones -----------------------------------------------------------------------------------

// What a URL says, in one line: kind, addresses, then what differs from the default.
static void describe(const struct kvr_topology *t, char *out, size_t size) {
    static const char *const kinds[] = {"server", "sentinel", "cluster"};
    size_t n = (size_t)snprintf(out, size, "%s%s", kinds[t->kind], t->tls ? " tls" : "");
    for (size_t i = 0; i < t->n_seeds; i++) {
        char place[KVR_MAX_HOST + 16];
        kvr_address_text(&t->seeds[i], place, sizeof place);
        n += (size_t)snprintf(out + n, size - n, " %s", place);
    }
    const struct {
        const char *name, *value, *usual;
    } texts[] = {
        {"master", t->master, ""},
        {"user", t->user, ""},
        {"password", t->password, ""},
        {"sentinel_user", t->sentinel_user, ""},
        {"sentinel_password", t->sentinel_password, ""},
        {"name", t->name, "kvroute"},
        {"cacert", t->cacert, ""},
        {"cert", t->cert, ""},
        {"key", t->key, ""},
        {"sni", t->sni, ""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].value, texts[i].usual) != 0)
            n += (size_t)snprintf(out + n, size - n, " %s=%s", texts[i].name, texts[i].value);
    const struct {
        const char *name;
        int64_t value, usual;
    } numbers[] = {
        {"db", t->db, 0},
        {"deadline", t->deadline, 5000},
        {"timeout", t->timeout, 1000},
        {"connect_timeout", t->connect_timeout, 500},
        {"any", t->any_role, 0},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value != numbers[i].usual)
            n += (size_t)snprintf(out + n, size - n, " %s=%ld", numbers[i].name,
                                  (long)numbers[i].value);
}

static const struct {
    const char *url, *means;
} good[] = {
    {"redis://localhost", "server localhost:6379"},
    {"redis://127.0.0.1:7000", "server 127.0.0.1:7000"},
    {"redis://h/", "server h:6379"},
    {"redis://h/3", "server h:6379 db=3"},
    {"redis://h?db=3", "server h:6379 db=3"},
    {"redis://h/1?db=3", "server h:6379 db=3"},
    {"redis://h?", "server h:6379"},
    {"redis://[::1]", "server [::1]:6379"},
    {"redis://[fe80::1]:7000/2", "server [fe80::1]:7000 db=2"},
    {"redis://h:1", "server h:1"},
    {"redis://h:65535", "server h:65535"},
    {"redis://secret@h", "server h:6379 password=secret"},
    {"redis://:secret@h", "server h:6379 password=secret"},
    {"redis://me:secret@h", "server h:6379 user=me password=secret"},
    {"redis://me:a:b@h", "server h:6379 user=me password=a:b"},
    {"redis://me:a@b@h", "server h:6379 user=me password=a@b"},
    {"redis://me:%40%2f%3A%25@h", "server h:6379 user=me password=@/:%"},
    {"redis://h?user=me&password=x%26y", "server h:6379 user=me password=x&y"},
    {"redis://h?deadline=1&timeout=2&connect_timeout=3",
     "server h:6379 deadline=1 timeout=2 connect_timeout=3"},
    {"redis://h?name=router%201", "server h:6379 name=router 1"},
    {"redis://h?name=", "server h:6379 name="},
    {"redis://h?role=any", "server h:6379 any=1"},
    {"redis://h?role=primary", "server h:6379"},
    {"rediss://h?cacert=/a&cert=/b&key=/c&sni=d",
     "server tls h:6379 cacert=/a cert=/b key=/c sni=d"},
    {"unix:///run/redis.sock", "server /run/redis.sock"},
    {"unix:///run/a%20b?db=2&password=p", "server /run/a b password=p db=2"},
    {"sentinel://a/main", "sentinel a:26379 master=main"},
    {"sentinel://a:1,b,[::1]:3/main", "sentinel a:1 b:26379 [::1]:3 master=main"},
    {"sentinel://me:pw@a,b/main/5?sentinel_user=s&sentinel_password=t",
     "sentinel a:26379 b:26379 master=main user=me password=pw sentinel_user=s "
     "sentinel_password=t db=5"},
    {"sentinel://a/my%20main", "sentinel a:26379 master=my main"},
    {"sentinels://a/main", "sentinel tls a:26379 master=main"},
    {"cluster://a:1,b:2,c:3", "cluster a:1 b:2 c:3"},
    {"cluster://pw@a/?timeout=20", "cluster a:6379 password=pw timeout=20"},
    {"clusters://a,b", "cluster tls a:6379 b:6379"},
    {"cluster://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
     "cluster 1:6379 2:6379 3:6379 4:6379 5:6379 6:6379 7:6379 8:6379 9:6379 10:6379 11:6379 "
     "12:6379 13:6379 14:6379 15:6379 16:6379"},
};

Test(url, good_ones) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct kvr_topology t;
        char means[4096];
        const char *wrong = kvr_url_parse(good[i].url, &t);
        cr_expect(!wrong, "%s: %s", good[i].url, wrong);
        if (wrong) continue;
        describe(&t, means, sizeof means);
        cr_expect_str_eq(means, good[i].means, "%s\nis:        %s\nshould be: %s", good[i].url,
                         means, good[i].means);
    }
}

// ---- Bad ones ------------------------------------------------------------------------------------

static size_t refused;

static void refuse(const char *url) {
    struct kvr_topology t;
    const char *wrong = kvr_url_parse(url, &t);
    cr_expect(wrong && *wrong, "%s was taken for a URL", url);
    refused++;
}

__attribute__((format(printf, 1, 2))) static void refuse_made(const char *format, ...) {
    char url[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(url, sizeof url, format, args);
    va_end(args);
    refuse(url);
}

static const char *const bad[] = {
    "",
    ":",
    "/",
    "://",
    "redis",
    "redis:",
    "redis:/",
    "redis:/h",
    "redis://",
    "redis:///",
    "redis://?",
    "redis:///3",
    "redis://@",
    "redis://:@",
    "redis://user:pw@",
    "redis://:6379",
    "redis://h:6379,h:6380",
    "redis://h,",
    "redis://,h",
    "redis://h/x",
    "redis://h/-1",
    "redis://h/1x",
    "redis://h/1/2",
    "redis://h//",
    "redis://h/1048577",
    "redis://user:@h",
    "redis://h?user=me",
    "redis://[::1",
    "redis://[]",
    "redis://[]:7000",
    "redis://[::1]7000",
    "redis://[::1]:",
    "redis://[::1]:x",
    "redis://::1",
    "redis://::1:7000",
    "Redis://h",
    "REDIS://h",
    " redis://h",
    "http://h",
    "redis+unix://h",
    "tcp://h",
    "://h",
    "localhost:6379",
    "redis://h\n",
    "redis://h\x01",
    "redis://h\x7f",
    "redis://h%00",
    "redis://h%0a",
    "redis://h%0d",
    "unix://",
    "unix://relative",
    "unix://./x",
    "unix://user:pw@/run/x",
    "unix://?db=1",
    "unix:///run/%00x",
    "sentinel://h",
    "sentinel://h/",
    "sentinel:///main",
    "sentinel://h//0",
    "sentinel://h/main/x",
    "sentinel://h/main/1/2",
    "sentinel://h,/main",
    "sentinel://,/main",
    "sentinel://h?db=1",
    "sentinel://h/m%0aain",
    "cluster://",
    "cluster://h/1",
    "cluster://h?db=1",
    "cluster://h,,h",
    "cluster://h/x",
    "redis://h?role",
    "redis://h?role=",
    "redis://h?role=replica",
    "redis://h?role=ANY",
    "redis://h??",
    "redis://h?&",
    "redis://h?=",
    "redis://h?=1",
    "redis://h?&db=1",
    "redis://h?db=1&&timeout=5",
    "redis://h?unknown=1",
    "redis://h?Deadline=5",
    "redis://h?deadline=5;timeout=5",
};

static const char *const bad_numbers[] = {"",
                                          "0x10",
                                          "-1",
                                          "+5",
                                          " 5",
                                          "5 ",
                                          "1.5",
                                          "1e3",
                                          "five",
                                          "5ms",
                                          "%35",
                                          "999999999999",
                                          "0000000000001",
                                          "99999999999999999999",
                                          "1\t"};
static const char *const bad_ports[] = {"",       "0",    "-1",  "65536",
                                        "999999", "80x",  "x80", " 80",
                                        "80 ",    "0x50", "1e3", "184467440737095516"};
static const char *const bad_escapes[] = {"%",   "%4",  "%zz", "%4g", "%g4",
                                          "%00", "%0a", "%1f", "%7f", "a%"};
static const char *const schemes[] = {"redis",     "rediss",  "sentinel",
                                      "sentinels", "cluster", "clusters"};

#define N_URLS(a) (sizeof(a) / sizeof *(a))

static const char *path_of(const char *scheme) {
    return strncmp(scheme, "sentinel", 8) == 0 ? "/main" : "";
}

Test(url, bad_ones) {
    static const char *const numbers[] = {"db", "deadline", "timeout", "connect_timeout"};
    static const char *const texts[] = {
        "user", "password", "name", "sentinel_user", "sentinel_password", "cacert",
        "cert", "key",      "sni"};
    refuse(NULL);
    for (size_t i = 0; i < N_URLS(bad); i++)
        refuse(bad[i]);
    for (size_t i = 0; i < N_URLS(numbers); i++)
        for (size_t k = 0; k < N_URLS(bad_numbers); k++)
            refuse_made("redis://h?%s=%s", numbers[i], bad_numbers[k]);
    for (size_t i = 1; i < N_URLS(numbers); i++) // no time may be 0, or longer than a day
        for (int k = 0; k < 2; k++)
            refuse_made("redis://h?%s=%s", numbers[i], k ? "86400001" : "0");
    for (size_t i = 0; i < N_URLS(schemes); i++) {
        const char *s = schemes[i], *path = path_of(s);
        for (size_t k = 0; k < N_URLS(bad_ports); k++) {
            refuse_made("%s://h:%s%s", s, bad_ports[k], path);
            refuse_made("%s://user:pw@h:%s%s", s, bad_ports[k], path);
            refuse_made("%s://[::1]:%s%s", s, bad_ports[k], path);
        }
        for (size_t k = 0; k < N_URLS(bad_escapes); k++) {
            refuse_made("%s://%s%s", s, bad_escapes[k], path);
            refuse_made("%s://%s:pw@h%s", s, bad_escapes[k], path);
            refuse_made("%s://me:%s@h%s", s, bad_escapes[k], path);
            refuse_made("%s://%s@h%s", s, bad_escapes[k], path);
        }
        refuse_made("%s://%s", s, "h/\x01");
        refuse_made("%s", s);
        refuse_made("%s:", s);
        refuse_made("%s:h", s);
        refuse_made("%s://", s);
        refuse_made("%s://%0300d%s", s, 1, path);
        refuse_made("%s://me:%0600d@h%s", s, 1, path);
        refuse_made("%s://%0600d:pw@h%s", s, 1, path);
        refuse_made("%s://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17%s", s, path);
    }
    for (size_t i = 0; i < N_URLS(texts); i++) {
        for (size_t k = 0; k < N_URLS(bad_escapes); k++)
            refuse_made("redis://h?%s=%s", texts[i], bad_escapes[k]);
        refuse_made("redis://h?%s=%0600d", texts[i], 1);
    }
    refuse_made("unix:///%0110d", 1);
    refuse_made("sentinel://h/%0600d", 1);
    cr_assert(refused > 700, "only %zu", refused);
}

// Every beginning of a good URL, and every one with a byte changed, is taken or refused; what is taken
// makes sense.
static void judge(const char *url) {
    struct kvr_topology t;
    if (kvr_url_parse(url, &t)) return;
    cr_assert(t.n_seeds >= 1 && t.n_seeds <= KVR_MAX_SEEDS, "%s", url);
    for (size_t i = 0; i < t.n_seeds; i++) {
        const struct kvr_address *a = &t.seeds[i];
        cr_assert(a->host[0] && memchr(a->host, 0, sizeof a->host), "%s", url);
        cr_assert(a->host[0] == '/' ? a->port >= 0 : a->port > 0 && a->port < 65536, "%s", url);
    }
    cr_assert(t.deadline > 0 && t.timeout > 0 && t.connect_timeout > 0 && t.db >= 0, "%s", url);
    cr_assert((t.kind == KVR_TOPOLOGY_SENTINEL) == (t.master[0] != 0), "%s", url);
}

Test(url, nearly_good_ones) {
    static const char bytes[] = "/:@?&=,%[]#.\x01\xff\x7f 0a";
    for (size_t i = 0; i < N_URLS(good); i++) {
        char url[512];
        size_t n = strlen(good[i].url);
        for (size_t at = 0; at <= n; at++) {
            snprintf(url, sizeof url, "%.*s", (int)at, good[i].url);
            judge(url);
            judge(good[i].url + at);
            for (size_t k = 0; k < sizeof bytes - 1; k++) {
                snprintf(url, sizeof url, "%.*s%c%s", (int)at, good[i].url, bytes[k],
                         good[i].url + at); // one more
                judge(url);
                if (at == n) continue;
                strcpy(url, good[i].url); // another
                url[at] = bytes[k];
                judge(url);
            }
        }
    }
}

// ---- As a program meets them ---------------------------------------------------------------------

Test(url, opening_with_a_bad_one) {
    static const char secret[] = "jumbo";
    for (size_t i = 0; i < N_URLS(bad); i++) {
        struct testmem mem = {0};
        struct kvr_alloc alloc = testmem_alloc(&mem);
        struct kvr_client_options options = {.alloc = &alloc};
        char why[160] = "", tiny[4] = "...";
        cr_assert(!kvr_client_open(bad[i], "pool", &options, why, sizeof why), "%s", bad[i]);
        cr_assert(why[0], "%s is refused without a reason", bad[i]);
        cr_assert(!kvr_client_open(bad[i], "pool", &options, tiny, sizeof tiny));
        cr_assert(tiny[0] && memchr(tiny, 0, sizeof tiny), "the reason is cut to fit");
        cr_assert(!kvr_client_open(bad[i], "pool", &options, tiny, 0));
        cr_assert(!kvr_client_open(bad[i], "pool", &options, NULL, 0));
        testmem_all_free(&mem, bad[i]);
    }
    for (size_t k = 0; k < N_URLS(bad_escapes); k++) {
        char url[200], why[160] = "";
        snprintf(url, sizeof url, "redis://me:%s%s@h", secret, bad_escapes[k]);
        cr_assert(!kvr_client_open(url, "pool", NULL, why, sizeof why));
        cr_assert(!strstr(why, secret), "the reason tells the password");
    }
    cr_assert(!kvr_client_open("redis://h", NULL, NULL, NULL, 0));
    kvr_client_close(NULL);
}

Test(url, addresses_as_moved_names_them) {
    static const struct {
        const char *text, *means; // NULL: none
    } cases[] = {
        {"10.0.0.1:6379", "10.0.0.1:6379"},
        {"::1:6379", "[::1]:6379"},
        {"h:1", "h:1"},
        {":6379", NULL},
        {"h:", NULL},
        {"h", NULL},
        {"", NULL},
        {":", NULL},
        {"h:0", NULL},
        {"h:65536", NULL},
        {"h:x", NULL},
        {"h:6379 ", NULL},
        {"h:-1", NULL},
        {"\x01:1", NULL},
    };
    for (size_t i = 0; i < N_URLS(cases); i++) {
        struct kvr_address a, b;
        char text[300];
        bool is = kvr_address_parse(cases[i].text, strlen(cases[i].text), &a);
        cr_expect(is == (cases[i].means != NULL), "\"%s\"", cases[i].text);
        if (!is || !cases[i].means) continue;
        kvr_address_text(&a, text, sizeof text);
        cr_expect_str_eq(text, cases[i].means);
        b = a;
        cr_expect(kvr_address_same(&a, &b));
        b.port++;
        cr_expect(!kvr_address_same(&a, &b));
    }
}
