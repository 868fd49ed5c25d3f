"""What server and publisher compute at their start from the program's own files: done once, before they are forked from here.

A scheme of its own opens and closes. No thread and no open file of it is left to those that are forked.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import threading
from pathlib import Path

from counterfoil.app import running
from counterfoil.config import Config
from counterfoil.publishing import work
from counterfoil.web.app import create_app

OPEN_FILES = Path("/dev/fd")

del work  # whoever imports it next has it


async def _once() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Config(data=folder, sandbox=True)) as services:
            create_app(services)


_before = sorted(OPEN_FILES.iterdir())
asyncio.run(_once())
assert threading.active_count() == 1, threading.enumerate()
assert sorted(OPEN_FILES.iterdir()) == _before, "an open file is left"
gc.collect()
gc.freeze()  # nobody looks for cycles in it again
