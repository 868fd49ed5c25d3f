"""The verifier's speed: a receipt, a whole log, and the auditor's replay beside the signature checks alone.

The log and the openings are made by the tests' own maker, which is not counted.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from bench.measure import Measure, Options, Workload, interleave, measures

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "verifier" / "src"))

from counterfoil_verify.audit import Replay, records  # noqa: E402
from counterfoil_verify.log import Files, LogCheck  # noqa: E402
from counterfoil_verify.note import ed25519  # noqa: E402
from counterfoil_verify.policy import Policy  # noqa: E402
from counterfoil_verify.receipt import check_receipt  # noqa: E402
from counterfoil_verify.report import Report  # noqa: E402
from counterfoil_verify.rules import Rules  # noqa: E402
from tests.verifier.maker import LOG, ORIGIN, POLICY, Entry, Maker  # noqa: E402
from tests.verifier.town import Town  # noqa: E402


def timed(count: int, run: Callable[[], object]) -> Callable[[], float]:
    """Of one run that does `count` things: how many a second."""

    def measure() -> float:
        start = time.perf_counter()
        run()
        return count / (time.perf_counter() - start)

    return measure


def receipts(options: Options) -> list[Measure]:
    """One receipt with five cosignatures and no more than a few entries, in microseconds."""
    town, policy = Town(), Policy.parse(POLICY.encode())
    receipt = town.receipt(14)
    count = 20 if options.quick else 500

    def run() -> None:
        for _ in range(count):
            assert check_receipt(receipt, policy).exit_code == 0

    each = timed(count, run)
    return measures(interleave({"verifier.receipt": lambda: 1e6 / each()}, runs=options.runs), unit="us", baseline=None)


def replay(options: Options) -> list[Measure]:
    """Signed orders a second on one core, beside the checks of as many signatures and nothing else."""
    count = 500 if options.quick else 10_000
    town = Town()
    for _ in range(count // 2):
        town.pay(1)
        town.pay(1, payer=town.bayo, payee=town.amina)
    data, document = town.openings(), town.entries[0].payloads[3]
    message = bytes(250)
    signature, key = LOG.secret.sign(message).signature, bytes(LOG.secret.verify_key)

    def run() -> None:
        book = Replay(ORIGIN, [Rules.parse(document, 0, ORIGIN, [])])
        for record in records(io.BytesIO(data)):
            book.entry(*record)
        book.book.settle()

    def signatures() -> None:
        for _ in range(count):
            ed25519(key, message, signature)

    values = interleave({"verifier.signatures": timed(count, signatures), "verifier.replay": timed(count, run)}, runs=options.runs)
    return measures(values, unit="or/s", baseline="verifier.signatures")


def log(options: Options) -> list[Measure]:
    """A whole log of a million entries with three heads, in seconds."""
    size = 20_000 if options.quick else 1_000_000
    with tempfile.TemporaryDirectory(prefix="counterfoil-bench-") as name:
        folder = Path(name)
        _publish(folder, size)
        policy = Policy.parse(POLICY.encode())

        def run() -> None:
            report = Report()
            LogCheck(Files(name), policy, report).run()
            assert report.exit_code == 0, report.text()

        whole = timed(1, run)
        values = interleave({f"verifier.log.{size}-entries": lambda: 1 / whole()}, runs=2 if options.quick else 3)
    return measures(values, unit="s", baseline=None)


def _publish(folder: Path, size: int) -> None:
    """A log of rules and then random commitments, with three heads."""
    maker = Maker()
    first = maker.entries[0]
    maker.entries += [cast(Entry, Plain(b"\1\1" + os.urandom(32), first.time + n * 10**6)) for n in range(1, size)]
    maker.publish(folder, [size // 3, size // 2, size])


class Plain(NamedTuple):
    """An entry of which nobody can open anything."""

    data: bytes
    time: int
    payloads: tuple[bytes, bytes, bytes, bytes] = (b"", b"", b"", b"")


WORKLOADS = [
    Workload("verifier.receipt", receipts),
    Workload("verifier.replay", replay),
    Workload("verifier.log", log),
]
