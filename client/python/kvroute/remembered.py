# SPDX-License-Identifier: Apache-2.0
"""What a handle remembers, so that a loss can be repaired: its live requests, what it owes the pool, and
which history it has seen. Nothing here does I/O; flows.py asks and tells, the drivers send."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from .live_request import Request

MAX_RELEASED = 16384  # last releases, said again to another history
MAX_OWED = 65536  # releases that no primary was there for; the oldest goes, its lease ends it
COMING_BACK = 10.0  # s after trouble in which workers and the pool may still be coming back


@dataclass
class Stats:
    losses: int = 0  # another history answered
    lost: int = 0  # live requests that the pool didn't have
    repaired: int = 0  # of those, booked back
    retries: int = 0  # questions that were asked again


class Remembered:
    def __init__(self, key: str, deadline: float, renew: float, create: Optional[Dict[str, Any]]):
        self.key, self.deadline, self.renew, self.create = key, deadline, renew, create
        self.stats = Stats()
        self.wake: Callable[[], None] = lambda: None  # the driver's
        self.closed = False
        self.watching = False  # somebody would suffer from a loss
        # Of the pool, once it was asked; s.
        self.lease = 0.0
        self.accept = 5.0
        self.asked_pool = False
        self.generation = 0  # counts histories, for whoever listens
        self._lock = threading.Lock()
        self._live: Dict[str, Request] = {}
        self._ended: OrderedDict[str, Request] = OrderedDict()
        self._owed: OrderedDict[str, None] = OrderedDict()
        self._released: OrderedDict[str, None] = OrderedDict()
        self._history: Optional[Tuple[str, str]] = None
        self._doubt = True  # the history has to be looked at
        self._looked_at = 0.0  # monotonic s
        self._troubled_at = -COMING_BACK

    # ---- Requests --------------------------------------------------------------------------------

    def add(self, request: Request, now: float) -> None:
        with self._lock:
            self.watching = True
            request.due = now + self.period(request)
            self._live[request.id] = request
        if request.lease is not None:  # shorter than what the background sleeps, perhaps
            self.wake()

    def end(self, request: Request) -> None:
        request.end()
        with self._lock:
            self._live.pop(request.id, None)
            self._ended[request.id] = request
            while len(self._ended) > MAX_OWED:
                self._ended.popitem(last=False)
        self.wake()

    def expect(self, id: str) -> None:
        """It is asked for anew: what was owed of an earlier one of this id is owed no more."""
        with self._lock:
            for owed in (self._owed, self._released):
                owed.pop(id, None)

    def owe(self, id: str) -> None:
        """It may be booked, or wait, and nobody will come for it."""
        with self._lock:
            self.watching = True
            self._owed[id] = None
            while len(self._owed) > MAX_OWED:
                self._owed.popitem(last=False)
        self.wake()

    def period(self, request: Request) -> float:
        """s between two words on a live request."""
        lease = self.lease if request.lease is None else request.lease / 1000
        return min(self.renew, lease / 3) if lease else self.renew

    def due(self, now: float, n: int) -> List[Request]:
        """Up to n that something is to be told of: those that ended first."""
        with self._lock:
            news = [r for r in self._ended.values() if r.has_news][:n]
            for request in self._live.values():
                if len(news) >= n:
                    break
                if request.due <= now:
                    news.append(request)
        return news

    def settle(self, request: Request, due: float) -> None:
        """It was told; due again then, unless a word came meanwhile that is urgent."""
        with self._lock:
            request.missing = False
            request.due = 0.0 if request.urgent else due

    def postpone(self, request: Request, due: float) -> None:
        """It couldn't be told."""
        with self._lock:
            request.due = due

    def hurry(self) -> None:
        """Whatever there is to tell is due now."""
        with self._lock:
            for request in self._live.values():
                if request.has_news:
                    request.due = 0.0

    def owed(self, n: int) -> List[str]:
        with self._lock:
            done = [id for id, request in self._ended.items() if not request.has_news]
            for id in done:
                del self._ended[id]
                self._owed[id] = None
            return [id for id, _ in zip(self._owed, range(n))]

    def paid(self, ids: List[str]) -> None:
        with self._lock:
            for id in ids:
                if id in self._owed:
                    del self._owed[id]
                    self._released[id] = None
            while len(self._released) > MAX_RELEASED:
                self._released.popitem(last=False)

    def is_live(self, request: Request) -> bool:
        with self._lock:
            return self._live.get(request.id) is request

    def settled(self) -> bool:
        with self._lock:
            return not (
                (self._doubt and self.watching) or self._ended or self._owed
                or any(r.has_news or r.missing or not r.due for r in self._live.values())
            )  # fmt: skip

    def next_due(self, now: float) -> float:
        with self._lock:
            if self._ended or self._owed:
                return now
            return min((r.due for r in self._live.values()), default=now + 3600)

    # ---- Histories -------------------------------------------------------------------------------

    def trouble(self) -> None:
        self._troubled_at = time.monotonic()
        self._doubt = True

    def coming_back(self) -> bool:
        return time.monotonic() - self._troubled_at < COMING_BACK

    def looks(self, now: float, period: float) -> bool:
        """Whether it is time to ask which history answers."""
        return self.watching and (self._doubt or now - self._looked_at >= period)

    def saw(self, history: Tuple[str, str]) -> None:
        """A primary answered: its run id and its replication id."""
        if self._history is not None and history != self._history:
            self._lost()
        self._history = history
        self._doubt = False
        self._looked_at = time.monotonic()

    def saw_nothing(self) -> None:
        """It may not be asked: renewals alone find what was lost."""
        self._doubt = False
        self._looked_at = time.monotonic()

    def _lost(self) -> None:
        with self._lock:
            self.stats.losses += 1
            self.generation += 1
            self.asked_pool = False
            for request in self._live.values():
                request.due = 0.0
            self._released.update(self._owed)
            self._owed, self._released = self._released, OrderedDict()
        self._troubled_at = time.monotonic()
        self.wake()
