// SPDX-License-Identifier: Apache-2.0
// See router_retry.h, whose table this is.
#include "router_retry.h"

static const struct retry_rule {
    bool read;     // the engine may have read the request
    bool budgeted; // another try is taken out of the budget
    enum router_retry_verdict otherwise;
    struct router_retry_error error;
} rules[] = {
    [ROUTER_FAILURE_CONNECT] = {false,
                                true,
                                ROUTER_RETRY_ERROR,
                                {502, "ENGINE", "the engine can't be reached"}},
    [ROUTER_FAILURE_BROKEN] = {true,
                               true,
                               ROUTER_RETRY_ERROR,
                               {502, "ENGINE", "the engine broke off before its answer"}},
    [ROUTER_FAILURE_TIMEOUT] = {true,
                                true,
                                ROUTER_RETRY_ERROR,
                                {504, "ENGINE", "the engine didn't answer in time"}},
    [ROUTER_FAILURE_5XX] = {true, true, ROUTER_RETRY_PASS, {0}},
    [ROUTER_FAILURE_FULL] = {false, true, ROUTER_RETRY_PASS, {0}},
    [ROUTER_FAILURE_DEAD] = {true, false, ROUTER_RETRY_WAIT, {0}},
    [ROUTER_FAILURE_LOCAL] = {false,
                              true,
                              ROUTER_RETRY_ERROR,
                              {503, "LOCAL",
                               "this router is out of descriptors, ports or memory, or its "
                               "resolver doesn't answer"}},
};

enum router_failure router_retry_failure_of(int status) {
    if (status == 429 || status == 408) return ROUTER_FAILURE_FULL;
    // What an engine doesn't know how to do, another of the pool won't either.
    if (status < 500 || status == 501 || status == 505) return ROUTER_FAILURE_NONE;
    return ROUTER_FAILURE_5XX;
}

struct router_retry router_retry_decide(enum router_failure what,
                                        const struct router_retry_facts *f) {
    if (what == ROUTER_FAILURE_STALE && !f->fresh)
        return (struct router_retry){.verdict = ROUTER_RETRY_HERE, .sent = f->sent};
    if (what == ROUTER_FAILURE_STALE) what = ROUTER_FAILURE_BROKEN;
    const struct retry_rule *rule = &rules[what];
    bool unsent = what == ROUTER_FAILURE_CONNECT || what == ROUTER_FAILURE_LOCAL;
    bool read = rule->read || (unsent && f->fresh);
    struct router_retry d = {
        .verdict = rule->otherwise, .sent = f->sent + read, .error = rule->error};
    if (f->relaying) {
        d.verdict = f->continues ? ROUTER_RETRY_CONTINUE : ROUTER_RETRY_BREAK;
        return d;
    }
    if (what == ROUTER_FAILURE_FULL && f->turned_away) return d;
    // A dead engine is left before it counts.
    unsigned sent = what == ROUTER_FAILURE_DEAD ? f->sent : d.sent;
    bool limited = sent >= ROUTER_MAX_SENT || f->tries >= f->max_tries ||
                   f->tries > ROUTER_MAX_TRIES || !f->another;
    d.refused = !limited && rule->budgeted && f->budget < 1;
    if (!limited && !d.refused) {
        d.verdict = ROUTER_RETRY_ELSEWHERE;
        d.charged = rule->budgeted;
    } else if (what == ROUTER_FAILURE_DEAD) {
        d.sent = f->sent; // nothing has happened
    }
    return d;
}

bool router_retry_exhausted(bool tried, bool turned_away, bool local,
                            struct router_retry_error *error) {
    static const struct router_retry_error full = {
        503, "OVERLOAD", "the engine has too much to do, and there is no other"};
    static const struct router_retry_error failed = {502, "ENGINE",
                                                     "the engine failed, and there is no other"};
    *error = local ? rules[ROUTER_FAILURE_LOCAL].error : turned_away ? full : failed;
    return tried || turned_away;
}

double router_retry_budget(double budget, uint32_t percent, uint32_t burst) {
    budget += percent / 100.0;
    return budget > burst ? burst : budget;
}
