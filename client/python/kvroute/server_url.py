# SPDX-License-Identifier: Apache-2.0
"""Where Redis is: the same URLs as the C library's (docs/client.md)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import parse_qsl, unquote

_SCHEMES = {  # → kind, TLS, the port where none is said
    "redis": ("server", False, 6379),
    "rediss": ("server", True, 6379),
    "unix": ("socket", False, 0),
    "sentinel": ("sentinel", False, 26379),
    "sentinels": ("sentinel", True, 26379),
    "cluster": ("cluster", False, 6379),
    "clusters": ("cluster", True, 6379),
}
_NUMBERS = ("deadline", "timeout", "connect_timeout", "db", "protocol")
_TEXTS = (
    "user", "password", "sentinel_user", "sentinel_password", "name", "role", "cacert", "cert", "key",
)  # fmt: skip


@dataclass
class ServerUrl:
    kind: str
    tls: bool
    hosts: List[Tuple[str, int]]
    path: str = ""  # of a socket
    master: str = ""
    db: int = 0
    user: Optional[str] = None
    password: Optional[str] = dataclasses.field(default=None, repr=False)
    sentinel_user: Optional[str] = None
    sentinel_password: Optional[str] = dataclasses.field(default=None, repr=False)
    name: str = "kvroute"
    role: str = "primary"
    cacert: Optional[str] = None
    cert: Optional[str] = None
    key: Optional[str] = None
    protocol: int = 0  # 2 or 3; 0: as redis-py likes
    deadline: int = 10000  # ms
    timeout: int = 1000
    connect_timeout: int = 1000

    def login(self) -> Dict[str, Any]:
        """redis-py's arguments for any connection to a server with data."""
        out = self.connection()
        if self.name:
            out["client_name"] = self.name
        if self.user:
            out["username"] = self.user
        if self.password is not None:
            out["password"] = self.password
        if self.protocol:
            out["protocol"] = self.protocol
        return out

    def sentinel_login(self) -> Dict[str, Any]:
        out = self.connection()
        if self.sentinel_user:
            out["username"] = self.sentinel_user
        if self.sentinel_password is not None:
            out["password"] = self.sentinel_password
        return out

    def connection(self) -> Dict[str, Any]:
        out: Dict[str, Any] = {"socket_timeout": self.timeout / 1000}
        if self.kind != "socket":
            out["socket_connect_timeout"] = self.connect_timeout / 1000
        if self.tls:
            out["ssl"] = True
            files = {"ssl_ca_certs": self.cacert, "ssl_certfile": self.cert, "ssl_keyfile": self.key}
            out.update((name, file) for name, file in files.items() if file)
        return out


def parse(url: str) -> ServerUrl:
    """ValueError says what is wrong, without the password."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SCHEMES:
        raise ValueError(f"a URL begins with one of {', '.join(_SCHEMES)} and ://")
    kind, tls, port = _SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    out = ServerUrl(kind, tls, [])
    login, found, address = rest.rpartition("@")
    if found:
        user, found, password = login.partition(":")
        out.user = unquote(user) or None
        out.password = unquote(password) if found else None
    if kind == "socket":
        out.path = unquote(address)
    else:
        hosts, _, path = address.partition("/")
        out.hosts = [_host(part, port) for part in hosts.split(",")]
        _path(out, [unquote(part) for part in path.split("/") if part])
    _settings(out, query)
    return out


def _host(text: str, port: int) -> Tuple[str, int]:
    host, found, tail = text.rpartition(":")
    if text.startswith("["):
        host, closed, tail = text[1:].partition("]")
        found, tail = tail[:1] if closed else "?", tail[1:]
    elif not found:
        host, tail = text, ""
    if not host or (found and (found != ":" or not tail.isdigit())) or int(tail or port) > 65535:
        raise ValueError("a host is host, host:port or [address]:port")
    return unquote(host), int(tail or port)


def _path(out: ServerUrl, parts: List[str]) -> None:
    if out.kind == "sentinel":
        if not parts:
            raise ValueError("after the Sentinels stands the master's name: sentinel://s1,s2/main")
        out.master = parts.pop(0)
    if parts and out.kind != "cluster" and parts[0].isdigit():
        out.db = int(parts.pop(0))
    if parts:
        raise ValueError("the URL's path has too much in it")


def _settings(out: ServerUrl, query: str) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
        if name in _NUMBERS:
            if not value.isdigit():
                raise ValueError(f"{name} takes a number")
            setattr(out, name, int(value))
        elif name in _TEXTS:
            setattr(out, name, value)
        else:
            raise ValueError(f"no setting {name[:40]!r} of a URL")
    if out.protocol not in (0, 2, 3):
        raise ValueError("protocol is 2 or 3")
    if out.role not in ("primary", "any"):
        raise ValueError("role is primary or any")
    if min(out.deadline, out.timeout, out.connect_timeout) < 1:
        raise ValueError("deadline, timeout and connect_timeout are at least 1 ms")
    if out.kind == "cluster" and out.db:
        raise ValueError("a cluster has database 0 only")
