// SPDX-License-Identifier: Apache-2.0
// Engines by DNS: what comes, goes and stays, over UDP and TCP, from servers that know, don't, or break off.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/discovery/dns_answer.h"
#include "dtest_dns.h"
#include "dtest_watch.h"

static struct dtest_dns dns;
static uint64_t failures; // that there are to be
static size_t wanted;     // engines that there are to be

static void begin(void) {
    dtest_watch_open();
    dtest_dns_start(&dns, dtest_watch.base);
}

static void end(void) {
    dtest_dns_stop(&dns);
    dtest_watch_close();
}

static void look(const char *more) {
    dtest_watch_look("dns://" DTEST_DNS_NAME ".:8000 servers=%s every=100 %s", dns.server, more);
}

static bool are_there(void) {
    return dtest_watch.there == wanted;
}

static bool have_failed(void) {
    return dtest_watch_stats().failures >= failures;
}

static void until_there(size_t n) {
    wanted = n;
    dtest_watch_until(are_there);
}

static void until_failures(uint64_t more) {
    failures = dtest_watch_stats().failures + more;
    dtest_watch_until(have_failed);
}

static bool has_read(void) {
    return dtest_watch_stats().reads >= failures;
}

static void until_reads(uint64_t more) {
    failures = dtest_watch_stats().reads + more;
    dtest_watch_until(has_read);
}

Test(discovery_dns, addresses_come_and_go, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 3);
    look("pool=demo role=prefill ranks=2 capacity=77 prefix=/llm");
    until_there(3);
    const struct dtest_seen *s = dtest_watch_at("http://127.1.0.2:8000/llm");
    cr_assert(s);
    cr_assert_str_eq(s->name, "127.1.0.2:8000");
    cr_assert_str_eq(s->pool, "demo");
    cr_assert_eq(s->role, KVR_ROLE_PREFILL);
    cr_assert_eq(s->ranks, 2);
    cr_assert_eq(s->capacity, 77);
    dtest_dns_remove(&dns, 0x7f010002);
    dtest_dns_add(&dns, 0x7f010009);
    until_there(4);
    until_there(3);
    cr_assert(s->gone);
    cr_assert_eq(dtest_watch.found, 4);
    cr_assert_eq(dtest_watch.lost, 1);
    cr_assert_eq(dtest_watch.changed, 0);
}

// One answer that lacks it isn't enough.
Test(discovery_dns, who_is_missed_once_stays, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 2);
    look("misses=1000");
    until_there(2);
    dtest_dns_remove(&dns, 0x7f010001);
    until_reads(5);
    dtest_dns_add(&dns, 0x7f010001);
    until_reads(5);
    cr_assert_eq(dtest_watch.lost, 0);
    cr_assert_eq(dtest_watch.there, 2);
}

Test(discovery_dns, a_thousand_come_over_tcp, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 1000);
    look("");
    until_there(1000);
    cr_assert(dns.tcp);
    cr_assert(dns.udp);
    dtest_dns_set(&dns, 0x7f010001, 10);
    until_there(10);
    cr_assert_eq(dtest_watch.lost, 990);
}

Test(discovery_dns, failures_lose_nobody, .init = begin, .fini = end) {
    static const int modes[] = {DTEST_DNS_SERVFAIL, DTEST_DNS_SILENT, DTEST_DNS_GARBAGE,
                                DTEST_DNS_HALF};
    dtest_dns_set(&dns, 0x7f010001, 3);
    look("misses=1");
    until_there(3);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        dns.mode = (enum dtest_dns_mode)modes[i];
        dtest_dns_set(&dns, 0x7f010001, 2); // whatever it says
        until_failures(2);
        cr_assert(dtest_watch_stats().failing);
        cr_assert_eq(dtest_watch.there, 3, "mode %d", modes[i]);
        dns.mode = DTEST_DNS_WELL;
        dtest_dns_set(&dns, 0x7f010001, 3);
        until_reads(2);
        cr_assert(!dtest_watch_stats().failing);
    }
    cr_assert_eq(dtest_watch.lost, 0);
}

// An answer that was cut off is none.
Test(discovery_dns, without_tcp_nobody_is_lost, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 3);
    look("misses=1");
    until_there(3);
    dns.mode = DTEST_DNS_NO_TCP;
    dtest_dns_set(&dns, 0x7f020001, 100);
    until_failures(1);
    cr_assert_eq(dtest_watch.there, 3);
    cr_assert_eq(dtest_watch.lost, 0);
}

Test(discovery_dns, nothing_counts_after_some_misses, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 3);
    look("misses=4");
    until_there(3);
    dns.mode = DTEST_DNS_NXDOMAIN;
    uint64_t reads = dtest_watch_stats().reads;
    until_there(0);
    cr_assert_geq(dtest_watch_stats().reads - reads, 3); // the fourth is counted at its end
    dns.mode = DTEST_DNS_WELL;
    until_there(3);
    cr_assert_eq(dtest_watch.found, 6);
}

