// SPDX-License-Identifier: Apache-2.0
// Bodies as texts of JSON, and the prompts that they are; the test fails where they are none.
#ifndef RTEST_PROMPT_H
#define RTEST_PROMPT_H

#include "client/router/prompt/router_prompt.h"

json_t *rtest_body(const char *text); // a new reference
// To be freed.
struct router_prompt rtest_prompt(enum router_prompt_kind kind, const char *text,
                                  const struct router_prompt_config *how);

#endif
