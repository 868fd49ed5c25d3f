"""A real server that ends by SIGKILL at a step of its sending that the test chooses, and a book of the steps of all its lives.

A step is a row that is about to be written, a COMMIT of such that is about to be made or has been made, a request that is about to
leave, and an answer that has arrived and is not looked at yet. Between two of them nothing happens that anybody else could notice.

    write TABLE COLUMNS    keeping ...    kept ...    give TO    answered BY

The server is forked from a process that has imported it (see `simulation.processes`). What runs is the program's own start code, but
for the public log, which tells nobody anything, and for migrations, of which there are none left.
"""

from __future__ import annotations

import os
import re
import signal
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp.client_proto
import aiohttp.client_reqrep
import msgspec
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from counterfoil import app
from counterfoil.channels.sms import queue, sender

TABLES: Final = (
    "notices", "sms_messages", "push_messages", "webhook_outbox", "webhook_attempts", "held_texts", "messages", "threads", "announcements",
    "receipt_codes", "feed_positions",
)  # fmt: skip
END_SIZE: Final = 256
_WRITE: Final = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) (\w+)(?: SET (.*?) WHERE)?", re.DOTALL)
_SET: Final = re.compile(r"(\w+)=")


class Book:
    """The steps of all lives in one file, and in another one the step at which the life that reads it ends; tests write there."""

    def __init__(self, folder: Path) -> None:
        self.steps = folder / "steps"
        self.end = folder / "end"
        self.steps.touch()
        self.arm("")

    def arm(self, step: str) -> None:
        """From now on whoever takes this step dies of it; "" for none."""
        assert len(step) < END_SIZE, step
        self.end.write_bytes(step.encode().ljust(END_SIZE, b"\0"))

    def taken(self, after: int = 0) -> list[str]:
        """The steps in order, without the first `after`."""
        return self.steps.read_text("utf-8").splitlines()[after:]


class Cut(msgspec.Struct, frozen=True):
    """What a life is told. `peers`: who listens at a port, as steps call it. `unsure_s`: how long a text in doubt waits, seconds."""

    steps: str
    end: str
    peers: dict[int, str]
    unsure_s: int


class Steps:
    """Of one life."""

    def __init__(self, cut: Cut) -> None:
        self._peers = cut.peers
        self._steps = os.open(cut.steps, os.O_WRONLY | os.O_APPEND)
        self._end = os.open(cut.end, os.O_RDONLY)
        self._written: dict[int, list[str]] = defaultdict(list)  # by connection: what its transaction has written

    def take(self, *steps: str) -> None:
        """Writes them down, and dies where one is the end."""
        os.write(self._steps, "".join(f"{step}\n" for step in steps).encode())
        if os.pread(self._end, END_SIZE, 0).rstrip(b"\0").decode() in steps:
            os.kill(os.getpid(), signal.SIGKILL)

    def peer(self, port: int | None) -> str:
        return self._peers.get(port or 0, "")

    # The store

    def written(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        match = _WRITE.match(statement)
        if match is None or match[2] not in TABLES:
            return
        columns = ",".join(sorted(set(_SET.findall(match[3] or ""))))
        what = f"{match[2]} {columns or match[1].split()[0].lower()}"
        self.take(f"write {what}")
        self._written[id(connection.connection.dbapi_connection)].append(what)

    def commit(self, commit: Callable[..., None], dialect: Any, connection: Any) -> None:
        written = self._written.pop(id(getattr(connection, "dbapi_connection", connection)), [])
        if written:
            self.take(*(f"keeping {what}" for what in dict.fromkeys(written)))
        commit(dialect, connection)
        if written:
            self.take(*(f"kept {what}" for what in dict.fromkeys(written)))


def install(cut: Cut) -> None:
    """In the server's process, before anything else."""
    steps = Steps(cut)
    for module in (queue, sender):
        setattr(module, "UNSURE_S", cut.unsure_s)  # noqa: B010 - neither module says that it has it for others
    setattr(app, "running", partial(app.running, publishing=False))  # noqa: B010
    setattr(app, "migrate", lambda _: None)  # noqa: B010
    event.listen(Engine, "before_cursor_execute", steps.written)
    commit = DefaultDialect.do_commit
    setattr(DefaultDialect, "do_commit", lambda self, connection: steps.commit(commit, self, connection))  # noqa: B010
    send, received = aiohttp.client_reqrep.ClientRequest.send, aiohttp.client_proto.ResponseHandler.data_received

    async def give(self: Any, connection: Any) -> Any:
        if peer := steps.peer(self.url.port):
            steps.take(f"give {peer}")
        return await send(self, connection)

    def answered(self: Any, data: bytes) -> None:
        where = self.transport.get_extra_info("peername") if self.transport else None
        if where and (peer := steps.peer(where[1])):
            steps.take(f"answered {peer}")
        received(self, data)

    setattr(aiohttp.client_reqrep.ClientRequest, "send", give)  # noqa: B010
    setattr(aiohttp.client_proto.ResponseHandler, "data_received", answered)  # noqa: B010
