# SPDX-License-Identifier: Apache-2.0
"""The command set as functions: each makes the words of one command, and knows how to read its answer.
Nothing here talks to a server; Pool and AsyncPool have the same functions as methods that do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING, Any, Callable, Dict, Generic, List, Mapping, Optional, Sequence, Tuple, TypeVar,
    TypedDict, Union,
)  # fmt: skip

from . import reply_decode as read
from . import replies
from .hashing import Prefix, TokenIds, pack_hashes, pack_tokens

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
KEYLESS = (b"KVROUTE.HASH",)  # any server will do
Word = Union[str, bytes, int, float]


@dataclass(frozen=True)
class Call(Generic[T]):
    words: Tuple[bytes, ...]
    decode: Callable[[Any], T]
    # After a loss the workers come back one by one: NOWORKER isn't the last word then.
    patient: bool = False


# ---- Blocks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hashes:
    """Prefix hashes, as hashing.prefix_hashes makes them."""

    hashes: Sequence[int] = ()

    def words(self) -> Tuple[bytes, ...]:
        return b"HASHES", pack_hashes(self.hashes)


@dataclass(frozen=True)
class Tokens:
    """Token ids; the module hashes them."""

    tokens: TokenIds = field(repr=False)
    lora: Optional[str] = None
    namespace: Optional[str] = None

    def words(self) -> Tuple[bytes, ...]:
        salted = given({"lora": self.lora or None, "namespace": self.namespace or None}, _SALTS)
        return (b"TOKENS", pack_tokens(self.tokens), *salted)


Blocks = Union[Hashes, Tokens, Prefix]
_SALTS = {"lora": "LORA", "namespace": "NAMESPACE"}


def block_words(blocks: Blocks) -> Tuple[bytes, ...]:
    if isinstance(blocks, Prefix):
        blocks = Hashes(blocks.hashes)
    if not isinstance(blocks, (Hashes, Tokens)):
        # A bare list could be either.
        raise TypeError("blocks are given as Hashes, Tokens or Prefix")
    return blocks.words()


# ---- Words ---------------------------------------------------------------------------------------


def word(value: Word) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    raise TypeError(f"{type(value).__name__} can't be sent")


def words(*values: Word) -> Tuple[bytes, ...]:
    """Of a command with a subcommand both are one word: a cluster's client looks for keys by that."""
    return tuple(word(value) for value in values)


def given(options: Mapping[str, Any], table: Mapping[str, str]) -> List[bytes]:
    """Options as words. None and False: left out; True: the name alone; a list or tuple: its length,
    then its items; else name and value. TypeError: no such option."""
    out: List[bytes] = []
    for name, value in options.items():
        if name not in table:
            raise TypeError(f"no option {name}; there are {', '.join(table)}")
        if value is None or value is False:
            continue
        out.append(table[name].encode())
        if isinstance(value, (list, tuple)):
            out += words(len(value), *value)
        elif value is not True:
            out.append(word(value))
    return out


def _upper(*names: str) -> Dict[str, str]:
    return {name: name.upper() for name in names}


class PoolOptions(TypedDict, total=False):
    """Of CREATE and ALTER; times in ms."""

    blocksize: int
    policy: str
    overlap: float
    prefill: float
    requests: float
    host: float
    disk: float
    temperature: float
    lease: int
    workerttl: int
    workergrace: int
    predict: int
    failures: int
    opentime: int
    maxrequests: int
    maxprefill: int
    maxblocks: int
    maxwaiting: int
    accept: int
    sessionttl: int
    slottft: int
    slotbt: int
    stick: float
    transfer: float
    localprefill: int


class ScoreOptions(TypedDict, total=False):
    isl: int
    osl: int
    among: Sequence[str]
    exclude: Sequence[str]
    with_labels: Sequence[str]
    without_labels: Sequence[str]
    session: str
    policy: str
    overlap: float
    prefill: float
    requests: float
    temperature: float


class ChooseOptions(ScoreOptions, total=False):
    pair: bool
    service_class: str
    flow: str


class ExplainOptions(ChooseOptions, total=False):
    top: int


class AskOptions(ChooseOptions, total=False):
    """Of a request; lease in ms."""

    lease: int


