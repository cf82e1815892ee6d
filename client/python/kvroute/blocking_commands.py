# SPDX-License-Identifier: Apache-2.0
"""The commands as methods of Pool: docs/commands.md says what they do, call_words.py how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Tuple, TypeVar

from . import call_words, replies
from .call_words import Blocks, Call, EventOp

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .call_words import ClaimOptions, ExplainOptions, PoolOptions, ScoreOptions, WorkerOptions

T = TypeVar("T")


class BlockingCommands:
    key: str

    def _ask(self, call: Call[T]) -> T:
        """Asks until there is an answer, or raises."""
        raise NotImplementedError

    def create(self, **options: Unpack[PoolOptions]) -> None:
        return self._ask(call_words.create(self.key, **options))

    def alter(self, **options: Unpack[PoolOptions]) -> None:
        return self._ask(call_words.alter(self.key, **options))

    def info(self, ) -> replies.PoolInfo:
        return self._ask(call_words.info(self.key))

    def digest(self, learnt: bool = False) -> str:
        return self._ask(call_words.digest(self.key, learnt))

    def worker_set(self, worker: str, **options: Unpack[WorkerOptions]) -> bool:
        return self._ask(call_words.worker_set(self.key, worker, **options))

    def worker_del(self, worker: str) -> bool:
        return self._ask(call_words.worker_del(self.key, worker))

    def worker_get(self, worker: str) -> Optional[replies.Worker]:
        return self._ask(call_words.worker_get(self.key, worker))

    def worker_list(self, ) -> List[replies.Worker]:
        return self._ask(call_words.worker_list(self.key))

    def report(self, worker: str, ok: bool) -> str:
        return self._ask(call_words.report(self.key, worker, ok))

    def event(self, worker: str, rank: int, epoch: int, seq: int, *ops: EventOp) -> int:
        return self._ask(call_words.event(self.key, worker, rank, epoch, seq, *ops))

    def score(self, blocks: Blocks, **options: Unpack[ScoreOptions]) -> List[replies.Candidate]:
        return self._ask(call_words.score(self.key, blocks, **options))

    def explain(self, blocks: Blocks, **options: Unpack[ExplainOptions]) -> replies.Explanation:
        return self._ask(call_words.explain(self.key, blocks, **options))

    def update(
        self,
        request: str,
        *,
        prefilled: bool = False,
        output: Optional[int] = None,
        lease: Optional[int] = None,
    ) -> bool:
        return self._ask(
            call_words.update(self.key, request, prefilled=prefilled, output=output, lease=lease)
        )

    def release(self, *requests: str) -> int:
        return self._ask(call_words.release(self.key, *requests))

    def claim(
        self,
        request: str,
        worker: str,
        rank: int,
        blocks: Blocks,
        *,
        prefiller: Optional[Tuple[str, int]] = None,
        **options: Unpack[ClaimOptions],
    ) -> bool:
        call = call_words.claim(
            self.key, request, worker, rank, blocks, prefiller=prefiller, **options
        )
        return self._ask(call)

    def request_get(self, request: str) -> Optional[replies.LiveRequest]:
        return self._ask(call_words.request_get(self.key, request))

    def request_list(self, cursor: int = 0, count: Optional[int] = None) -> Tuple[int, List[str]]:
        return self._ask(call_words.request_list(self.key, cursor, count))

    def session_get(self, name: str) -> Optional[replies.Session]:
        return self._ask(call_words.session_get(self.key, name))

    def session_list(self, cursor: int = 0, count: Optional[int] = None) -> Tuple[int, List[str]]:
        return self._ask(call_words.session_list(self.key, cursor, count))

    def session_del(self, *names: str) -> int:
        return self._ask(call_words.session_del(self.key, *names))

    def class_set(
        self,
        name: str,
        *,
        priority: Optional[int] = None,
        weight: Optional[float] = None,
        waiting: Optional[int] = None,
        room: Optional[int] = None,
    ) -> bool:
        call = call_words.class_set(
            self.key, name, priority=priority, weight=weight, waiting=waiting, room=room
        )
        return self._ask(call)

    def class_del(self, name: str) -> bool:
        return self._ask(call_words.class_del(self.key, name))

    def class_list(self, ) -> List[replies.ServiceClass]:
        return self._ask(call_words.class_list(self.key))

    def flow_set(
        self,
        name: str,
        *,
        weight: Optional[float] = None,
        requests: Optional[int] = None,
        rate: Optional[int] = None,
        burst: Optional[int] = None,
    ) -> bool:
        call = call_words.flow_set(
            self.key, name, weight=weight, requests=requests, rate=rate, burst=burst
        )
        return self._ask(call)

    def flow_del(self, name: str) -> bool:
        return self._ask(call_words.flow_del(self.key, name))

    def flow_list(
        self, cursor: int = 0, count: Optional[int] = None
    ) -> Tuple[int, List[replies.Flow]]:
        return self._ask(call_words.flow_list(self.key, cursor, count))

    def queue(self, count: Optional[int] = None) -> replies.Queue:
        return self._ask(call_words.queue(self.key, count))

    def decisions_on(self, n: int, *, bytes: Optional[int] = None, blocks: bool = False) -> None:
        call = call_words.decisions_on(self.key, n, bytes=bytes, blocks=blocks)
        return self._ask(call)

    def decisions_off(self) -> bool:
        return self._ask(call_words.decisions_off(self.key))

    def decisions_clear(self) -> int:
        return self._ask(call_words.decisions_clear(self.key))

    def decisions_get(self, cursor: int = 0, count: Optional[int] = None) -> Tuple[int, List[str]]:
        return self._ask(call_words.decisions_get(self.key, cursor, count))

    def decisions_info(self) -> replies.DecisionLog:
        return self._ask(call_words.decisions_info(self.key))

    def tree(
        self,
        *,
        start: Optional[int] = None,
        depth: Optional[int] = None,
        count: Optional[int] = None,
    ) -> List[replies.Run]:
        return self._ask(call_words.tree(self.key, start=start, depth=depth, count=count))

    def hashes_of(
        self, block_size: int, blocks: Blocks, *, parent: Optional[int] = None
    ) -> List[int]:
        return self._ask(call_words.hashes_of(block_size, blocks, parent=parent))
