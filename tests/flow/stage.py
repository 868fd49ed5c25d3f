"""A small honest scheme, and the people who look at its log: each check is the real command, run on the honest log and on a forged one.

Kofi, who has a simple phone and no key, buys something by PIN, which the shop countersigns, and takes out cash at an agent's. Two days
later Ana pays Ben three times, then Mallory, who is in league with the operator, pays Ben once. After each of these payments the log is
published by the real publisher and cosigned by five real witnesses.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from counterfoil.assurance.witness import Verdict
from counterfoil.commands import keyfile
from counterfoil.commands.keyfile import KeyFile
from counterfoil.ids import id_text
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.types import Receipt
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.entry import Role
from counterfoil.tlog.log import Log
from counterfoil.tlog.note import Note
from counterfoil.tlog.published import PublishedLog
from counterfoil.web.values import base64_text
from tests.commands import desk
from tests.flow.forgery import SIGNER, Forged, History, Sealed, Town, believed, export, policy_text
from tests.payments.publish.logbook import KEY, ORIGIN, Logbook
from tests.scheme import DAY_S, MovedClock, Person, opened

VERIFIER = Path(__file__).resolve().parents[2] / "verifier" / "src"
VERIFY = "counterfoil-verify"
LOG = (VERIFY, "log", "log/public", "--policy", "policy")
AUDIT = (VERIFY, "audit", "log/public", "--openings", "openings", "--policy", "policy")
LATE_S = 120
"""How much later the witnesses sign the last head once more: then no payment of the day has time left to come into the log."""
VERDICTS = {0: "PROVEN", 1: "REFUTED", 2: "COULD NOT BE CHECKED"}


class Ran(NamedTuple):
    """What a command answered. `text`: all that it printed, shortened."""

    code: int
    text: str

    def line(self, sentence: str) -> str:
        """The line that has `sentence` in it."""
        found = [line for line in self.text.splitlines() if sentence in line]
        assert found, f"nothing says {sentence!r} in:\n{self.text}"
        return found[0].strip()


class Look(NamedTuple):
    """Somebody looks. `says` on the forged log, `honest` on the honest one, each with its exit code or HTTP status."""

    who: str
    runs: str
    code: int
    says: str
    honest_code: int
    honest: str

    @property
    def noticed(self) -> str:
        """`yes`: a program ends otherwise than on the honest log. `read`: it ends the same and says something else. `no`: neither."""
        if self.code != self.honest_code:
            return "yes"
        return "read" if self.says != self.honest else "no"


class Books:
    """What the operator has after an honest day."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "honest"
        self.root = root
        self.clock = MovedClock()
        self.paid: list[Receipt] = []
        self.people: dict[str, Person] = {}
        self.by_pin: list[Receipt] = []
        self.heads: list[Note] = []
        self.sizes: list[int] = []
        self.verdicts: list[Verdict] = []
        self._ran: dict[tuple[tuple[str, ...], Path], Ran] = {}

    async def fill(self) -> None:
        """One honest day."""
        data = self.root / "data"
        (data / "keys").mkdir(parents=True)
        (data / "keys" / "operator.ed25519").write_bytes(bytes(KEY))
        self.town = Town(self.root / "town", self.clock)
        async with opened(data, self.clock) as scheme:
            ana, ben = await scheme.customer("Ana", funds=100_000), await scheme.customer("Ben")
            mallory = await scheme.customer("Mallory", funds=10_000)
            kofi, shop, agent = await scheme.simple_phone(funds=20_000), await scheme.merchant(), await scheme.agent()
            self.people = {"ana": ana, "ben": ben, "mallory": mallory, "kofi": kofi, "shop": shop, "agent": agent}
            bought = await kofi.pay_by_pin(shop, 2_000)
            await shop.countersign(bought)
            hold = await kofi.pay_by_pin(agent, 2_000, kind=OrderKind.HOLD, timeout_s=600)
            self.by_pin = [bought, hold, await agent.answer(OrderKind.CAPTURE, hold, 2_000)]
            self.clock.offset_s += 2 * DAY_S
            self.rules = scheme.services.payments.rules
            with Logbook.of(scheme) as book:
                book.publish()
                for payer, amount in ((ana, 20_000), (ana, 3_000), (ana, 5_000), (mallory, 100)):
                    self.paid.append(await payer.pay(ben, amount))
                    self.sizes.append(book.publish())
                    self.heads.append(self._witness(book))
                    if len(self.heads) == 3:
                        shutil.copytree(data / "log" / "public", self.root / "day-before")
                self.clock.offset_s += LATE_S
                self._witness(book)
                self.history = History.of(book.openings)
                self.entries = book.bytes_of_log()
        self._place(data / "log" / "public")

    def _witness(self, book: Logbook) -> Note:
        head = PublishedLog(book.folder / "log").checkpoint()
        assert head is not None
        head, self.verdicts = self.town.ask(book.log, head)
        assert believed(head)
        book.log.keep_witnessed(head)
        return head

    def _place(self, public: Path) -> None:
        """The files as holders, auditors and everybody have them."""
        shutil.copytree(public, self.folder / "log" / "public")
        (self.folder / "policy").write_text(policy_text())
        self.sealed = self.history.seal()
        export(self.sealed, self.folder / "openings")
        with Log.open(self.root / "receipts" / "log", SIGNER) as log:
            same = Forged(self.root / "receipts", log, self.town)
            for number, (size, head) in enumerate(zip(self.sizes, self.heads, strict=True), 1):
                same.grow(self.sealed[:size], witnessed=False)
                same.receipt(size - 1, Role.PAYER, head, self.folder / f"{number}.tlog-proof")
                same.receipt(size - 1, Role.PAYEE, head, self.folder / f"{number}-payee.tlog-proof")
                serve(self.folder, self.payment(number), self.folder / f"{number}.tlog-proof")
        shutil.copy(self.folder / "3-payee.tlog-proof", self.folder / "3-bens.tlog-proof")
        self.make_wallet(self.folder)

    @property
    def head(self) -> Checkpoint:
        """The newest head of the honest log."""
        return Checkpoint.parse(self.heads[-1].text)

    def person(self, name: str) -> int:
        return self.people[name].account

    def payment(self, number: int) -> str:
        return id_text(self.paid[number - 1].payment.id)

    def make_wallet(self, folder: Path) -> Path:
        """Ana's key file with the operator's word for each of her payments."""
        ana = self.people["ana"]
        path = folder / "ana.key"
        keyfile.save(
            path,
            KeyFile(
                server="http://127.0.0.1:1", origin=ORIGIN, currency="USD", digits=2, operator_key=base64_text(bytes(KEY.verify_key)),
                party=id_text(ana.party), account=id_text(ana.account), device=id_text(ana.device),
                seed=base64_text(ana.key.encode()), name="Ana",
            ),
        )  # fmt: skip
        for receipt in self.paid[:3]:
            word = receipt.acknowledgement
            assert word is not None
            told = {"statement": base64.b64encode(word.statement).decode(), "signature": base64.b64encode(word.signature).decode()}
            keyfile.keep_word(path, id_text(receipt.payment.id), told)
        return path

    def see(self, folder: Path, number: int) -> None:
        """Ana's wallet in `folder` remembers the head after payment `number`, checked before."""
        head = Checkpoint.parse(self.heads[number - 1].text)
        with keyfile.outbox(folder / "ana.key") as box:
            box.see(head.size, head.root)

    # Forging

    @contextmanager
    def forging(self, name: str, *, town: Town | None = None) -> Iterator[Forged]:
        """A folder of the operator's own, with the files that holders have from the days before."""
        folder = self.root / name
        folder.mkdir()
        shutil.copy(self.folder / "policy", folder / "policy")
        own = town or Town(folder / "witnesses", self.clock)
        try:
            with Log.open(folder / "log", SIGNER) as log:
                yield Forged(folder, log, own)
        finally:
            if town is None:
                own.close()

    def publish(self, forged: Forged, sealed: Sequence[Sealed], *, after: int) -> Note:
        """Publishes `sealed`: the heads up to payment `after` are the honest ones, then one head over all; receipts of Ana's payments."""
        for number in range(1, after + 1):
            assert [each.entry for each in sealed[: self.sizes[number - 1]]] == self.entries[: self.sizes[number - 1]]
            forged.grow(sealed[: self.sizes[number - 1]])
            shutil.copy(self.folder / f"{number}.tlog-proof", forged.folder)
        head = forged.grow(sealed)
        export(sealed, forged.folder / "openings")
        return head

    # Looking

    def look(
        self,
        forged: Forged | Path,
        who: str,
        *argv: str,
        code: int,
        says: str,
        honest_code: int = 0,
        honest: str = "",
        of: Path | None = None,
    ) -> Look:
        """Runs the same command on the forged and on the honest files; both must end and speak as stated."""
        folder = forged if isinstance(forged, Path) else forged.folder
        control, ran = self._honest((*argv,), of or self.folder), run(argv, folder)
        assert (ran.code, control.code) == (code, honest_code), f"forged:\n{ran.text}\nhonest:\n{control.text}"
        return Look(who, shortened(" ".join(argv)), ran.code, ran.line(says), control.code, control.line(honest or VERDICTS[honest_code]))

    def witness_look(self, verdict: Verdict, *, status: int, says: str) -> Look:
        """What an honest witness answers, and what it answered to the honest log."""
        assert (verdict.status, self.verdicts[0].status) == (status, 200), verdict
        assert says in verdict.body.decode(), verdict
        said = [(each.status, shortened(each.body.decode()).strip()) for each in (verdict, self.verdicts[0])]
        return Look("witness", "counterfoil witness", *said[0], *said[1])

    def _honest(self, argv: tuple[str, ...], folder: Path) -> Ran:
        """As `run`, once: the honest files do not change."""
        if (argv, folder) not in self._ran:
            self._ran[argv, folder] = run(argv, folder)
        return self._ran[argv, folder]


