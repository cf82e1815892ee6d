# SPDX-License-Identifier: Apache-2.0
"""What is asked of the server, in which order, and what its answers mean: written once for both flavours.

A flow is a generator. It yields a step; the driver does it, in its own way of waiting, and sends the answer
back in or throws what redis-py raised. So nothing here blocks, and nothing here is asynchronous.

All commands can be sent twice: SELECT goes by the request's id, UPDATE's numbers are totals, EVENT goes by
seq. Only REPORT may count twice, and counts that are answered (RELEASE's) are those of the last question.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any, Dict, Generator, List, Sequence, Tuple, TypeVar, Union

import redis.exceptions as theirs

from . import call_words, refusals, replies
from .call_words import Call
from .live_request import Request, Said
from .remembered import Remembered
from .reply_decode import fields, text

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """→ redis-py's answer."""

    words: Tuple[bytes, ...]


@dataclass(frozen=True)
class SendAll:
    """In one go → a list of answers, or of what redis-py would have raised."""

    all: Sequence[Tuple[bytes, ...]]


@dataclass(frozen=True)
class AskHistory:
    """→ INFO of the server that has the pool, as redis-py gives it."""


@dataclass(frozen=True)
class Locate:
    """With Sentinels: asks them who the primary is, so that an old one is left. → None."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Listen:
    """Until `request` was published, or so long. → whether anybody listens."""

    request: str
    seconds: float


Step = Union[Send, SendAll, AskHistory, Locate, Pause, Listen]
FlowOf = Generator[Step, Any, T]

# What redis-py raises where there was no answer, or none that counts.
LOST = (
    theirs.RedisError, theirs.RedisClusterException, OSError, asyncio.TimeoutError,
)  # fmt: skip
_NO_LOSS = (theirs.DataError, theirs.PubSubError, theirs.WatchError)

MISSING = ("NOPOOL", "NOWORKER")
BATCH = 64  # of live requests, told in one go
RELEASES = 256  # ids a RELEASE
SOON = 0.5  # s until what was refused is tried again
TICK = 1.0  # s between two looks at the history
ROUND_DEADLINE = 1.0  # s for a question of the background: it comes again anyway


# ---- Asking until there is an answer -------------------------------------------------------------


class _Tries:
    """The pauses between questions, and when they end."""

    def __init__(self, memory: Remembered, deadline: float) -> None:
        self.memory, self.end, self.n = memory, time.monotonic() + deadline, 0
        self.created = False

    def after(self, error: BaseException, patient: bool) -> float:
        """How long to pause. Raises what the caller is to get."""
        refused = refusals.refusal(error)
        if refused is None and isinstance(error, _NO_LOSS):
            raise error
        code = refused.code if refused else ""
        if refused and not self._passes(code, patient):
            raise refused from error
        self.n += 1
        self.memory.stats.retries += 1
        pause = min(0.25, 0.01 * float(2 ** min(self.n, 6))) * random.uniform(0.5, 1)
        if code in refusals.BUSY:
            pause = 0.02
        else:
            self.memory.trouble()
        if time.monotonic() + pause >= self.end:
            if refused and code in MISSING:
                raise refused from error
            why = str(refused or error) or type(error).__name__
            raise refusals.Unavailable(f"no primary answered: {why}") from error
        return pause

    def _passes(self, code: str, patient: bool) -> bool:
        if code in refusals.PASSING or code in refusals.BUSY:
            return True
        return code in MISSING and (patient or code == "NOPOOL") and self.memory.coming_back()


def ask(memory: Remembered, call: Call[T], deadline: float = 0.0) -> FlowOf[T]:
    """Until it is answered, or the deadline (s; 0: the handle's) is over."""
    tries = _Tries(memory, deadline or memory.deadline)
    while True:
        if memory.closed:
            raise refusals.Closed("the handle was closed")
        try:
            answer = call.decode((yield Send(call.words)))
        except LOST as error:
            if (yield from _create(memory, error, tries)):
                continue
            pause = tries.after(error, call.patient)
        else:
            if tries.n:
                memory.wake()  # another history may be answering
            return answer
        yield Pause(pause)


def _create(memory: Remembered, error: BaseException, tries: _Tries) -> FlowOf[bool]:
    """A server that came back empty is given its pool, if the handle was told how."""
    if memory.create is None or refusals.code_of(error) != "NOPOOL" or tries.created:
        return False
    tries.created = True
    try:
        yield Send(call_words.create(memory.key, **memory.create).words)
    except LOST as raised:
        if refusals.code_of(raised) != "EXISTS":
            raise (refusals.refusal(raised) or raised) from raised
    return True


def _ask_all(memory: Remembered, calls: Sequence[Call[T]]) -> FlowOf[List[Union[T, refusals.Refused]]]:
    """Refusals are answers here. Unavailable: one of them wasn't answered."""
    if not calls:
        return []
    try:
        raw = yield SendAll([call.words for call in calls])
    except LOST as error:
        memory.trouble()
        raise refusals.Unavailable(str(error)) from error
    out: List[Union[T, refusals.Refused]] = []
    for call, answer in zip(calls, raw):
        if not isinstance(answer, BaseException):
            out.append(call.decode(answer))
            continue
        refused = refusals.refusal(answer)
        if refused is None or refused.code in refusals.PASSING or refused.code in refusals.BUSY:
            memory.trouble()
            raise refusals.Unavailable(str(answer)) from answer
        out.append(refused)
    return out


# ---- Choosing ------------------------------------------------------------------------------------


def select(
    memory: Remembered,
    request: str,
    blocks: call_words.Blocks,
    options: Dict[str, Any],
    channel: str,
) -> FlowOf[replies.Choice]:
    """Books it, or waits for room as long as `wait` says. Whatever else happens, nothing stays booked that
    nobody was told of: the driver then calls memory.owe."""
    memory.expect(request)
    options = dict(options)
    wait = (options.pop("wait", 0) or 0) / 1000
    options["notify"] = options.get("notify") or channel
    end = time.monotonic() + wait

    def question(ms: int) -> Call[replies.Selected]:
        more = {"wait": ms or None, "notify": (ms and options["notify"]) or None}
        return call_words.select(memory.key, request, blocks, **{**options, **more})

    while True:
        left = int((end - time.monotonic()) * 1000)
        if left <= 0:
            break
        memory.watching = True
        # Asking again never costs the place. After a loss of the queue it waits anew, for what is left.
        try:
            answer = yield from ask(memory, question(left))
        except refusals.Denied:
            if not options["notify"]:
                raise
            options["notify"] = ""  # it may not publish: asking will do
            continue
        if isinstance(answer, replies.Choice):
            return answer
        pause = min(left / 1000, random.uniform(*_next_question(memory)))
        listens = yield Listen(request, pause)
        if not listens or not options["notify"]:
            yield Pause(pause / 4)
    # Once more without WAIT. Where it still waits it is released first: so the number in NOROOM is the
    # pool's own, and nobody is left in the queue whom nobody waits for.
    for _ in range(2):
        answer = yield from ask(memory, question(0))
        if isinstance(answer, replies.Choice):
            return answer
        yield from ask(memory, call_words.release(memory.key, request))
    raise refusals.NoRoom("1000 no instance has room")


def _next_question(memory: Remembered) -> Tuple[float, float]:
    """s: whoever was admitted has to come within ACCEPT, word or no word."""
    most = min(2.0, 0.4 * memory.accept)
    return most / 2, most


# ---- In the background ---------------------------------------------------------------------------


def keep(memory: Remembered) -> FlowOf[float]:
    """One round: looks whether another history answers, and tells what is due. → s until the next."""
    try:
        if memory.looks(time.monotonic(), TICK):
            yield from _look(memory)
        while True:
            due = memory.due(time.monotonic(), BATCH)
            yield from _tell(memory, due)
            ids = memory.owed(RELEASES)
            if ids:
                yield from ask(memory, call_words.release(memory.key, *ids), ROUND_DEADLINE)
                memory.paid(ids)
            if len(due) < BATCH and len(ids) < RELEASES:
                break
    except refusals.Closed:  # the driver's to end
        raise
    except refusals.NoPool:
        return TICK
    except (refusals.KvrouteError, *LOST):
        return 0.25  # no primary, or none that does it: everything is still due
    return min(TICK, max(0.0, memory.next_due(time.monotonic()) - time.monotonic()))


def _look(memory: Remembered) -> FlowOf[None]:
    yield Locate()
    try:
        got = fields((yield AskHistory()))
    except LOST as error:
        if refusals.code_of(error) != "NOPERM":
            memory.trouble()
            raise
        memory.saw_nothing()
    else:
        memory.saw((text(got.get("run_id", "")), text(got.get("master_replid", ""))))
    if not memory.asked_pool:
        try:
            pool = yield from ask(memory, call_words.info(memory.key), ROUND_DEADLINE)
        except refusals.Denied:
            memory.asked_pool = True
        else:
            memory.lease, memory.accept = pool.lease / 1000, pool.accept / 1000
            memory.asked_pool = True


def _tell(memory: Remembered, due: List[Request]) -> FlowOf[None]:
    said = [request.update(memory.key) for request in due]
    answers = yield from _ask_all(memory, [call for call, _ in said])
    missing = []
    for request, (_, what), answer in zip(due, said, answers):
        if answer is True or request.ended:
            request.told(what)
            memory.settle(request, time.monotonic() + memory.period(request))
        elif isinstance(answer, refusals.Refused):
            memory.postpone(request, time.monotonic() + SOON)
        else:
            request.missing = True
            missing.append((request, what))
            memory.stats.lost += 1
    yield from _put_back(memory, missing)


def _put_back(memory: Remembered, missing: List[Tuple[Request, Said]]) -> FlowOf[None]:
    for with_class in (True, False):  # its class may have gone with the history: then without
        missing = [(r, what) for r, what in missing if memory.is_live(r)]
        calls = [request.claim(memory.key, with_class) for request, _ in missing]
        answers = yield from _ask_all(memory, calls)
        left = []
        for (request, what), answer in zip(missing, answers):
            if not isinstance(answer, refusals.Refused):
                memory.stats.repaired += 1
                request.told(what)
                memory.settle(request, time.monotonic() + memory.period(request))
                continue
            # Also where its worker hasn't come back yet.
            memory.postpone(request, time.monotonic() + SOON)
            if isinstance(answer, refusals.BadCall):
                left.append((request, what))
        missing = left
