// SPDX-License-Identifier: Apache-2.0
// Where spans go, as whom, and which: the router's settings, else the environment as OpenTelemetry names it.
#ifndef ROUTER_TRACE_SETTINGS_H
#define ROUTER_TRACE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router_trace_text.h"

struct router_config;

struct router_trace_settings {
    const char
        *instance; // the caller's: what tells this router from others of its name; NULL: nothing
    char address[1024]; // http:// or https://host[:port][/prefix]; "": there are no traces
    char path[1024];    // what is asked for there
    char ca[512];       // PEM file with the authorities it is believed by; "": the system's
    struct router_trace_text headers;  // lines with their ends; may be a secret
    struct router_trace_text resource; // attributes
    bool by_parent;                    // who is part of a trace does as that one's flag says
    // Of 2^56: those are sampled whose trace id has at least so much in its last seven bytes.
    uint64_t threshold;
};

// Of one that is all 0 but for its texts' allocators and `instance`. False with a reason: a URL that is none, a file that can't be
// read, a list or a number that isn't one. Nothing of a header is repeated in it. What is wrong in the environment is
// logged, and counts as not said.
bool router_trace_settings_read(struct router_trace_settings *s, const struct router_config *o,
                                char *error, size_t error_size);
void router_trace_settings_free(struct router_trace_settings *s); // what it has

#endif
