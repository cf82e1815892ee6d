// SPDX-License-Identifier: Apache-2.0
// The saved form of a pool, version 2. All numbers little-endian.
//
//   saved pool  chunk … chunk
//   chunk       record … record, then u64 check = XXH3-64(the records, seed = the check before, 0 at
//               first). So every byte is checked before it is looked at, and chunks can't be
//               left out, repeated or swapped.
//   record      u8 kind, then by kind (bytes = u32 length, then so many):
//
//   POOL        u32 format, u64 version, u64 bookings, the options, the counters      first, once
//   WORKER      bytes name, bytes addr, u64 capacity, u8 state, i64 ttl, i64 seen,
//               u64 failures, i64 barred, u32 ranks, for each u64 epoch, u64 seq,
//               u64 booked                                                            in name order
//   RUN         u32 parent (the how-manieth RUN it is, from 1; 0 none), u16 blocks, their hashes,
//               u32 holders, for each u32 instance (counted through workers and ranks from 0),
//               u8 tier, u16 depth                                                    parents first
//   REQUEST     bytes id, u32 instance, u8 prefilled, i64 isl, osl, cached, output, lease, created,
//               renewed, u32 overlap, f64 cost, u32 blocks, their hashes
//   PREDICTION  u32 instance, i64 until, u32 blocks, their hashes                     oldest first
//   END         u64 records before it                                                 last, once
//
// Version 1 knew no circuits: without failures and open_time at the end of the options, failures and
// barred of a worker. It can still be read.
#ifndef KVR_FORMAT_H
#define KVR_FORMAT_H

enum { FORMAT_VERSION = 2, CHUNK_BYTES = 64 * 1024, CHECK_BYTES = 8, HOLDER_BYTES = 7 };

enum record {
    RECORD_POOL = 'P',
    RECORD_WORKER = 'W',
    RECORD_RUN = 'R',
    RECORD_REQUEST = 'Q',
    RECORD_PREDICTION = 'F',
    RECORD_END = 'E',
};

#endif
