// SPDX-License-Identifier: Apache-2.0
// A network that can be cut: one process that passes bytes on between the others.
//
// A server in it is known to everybody by a proxy's port (its address) instead of its own. Everything
// that runs has a side (ha_process_fork(), struct ha_server_plan), and between each two sides there is a link that
// is open, held or cut. Servers, Sentinels and clients alike know one address for one server, so
// whoever connects can't be told by where it connects to: the proxy asks the kernel which process has
// the other end. So nobody has to cooperate, and no privileges are needed.
//
// A held link passes nothing and closes nothing: what was sent waits and arrives when the link is
// opened, also when its sender has given up long ago, as packets do that are sent again until they
// get through. A stuck link does so with the connections that there are, and passes new ones: a
// firewall that has lost its memory. A cut link drops all that is under way, and refuses.
#ifndef HA_PROXY_H
#define HA_PROXY_H

#include "ha_server.h"

enum { HA_SIDES = 4 };
enum ha_link { HA_LINK_OPEN, HA_LINK_HELD, HA_LINK_STUCK, HA_LINK_CUT };

void ha_proxy_start(void); // all links open
// A new address that leads nowhere yet: for struct ha_server_plan, or for a client's URL.
int ha_proxy_address(void);
void ha_proxy_target(int address, const struct ha_server *to);
// How connections are treated that were opened, or will be, by processes of side `from` to servers of
// side `to`. In force when it returns.
void ha_proxy_link(int from, int to, enum ha_link how);

#endif
