# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a call, one exception for each code of docs/commands.md."""

from __future__ import annotations

import re
from typing import Dict, Optional, Type

import redis.exceptions as theirs


class KvrouteError(Exception):
    """All of this package. code: the first word of Redis's answer, "" where there was none."""

    code = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.code} {self.message}".strip()


class Unavailable(KvrouteError):
    """No answer within the deadline. A SELECT may have been booked: the pool's handle releases it as
    soon as it can, else its lease ends it."""

    code = "TIMEOUT"


class Closed(KvrouteError):
    """The handle was closed."""

    code = "CLOSED"


class Refused(KvrouteError):
    """Redis or the module answered with an error; the pool is as it was. Codes without a class of their
    own come as this one."""

    def __init__(self, message: str = "", code: str = "") -> None:
        super().__init__(message)
        if code:
            self.code = code


class BadCall(Refused):
    """Wrong arguments."""

    code = "ERR"


class NoPool(Refused):
    code = "NOPOOL"


class WrongType(Refused):
    code = "WRONGTYPE"


class Exists(Refused):
    code = "EXISTS"


class NoWorker(Refused):
    """The worker or rank isn't registered, or nobody may be chosen."""

    code = "NOWORKER"


class _Numbered(Refused):
    """An answer with a number in it."""

    pattern = r"(\d+)"

    def __init__(self, message: str = "", code: str = "") -> None:
        super().__init__(message, code)
        found = re.search(self.pattern, message)
        self.number = int(found.group(1)) if found else 0


class _ComeBack(_Numbered):
    @property
    def retry_after_ms(self) -> int:
        """Come back after so many ms."""
        return self.number


class NoRoom(_ComeBack):
    """No instance has room, or wait is over, or the queue is full."""

    code = "NOROOM"


class Limited(_ComeBack):
    """The request's flow has used up what it may."""

    code = "LIMITED"


class Gap(_Numbered):
    """An event came too early: send again from `expected`."""

    code = "GAP"
    pattern = r"expected (\d+)"

    @property
    def expected(self) -> int:
        return self.number


class Stale(_Numbered):
    """Somebody newer, of epoch `current`, speaks for this rank."""

    code = "STALE"
    pattern = r"current (\d+)"

    @property
    def current(self) -> int:
        return self.number


class NoParent(Refused):
    """STORED under a block that nobody has: begin a new epoch."""

    code = "NOPARENT"


class BadChain(Refused):
    """STORED of a block that is known under another parent: these are not prefix hashes."""

    code = "BADCHAIN"


class OutOfMemory(Refused):
    code = "OOM"


class Denied(Refused):
    """The user may not do that, or isn't who he says."""

    code = "NOPERM"


CLASSES: Dict[str, Type[Refused]] = {
    kind.code: kind
    for kind in (
        BadCall, NoPool, WrongType, Exists, NoWorker, NoRoom, Limited, Gap, Stale, NoParent,
        BadChain, OutOfMemory, Denied,
    )
}  # fmt: skip

# What passes by itself: a primary is being elected, a server is starting.
PASSING = frozenset(
    "READONLY LOADING MASTERDOWN NOREPLICAS MISCONF CLUSTERDOWN UNBLOCKED".split()
)
BUSY = frozenset(("TRYAGAIN", "BUSY"))  # the same server will soon do it

# redis-py takes the code off the message of those it has a class for.
_THEIR_CODES = (
    (theirs.AuthenticationError, "NOAUTH"),
    (theirs.AuthorizationError, "NOPERM"),
    (theirs.NoPermissionError, "NOPERM"),
    (theirs.BusyLoadingError, "LOADING"),
    (theirs.ReadOnlyError, "READONLY"),
    (theirs.ClusterDownError, "CLUSTERDOWN"),
    (theirs.TryAgainError, "TRYAGAIN"),
)
# Classes that only some versions have.
_THEIR_NAMES = {
    "OutOfMemoryError": "OOM",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT",
}
_OTHER_CODES = frozenset("NOAUTH WRONGPASS CROSSSLOT EXECABORT NOSCRIPT INPROG".split())


def code_of(error: BaseException) -> str:
    """The code of what redis-py raised; "" for one that is no answer: a connection that broke."""
    for kind, code in _THEIR_CODES:
        if isinstance(error, kind):
            return code
    if not isinstance(error, theirs.ResponseError):
        return ""
    named = _THEIR_NAMES.get(type(error).__name__)
    if named:
        return named
    first = str(error).split(" ", 1)[0]
    known = first in CLASSES or first in PASSING or first in BUSY or first in _OTHER_CODES
    return first if known else "ERR"


def refusal(error: BaseException) -> Optional[Refused]:
    """What redis-py raised, as ours; None: it was no answer."""
    code = code_of(error)
    if not code:
        return None
    text = str(error)
    message = text[len(code) :].lstrip() if text.startswith(code) else text
    if message.lower().startswith("unknown command"):
        message = "the server has no kvroute module, or an older one: " + message
    if code in ("NOAUTH", "WRONGPASS"):
        return Denied(message, code)
    return CLASSES.get(code, Refused)(message, code)
