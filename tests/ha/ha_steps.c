// SPDX-License-Identifier: Apache-2.0
// What scenarios share; see ha_steps.h.
#include "ha_steps.h"

#include <stdio.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

void ha_note_fault(struct ha_result *v, const struct ha_load *s, const char *what) {
    snprintf(v->killed, sizeof v->killed, "%s", what);
    v->in_flight = ha_load_live(s);
}

void ha_note_losses(struct ha_result *v, const struct ha_load *s, struct ha_server *server) {
    struct ha_losses l;
    ha_losses_count(s, server, &l);
    v->counted = true;
    v->lost += ha_losses_sum(&l);
}

void ha_finish(struct ha_result *v, struct ha_load *s, struct ha_fleet *f) {
    ha_fleet_settle(f);
    ha_load_wait_served(s, kvr_clock_ms());
    support_sleep_ms(HA_AFTER_MS);
    ha_check(s, f, v);
}
