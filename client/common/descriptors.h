// SPDX-License-Identifier: Apache-2.0
// File descriptors that this process may open.
#ifndef KVR_COMMON_DESCRIPTORS_H
#define KVR_COMMON_DESCRIPTORS_H

// As many as it may have: the limit becomes the hard one.
void kvr_descriptors_raise(void);

#endif
