# SPDX-License-Identifier: Apache-2.0
"""The asyncio flavour: one AsyncPool for one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Iterator, Optional, TypeVar

import redis
import redis.asyncio

from . import connect, flows, replies, server_url
from .async_commands import AsyncCommands
from .call_words import KEYLESS, Blocks, Call
from .live_request import Request
from .refusals import Refused
from .remembered import Remembered, Stats
from .reply_decode import text

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .call_words import AskOptions, PoolOptions, SelectOptions

T = TypeVar("T")
# redis-py 4's cluster doesn't find the keys of commands with a subcommand.
_BLIND = int(redis.__version__.split(".")[0]) < 5


class AsyncPool(AsyncCommands):
    """As Pool, with coroutines: what is said there of arguments and errors is so here. A call that is
    cancelled leaves nothing booked."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        create: Optional[PoolOptions] = None,
        renew: float = 5.0,
        max_connections: int = 32,
        **redis_options: Any,
    ) -> None:
        self.key = key
        self._url = server_url.parse(url)
        self._options = redis_options
        options = None if create is None else dict(create)
        self._memory = Remembered(key, self._url.deadline / 1000, renew, options)
        self._memory.wake = self._wake
        self._max_connections = max_connections
        self._client: Any = None
        self._loop: Optional[_Loop] = None
        self._task: Optional[asyncio.Task[None]] = None
        self._listener: Optional[_Listener] = None

    async def __aenter__(self) -> AsyncPool:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    @property
    def stats(self) -> Stats:
        return self._memory.stats

    # ---- Requests --------------------------------------------------------------------------------

    async def select(
        self, request: str, blocks: Blocks, **options: Unpack[SelectOptions]
    ) -> replies.Choice:
        asked: Dict[str, Any] = dict(options)
        if not asked.get("wait"):
            return await self._select(request, blocks, asked, "")
        self._start()
        with self._listen().expecting(request) as channel:
            return await self._select(request, blocks, asked, channel)

    async def _select(
        self, request: str, blocks: Blocks, options: Dict[str, Any], channel: str
    ) -> replies.Choice:
        try:
            return await self._run(flows.select(self._memory, request, blocks, options, channel))
        except (Refused, TypeError, ValueError):
            raise
        except BaseException:  # cancelled, for one
            self._memory.owe(request)
            self._start()
            raise

    @contextlib.asynccontextmanager
    async def request(
        self,
        blocks: Blocks,
        *,
        id: Optional[str] = None,
        wait: Optional[int] = None,
        **options: Unpack[AskOptions],
    ) -> AsyncIterator[Request]:
        """Books it, keeps it booked while the block runs, and releases it:

        async with pool.request(blocks) as r:
            async for n, chunk in stream_from(r.addr):
                r.prefilled()
                r.progress(n)

        id: a name of your own, else one is made. wait: ms for which it may wait for room."""
        made = Request(self._memory, id or uuid.uuid4().hex, blocks, dict(options))
        made.booked(await self.select(made.id, blocks, wait=wait or 0, **options))
        self._memory.add(made, time.monotonic())
        self._start()
        try:
            yield made
        finally:
            self._memory.end(made)

    async def flush(self, timeout: float = 10.0) -> bool:
        """As Pool.flush."""
        end = time.monotonic() + timeout
        self._memory.hurry()
        while True:
            pause = await self._round()
            if self._memory.settled():
                return True
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(min(pause, 0.05))

    async def aclose(self, timeout: float = 1.0) -> None:
        """As Pool.close."""
        if self._memory.closed:
            return
        if self._memory.watching:
            await self.flush(timeout)
        self._memory.closed = True
        tasks = [task for task in (self._task, self._listener and self._listener.task) if task]
        self._wake()  # redis-py before 5 may swallow a cancellation that comes with the end of a wait
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            for client in (self._client, *connect.sentinels_of(self._client)):
                await _close(client)

    # ---- The driver ------------------------------------------------------------------------------

    async def _ask(self, call: Call[T]) -> T:
        return await self._run(flows.ask(self._memory, call))

    async def _run(self, flow: flows.FlowOf[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._do(step)
                except flows.LOST as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    async def _do(self, step: flows.Step) -> Any:
        if isinstance(step, flows.Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, flows.Listen):
            return await self._listen().wait(step.request, step.seconds)
        async with self._here().slots:
            client = self.client()
            if isinstance(step, flows.Send):
                if _BLIND or step.words[0] in KEYLESS:
                    node = await self._node(client)
                    return await _send(client, step.words, **node)
                return await _send(client, step.words)
            if isinstance(step, flows.SendAll):
                return await self._send_all(client, step)
            if isinstance(step, flows.Locate):
                return await _locate(client)
            node = await self._node(client)
            return await client.execute_command("INFO", "server", "replication", **node)

    def client(self) -> Any:
        """redis-py's own client, for what this package doesn't do."""
        if self._client is None:
            self._client = connect.open_async(self._url, self._options)
        return self._client

    async def _node(self, client: Any) -> Dict[str, Any]:
        if self._url.kind != "cluster":
            return {}
        await client.initialize()
        return {"target_nodes": client.get_node_from_key(self.key)}

    async def _send_all(self, client: Any, step: flows.SendAll) -> Any:
        if self._url.kind == "cluster":
            node = await self._node(client) if _BLIND else {}
            sent = (_send(client, words, **node) for words in step.all)
            return await asyncio.gather(*sent, return_exceptions=True)
        async with client.pipeline(transaction=False) as pipeline:
            for words in step.all:
                _send(pipeline, words)
            return await pipeline.execute(raise_on_error=False)

    def _here(self) -> _Loop:
        # Older versions of Python bind these to the loop that runs when they are made.
        if self._loop is None:
            self._loop = _Loop(self._max_connections)
        return self._loop

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.woken.set()

    def _start(self) -> None:
        self._here()
        if self._task is None and not self._memory.closed:
            self._task = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        woken = self._here().woken
        while not self._memory.closed:
            woken.clear()
            pause = await self._round()
            await _wait(woken, pause)

    async def _round(self) -> float:
        async with self._here().rounds:
            return await self._run(flows.keep(self._memory))

    def _listen(self) -> _Listener:
        if self._listener is None:
            self._listener = _Listener(self)
        return self._listener

    async def subscription(self) -> Any:
        """A subscriber to the server that has the pool, not subscribed yet."""
        client = self.client()
        if self._url.kind != "cluster":
            return client.pubsub()
        node = (await self._node(client))["target_nodes"]
        login = connect.listener_login(self._url, self._options)
        return redis.asyncio.Redis(host=node.host, port=node.port, **login).pubsub()

    async def unsubscribe(self, subscription: Any) -> None:
        await _close(subscription)
        if self._url.kind == "cluster":  # its connections are its own
            await subscription.connection_pool.disconnect()


class _Loop:
    """What belongs to the event loop."""

    def __init__(self, max_connections: int) -> None:
        self.slots = asyncio.Semaphore(max_connections)
        self.rounds = asyncio.Lock()
        self.woken = asyncio.Event()


class _Listener:
    """As that of the blocking flavour, as a task."""

    def __init__(self, pool: AsyncPool) -> None:
        self._pool, self._memory = pool, pool._memory
        self._channel = f"kvroute:{uuid.uuid4().hex}"
        self._waiting: Dict[str, asyncio.Event] = {}
        self._subscribed = False
        self.task = asyncio.ensure_future(self._run())

    @contextlib.contextmanager
    def expecting(self, request: str) -> Iterator[str]:
        self._waiting[request] = asyncio.Event()
        try:
            yield self._channel
        finally:
            self._waiting.pop(request, None)

    async def wait(self, request: str, seconds: float) -> bool:
        event = self._waiting.get(request)
        if event is None or not self._subscribed:
            return False
        await _wait(event, seconds)
        event.clear()
        return True

    async def _run(self) -> None:
        while not self._memory.closed:
            try:
                await self._subscribe()
            except flows.LOST:
                await asyncio.sleep(0.25)
            finally:
                self._subscribed = False

    async def _subscribe(self) -> None:
        generation = self._memory.generation
        subscription = await self._pool.subscription()
        try:
            await subscription.subscribe(self._channel)
            while not self._memory.closed and generation == self._memory.generation:
                message = await subscription.get_message(timeout=0.5)
                if message is not None:
                    self._heard(message)
        finally:
            await self._pool.unsubscribe(subscription)

    def _heard(self, message: Dict[str, Any]) -> None:
        if message["type"] == "subscribe":  # what was published before is for asking
            self._subscribed = True
            events = list(self._waiting.values())
        else:
            event = self._waiting.get(text(message["data"]))
            events = [event] if event else []
        for event in events:
            event.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    # Not wait_for, which before Python 3.12 may swallow a cancellation that comes with the event.
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


def _send(client: Any, words: Any, **node: Any) -> Any:
    # A cluster's client looks the command's name up as a string.
    return client.execute_command(words[0].decode(), *words[1:], **node)


async def _locate(client: Any) -> None:
    locate = getattr(getattr(client, "connection_pool", None), "get_master_address", None)
    if locate is not None:
        with contextlib.suppress(*flows.LOST):
            await locate()


async def _close(what: Any) -> None:
    # The name has changed with redis-py 5.
    close = getattr(what, "aclose", None) or what.close
    with contextlib.suppress(*flows.LOST):
        await close()
