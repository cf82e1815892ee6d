// SPDX-License-Identifier: Apache-2.0
#include "router_scale.h"

// Rounded up, and from `least` to the number of those who wait.
static int64_t clamp(double n, int64_t least, int64_t waiting) {
    if (!(n < (double)waiting)) return waiting;
    int64_t whole = n > 0 ? (int64_t)n : 0;
    whole += (double)whole < n;
    return whole < least ? least : whole;
}

int64_t router_scale_wanted(struct router_scale *s, const struct router_scale_seen *now) {
    double instances = (double)now->instances, waiting = (double)now->waiting;
    if (now->waiting <= 0) return 0;
    if (now->instances <= 0) return clamp(waiting * s->cost / (double)now->target, 1, now->waiting);
    if (now->estimate == 0) return 0;
    if (now->estimate > 0) {
        double empty = (double)now->estimate * waiting / (double)(now->ahead + 1);
        s->cost = empty * instances / waiting;
    }
    // Nothing is known of their speed: one that has waited for all of the time says enough.
    if (s->cost <= 0) return now->oldest > now->target;
    return clamp(waiting * s->cost / (double)now->target - instances, 0, now->waiting);
}
