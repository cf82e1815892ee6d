// SPDX-License-Identifier: Apache-2.0
// The table of router_retry.h, line by line, and each limit by itself.
#include <criterion/criterion.h>

#include "client/router/proxy/router_retry.h"

// A first try on the only kept connection, with another engine and all the budget one could want.
static struct router_retry_facts first_try(void) {
    return (struct router_retry_facts){.another = true, .tries = 1, .max_tries = 3, .budget = 5};
}

static const struct retry_line {
    enum router_failure what;
    enum router_retry_verdict first; // of a first try
    unsigned sent;                   // with it
    bool charged;
    enum router_retry_verdict otherwise; // when it can't go elsewhere
    int status;                          // of the error then
    bool breaks;                         // when the client has the head
} lines[] = {
    {ROUTER_FAILURE_CONNECT, ROUTER_RETRY_ELSEWHERE, 0, true, ROUTER_RETRY_ERROR, 502, false},
    {ROUTER_FAILURE_BROKEN, ROUTER_RETRY_ELSEWHERE, 1, true, ROUTER_RETRY_ERROR, 502, true},
    {ROUTER_FAILURE_TIMEOUT, ROUTER_RETRY_ELSEWHERE, 1, true, ROUTER_RETRY_ERROR, 504, true},
    {ROUTER_FAILURE_5XX, ROUTER_RETRY_ELSEWHERE, 1, true, ROUTER_RETRY_PASS, 0, false},
    {ROUTER_FAILURE_FULL, ROUTER_RETRY_ELSEWHERE, 0, true, ROUTER_RETRY_PASS, 0, false},
    {ROUTER_FAILURE_DEAD, ROUTER_RETRY_ELSEWHERE, 1, false, ROUTER_RETRY_WAIT, 0, false},
    {ROUTER_FAILURE_LOCAL, ROUTER_RETRY_ELSEWHERE, 0, true, ROUTER_RETRY_ERROR, 503, false},
};

static void check_otherwise(const struct retry_line *l, const struct router_retry_facts *f,
                            bool refused) {
    struct router_retry d = router_retry_decide(l->what, f);
    cr_expect(d.verdict == l->otherwise && !d.charged, "%d", l->what);
    cr_expect(d.refused == refused && d.error.status == l->status, "%d", l->what);
}

Test(router_retry, each_line) {
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct retry_line *l = &lines[i];
        struct router_retry_facts f = first_try();
        struct router_retry d = router_retry_decide(l->what, &f);
        cr_expect(d.verdict == l->first && d.sent == l->sent, "%zu", i);
        cr_expect(d.charged == l->charged && !d.refused, "%zu", i);
        f.another = false;
        check_otherwise(l, &f, false);
        f = first_try();
        f.tries = f.max_tries;
        check_otherwise(l, &f, false);
        f = first_try();
        f.tries = ROUTER_MAX_TRIES + 1; // whatever the options say
        f.max_tries = 100;
        check_otherwise(l, &f, false);
        f = first_try();
        f.budget = 0.99;
        if (l->charged)
            check_otherwise(l, &f, true);
        else
            cr_expect(router_retry_decide(l->what, &f).verdict == ROUTER_RETRY_ELSEWHERE);
        if (!l->breaks) continue;
        f = first_try();
        f.relaying = true;
        d = router_retry_decide(l->what, &f);
        cr_expect(d.verdict == ROUTER_RETRY_BREAK && !d.charged && !d.refused, "%zu", i);
    }
}

