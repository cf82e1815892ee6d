// SPDX-License-Identifier: Apache-2.0
// The terms of the delay rule that can be left out (enum kvr_term), by their names.
#ifndef FLEET_TERMS_H
#define FLEET_TERMS_H

#include <stddef.h>

enum { TERMS = 7, TERMS_ALL = (1 << TERMS) - 1 };
extern const char *const term_names[TERMS]; // term i is bit i

// The bit of a term; 0: there is none of that name.
unsigned term_find(const char *name);
// "queue or pace"; "terms" for all of them. Returns what snprintf would.
int terms_text(unsigned terms, char *room, size_t n);

#endif
