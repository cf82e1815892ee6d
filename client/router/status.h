// SPDX-License-Identifier: Apache-2.0
// /, a page for people, and /v1/status, what it shows.
#ifndef ROUTER_STATUS_H
#define ROUTER_STATUS_H

struct exchange;

void status_handle(struct exchange *x);
void page_handle(struct exchange *x);

#endif