// The same engine, once; what happens on a new connection is a failure like others.
Test(router_retry, a_kept_connection_that_was_over) {
    struct router_retry_facts f = first_try();
    f.another = false;
    f.budget = 0;
    struct router_retry d = router_retry_decide(ROUTER_FAILURE_STALE, &f);
    cr_expect(d.verdict == ROUTER_RETRY_HERE && !d.sent && !d.charged && !d.refused);
    f = first_try();
    f.fresh = true;
    d = router_retry_decide(ROUTER_FAILURE_STALE, &f);
    cr_expect(d.verdict == ROUTER_RETRY_ELSEWHERE && d.sent == 1 && d.charged);
    // Whoever ended the kept connection may have read it.
    d = router_retry_decide(ROUTER_FAILURE_CONNECT, &f);
    cr_expect(d.verdict == ROUTER_RETRY_ELSEWHERE && d.sent == 1);
    d = router_retry_decide(ROUTER_FAILURE_LOCAL, &f);
    cr_expect(d.verdict == ROUTER_RETRY_ELSEWHERE && d.sent == 1);
}

// Two engines may read a request. One that is dead is left before it counts, and counts then.
Test(router_retry, engines_that_may_have_read_it) {
    struct router_retry_facts f = first_try();
    f.sent = 1;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool second = lines[i].sent && lines[i].what != ROUTER_FAILURE_DEAD;
        struct router_retry d = router_retry_decide(lines[i].what, &f);
        cr_expect(d.verdict == (second ? lines[i].otherwise : ROUTER_RETRY_ELSEWHERE), "%zu", i);
        cr_expect(d.sent == 1 + lines[i].sent, "%zu", i);
    }
    f.sent = ROUTER_MAX_SENT;
    struct router_retry d = router_retry_decide(ROUTER_FAILURE_DEAD, &f);
    cr_expect(d.verdict == ROUTER_RETRY_WAIT && d.sent == ROUTER_MAX_SENT);
}

Test(router_retry, a_full_queue_counts_once) {
    struct router_retry_facts f = first_try();
    f.turned_away = true;
    struct router_retry d = router_retry_decide(ROUTER_FAILURE_FULL, &f);
    cr_expect(d.verdict == ROUTER_RETRY_PASS && !d.charged && !d.refused);
    cr_expect(router_retry_decide(ROUTER_FAILURE_5XX, &f).verdict == ROUTER_RETRY_ELSEWHERE);
}

Test(router_retry, answers_that_are_failures) {
    static const struct {
        int status;
        enum router_failure what;
    } cases[] = {
        {200, ROUTER_FAILURE_NONE}, {302, ROUTER_FAILURE_NONE}, {400, ROUTER_FAILURE_NONE},
        {404, ROUTER_FAILURE_NONE}, {408, ROUTER_FAILURE_FULL}, {429, ROUTER_FAILURE_FULL},
        {500, ROUTER_FAILURE_5XX},  {501, ROUTER_FAILURE_NONE}, {502, ROUTER_FAILURE_5XX},
        {503, ROUTER_FAILURE_5XX},  {505, ROUTER_FAILURE_NONE}, {599, ROUTER_FAILURE_5XX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(router_retry_failure_of(cases[i].status) == cases[i].what, "%d", cases[i].status);
}

Test(router_retry, nobody_is_left) {
    struct router_retry_error e;
    cr_expect(!router_retry_exhausted(false, false, false, &e)); // the pool says why
    cr_expect(router_retry_exhausted(true, false, false, &e) && e.status == 502);
    cr_expect(router_retry_exhausted(true, true, false, &e) && e.status == 503);
    cr_expect_str_eq(e.code, "OVERLOAD");
    cr_expect(router_retry_exhausted(true, true, true, &e) && e.status == 503);
    cr_expect_str_eq(e.code, "LOCAL");
}

Test(router_retry, the_budget_has_a_brim) {
    double budget = 0;
    for (int i = 0; i < 49; i++)
        budget = router_retry_budget(budget, 20, 10);
    cr_expect(budget > 9.79 && budget < 9.81, "%f", budget);
    budget = router_retry_budget(budget, 20, 10);
    budget = router_retry_budget(budget, 20, 10);
    cr_expect(budget == 10);
    cr_expect(router_retry_budget(1, 0, 0) == 0);
}
