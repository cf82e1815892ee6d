// SPDX-License-Identifier: Apache-2.0
// The settings that packages install, where what stands behind a # is the default: as they are, and said aloud.
#ifndef SUPPORT_SAMPLE_H
#define SUPPORT_SAMPLE_H

#include <stdbool.h>

// A copy of the file in the test's folder, with its sections, and its settings if `set`; without, only those of the name
// `needed` (NULL: none), which has no default. Returns its path, static until the next call.
const char *support_sample(const char *file, bool set, const char *needed);
// The first word of `usage`, which --help says, that the file doesn't have in the section it is of; NULL: it has all. Static until the next
// call.
const char *support_sample_lacks(const char *file, const char *usage);

#endif