Test(discovery_dns, no_more_than_max, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 10);
    look("max=4");
    until_there(4);
    until_reads(3);
    cr_assert_eq(dtest_watch.found, 4);
    cr_assert_eq(dtest_watch_stats().left_out, 6);
}

Test(discovery_dns, both_families, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 1);
    dns.has_ipv6 = true;
    look("");
    until_there(2);
    const struct dtest_seen *s = dtest_watch_at("http://[::1]:8000");
    cr_assert(s);
    cr_assert_str_eq(s->name, "[::1]:8000");
}

Test(discovery_dns, one_family, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 1);
    dns.has_ipv6 = true;
    dns.mode = DTEST_DNS_HALF;
    look("family=ipv4");
    until_there(1);
    until_reads(2);
    cr_assert_eq(dtest_watch_stats().failures, 0);
}

Test(discovery_dns, a_short_ttl_asks_sooner, .init = begin, .fini = end) {
    dtest_dns_set(&dns, 0x7f010001, 1);
    dns.ttl = 0;
    dtest_watch_look("dns://" DTEST_DNS_NAME ".:8000 servers=%s every=2000000", dns.server);
    until_there(1);
    dtest_dns_add(&dns, 0x7f010002);
    until_there(2);
}

// The first domain has no such name, or its server fails: the second is tried, and the name that was found stays.
Test(discovery_dns, short_names_have_domains, .init = begin, .fini = end) {
    setenv("LOCALDOMAIN", "elsewhere.test test", 1);
    setenv("RES_OPTIONS", "ndots:2", 1);
    dtest_dns_set(&dns, 0x7f010001, 2);
    dtest_watch_look("dns://fleet:8000 servers=%s every=100 family=ipv4", dns.server);
    until_there(2);
    uint64_t asked = dns.udp, reads = dtest_watch_stats().reads;
    until_reads(10);
    asked = dns.udp - asked;
    reads = dtest_watch_stats().reads - reads;
    cr_assert_leq(asked, reads + 4); // a question each, not one for each domain
    dns.mode = DTEST_DNS_SERVFAIL;
    until_failures(2);
    cr_assert_eq(dtest_watch.lost, 0);
}

Test(discovery_dns, targets_have_ports, .init = begin, .fini = end) {
    dtest_dns_target(&dns, "pod-0.fleet.test", 8000);
    dtest_dns_target(&dns, "pod-1.fleet.test", 8001);
    dtest_watch_look("srv://" DTEST_DNS_SRV ". servers=%s every=100", dns.server);
    until_there(2);
    const struct dtest_seen *s = dtest_watch_at("http://pod-1.fleet.test:8001");
    cr_assert(s);
    cr_assert_str_eq(s->name, "pod-1.fleet.test:8001");
    dns.n_targets = 1;
    until_there(1);
}

Test(discovery_dns, no_server_is_a_failure, .init = begin, .fini = end) {
    dtest_watch_look("dns://" DTEST_DNS_NAME ".:8000 servers=127.0.0.1:1 every=100");
    until_failures(2);
    cr_assert_eq(dtest_watch.there, 0);
}

// ---- Messages ------------------------------------------------------------------------------------

static void on_any(void *ctx, const struct dns_record *r) {
    (void)ctx;
    cr_assert(strlen(r->host) < 1100);
}

// Every prefix, and every byte changed, of an answer with a name that points back.
Test(discovery_dns, no_message_is_trusted) {
    static const unsigned char good[] =
        "\x12\x34\x81\x80\0\1\0\2\0\0\0\0\4_tcp\4test\0\0\x21\0\1"
        "\xc0\x0c\0\x21\0\1\0\0\0\x1e\0\x0e\0\0\0\0\x1f\x40\5pod-0\xc0\x11"
        "\xc0\x0c\0\1\0\1\0\0\0\x05\0\4\x7f\1\0\1";
    size_t n = sizeof good - 1;
    uint32_t ttl = UINT32_MAX;
    cr_assert(dns_answer_read(good, n, DNS_SRV, on_any, NULL, &ttl));
    cr_assert_eq(ttl, 5);
    for (size_t i = 0; i < n; i++) {
        unsigned char *part = malloc(i ? i : 1); // so that a read beyond it is found
        memcpy(part, good, i);
        cr_assert(!dns_answer_read(part, i, DNS_SRV, on_any, NULL, &ttl));
        free(part);
    }
    for (size_t i = 0; i < n; i++)
        for (unsigned c = 0; c < 256; c++) {
            unsigned char *other = malloc(n);
            memcpy(other, good, n);
            other[i] = (unsigned char)c;
            dns_answer_read(other, n, DNS_SRV, on_any, NULL, &ttl);
            dns_answer_read(other, n, DNS_A, on_any, NULL, &ttl);
            free(other);
        }
}
