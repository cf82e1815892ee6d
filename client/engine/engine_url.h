// SPDX-License-Identifier: Apache-2.0
// Engines' URLs, as people give them.
#ifndef ENGINE_ENGINE_URL_H
#define ENGINE_ENGINE_URL_H

// Why no engine is asked at this URL, for who has given it; NULL: one is. An engine's URL may have a path, for those
// behind a proxy, but not the /v1 that clients' base URLs end in: every path that is asked for has it already.
const char *engine_url_fault(const char *url);

#endif
