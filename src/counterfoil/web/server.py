"""Listening: the application behind uvicorn on a TCP port, from start to the last answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import uvicorn

from counterfoil.errors import Unavailable
from counterfoil.web.app import WebApplication
from counterfoil.web.incoming import Application
from counterfoil.web.protocol import PaymentProtocol

BACKLOG = 2_048
"""Connections that may wait to be accepted."""
STOP_TIMEOUT_S = 5
"""Seconds that open answers get at the end; streams of events have none of their own."""
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
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            http=partial(PaymentProtocol, application.hot) if isinstance(application, WebApplication) else "httptools",  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
    )
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        while not server.started:
            if serving.done():
                await serving
                raise Unavailable("the server did not start")
            await asyncio.sleep(START_PAUSE_S)
        name, number = bound.getsockname()[:2]
        yield f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"
    finally:
        server.should_exit = True
        await serving
        bound.close()
        for connection in list(server.server_state.connections):  # accepted in the moment of the stop: nobody is here to answer
            transport: asyncio.Transport | None = connection.transport
            if transport is not None:
                transport.abort()
