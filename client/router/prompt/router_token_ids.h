// SPDX-License-Identifier: Apache-2.0
// Token ids come by the thousand. To make a JSON value of each takes most of the time that a choice
// takes, so a list of them is taken out of the text before it is parsed.
#ifndef ROUTER_TOKEN_IDS_H
#define ROUTER_TOKEN_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Where the object that the text is has the field `name` with a list of nothing but whole numbers from 0
// to 4294967295: these go to *ids (to be freed), and the text, now shorter, has an empty list there. Of
// anything else nothing is taken and *ids is NULL: the parser will say what it is. False: no memory.
bool router_token_ids_extract(char *text, size_t *n, const char *name, uint32_t **ids,
                              size_t *n_ids);

#endif
