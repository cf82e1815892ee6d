// SPDX-License-Identifier: Apache-2.0
// Where the members of a request's body are, so that some can be replaced and all else goes on byte for byte.
//
//     { "model": "llama", "messages": [ … ], "stream": true }
//       ^name    ^value   ^end
//
// Only the outermost object is looked at; what is inside a value is skipped. The text has been read as JSON
// before (router_loose_json.h), which says whether it is any: here only its shape counts.
#ifndef ROUTER_MEMBERS_H
#define ROUTER_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

enum { ROUTER_MAX_MEMBERS = 128 };

struct router_member {
    size_t name;       // of its first letter, behind the quote
    size_t name_size;  // bytes
    size_t value, end; // of the value's first byte, and of the one behind it
};

struct router_members {
    struct router_member *all;
    size_t n;
    size_t close; // of the object's last brace. 0: the body can't be edited
};

// False: it can't be edited, and *m is empty: it is no object, its names have escapes, it has more than
// ROUTER_MAX_MEMBERS, or there is no memory.
bool router_members_read(struct router_members *m, const char *text, size_t n);
void router_members_free(struct router_members *m);
// The last one of that name, which is the one that counts; NULL: there is none.
const struct router_member *router_members_find(const struct router_members *m, const char *text,
                                                const char *name);

#endif
