# SPDX-License-Identifier: Apache-2.0
"""What the commands answer. Fields are those of docs/commands.md, where they are explained; times in ms,
tokens and blocks as numbers. A field with a default may be missing in answers of an older module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Union


@dataclass(frozen=True)
class Choice:
    """A booking: send the request to `addr`."""

    worker: str
    rank: int
    addr: str
    overlap: int
    cached: int
    blocks: int
    cost: float
    repeat: bool
    version: int
    expected: int = 0
    ttft: float = -1.0
    tpot: float = -1.0
    waited: int = 0
    # Of a pair: who computes the prompt. Empty: the instance above does, or it is no pair.
    prefill_worker: str = ""
    prefill_rank: int = -1
    prefill_addr: str = ""
    prefill_overlap: int = 0


@dataclass(frozen=True)
class Waiting:
    """It stands in the pool's queue."""

    position: int
    estimate: int
    version: int


Selected = Union[Choice, Waiting]


@dataclass(frozen=True)
class Candidate:
    worker: str
    rank: int
    addr: str
    overlap: int
    device: int
    host: int
    disk: int
    cached: int
    prefill_tokens: int
    decode_blocks: int
    requests: int
    cost: float
    expected: int = 0
    ttft: float = -1.0
    tpot: float = -1.0
    room: bool = True


@dataclass(frozen=True)
class ExplainedCandidate:
    worker: str
    rank: int
    place: int
    reason: str
    cost: float
    chance: float
    booked: int
    terms: Dict[str, float]
    sum: float
    overlap: int
    device: int
    host: int
    disk: int
    expected: int
    cached: int
    credit: float
    live: float
    known: float
    own: float
    requests: int
    prefill_tokens: int
    queue: float
    decode_blocks: int
    pace: float
    full: float
    ttft: float
    tpot: float
    # With pair.
    prefill_worker: str = ""
    prefill_rank: int = -1
    prefill_cost: float = -1.0
    decode_cost: float = -1.0
    transfer_cost: float = -1.0
    prompt_cost: float = -1.0
    prompt_reason: str = ""


@dataclass(frozen=True)
class Explanation:
    result: str
    by: str
    retry: int
    worker: str
    rank: int
    addr: str
    overlap: int
    expected: int
    cached: int
    cost: float
    ttft: float
    tpot: float
    policy: str
    overlap_weight: float
    prefill_weight: float
    requests_weight: float
    temperature: float
    isl: int
    osl: float
    first_weight: float
    arrivals: float
    reuse: float
    session_worker: str
    session_rank: int
    session_allowance: float
    instances: int
    places: int
    candidates: List[ExplainedCandidate]
    # With pair.
    prefill_worker: str = ""
    prefill_rank: int = -1
    prefill_addr: str = ""
    prefill_overlap: int = 0
    transfer: float = 0.0


@dataclass(frozen=True)
class DecisionLog:
    on: bool
    records: int
    bytes: int
    first: int
    next: int
    dropped: int
    memory_bytes: int
    max_records: int
    max_bytes: int
    blocks: bool


@dataclass(frozen=True)
class Rank:
    rank: int
    epoch: int
    seq: int
    device_blocks: int
    host_blocks: int
    disk_blocks: int
    requests: int
    prefill_tokens: int
    decode_blocks: int
    ttft: float = -1.0
    tpot: float = -1.0


@dataclass(frozen=True)
class Worker:
    worker: str
    addr: str
    state: str
    capacity: int
    ttl_left: int
    ranks: List[Rank]
    circuit: str = "closed"
    failures: int = 0
    role: str = "both"
    speed: float = 0.0
    labels: List[str] = field(default_factory=list)
    maxrequests: int = 0
    drain_left: int = -1


@dataclass(frozen=True)
class LiveRequest:
    request: str
    worker: str
    rank: int
    isl: int
    cached: int
    output: int
    blocks: int
    prefilled: bool
    age: int
    lease_left: int
    osl: int = 0
    session: str = ""
    # Not `class`, which is a word of Python's.
    service_class: str = field(default="default", metadata={"name": "class"})
    flow: str = ""
    prefill_worker: str = ""
    prefill_rank: int = -1


@dataclass(frozen=True)
class Session:
    session: str
    worker: str
    rank: int
    requests: int
    ttl_left: int


@dataclass(frozen=True)
class ServiceClass:
    name: str = field(metadata={"name": "class"})
    priority: int
    weight: float
    waiting: int
    tokens: int
    oldest: int
    admitted: int
    refused: int
    max_waiting: int = 0
    room: int = 100


@dataclass(frozen=True)
class Flow:
    flow: str
    weight: float
    max_requests: int
    rate: int
    burst: int
    requests: int
    waiting: int
    left: int


@dataclass(frozen=True)
class QueuePlace:
    id: str
    service_class: str = field(metadata={"name": "class"})
    flow: str
    position: int
    waited: int
    blocks: int


@dataclass(frozen=True)
class Queue:
    waiting: int
    tokens: int
    estimate: int
    first: List[QueuePlace]


@dataclass(frozen=True)
class Run:
    """Blocks of the prefix tree in a row that have the same holders."""

    first: str
    blocks: int
    holders: List[str]
    children: List["Run"]


@dataclass(frozen=True)
class PoolInfo:
    version: int
    block_size: int
    workers: int
    instances: int
    eligible: int
    blocks: int
    holdings: int
    requests: int
    memory_bytes: int
    selects: int
    repeats: int
    select_blocks: int
    overlap_blocks: int
    events: int
    stored_blocks: int
    removed_blocks: int
    gaps: int
    stale: int
    expired_requests: int
    expired_workers: int
    predicted: int = 0
    open_circuits: int = 0
    waiting: int = 0
    waiting_tokens: int = 0
    admitted: int = 0
    refused: int = 0
    limited: int = 0
    sessions: int = 0
    expected_blocks: int = 0
    # The pool's options.
    policy: str = "linear"
    overlap: float = 1.0
    prefill: float = 1.0
    requests_weight: float = 0.0
    host: float = 0.75
    disk: float = 0.25
    temperature: float = 0.0
    lease: int = 0
    workerttl: int = 0
    workergrace: int = 0
    predict: int = 0
    failures: int = 0
    opentime: int = 0
    maxrequests: int = 0
    maxprefill: int = 0
    maxblocks: int = 0
    maxwaiting: int = 0
    accept: int = 0
    transfer: float = 0.0
    localprefill: int = 0
    sessionttl: int = 0
    slottft: int = 0
    slotbt: int = 0
    stick: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Of the blocks asked for, the share that was found where they were sent."""
        return self.overlap_blocks / self.select_blocks if self.select_blocks else 0.0
