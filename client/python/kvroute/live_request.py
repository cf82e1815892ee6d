# SPDX-License-Identifier: Apache-2.0
"""A request from its booking to its release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from . import call_words, replies
from .hashing import Prefix

if TYPE_CHECKING:
    from .remembered import Remembered

Said = Tuple[bool, int]  # whether it is PREFILLED, its OUTPUT


class Request:
    """What `with pool.request(…)` gives. Its methods say what is to be told and return at once: the pool's
    handle tells it in the background, renews the lease, and books the request back if the pool lost it. So
    a stream never waits for Redis."""

    def __init__(
        self, memory: Remembered, id: str, blocks: call_words.Blocks, options: Dict[str, Any]
    ) -> None:
        self.id = id
        self._memory = memory
        self._options = options
        # As words: a prompt that grows later is another request's.
        self._blocks = call_words.block_words(blocks)
        if isinstance(blocks, Prefix):
            options.setdefault("isl", blocks.tokens)
        self._choice: Optional[replies.Choice] = None
        self._prefilled = False
        self._output = 0
        self._told: Said = (False, 0)
        self._ended = False
        self.missing = False  # the pool doesn't have it
        self.due = 0.0  # monotonic s, when to speak of it next

    @property
    def choice(self) -> replies.Choice:
        if self._choice is None:
            raise RuntimeError("the request isn't booked: use it with `with`")
        return self._choice

    @property
    def addr(self) -> str:
        return self.choice.addr

    @property
    def worker(self) -> str:
        return self.choice.worker

    @property
    def rank(self) -> int:
        return self.choice.rank

    def prefilled(self) -> None:
        """The first token is there. The pool measures by it, so it is told at once."""
        if not self._prefilled:
            self._prefilled = True
            self.due = 0.0
            self._memory.wake()

    def progress(self, output: int) -> None:
        """So many tokens have been put out, in all. Told with the next renewal, and at the end."""
        self._output = max(self._output, output)

    # ---- For the handle --------------------------------------------------------------------------

    def booked(self, choice: replies.Choice) -> None:
        self._choice = choice

    def end(self) -> None:
        self._ended = True
        self._blocks = ()  # isn't booked back any more

    @property
    def lease(self) -> Optional[int]:
        """ms; None: the pool's."""
        return self._options.get("lease")

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def has_news(self) -> bool:
        return self._told != (self._prefilled, self._output)

    @property
    def urgent(self) -> bool:
        return self._prefilled and not self._told[0]

    def update(self, key: str) -> Tuple[call_words.Call[bool], Said]:
        """The call that tells it, and what to hand to told() when it was answered."""
        said = (self._prefilled, self._output)
        lease = None if self._ended else self.lease
        output = said[1] or None
        call = call_words.update(key, self.id, prefilled=said[0], output=output, lease=lease)
        return call, said

    def told(self, said: Said) -> None:
        self._told = said

    def claim(self, key: str, with_class: bool = True) -> call_words.Call[bool]:
        """Books it where its owner was told."""
        choice = self.choice
        names = ("isl", "osl", "lease", "session", "flow")
        options: Dict[str, Any] = {name: self._options.get(name) for name in names}
        if with_class:
            options["service_class"] = self._options.get("service_class")
        options.update(cached=choice.cached, output=self._output, prefilled=self._prefilled)
        return call_words.claim_words(
            key, self.id, choice.worker, choice.rank, self._blocks,
            prefiller=(choice.prefill_worker, choice.prefill_rank) if choice.prefill_worker else None,
            options=options,
        )  # fmt: skip
