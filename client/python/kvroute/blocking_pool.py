# SPDX-License-Identifier: Apache-2.0
"""The blocking flavour: any number of threads may use one Pool."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, TypeVar

import redis

from . import connect, flows, replies, server_url
from .blocking_commands import BlockingCommands
from .call_words import KEYLESS, Blocks, Call
from .live_request import Request
from .refusals import Closed, Refused
from .remembered import Remembered, Stats
from .reply_decode import text

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .call_words import AskOptions, PoolOptions, SelectOptions

T = TypeVar("T")


class Pool(BlockingCommands):
    """A handle on the pool `key` of the Redis at `url`. Doesn't wait for a connection: a server that can't be
    reached shows in the first call. ValueError: what is wrong with the URL.

    create: options of CREATE, for a pool that isn't there or has gone; None: it isn't created.
    renew: s between two words on a live request, less where its lease is short.
    max_connections: calls at once; others take their turn.
    redis_options: for redis-py's clients as they are.

    It starts a thread when there is something to do in the background, so make it after a fork."""

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
        self._woken = threading.Event()
        self._memory.wake = self._woken.set
        self._slots = threading.BoundedSemaphore(max_connections)
        self._opening = threading.Lock()
        self._rounds = threading.Lock()
        self._client: Any = None
        self._thread: Optional[threading.Thread] = None
        self._listener: Optional[_Listener] = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        return self._memory.stats

    # ---- Requests --------------------------------------------------------------------------------

    def select(
        self, request: str, blocks: Blocks, **options: Unpack[SelectOptions]
    ) -> replies.Choice:
        """Chooses an instance and books the request on it; with `wait` (ms) it waits for room. Renewing and
        releasing are the caller's: see request(), which does both."""
        asked: Dict[str, Any] = dict(options)
        if not asked.get("wait"):
            return self._select(request, blocks, asked, "")
        self._start()
        with self._listen().expecting(request) as channel:
            return self._select(request, blocks, asked, channel)

    def _select(
        self, request: str, blocks: Blocks, options: Dict[str, Any], channel: str
    ) -> replies.Choice:
        try:
            return self._run(flows.select(self._memory, request, blocks, options, channel))
        except (Refused, TypeError, ValueError):
            raise
        except BaseException:  # it may be booked or wait, and nobody was told
            self._memory.owe(request)
            self._start()
            raise

    @contextlib.contextmanager
    def request(
        self,
        blocks: Blocks,
        *,
        id: Optional[str] = None,
        wait: Optional[int] = None,
        **options: Unpack[AskOptions],
    ) -> Iterator[Request]:
        """Books it, keeps it booked while the block runs, and releases it:

        with pool.request(blocks) as r:
            for n, chunk in enumerate(stream_from(r.addr), 1):
                r.prefilled()
                r.progress(n)

        id: a name of your own, else one is made. wait: ms for which it may wait for room."""
        made = Request(self._memory, id or uuid.uuid4().hex, blocks, dict(options))
        choice = self.select(made.id, blocks, wait=wait or 0, **options)
        made.booked(choice)
        self._memory.add(made, time.monotonic())
        self._start()
        try:
            yield made
        finally:
            self._memory.end(made)

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until the pool knows all that was said of requests; False: it doesn't yet (s)."""
        end = time.monotonic() + timeout
        self._memory.hurry()
        while True:
            pause = self._round()
            if self._memory.settled():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(min(pause, 0.05))

    def close(self, timeout: float = 1.0) -> None:
        """Tells what there is to tell, for up to `timeout` s. Live requests stay booked until their leases
        end. Whoever waits or asks in another thread gets Closed."""
        if self._memory.closed:
            return
        if self._memory.watching:
            self.flush(timeout)
        self._memory.closed = True
        self._woken.set()
        for thread in (self._thread, self._listener):
            if thread is not None and thread is not threading.current_thread():
                thread.join()
        if self._client is not None:
            for client in (self._client, *connect.sentinels_of(self._client)):
                client.close()

    # ---- The driver ------------------------------------------------------------------------------

    def _ask(self, call: Call[T]) -> T:
        return self._run(flows.ask(self._memory, call))

    def _run(self, flow: flows.FlowOf[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._do(step)
                except flows.LOST as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    def _do(self, step: flows.Step) -> Any:
        if isinstance(step, flows.Pause):
            return time.sleep(step.seconds)
        if isinstance(step, flows.Listen):
            return self._listen().wait(step.request, step.seconds)
        with self._slots:
            client = self.client()
            if isinstance(step, flows.Send):
                if step.words[0] in KEYLESS:
                    node = self._node(client)
                    return _send(client, step.words, **node)
                return _send(client, step.words)
            if isinstance(step, flows.SendAll):
                return self._send_all(client, step)
            if isinstance(step, flows.Locate):
                return _locate(client)
            return client.execute_command("INFO", "server", "replication", **self._node(client))

    def client(self) -> Any:
        """redis-py's own client, for what this package doesn't do."""
        with self._opening:
            if self._client is None:
                self._client = connect.open_blocking(self._url, self._options)
            return self._client

    def _node(self, client: Any) -> Dict[str, Any]:
        if self._url.kind != "cluster":
            return {}
        return {"target_nodes": client.get_node_from_key(self.key)}

    def _send_all(self, client: Any, step: flows.SendAll) -> Any:
        if self._url.kind != "cluster":
            with client.pipeline(transaction=False) as pipeline:
                for words in step.all:
                    _send(pipeline, words)
                return pipeline.execute(raise_on_error=False)
        answers = []
        for words in step.all:
            try:
                answers.append(_send(client, words))
            except flows.LOST as error:
                answers.append(error)
        return answers

    def _start(self) -> None:
        with self._opening:
            if self._thread is None and not self._memory.closed:
                self._thread = threading.Thread(target=self._keep, name="kvroute", daemon=True)
                self._thread.start()

    def _keep(self) -> None:
        with contextlib.suppress(Closed):
            while not self._memory.closed:
                self._woken.clear()
                self._woken.wait(self._round())

    def _round(self) -> float:
        with self._rounds:
            return self._run(flows.keep(self._memory))

    def _listen(self) -> _Listener:
        with self._opening:
            if self._listener is None:
                self._listener = _Listener(self)
                self._listener.start()
            return self._listener

    def subscription(self) -> Any:
        """A subscriber to the server that has the pool, not subscribed yet."""
        client = self.client()
        if self._url.kind != "cluster":
            return client.pubsub()
        node = client.get_node_from_key(self.key)
        login = connect.listener_login(self._url, self._options)
        client = redis.Redis(host=node.host, port=node.port, **login)
        return client.pubsub()  # type: ignore[no-untyped-call,unused-ignore]

    def unsubscribe(self, subscription: Any) -> None:
        subscription.close()
        if self._url.kind == "cluster":  # its connections are its own
            subscription.connection_pool.disconnect()


class _Listener(threading.Thread):
    """Hears of those of this handle that are admitted: one connection, however many wait. Nothing depends on
    it, for everybody also asks now and then."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(name="kvroute-listener", daemon=True)
        self._pool, self._memory = pool, pool._memory
        self._channel = f"kvroute:{uuid.uuid4().hex}"
        self._waiting: Dict[str, threading.Event] = {}
        self._subscribed = False

    @contextlib.contextmanager
    def expecting(self, request: str) -> Iterator[str]:
        self._waiting[request] = threading.Event()
        try:
            yield self._channel
        finally:
            self._waiting.pop(request, None)

    def wait(self, request: str, seconds: float) -> bool:
        event = self._waiting.get(request)
        if event is None or not self._subscribed:
            return False
        event.wait(seconds)
        event.clear()
        return True

    def run(self) -> None:
        while not self._memory.closed:
            try:
                self._subscribe()
            except flows.LOST:
                time.sleep(0.25)
            finally:
                self._subscribed = False

    def _subscribe(self) -> None:
        generation = self._memory.generation
        subscription = self._pool.subscription()
        try:
            subscription.subscribe(self._channel)
            while not self._memory.closed and generation == self._memory.generation:
                message = subscription.get_message(timeout=0.5)
                if message is not None:
                    self._heard(message)
        finally:
            self._pool.unsubscribe(subscription)

    def _heard(self, message: Dict[str, Any]) -> None:
        if message["type"] == "subscribe":  # what was published before is for asking
            self._subscribed = True
            events = list(self._waiting.values())
        else:
            event = self._waiting.get(text(message["data"]))
            events = [event] if event else []
        for event in events:
            event.set()


def _send(client: Any, words: Any, **node: Any) -> Any:
    # A cluster's client looks the command's name up as a string.
    return client.execute_command(words[0].decode(), *words[1:], **node)


def _locate(client: Any) -> None:
    locate = getattr(getattr(client, "connection_pool", None), "get_master_address", None)
    if locate is not None:
        with contextlib.suppress(*flows.LOST):
            locate()
