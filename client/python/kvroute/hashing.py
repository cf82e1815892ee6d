# SPDX-License-Identifier: Apache-2.0
"""Token ids → block hashes → prefix hashes: the same numbers as the module's, and as NVIDIA Dynamo's.

A prefix hash names its block and everything before it. Only full blocks have one. The hash is not
cryptographic: two prompts that collide mislead a router into a worse choice and do nothing else.
"""

from __future__ import annotations

import struct
from typing import Iterable, List, Optional, Sequence, Union

import xxhash

SEED = 1337
TokenIds = Union[Sequence[int], bytes, bytearray, memoryview]
_MASK = 2**64 - 1
_BYTES = (bytes, bytearray, memoryview)


def pack_tokens(tokens: TokenIds) -> bytes:
    """Token ids as little-endian u32. Bytes are taken to be that already; a memoryview of wider
    numbers is read as numbers. ValueError: an id out of range, or bytes that aren't whole ids."""
    if isinstance(tokens, memoryview) and tokens.format not in ("B", "b", "c"):
        tokens = tokens.tolist()
    if isinstance(tokens, _BYTES):
        if len(tokens) % 4:
            raise ValueError("token ids as bytes are 4 bytes each")
        return bytes(tokens)
    try:
        return struct.pack(f"<{len(tokens)}I", *tokens)
    except struct.error:
        raise ValueError("a token id is an integer from 0 to 4294967295") from None


def pack_hashes(hashes: Sequence[int]) -> bytes:
    """Hashes as little-endian u64. ValueError: one is out of range."""
    try:
        return struct.pack(f"<{len(hashes)}Q", *hashes)
    except struct.error:
        raise ValueError("a prefix hash is an integer from 0 to 2**64 - 1") from None


def salt(lora: Optional[str] = None, namespace: Optional[str] = None) -> int:
    """The seed of block hashes for an adapter and a cache namespace; None or "" adds nothing."""
    seed = SEED
    if lora:
        seed += xxhash.xxh3_64_intdigest(lora.encode(), 0)
    if namespace:
        seed += xxhash.xxh3_64_intdigest(namespace.encode(), 1)
    return seed & _MASK


def block_hashes(
    tokens: TokenIds,
    block_size: int,
    *,
    lora: Optional[str] = None,
    namespace: Optional[str] = None,
) -> List[int]:
    """The hash of each full block by itself."""
    if block_size < 1:
        raise ValueError("block_size is at least 1")
    blob = pack_tokens(tokens)
    seed, step, digest = salt(lora, namespace), 4 * block_size, xxhash.xxh3_64_intdigest
    return [digest(blob[at : at + step], seed) for at in range(0, len(blob) - step + 1, step)]


def chain(blocks: Iterable[int], parent: Optional[int] = None) -> List[int]:
    """Block hashes → prefix hashes. parent: the prefix to continue from."""
    prefixes = []
    prefix, pack, digest = parent, struct.Struct("<2Q").pack, xxhash.xxh3_64_intdigest
    for block in blocks:
        prefix = block if prefix is None else digest(pack(prefix, block), SEED)
        prefixes.append(prefix)
    return prefixes


def prefix_hashes(
    tokens: TokenIds,
    block_size: int,
    *,
    lora: Optional[str] = None,
    namespace: Optional[str] = None,
    parent: Optional[int] = None,
) -> List[int]:
    """The prefix hashes of all full blocks. A growing chat is hashed in steps: only the new tokens, with
    the last prefix hash as parent; Prefix does that."""
    return chain(block_hashes(tokens, block_size, lora=lora, namespace=namespace), parent)


class Prefix:
    """A prompt that grows, such as a chat: each token is hashed once.

    >>> chat = Prefix(16)
    >>> chat.extend(range(40))
    >>> len(chat.hashes), chat.tokens
    (2, 40)
    """

    def __init__(
        self, block_size: int, *, lora: Optional[str] = None, namespace: Optional[str] = None
    ) -> None:
        if block_size < 1:
            raise ValueError("block_size is at least 1")
        self.block_size, self.lora, self.namespace = block_size, lora, namespace
        self.hashes: List[int] = []
        self._rest = b""  # tokens that don't fill a block yet

    @property
    def tokens(self) -> int:
        """How many there are: the request's ISL."""
        return len(self.hashes) * self.block_size + len(self._rest) // 4

    def extend(self, tokens: TokenIds) -> None:
        blob = self._rest + pack_tokens(tokens)
        parent = self.hashes[-1] if self.hashes else None
        self.hashes += prefix_hashes(
            blob, self.block_size, lora=self.lora, namespace=self.namespace, parent=parent
        )
        self._rest = blob[len(blob) - len(blob) % (4 * self.block_size) :]
