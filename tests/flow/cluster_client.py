# SPDX-License-Identifier: Apache-2.0
# redis-py's cluster client sends every command to the node that has its key, which it finds by what COMMAND
# tells of it. Says the version of redis-py; any error ends it.
import sys

import redis
from redis.cluster import RedisCluster

client = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))


def call(want, *words):
    got = client.execute_command(*words)
    assert got == want, (words, got)


def field(name, *words):  # a map of RESP3, or of RESP2
    got = client.execute_command(*words)
    return (got if isinstance(got, dict) else dict(zip(got[::2], got[1::2])))[name]


call(b"OK", "KVROUTE.CREATE", "p", "BLOCKSIZE", 1)
call(1, "KVROUTE.WORKER", "SET", "p", "w")
call(0, "KVROUTE.WORKER SET", "p", "w")
call(0, "kvroute.worker", "set", "p", "w")
call(1, "KVROUTE.EVENT", "p", "w", 0, 1, 1, "STORED", "-", "IDS", 2, 1, 2)
assert field(b"worker", "KVROUTE.SELECT", "p", "r", "IDS", 2, 1, 2, "SESSION", "s") == b"w"
assert field(b"worker", "KVROUTE.WORKER", "GET", "p", "w") == b"w"
assert field(b"request", "KVROUTE.REQUEST", "GET", "p", "r") == b"r"
assert client.execute_command("KVROUTE.REQUEST LIST", "p", 0, "COUNT", 1000)[1] == [b"r"]
assert field(b"session", "KVROUTE.SESSION", "GET", "p", "s") == b"s"
call(1, "KVROUTE.SESSION", "DEL", "p", "s")
call(1, "KVROUTE.CLASS", "SET", "p", "c", "PRIORITY", 1)
call(1, "KVROUTE.FLOW", "SET", "p", "f", "RATE", 1000)
assert field(b"waiting", "KVROUTE.SELECT", "p", "q", "IDS", 0, "AMONG", 0, "WAIT", 1000000, "CLASS", "c") == 1
assert field(b"waiting", "KVROUTE.QUEUE", "p") == 1
call(1, "KVROUTE.RELEASE", "p", "q")
call(b"closed", "KVROUTE.REPORT", "p", "w", "OK")
call(1, "KVROUTE.RELEASE", "p", "r")
call(1, "KVROUTE.WORKER", "DEL", "p", "w")
print("redis-py", redis.__version__)
