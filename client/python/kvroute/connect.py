# SPDX-License-Identifier: Apache-2.0
"""From a URL to a client of redis-py, in either of its flavours.

redis-py's own retries are off where it lets us: what is lost and when to ask again is decided in
flows.py, which has to see every loss. A cluster's client keeps those that follow a slot."""

from __future__ import annotations

from typing import Any, Dict, List

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.cluster
import redis.retry
import redis.sentinel

from .server_url import ServerUrl

# redis-py's classes are typed in part, and not alike in all versions.
_Node: Any = redis.cluster.ClusterNode
_Sentinel: Any = redis.sentinel.Sentinel
_AsyncNode: Any = redis.asyncio.cluster.ClusterNode
_AsyncSentinel: Any = redis.asyncio.sentinel.Sentinel


def open_blocking(url: ServerUrl, options: Dict[str, Any]) -> Any:
    once = {"retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0)}
    login = {**url.login(), **options}
    if url.kind == "cluster":
        nodes = [_Node(host, port) for host, port in url.hosts]
        return redis.cluster.RedisCluster(startup_nodes=nodes, **login)
    login.update(once, db=url.db)
    if url.kind == "sentinel":
        asked = {**url.sentinel_login(), **once}
        found = _Sentinel(url.hosts, sentinel_kwargs=asked)
        return found.master_for(url.master, **login)
    return redis.Redis(**_place(url), **login)


def open_async(url: ServerUrl, options: Dict[str, Any]) -> Any:
    once = {"retry": redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)}
    login = {**url.login(), **options}
    if url.kind == "cluster":
        nodes = [_AsyncNode(host, port) for host, port in url.hosts]
        return redis.asyncio.cluster.RedisCluster(startup_nodes=nodes, **login)
    login.update(once, db=url.db)
    if url.kind == "sentinel":
        asked = {**url.sentinel_login(), **once}
        found = _AsyncSentinel(url.hosts, sentinel_kwargs=asked)
        return found.master_for(url.master, **login)
    return redis.asyncio.Redis(**_place(url), **login)


def sentinels_of(client: Any) -> List[Any]:
    """The clients of the Sentinels, which nobody else closes."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def listener_login(url: ServerUrl, options: Dict[str, Any]) -> Dict[str, Any]:
    """Of a connection of its own to one node of a cluster."""
    return {**url.login(), **options}


def _place(url: ServerUrl) -> Dict[str, Any]:
    if url.kind == "socket":
        return {"unix_socket_path": url.path}
    if len(url.hosts) != 1:
        raise ValueError("one server has one address; several are of sentinel:// or cluster://")
    host, port = url.hosts[0]
    return {"host": host, "port": port}
