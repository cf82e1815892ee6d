// SPDX-License-Identifier: Apache-2.0
// Engines from a file (discovery_lines.h), which is read again when it has changed. It is looked at every `every` ms,
// by its date, size and inode, so that it may be replaced by renaming, or by way of links, as Kubernetes does it.
// Rejected: inotify, which has to be set up anew for each of these ways.
#ifndef DISCOVERY_FILE_H
#define DISCOVERY_FILE_H

#include "discovery_known.h"

// NULL: no memory.
void *discovery_file_new(struct event_base *base, struct discovery_known *k, char *error,
                         size_t error_size);
void discovery_file_free(void *source);

#endif
