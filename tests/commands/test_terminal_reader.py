"""`counterfoil terminal` as a clerk sits before it: a terminal of its own, a real card service, a virtual card."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.commands.terminal.folder import Folder
from counterfoil.folder import card_secret
from counterfoil.ids import id_text
from counterfoil.parties.types import StaffRole
from tests.acceptance.cards.tag import Tag
from tests.acceptance.cards.test_personalise import make, tapped
from tests.commands.counter import CLERK_PIN, PIN, Counter, furnished
from tests.commands.desk import Desk as Terminal
from tests.pcscd import PORT_INSIDE, READER, Ended, Insert, Remove, Run, Sit, Step, Typed, bench
from tests.scheme import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

_uids = itertools.count(0x04958CAA5C5E80)


@contextlib.asynccontextmanager
async def socket_of(port: int, path: Path) -> AsyncIterator[str]:
    """The server at `port`, reachable by a name in the file system: networks of their own have the files in common."""

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    async with await asyncio.start_unix_server(serve, path):
        yield str(path)


class Room(msgspec.Struct):
    """A paired desk, somebody who holds the card `uid`, and the steps that make that card."""

    counter: Counter
    kofi: Person
    uid: str
    socket: str
    making: list[Step]

    def sit(self, typed: list[Typed], tear_at: int | None = None) -> Sit:
        arguments = ["terminal", "--data", str(self.counter.path), "--reader", READER]
        sign_in = [Typed("Number: ", "1"), Typed("(it is not shown): ", CLERK_PIN)]
        return Sit(arguments, [*sign_in, *typed, Typed("Amount in USD: ")], self.socket, tear_at)

    async def bench(self, *steps: Step) -> Ended:
        return await asyncio.to_thread(bench, [*self.making, *steps])


@pytest_asyncio.fixture(loop_scope="module")
async def room(desk: Terminal, tmp_path: Path) -> AsyncIterator[Room]:
    site = desk.site
    counter = await furnished(site, tmp_path / "terminal")
    folder = Folder(counter.path)
    pairing = folder.pairing()
    assert pairing is not None
    folder.keep_pairing(msgspec.structs.replace(pairing, server=f"http://127.0.0.1:{PORT_INSIDE}"))
    uid = f"{next(_uids):014x}"
    kofi, twin = await site.scheme.simple_phone(funds=5_000), Tag(bytes.fromhex(uid))
    data = site.services.config.folder
    make(twin, BatchKeys(card_secret(data, site.scheme.clock)))
    e, c = tapped(twin)  # the first words of the card that the bench makes, too: there, its first tap was used before
    clerk = await site.staff_member(StaffRole.CLERK)
    await site.ok(clerk, "POST", f"/v1/staff/parties/{id_text(kofi.party)}/cards", {"e": e, "c": c, "pin": PIN})
    made = Run(["card", "make", "--data", str(data), "--host", "money.example.org", "--reader", READER])
    async with socket_of(site.port, tmp_path / "server") as socket:
        yield Room(counter, kofi, uid, socket, [Insert(uid), made, Remove()])


@pytest.mark.slow(1)
async def test_a_card_pays_on_a_real_reader_after_a_used_tap_a_torn_one_and_a_wrong_pin(room: Room) -> None:
    typed = [
        Typed("Amount in USD: ", "12.50"),
        Typed("What for", "Bread"),
        Typed("Hold the card to the reader.", insert=room.uid),
        Typed("This tap of the card was used before.", remove=True),
        Typed("Hold the card to the reader.", insert=room.uid),
        Typed("taken away too early", remove=True),
        Typed("Hold the card to the reader. Ctrl-C", insert=room.uid),
        Typed("(it is not shown; Enter", "1111"),
        Typed("4 tries left"),
        Typed("(it is not shown; Enter", ""),
        Typed("Take the card away", remove=True),
        Typed("Hold the card to the reader.", insert=room.uid),
        Typed("(it is not shown; Enter", PIN),
        Typed("Paid 12.50 USD by Kofi"),
    ]
    ended = await room.bench(room.sit(typed, tear_at=7))
    made, sat = ended.done
    assert made.code == 0, made.err
    assert sat.code == 0, (sat.out, sat.err)
    assert "\aPaid 12.50 USD by Kofi." in sat.out
    assert PIN not in sat.out
    assert "1111" not in sat.out
    assert CLERK_PIN not in sat.out
    assert room.kofi.balance() == 3_750
    assert not room.counter.is_open()
    assert (await room.counter.sales())[0]["state"] == "paid"


@pytest.mark.slow(1)
async def test_a_desk_that_is_given_up_or_killed_at_a_real_reader_leaves_no_sale_that_could_be_paid(room: Room) -> None:
    start = [Typed("Amount in USD: ", "12.50"), Typed("What for", "")]
    given_up = [*start, Typed("Hold the card to the reader.", "\x03"), Typed("taken back")]
    killed = [*start, Typed("Hold the card to the reader.", insert=room.uid), Typed("used before", "\x1c"), Typed("never said")]
    told = [Typed("was under way when the terminal stopped"), Typed("Not paid"), Typed("Amount in USD: ", "\x03"), Typed("is closed.")]
    last = room.sit(told)
    ended = await room.bench(room.sit(given_up), room.sit(killed), Sit(last.arguments, last.typed[:-1], last.server))
    _, up, dead, again = ended.done
    assert up.code == 0, (up.out, up.err)
    assert dead.code == -signal.SIGQUIT, (dead.out, dead.err)
    assert again.code == 0, (again.out, again.err)
    assert [sale["state"] for sale in await room.counter.sales()] == ["cancelled", "cancelled"]
    assert room.kofi.balance() == 5_000
