// SPDX-License-Identifier: Apache-2.0
// Opening and freeing publishers, on real handles and on any other port.
#ifndef KVR_PUBLISHER_PUBLISHER_PORT_H
#define KVR_PUBLISHER_PUBLISHER_PORT_H

#include "publisher_stream.h"

// The port is copied. NULL as for kvr_publisher_new.
struct kvr_publisher *kvr_publisher_open(const struct kvr_publisher_port *port,
                                         struct kvr_bytes worker, uint32_t rank,
                                         const struct kvr_publisher_options *options);

#endif
