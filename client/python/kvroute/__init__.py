# SPDX-License-Identifier: Apache-2.0
"""Client of kvroute: choosing an LLM engine by what it has cached, with the state in Redis.

>>> from kvroute import Pool, Tokens
>>> with Pool("redis://127.0.0.1:6379", "pool") as pool:
...     with pool.request(Tokens([1, 2, 3])) as request:
...         print(request.addr)

docs/python.md is the guide, docs/commands.md the reference of what commands mean."""

from .async_pool import AsyncPool
from .blocking_pool import Pool
from .call_words import Blocks, Cleared, Hashes, Removed, Stored, Tokens
from .hashing import Prefix, block_hashes, chain, prefix_hashes
from .live_request import Request
from .refusals import (
    BadCall, BadChain, Closed, Denied, Exists, Gap, KvrouteError, Limited, NoParent, NoPool, NoRoom,
    NoWorker, OutOfMemory, Refused, Stale, Unavailable, WrongType,
)  # fmt: skip
from .replies import (
    Candidate, Choice, DecisionLog, ExplainedCandidate, Explanation, Flow, LiveRequest, PoolInfo,
    Queue, QueuePlace, Rank, Run, ServiceClass, Session, Waiting, Worker,
)  # fmt: skip

__all__ = [
    "AsyncPool", "BadCall", "BadChain", "Blocks", "Candidate", "Choice", "Cleared", "Closed",
    "DecisionLog", "Denied", "Exists", "ExplainedCandidate", "Explanation", "Flow", "Gap", "Hashes",
    "KvrouteError", "Limited", "LiveRequest", "NoParent", "NoPool", "NoRoom", "NoWorker",
    "OutOfMemory", "Pool", "PoolInfo", "Prefix", "Queue", "QueuePlace", "Rank", "Refused",
    "Removed", "Request", "Run", "ServiceClass", "Session", "Stale", "Stored", "Tokens",
    "Unavailable", "Waiting", "Worker", "WrongType", "block_hashes", "chain", "prefix_hashes",
]  # fmt: skip
