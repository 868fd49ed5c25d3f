"""A test run that is killed leaves no server and no folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import postgres, tigerbeetle

WAIT_S_MAX = 120
_POSTGRES = """
from tests.postgres import cluster
with cluster() as server:
    print(server.pid, server.socket_folder.parent, flush=True)
    input()
"""
_TIGERBEETLE = """
from tests.tigerbeetle import cluster
with cluster() as servers:
    servers.start()
    print(servers._processes[0].pid, servers.file(0).parent, flush=True)
    input()
"""


@pytest.mark.parametrize(("program", "needed"), [(_POSTGRES, postgres.find_binaries), (_TIGERBEETLE, tigerbeetle.server_program)])
def test_servers_end_with_the_tests_that_started_them(program: str, needed: Callable[[], object]) -> None:
    if needed() is None:
        pytest.skip("PostgreSQL is not installed (see debian-packages.txt)")
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        pid, _, folder = tests.stdout.readline().strip().partition(" ")
        assert Path("/proc", pid).exists()
        tests.send_signal(signal.SIGKILL)
    until = time.monotonic() + WAIT_S_MAX
    while Path("/proc", pid).exists() or Path(folder).exists():
        assert time.monotonic() < until, (pid, folder)
        time.sleep(0.05)