def run(argv: Sequence[str], folder: Path) -> Ran:
    """The command in `folder`: the verifier as a process of its own; the wallet against a server that serves the folder."""
    if argv[0] == VERIFY:
        done = subprocess.run(
            [sys.executable, "-m", "counterfoil_verify", *argv[1:]],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(VERIFIER)}, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert not done.stderr, done.stderr.decode()
        return Ran(done.returncode, shortened(done.stdout.decode()))
    assert argv[:2] == ("counterfoil", "wallet"), argv
    with _serving(folder) as address:
        where = [each if not each.endswith((".tlog-proof", ".complaint")) else str(folder / each) for each in argv[1:]]
        ran = desk.run(*where, "--key", folder / "ana.key", "--server", address)
    return Ran(ran.code, shortened(ran.out + ran.err))


def shortened(text: str) -> str:
    """Without what differs from run to run: long hex numbers, dates, ages, folders."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32,}\b", "…", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d( UTC|Z)", "…", text)
    text = re.sub(r"heads/\d{4}-\d\d-\d\d", "heads/…", text)
    text = re.sub(r"\b\d+ s (ago|older)", r"… s \1", text)
    text = re.sub(r"longest \d+ s", "longest … s", text)
    text = re.sub(r"(— \S+) [0-9A-Za-z+/]{40,}=*", r"\1 …", text)
    return re.sub(r"/\S*/(\S+\.(?:complaint|tlog-proof))", r"\1", text)


class _Handler(http.server.BaseHTTPRequestHandler):
    """The operator's own server: the files of its log, and for each payment the receipt that lies in the folder."""

    folder: Path

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/log/"):
            place = self.folder / "log" / "public" / path.removeprefix("/log/")
            self._answer(200, place.read_bytes()) if place.is_file() else self._answer(404, b"")
        elif found := re.fullmatch(r"/v1/payments/([0-9a-f-]{36})/proof", path):
            place = self.folder / "served" / found[1]
            proof = place.read_text() if place.is_file() else None
            content: dict[str, Any] = {"id": found[1], "state": "witnessed" if proof else "waiting", "proof": proof, "index": None}
            self._answer(200, json.dumps(content).encode())
        else:
            self._answer(404, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: tests read what clients say."""


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"folder": folder})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def serve(folder: Path, payment: str, receipt: Path) -> None:
    """Has the operator's server in `folder` answer with this receipt."""
    (folder / "served").mkdir(exist_ok=True)
    shutil.copy(receipt, folder / "served" / payment)