class SelectOptions(AskOptions, total=False):
    """wait in ms."""

    wait: int
    notify: str


class WorkerOptions(TypedDict, total=False):
    """Of WORKER SET; drain and ttl in ms."""

    addr: str
    ranks: int
    capacity: int
    state: str
    drain: int
    ttl: int
    role: str
    speed: float
    maxrequests: int
    labels: Sequence[str]


class ClaimOptions(TypedDict, total=False):
    isl: int
    cached: int
    output: int
    prefilled: bool
    lease: int
    osl: int
    session: str
    service_class: str
    flow: str


# WITH and CLASS are words of Python's.
_RENAMED = {"with_labels": "WITH", "without_labels": "WITHOUT", "service_class": "CLASS"}


def _table(kind: Any) -> Dict[str, str]:
    return {name: _RENAMED.get(name, name.upper()) for name in kind.__annotations__}


_POOL = _table(PoolOptions)
_SCORE = _table(ScoreOptions)
_EXPLAIN = _table(ExplainOptions)
_SELECT = _table(SelectOptions)
_WORKER = _table(WorkerOptions)
_CLAIM = _table(ClaimOptions)
_LISTS = ("among", "exclude", "with_labels", "without_labels", "labels")


def _listed(options: Mapping[str, Any]) -> Dict[str, Any]:
    """A string is a sequence, too, of letters that nobody meant."""
    out = dict(options)
    for name in _LISTS:
        if isinstance(out.get(name), str):
            raise TypeError(f"{name} takes a list")
        if out.get(name) is not None:
            out[name] = tuple(out[name])
    return out


def _with_isl(blocks: Blocks, options: Mapping[str, Any]) -> Dict[str, Any]:
    out = _listed(options)
    if isinstance(blocks, Prefix):  # it knows of the tokens after the last full block
        out.setdefault("isl", blocks.tokens)
    return out


def _scan(cursor: int, count: Optional[int]) -> Tuple[bytes, ...]:
    return (*words(cursor), *given({"count": count}, {"count": "COUNT"}))


def _said(raw: Any) -> None:
    return None


# ---- Pools ---------------------------------------------------------------------------------------


def create(key: str, **options: Unpack[PoolOptions]) -> Call[None]:
    return Call((*words("KVROUTE.CREATE", key), *given(options, _POOL)), _said)


def alter(key: str, **options: Unpack[PoolOptions]) -> Call[None]:
    return Call((*words("KVROUTE.ALTER", key), *given(options, _POOL)), _said)


def info(key: str) -> Call[replies.PoolInfo]:
    return Call(words("KVROUTE.INFO", key), read.one(replies.PoolInfo))


def digest(key: str, learnt: bool = False) -> Call[str]:
    return Call(words("KVROUTE.DIGEST", key, *(["LEARNT"] if learnt else [])), read.text)


# ---- Workers -------------------------------------------------------------------------------------


def worker_set(key: str, worker: str, **options: Unpack[WorkerOptions]) -> Call[bool]:
    said = given(_listed(options), _WORKER)
    return Call((*words("KVROUTE.WORKER SET", key, worker), *said), read.flag)


def worker_del(key: str, worker: str) -> Call[bool]:
    return Call(words("KVROUTE.WORKER DEL", key, worker), read.flag)


def worker_get(key: str, worker: str) -> Call[Optional[replies.Worker]]:
    return Call(words("KVROUTE.WORKER GET", key, worker), read.maybe(replies.Worker))


def worker_list(key: str) -> Call[List[replies.Worker]]:
    return Call(words("KVROUTE.WORKER LIST", key), read.many(replies.Worker))


def report(key: str, worker: str, ok: bool) -> Call[str]:
    return Call(words("KVROUTE.REPORT", key, worker, "OK" if ok else "FAILED"), read.text)


# ---- Events --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """parent: the prefix hash of the block before the first; None at the start of a sequence."""

    blocks: Blocks
    parent: Optional[int] = None
    tier: Optional[str] = None

    def words(self) -> Tuple[bytes, ...]:
        parent = b"-" if self.parent is None else pack_hashes([self.parent])
        return (*_tier(self.tier), b"STORED", parent, *block_words(self.blocks))


