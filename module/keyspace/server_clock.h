// SPDX-License-Identifier: Apache-2.0
// The server's two clocks: what time it is, and how much has gone by.
//
// The first may be set, by hand, by NTP, or by a machine that wakes after hours. Whoever let leases end by it alone
// would let all of them end at once, or none for an hour. So it is compared with the second, which only runs,
// at every command and every firing of the timer; where the two disagree about what went by since, the time
// was set, and a server that decides starts anew: everything counts as renewed.
#ifndef MOD_SERVER_CLOCK_H
#define MOD_SERVER_CLOCK_H

#include <stdint.h>

// ms since the epoch. The main thread's; not with the registry's lock held.
int64_t mod_server_time(void);
int64_t mod_server_steady(void); // monotonic, µs

#endif
