// SPDX-License-Identifier: Apache-2.0
// Which program an engine is, and what it computes of a request, as settings have them.
#ifndef ENGINE_ENGINE_KIND_H
#define ENGINE_ENGINE_KIND_H

#include <kvroute/types.h>

// What settings say of the part of a pair that an engine does, and that it is asked for it.
enum engine_role {
    ENGINE_ROLE_BOTH = KVR_ROLE_BOTH,
    ENGINE_ROLE_PREFILL = KVR_ROLE_PREFILL,
    ENGINE_ROLE_DECODE = KVR_ROLE_DECODE,
    ENGINE_ROLE_ASK
};
enum engine_kind { ENGINE_KIND_VLLM, ENGINE_KIND_SGLANG, ENGINE_KIND_OTHER, ENGINE_KIND_ANY };

#endif
