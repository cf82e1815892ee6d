// SPDX-License-Identifier: Apache-2.0
// What a service manager is told: systemd's protocol of one datagram to $NOTIFY_SOCKET, as sd_notify(3) says.
// Without that variable nothing is said. Nor is anything if it can't be: a router doesn't depend on it.
#ifndef ROUTER_NOTIFY_H
#define ROUTER_NOTIFY_H

#include <sys/types.h>

void router_notify_ready(void);
void router_notify_reloading(void); // until the next "ready"
void router_notify_stopping(void);
void router_notify_successor(pid_t pid); // the service goes on as that process, which is ready

#endif
