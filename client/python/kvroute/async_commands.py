# SPDX-License-Identifier: Apache-2.0
"""The commands as coroutines of AsyncPool: docs/commands.md says what they do, call_words.py how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Tuple, TypeVar

from . import call_words, replies
from .call_words import Blocks, Call, EventOp

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .call_words import ClaimOptions, ExplainOptions, PoolOptions, ScoreOptions, WorkerOptions

T = TypeVar("T")


class AsyncCommands:
    key: str

    async def _ask(self, call: Call[T]) -> T:
        """Asks until there is an answer, or raises."""
        raise NotImplementedError

    async def create(self, **options: Unpack[PoolOptions]) -> None:
        return await self._ask(call_words.create(self.key, **options))

    async def alter(self, **options: Unpack[PoolOptions]) -> None:
        return await self._ask(call_words.alter(self.key, **options))

    async def info(self, ) -> replies.PoolInfo:
        return await self._ask(call_words.info(self.key))

    async def digest(self, learnt: bool = False) -> str:
        return await self._ask(call_words.digest(self.key, learnt))

    async def worker_set(self, worker: str, **options: Unpack[WorkerOptions]) -> bool:
        return await self._ask(call_words.worker_set(self.key, worker, **options))

    async def worker_del(self, worker: str) -> bool:
        return await self._ask(call_words.worker_del(self.key, worker))

    async def worker_get(self, worker: str) -> Optional[replies.Worker]:
        return await self._ask(call_words.worker_get(self.key, worker))

    async def worker_list(self, ) -> List[replies.Worker]:
        return await self._ask(call_words.worker_list(self.key))

    async def report(self, worker: str, ok: bool) -> str:
        return await self._ask(call_words.report(self.key, worker, ok))

    async def event(self, worker: str, rank: int, epoch: int, seq: int, *ops: EventOp) -> int:
        return await self._ask(call_words.event(self.key, worker, rank, epoch, seq, *ops))

    async def score(
        self, blocks: Blocks, **options: Unpack[ScoreOptions]
    ) -> List[replies.Candidate]:
        return await self._ask(call_words.score(self.key, blocks, **options))

    async def explain(
        self, blocks: Blocks, **options: Unpack[ExplainOptions]
    ) -> replies.Explanation:
        return await self._ask(call_words.explain(self.key, blocks, **options))

    async def update(
        self,
        request: str,
        *,
        prefilled: bool = False,
        output: Optional[int] = None,
        lease: Optional[int] = None,
    ) -> bool:
        return await self._ask(
            call_words.update(self.key, request, prefilled=prefilled, output=output, lease=lease)
        )

    async def release(self, *requests: str) -> int:
        return await self._ask(call_words.release(self.key, *requests))

    async def claim(
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
        return await self._ask(call)

    async def request_get(self, request: str) -> Optional[replies.LiveRequest]:
        return await self._ask(call_words.request_get(self.key, request))

    async def request_list(
        self, cursor: int = 0, count: Optional[int] = None
    ) -> Tuple[int, List[str]]:
        return await self._ask(call_words.request_list(self.key, cursor, count))

    async def session_get(self, name: str) -> Optional[replies.Session]:
        return await self._ask(call_words.session_get(self.key, name))

    async def session_list(
        self, cursor: int = 0, count: Optional[int] = None
    ) -> Tuple[int, List[str]]:
        return await self._ask(call_words.session_list(self.key, cursor, count))

    async def session_del(self, *names: str) -> int:
        return await self._ask(call_words.session_del(self.key, *names))

    async def class_set(
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
        return await self._ask(call)

    async def class_del(self, name: str) -> bool:
        return await self._ask(call_words.class_del(self.key, name))

    async def class_list(self, ) -> List[replies.ServiceClass]:
        return await self._ask(call_words.class_list(self.key))

    async def flow_set(
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
        return await self._ask(call)

    async def flow_del(self, name: str) -> bool:
        return await self._ask(call_words.flow_del(self.key, name))

    async def flow_list(
        self, cursor: int = 0, count: Optional[int] = None
    ) -> Tuple[int, List[replies.Flow]]:
        return await self._ask(call_words.flow_list(self.key, cursor, count))

    async def queue(self, count: Optional[int] = None) -> replies.Queue:
        return await self._ask(call_words.queue(self.key, count))

    async def decisions_on(
        self, n: int, *, bytes: Optional[int] = None, blocks: bool = False
    ) -> None:
        call = call_words.decisions_on(self.key, n, bytes=bytes, blocks=blocks)
        return await self._ask(call)

    async def decisions_off(self) -> bool:
        return await self._ask(call_words.decisions_off(self.key))

    async def decisions_clear(self) -> int:
        return await self._ask(call_words.decisions_clear(self.key))

    async def decisions_get(
        self, cursor: int = 0, count: Optional[int] = None
    ) -> Tuple[int, List[str]]:
        return await self._ask(call_words.decisions_get(self.key, cursor, count))

    async def decisions_info(self) -> replies.DecisionLog:
        return await self._ask(call_words.decisions_info(self.key))

    async def tree(
        self,
        *,
        start: Optional[int] = None,
        depth: Optional[int] = None,
        count: Optional[int] = None,
    ) -> List[replies.Run]:
        return await self._ask(call_words.tree(self.key, start=start, depth=depth, count=count))

    async def hashes_of(
        self, block_size: int, blocks: Blocks, *, parent: Optional[int] = None
    ) -> List[int]:
        return await self._ask(call_words.hashes_of(block_size, blocks, parent=parent))
