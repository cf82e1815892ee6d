// SPDX-License-Identifier: Apache-2.0
// The bytes of router_page.html, in a file that the build makes of it.
#ifndef ROUTER_PAGE_H
#define ROUTER_PAGE_H

#include <stddef.h>

extern const unsigned char router_page_html[];
extern const size_t router_page_html_size;

#endif
