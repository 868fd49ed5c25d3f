"""Listening: the application behind uvicorn on a TCP port, from start to the last answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import uvicorn

from counterfoil.errors import Unavailable
from counterfoil.web.app import WebApplication
from counterfoil.web.incoming import Application
from counterfoil.web.protocol import HouseProtocol, PaymentProtocol, address_of

BACKLOG = 2_048
"""Connections that may wait to be accepted."""
STOP_TIMEOUT_S = 5
"""Seconds that open answers get at the end; streams of events have none of their own."""
WORKER_SILENT_S_MAX = 24 * 3600
"""Seconds after which a worker's idle connection is closed; the worker closes it long before."""
START_PAUSE_S = 0.005
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def told_to_stop() -> None:
    """Returns at SIGTERM or SIGINT. uvicorn would raise its signal anew, and end the process before the ledger has drained."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    try:
        await stopping.wait()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def listening(application: Application, *, host: str, port: int) -> AsyncIterator[str]:
    """Serves `application` on host and port (0 takes a free one) while the block runs; yields the address, "http://...".

    Our own application gets the protocol with the short way for payments (see `protocol`).
    Raises Unavailable when the port cannot be had. Signals are left to the caller.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    # uvloop does this for every connection, asyncio not for those of a socket that it was given; head and body of an answer
    # would be 40 ms apart.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _server(application, PaymentProtocol)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        await _started(server, serving)
        name, number = bound.getsockname()[:2]
        yield f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"
    finally:
        server.should_exit = True
        await serving
        bound.close()
        _abort(server)


@asynccontextmanager
async def answering_workers(application: WebApplication, bound: socket.socket) -> AsyncIterator[Callable[[str, list[bytes]], str]]:
    """As `listening`, on a Unix socket that is listening already, for workers that pass on what others ask (see `HouseProtocol`).

    Yields what tells who asks, from the address of the one who is connected to a worker and what X-Forwarded-For says.
    """
    server = _server(application, HouseProtocol, timeout_keep_alive=WORKER_SILENT_S_MAX)
    config = server.config
    config.load()
    serving = asyncio.create_task(server.serve(sockets=[]))

    def met() -> asyncio.Protocol:
        return HouseProtocol(application.hot, config=config, server_state=server.server_state, app_state={})

    try:
        await _started(server, serving)
        accepting = await asyncio.get_running_loop().create_unix_server(met, sock=bound)
        try:
            yield lambda host, forwarded: address_of(config.loaded_app, host, forwarded)
        finally:
            accepting.close()
    finally:
        server.should_exit = True
        await serving
        _abort(server)


def _server(application: Application, protocol: type[PaymentProtocol], **settings: Any) -> uvicorn.Server:
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            http=partial(protocol, application.hot) if isinstance(application, WebApplication) else "httptools",  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            **settings,
        )
    )
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    return server


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise Unavailable("the server did not start")
        await asyncio.sleep(START_PAUSE_S)


def _abort(server: uvicorn.Server) -> None:
    """Ends connections that were accepted in the moment of the stop: nobody is here to answer them."""
    for connection in list(server.server_state.connections):
        transport: asyncio.Transport | None = connection.transport
        if transport is not None:
            transport.abort()
