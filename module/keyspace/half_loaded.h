// SPDX-License-Identifier: Apache-2.0
// Pools that arrive in pieces: KVROUTE.LOAD from a rewritten AOF, or from a node of a cluster that hands its
// slots over (Valkey 9).
//
// A pool comes to the keyspace when it is whole, so no key ever holds half of one; until then its pieces
// belong to a key of a database, since several sources may send at once. The server passes what a node sends on to
// its replicas as it comes; so that one that attaches in the middle can go on, an RDB holds the pieces that are
// there (aux data). The AOF is told all of them when the pool is whole.
#ifndef MOD_HALF_LOADED_H
#define MOD_HALF_LOADED_H

#include "registry.h"

// Takes the next piece of the pool at `name` in the context's database. *pool: the pool if it is whole now, else
// NULL. `loading`: it comes from an AOF; else the pieces are told to it. After an error nothing is left of it.
enum kvr_err mod_half_loaded_take(RedisModuleCtx *ctx, RedisModuleString *name,
                                  RedisModuleString *piece, bool loading, struct kvr_pool **pool);
// Drops those whose key is in slots for which `in` holds. How many that were.
size_t mod_half_loaded_drop(bool (*in)(RedisModuleString *name));

// A load of the server's data begins: nothing that was there goes on. Pieces in the RDB part of an AOF don't
// count, since what comes behind it has all of them.
void mod_half_loaded_load_starts(bool from_aof);
// It is over: what nobody will go on with is dropped. How many that were.
size_t mod_half_loaded_load_ends(bool replica);

// The aux data of an RDB.
void mod_half_loaded_save(RedisModuleIO *io, int when);
int mod_half_loaded_load(RedisModuleIO *io, int encoding, int when);

#endif
