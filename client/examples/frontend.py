#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A frontend that needs no library of ours: KVROUTE commands over plain redis-py.

    frontend.py redis://127.0.0.1:6379 pool
    frontend.py --sentinel main 127.0.0.1:26379,127.0.0.1:26380,127.0.0.1:26381 pool

--lose drops the booking half way, as a failover may, to show how it is put back.
"""

import argparse
import os
import struct
import time

import redis
import redis.sentinel

# What passes by itself. All commands can be sent twice without harm: a SELECT with the id of a live
# request is answered as before, an EVENT that was applied is skipped, OUTPUT is a total.
LOST = (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError)
PASSING = ("MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "MISCONF", "BUSY")


def connect(args):
    if not args.sentinel:
        return redis.Redis.from_url(args.address, socket_timeout=1)
    # Whenever a connection is lost, redis-py asks the Sentinels anew who the primary is.
    sentinels = [address.rsplit(":", 1) for address in args.address.split(",")]
    found = redis.sentinel.Sentinel(sentinels, socket_timeout=1)
    return found.master_for(args.sentinel, socket_timeout=1)


def call(r, *words, deadline=10):
    """Sends a command until it is answered, or the deadline (in seconds) is over."""
    end = time.monotonic() + deadline
    while True:
        try:
            return r.execute_command(*words)
        except redis.RedisError as error:
            passing = isinstance(error, LOST) or str(error).startswith(PASSING)
            if not passing or time.monotonic() > end:
                raise
        time.sleep(0.05)


def fields(reply):
    """A map: a dict under RESP3, which newer versions of redis-py speak, else a flat array."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {name.decode(): value for name, value in pairs}


def tokens(ids):
    return struct.pack(f"<{len(ids)}I", *ids)  # the server hashes them


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="a URL, or Sentinels with --sentinel")
    parser.add_argument("pool", nargs="?", default="pool")
    parser.add_argument("--sentinel", metavar="MASTER", help="the name that Sentinels know it by")
    parser.add_argument("--lose", action="store_true")
    args = parser.parse_args()
    r, pool = connect(args), args.pool

    try:
        call(r, "KVROUTE.CREATE", pool, "BLOCKSIZE", 4)
        print("created the pool")
    except redis.ResponseError as error:
        if not str(error).startswith("EXISTS"):
            raise
    for number in 1, 2:
        call(r, "KVROUTE.WORKER", "SET", pool, f"w{number}", "ADDR", f"http://10.0.0.{number}:8000")

    # What an engine has cached: event 1 of a new epoch, which is one life of what it knows.
    prompt = list(range(1, 15))
    epoch = time.time_ns() // 1000
    call(r, "KVROUTE.EVENT", pool, "w2", 0, epoch, 1, "STORED", "-", "TOKENS", tokens(prompt[:8]))

    request, session = f"frontend-{os.getpid()}-{epoch}", f"chat-{os.getpid()}"
    chosen = fields(call(r, "KVROUTE.SELECT", pool, request, "TOKENS", tokens(prompt),
                         "SESSION", session))  # its turns stay together where costs are equal
    worker, addr = chosen["worker"].decode(), chosen["addr"].decode()
    print(f"{worker} at {addr} has {chosen['overlap']} of {chosen['blocks']} blocks")

    for output in 1, 20, 40:  # while the answer streams; the last is what the pool learns from
        if args.lose and output == 20:
            call(r, "KVROUTE.RELEASE", pool, request)
        if call(r, "KVROUTE.UPDATE", pool, request, "PREFILLED", "OUTPUT", output) == 0:
            # The lease has ended, or a failover has lost the booking: it is booked back.
            call(r, "KVROUTE.CLAIM", pool, request, worker, chosen["rank"], "TOKENS",
                 tokens(prompt), "CACHED", chosen["cached"], "OUTPUT", output, "PREFILLED",
                 "SESSION", session)
            print(f"booked back at {output} tokens")
    print(f"released {call(r, 'KVROUTE.RELEASE', pool, request)}")


if __name__ == "__main__":
    main()
