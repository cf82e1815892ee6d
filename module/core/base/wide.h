// SPDX-License-Identifier: Apache-2.0
// Loops over columns, for processors that do more of them at once.
//
// A package is built for every processor of its kind, which on x86-64 means two doubles at a time; most have
// four. A function marked so is built for both, and the loader takes what the processor has. To the bit both
// give the same: the core is built without contraction, so each operation is rounded by itself.
//
// Not with sanitizers: the loader asks for the choice before their runtime is ready.
#ifndef CORE_WIDE_H
#define CORE_WIDE_H

#include <features.h> // which C library it is

#ifdef __has_feature
#define CORE_HAS_FEATURE(x) __has_feature(x)
#else
#define CORE_HAS_FEATURE(x) 0
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&                 \
    !CORE_HAS_FEATURE(address_sanitizer)
#define CORE_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define CORE_WIDE
#endif

#endif
