# SPDX-License-Identifier: Apache-2.0
"""From replies of redis-py to the dataclasses of replies.py: maps of RESP3, flat arrays of RESP2."""

from __future__ import annotations

import dataclasses
import functools
import typing
from typing import Any, Callable, Dict, List, Optional, Tuple, Type, TypeVar

from . import replies

T = TypeVar("T")
Decode = Callable[[Any], Any]


def text(raw: Any) -> str:
    """Names are bytes to the module; what isn't UTF-8 survives the way here and back."""
    return raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else str(raw)


def texts(raw: Any) -> List[str]:
    return [text(item) for item in raw]


def fields(raw: Any) -> Dict[str, Any]:
    """A map: a dict under RESP3, else names and values in turn."""
    if isinstance(raw, dict):
        return {text(name): value for name, value in raw.items()}
    return {text(name): value for name, value in zip(raw[::2], raw[1::2])}


def numbers(raw: Any) -> Dict[str, float]:
    return {name: float(value) for name, value in fields(raw).items()}


def flag(raw: Any) -> bool:
    return bool(int(raw))


def one(kind: Type[T]) -> Callable[[Any], T]:
    """A decoder of maps. Fields that it doesn't know are passed over: newer modules have more."""

    def decode(raw: Any) -> T:
        got = fields(raw)
        return kind(
            **{
                attribute: convert(got[name])
                for attribute, name, convert in _plan(kind)  # type: ignore[arg-type]
                if name in got
            }
        )

    return decode


def maybe(kind: Type[T]) -> Callable[[Any], Optional[T]]:
    return lambda raw: None if raw is None else one(kind)(raw)


def many(kind: Type[T]) -> Callable[[Any], List[T]]:
    return lambda raw: [one(kind)(item) for item in raw]


def page_of(items: Callable[[Any], List[T]]) -> Callable[[Any], Tuple[int, List[T]]]:
    """In the way of SCAN: the next cursor, and what was found."""
    return lambda raw: (int(raw[0]), items(raw[1]))


def selected(raw: Any) -> replies.Selected:
    got = fields(raw)
    kind: Type[replies.Selected] = replies.Choice if "worker" in got else replies.Waiting
    return one(kind)(got)


@functools.lru_cache(maxsize=None)
def _plan(kind: Type[Any]) -> List[Tuple[str, str, Decode]]:
    hints = typing.get_type_hints(kind)
    return [
        (item.name, item.metadata.get("name", item.name), _converter(hints[item.name]))
        for item in dataclasses.fields(kind)
    ]


def _converter(hint: Any) -> Decode:
    if typing.get_origin(hint) is list:
        (inner,) = typing.get_args(hint)
        return texts if inner is str else many(inner)
    if hint == Dict[str, float]:
        return numbers
    simple: Dict[Any, Decode] = {str: text, bool: flag, float: float, int: int}
    return simple[hint]