@dataclass(frozen=True)
class Removed:
    hashes: Sequence[int]
    tier: Optional[str] = None

    def words(self) -> Tuple[bytes, ...]:
        return (*_tier(self.tier), b"REMOVED", *Hashes(self.hashes).words())


@dataclass(frozen=True)
class Cleared:
    tier: Optional[str] = None

    def words(self) -> Tuple[bytes, ...]:
        return (*_tier(self.tier), b"CLEARED")


EventOp = Union[Stored, Removed, Cleared]


def _tier(tier: Optional[str]) -> Tuple[bytes, ...]:
    return words("TIER", tier) if tier else ()


def event(key: str, worker: str, rank: int, epoch: int, seq: int, *ops: EventOp) -> Call[int]:
    said = [item for op in ops for item in op.words()]
    return Call((*words("KVROUTE.EVENT", key, worker, rank, epoch, seq), *said), int)


# ---- Requests ------------------------------------------------------------------------------------


def select(
    key: str, request: str, blocks: Blocks, **options: Unpack[SelectOptions]
) -> Call[replies.Selected]:
    said = given(_with_isl(blocks, options), _SELECT)
    asked = (*words("KVROUTE.SELECT", key, request), *block_words(blocks), *said)
    return Call(asked, read.selected, patient=True)


def score(
    key: str, blocks: Blocks, **options: Unpack[ScoreOptions]
) -> Call[List[replies.Candidate]]:
    said = given(_with_isl(blocks, options), _SCORE)
    asked = (*words("KVROUTE.SCORE", key), *block_words(blocks), *said)
    return Call(asked, read.many(replies.Candidate))


def explain(
    key: str, blocks: Blocks, **options: Unpack[ExplainOptions]
) -> Call[replies.Explanation]:
    said = given(_with_isl(blocks, options), _EXPLAIN)
    asked = (*words("KVROUTE.EXPLAIN", key), *block_words(blocks), *said)
    return Call(asked, read.one(replies.Explanation))


def update(
    key: str,
    request: str,
    *,
    prefilled: bool = False,
    output: Optional[int] = None,
    lease: Optional[int] = None,
) -> Call[bool]:
    said = given({"prefilled": prefilled, "output": output, "lease": lease}, _CLAIM)
    return Call((*words("KVROUTE.UPDATE", key, request), *said), read.flag)


def release(key: str, *requests: str) -> Call[int]:
    return Call(words("KVROUTE.RELEASE", key, *requests), int)


def claim(
    key: str,
    request: str,
    worker: str,
    rank: int,
    blocks: Blocks,
    *,
    prefiller: Optional[Tuple[str, int]] = None,
    **options: Unpack[ClaimOptions],
) -> Call[bool]:
    said = _with_isl(blocks, options)
    return claim_words(key, request, worker, rank, block_words(blocks), prefiller, said)


def claim_words(
    key: str,
    request: str,
    worker: str,
    rank: int,
    blocks: Tuple[bytes, ...],
    prefiller: Optional[Tuple[str, int]],
    options: Mapping[str, Any],
) -> Call[bool]:
    """The same of blocks that are words already."""
    pair = words("PREFILLER", *prefiller) if prefiller else ()
    asked = words("KVROUTE.CLAIM", key, request, worker, rank)
    return Call((*asked, *blocks, *given(options, _CLAIM), *pair), read.flag)


def request_get(key: str, request: str) -> Call[Optional[replies.LiveRequest]]:
    return Call(words("KVROUTE.REQUEST GET", key, request), read.maybe(replies.LiveRequest))


def request_list(
    key: str, cursor: int = 0, count: Optional[int] = None
) -> Call[Tuple[int, List[str]]]:
    asked = words("KVROUTE.REQUEST LIST", key)
    return Call((*asked, *_scan(cursor, count)), read.page_of(read.texts))


# ---- Sessions ------------------------------------------------------------------------------------


def session_get(key: str, name: str) -> Call[Optional[replies.Session]]:
    return Call(words("KVROUTE.SESSION GET", key, name), read.maybe(replies.Session))


def session_list(
    key: str, cursor: int = 0, count: Optional[int] = None
) -> Call[Tuple[int, List[str]]]:
    asked = words("KVROUTE.SESSION LIST", key)
    return Call((*asked, *_scan(cursor, count)), read.page_of(read.texts))


def session_del(key: str, *names: str) -> Call[int]:
    return Call(words("KVROUTE.SESSION DEL", key, *names), int)


# ---- Classes, flows, the queue -------------------------------------------------------------------


def class_set(
    key: str,
    name: str,
    *,
    priority: Optional[int] = None,
    weight: Optional[float] = None,
    waiting: Optional[int] = None,
    room: Optional[int] = None,
) -> Call[bool]:
    options = {"priority": priority, "weight": weight, "waiting": waiting, "room": room}
    asked = words("KVROUTE.CLASS SET", key, name)
    return Call((*asked, *given(options, _upper(*options))), read.flag)


def class_del(key: str, name: str) -> Call[bool]:
    return Call(words("KVROUTE.CLASS DEL", key, name), read.flag)


def class_list(key: str) -> Call[List[replies.ServiceClass]]:
    return Call(words("KVROUTE.CLASS LIST", key), read.many(replies.ServiceClass))


def flow_set(
    key: str,
    name: str,
    *,
    weight: Optional[float] = None,
    requests: Optional[int] = None,
    rate: Optional[int] = None,
    burst: Optional[int] = None,
) -> Call[bool]:
    options = {"weight": weight, "requests": requests, "rate": rate, "burst": burst}
    asked = words("KVROUTE.FLOW SET", key, name)
    return Call((*asked, *given(options, _upper(*options))), read.flag)


def flow_del(key: str, name: str) -> Call[bool]:
    return Call(words("KVROUTE.FLOW DEL", key, name), read.flag)


def flow_list(
    key: str, cursor: int = 0, count: Optional[int] = None
) -> Call[Tuple[int, List[replies.Flow]]]:
    asked = words("KVROUTE.FLOW LIST", key)
    return Call((*asked, *_scan(cursor, count)), read.page_of(read.many(replies.Flow)))


def queue(key: str, count: Optional[int] = None) -> Call[replies.Queue]:
    said = given({"count": count}, {"count": "COUNT"})
    return Call((*words("KVROUTE.QUEUE", key), *said), read.one(replies.Queue))


# ---- The log of decisions ------------------------------------------------------------------------


def decisions_on(
    key: str, n: int, *, bytes: Optional[int] = None, blocks: bool = False
) -> Call[None]:
    options = {"bytes": bytes, "blocks": blocks}
    asked = words("KVROUTE.DECISIONS ON", key, n)
    return Call((*asked, *given(options, _upper(*options))), _said)


def decisions_off(key: str) -> Call[bool]:
    return Call(words("KVROUTE.DECISIONS OFF", key), read.flag)


def decisions_clear(key: str) -> Call[int]:
    return Call(words("KVROUTE.DECISIONS CLEAR", key), int)


def decisions_get(
    key: str, cursor: int = 0, count: Optional[int] = None
) -> Call[Tuple[int, List[str]]]:
    """Lines of JSON: as they are, they are what kvroute-sim reads."""
    asked = words("KVROUTE.DECISIONS GET", key)
    return Call((*asked, *_scan(cursor, count)), read.page_of(read.texts))


def decisions_info(key: str) -> Call[replies.DecisionLog]:
    return Call(words("KVROUTE.DECISIONS INFO", key), read.one(replies.DecisionLog))


# ---- To look inside ------------------------------------------------------------------------------


def tree(
    key: str,
    *,
    start: Optional[int] = None,
    depth: Optional[int] = None,
    count: Optional[int] = None,
) -> Call[List[replies.Run]]:
    options = {"start": None if start is None else f"{start:016x}", "depth": depth, "count": count}
    said = given(options, {"start": "FROM", "depth": "DEPTH", "count": "COUNT"})
    return Call((*words("KVROUTE.TREE", key), *said), read.many(replies.Run))


def hashes_of(
    block_size: int, blocks: Blocks, *, parent: Optional[int] = None
) -> Call[List[int]]:
    """HASH: the module's own hashing, to compare with."""
    tail = () if parent is None else words("FROM", f"{parent:016x}")
    asked = (*words("KVROUTE.HASH", block_size), *block_words(blocks), *tail)
    return Call(asked, lambda raw: [int(item, 16) for item in raw])
