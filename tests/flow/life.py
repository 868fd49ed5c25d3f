"""One life with money, told step by step, for whoever lives it: by one channel or by several, it comes to the same.

Ama opens an account, brings cash to an agent, pays a friend and a shop, asks for money and is paid, answers three requests, fetches
cash, looks at what there was, takes another PIN, locks her account, unlocks it, and pays once more. `live` is the script, a `Way`
is how she does it; the agent, the shop and the friend have wallets, and sign. RECEIPTS is what she has to show for it.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from counterfoil.errors import PartyNotFound
from counterfoil.i18n import Language
from counterfoil.money import Currency
from counterfoil.payments.fees import PaidBy
from counterfoil.payments.orders import OrderKind
from counterfoil.payments.receipt_codes import Coded, belongs, parse_code
from counterfoil.payments.requests import RequestState
from counterfoil.payments.types import AuthorisationClass
from counterfoil_verify.__main__ import main as verifier
from counterfoil_verify.policy import Policy
from counterfoil_verify.receipt import check_receipt
from tests.commands.desk import run
from tests.payments.publish.logbook import KEY
from tests.scheme import Person
from tests.web.logged import LoggedSite, logged, policy

NUMBER, NAME, HANDLE = "+254700000123", "Ama Mensah", "rose_w"
PIN, NEW_PIN = "73194628", "86420975"
"""Eight digits, so that none of them stands anywhere by chance."""
FUNDS = 100_000
"""Minor units that the agent and Rose begin with."""
CODE = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}\b")


class Receipt(NamedTuple):
    """One payment as its holder has it. `amount` is below zero for what leaves; `fee` is what the holder paid."""

    kind: OrderKind
    amount: int
    fee: int
    other: str
    memo: str


RECEIPTS = [
    Receipt(OrderKind.PAY, 20_000, 0, "Kiosk", ""),
    Receipt(OrderKind.PAY, -3_000, 0, "Rose Wanjiru", ""),
    Receipt(OrderKind.PAY, -1_250, 0, "Corner shop", ""),
    Receipt(OrderKind.PAY, 1_500, 0, "Rose Wanjiru", ""),
    Receipt(OrderKind.PAY, -700, 0, "Rose Wanjiru", "eggs"),
    Receipt(OrderKind.PAY, -300, 0, "Rose Wanjiru", "as you like"),
    Receipt(OrderKind.HOLD, -4_000, 40, "Kiosk", ""),
    Receipt(OrderKind.CAPTURE, -4_000, 40, "Kiosk", ""),
    Receipt(OrderKind.PAY, -100, 0, "Rose Wanjiru", ""),
]
"""All that Ama has to show, oldest first, whichever way she went."""
LEFT = 20_000 - 3_000 - 1_250 + 1_500 - 700 - 300 - 4_040 - 100
BALANCES = {"Ama": LEFT, "Rose": FUNDS + 3_000 - 1_500 + 700 + 300 + 100, "shop": 1_250 - 6, "agent": FUNDS - 20_000 + 4_000}
"""The shop pays its fee; what is missing in the sum are fees."""
DEBITS = {"send": 3_000, "buy": 1_250, "accept_eggs": 700, "accept_open": 300, "fetch_cash": 4_040, "send_again": 100}
"""What leaves by each step, with the fee: what the public page says of those that were agreed to by PIN."""


class Way(Protocol):
    """How somebody does all this. Amounts in minor units; each returns what was shown or written last."""

    async def join(self, name: str, pin: str) -> str: ...

    async def bring_cash(self, agent: str, amount: int, pin: str) -> str: ...

    async def send(self, to: str, amount: int, pin: str, *, shows: str) -> str: ...

    async def buy(self, code: str, amount: int, pin: str, *, shows: str) -> str: ...

    async def ask(self, whom: str, amount: int, pin: str, *, shows: str) -> str: ...

    async def accept(self, who: str, amount: int, pin: str, *, is_open: bool = False) -> str: ...

    async def decline(self, who: str, amount: int, pin: str) -> str: ...

    async def fetch_cash(self, agent: str, amount: int, pin: str, *, shows: str) -> str: ...

    async def balance(self, pin: str) -> str: ...

    async def latest(self, pin: str) -> str: ...

    async def change_pin(self, old: str, new: str) -> str: ...

    async def lock(self, pin: str) -> str: ...

    async def fail_to_send(self, to: str, amount: int, pin: str) -> str: ...

    async def unlock(self, pin: str) -> str: ...

    async def told(self) -> list[str]:
        """Every text that came to the phone so far."""
        ...


class Town:
    """Who else is there: an agent, a shop and a friend, each with a wallet of their own, and the log."""

    def __init__(self, site: LoggedSite, folder: Path, language: str) -> None:
        self.site = site
        self.services = site.services
        self.folder = folder
        self.language = Language(language)
        self.agent: Person
        self.shop: Person
        self.rose: Person
        self.ama: Person
        self.agent_code = self.shop_code = ""

    async def people(self) -> None:
        scheme, parties = self.site.scheme, self.services.parties
        self.agent, self.shop = await scheme.agent("Kiosk", funds=FUNDS), await scheme.merchant("Corner shop")
        self.rose = await scheme.customer("Rose Wanjiru", funds=FUNDS)
        await parties.enrolment.set_handle(self.rose.party, HANDLE)
        self.agent_code, self.shop_code = [(await parties.party(each.party)).merchant_code or "" for each in (self.agent, self.shop)]

    @property
    def currency(self) -> Currency:
        return self.services.config.currency

    def money(self, amount: int) -> str:
        """As it is shown, in the language of this life."""
        return self.language.money(amount, self.currency)

    def typed(self, amount: int) -> str:
        """As somebody of this language types it."""
        return self.money(amount).replace("\u202f", "").replace("\xa0", "")

    async def until(self, holds: Callable[[], bool | Awaitable[bool]]) -> None:
        """Waits until it is so."""
        async with asyncio.timeout(60):
            while not (found if isinstance(found := holds(), bool) else await found):
                await asyncio.sleep(0.01)

    async def open_requests(self, person: Person) -> list[Any]:
        """What is asked of somebody."""
        found = await self.services.requests.of_account(person.account)
        return [each for each in found if each.state is RequestState.OPEN and each.payer == person.account]

    async def is_locked(self) -> bool:
        return bool((await self.services.parties.holder(self.ama.account)).freezes)

    async def has_account(self) -> bool:
        try:
            holder = await self.services.parties.resolve(NUMBER)
        except PartyNotFound:
            return False
        self.ama = Person(self.site.scheme, party=holder.party, account=holder.account, device=0, key=self.rose.key, address=NUMBER)
        return True


async def live(town: Town, way: Way, *, after_sending: Callable[[], Awaitable[None]] | None = None) -> None:
    """The whole life. `after_sending`: what happens to her in the middle of it."""
    agent, shop, rose, site = town.agent, town.shop, town.rose, town.site
    await way.join(NAME, PIN)
    await town.until(town.has_account)
    ama = town.ama
    holder = await town.services.parties.holder(ama.account)
    assert (holder.name, holder.language, holder.tier) == (NAME, town.language.code, "number_only")

    await way.bring_cash(town.agent_code, 20_000, PIN)
    [asked] = await _waited(town, agent)
    assert (asked.payee, asked.amount) == (ama.account, 20_000)
    await agent.pay(ama, 20_000, reference=asked.id)
    assert ama.balance() == 20_000

    await way.send(f"@{HANDLE}", 3_000, PIN, shows="Rose Wanjiru")
    await town.until(lambda: rose.balance() == FUNDS + 3_000)
    site.wait(60)
    if after_sending is not None:
        await after_sending()
    await way.buy(town.shop_code, 1_250, PIN, shows="Corner shop")
    await town.until(lambda: shop.balance() == BALANCES["shop"])
    await _countersigned(town)

    await way.ask(rose.address, 1_500, PIN, shows="Rose Wanjiru")
    [asked] = await _waited(town, rose)
    assert (asked.payee, asked.amount) == (ama.account, 1_500)
    await rose.pay(ama, 1_500, reference=asked.id)
    before = ama.balance()

    eggs = await rose.ask(ama, 700, memo="eggs")
    await way.accept("Rose Wanjiru", 700, PIN)
    await town.until(lambda: ama.balance() == before - 700)
    site.wait(60)
    much = await rose.ask(ama, 99_900)
    await way.decline("Rose Wanjiru", 99_900, PIN)
    anything = await rose.ask(ama, 0, memo="as you like")
    await town.until(_is(town, much, RequestState.DECLINED))
    await way.accept("Rose Wanjiru", 300, PIN, is_open=True)
    await town.until(lambda: ama.balance() == before - 1_000)
    for each in (eggs, anything):
        assert (await town.services.requests.find(each, ama.account)).state is RequestState.PAID

    await way.fetch_cash(town.agent_code, 4_000, PIN, shows="Kiosk")
    await town.until(lambda: ama.available() == before - 5_040)
    assert ama.balance() == before - 1_000, "it is set aside until the agent has handed the cash over"
    [held] = [each.payment for each in await town.services.history.page(agent.account, limit=1)]
    assert held is not None
    await agent.answer(OrderKind.CAPTURE, await town.services.payments.receipt(held.id, agent.account), 4_000)
    assert ama.balance() == ama.available() == before - 5_040
    site.wait(60)

    assert town.money(ama.balance()) in await way.balance(PIN)
    said = await way.latest(PIN)
    places = [said.find(town.money(each)) for each in (4_040, 300, 700, 1_500, 1_250)]
    assert -1 not in places, said
    assert places == sorted(places), said
    assert town.money(3_000) not in said, "five, however many entries of the ledger they are"

    await way.change_pin(PIN, NEW_PIN)
    await way.lock(NEW_PIN)
    await town.until(town.is_locked)
    await way.fail_to_send(rose.address, 100, NEW_PIN)
    assert ama.balance() == before - 5_040
    site.wait(60)
    await way.unlock(NEW_PIN)
    await town.until(_not(town.is_locked))
    await way.send(rose.address, 100, NEW_PIN, shows="Rose Wanjiru")
    await town.until(lambda: ama.balance() == LEFT)


async def _countersigned(town: Town) -> None:
    """What the shop's wallet does in the background with what was paid to it by PIN."""
    [_, paid] = await town.services.history.page(town.shop.account, limit=2)
    assert paid.payment is not None
    if paid.payment.authorisation is AuthorisationClass.PIN:
        await town.shop.countersign(await town.services.payments.receipt(paid.payment.id, town.shop.account))


async def _waited(town: Town, person: Person) -> list[Any]:
    async def is_there() -> bool:
        return bool(await town.open_requests(person))

    await town.until(is_there)
    return await town.open_requests(person)


def _is(town: Town, request: int, state: RequestState) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return (await town.services.requests.find(request, town.ama.account)).state is state

    return is_so


def _not(what: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return not await what()

    return is_so


# What is left of it


async def receipts(town: Town) -> list[Receipt]:
    """What Ama's history says, oldest first, a line for each payment."""
    entries = await town.services.history.page(town.ama.account, limit=100)
    found: dict[int, Receipt] = {}
    for entry in reversed(entries):
        payment, fees = entry.payment, 0
        assert payment is not None
        leaves = payment.payer == town.ama.account
        if leaves and payment.fee_paid_by is PaidBy.PAYER:
            fees = payment.fee
        other = await town.services.parties.holder(payment.payee if leaves else payment.payer)
        found.setdefault(payment.id, Receipt(payment.kind, -payment.amount if leaves else payment.amount, fees, other.name, payment.memo))
    return list(found.values())


async def check_books(town: Town, way: Way, *, by_pin: Collection[str], codes: Collection[int] | None = None) -> list[str]:
    """Balances and receipts are those of every other life; the codes that came by text lead to them. Returns the codes.

    `by_pin`: the steps (DEBITS) that a PIN has agreed to. `codes`: which of RECEIPTS are told by text at least, by place; None for all.
    """
    people = {"Ama": town.ama, "Rose": town.rose, "shop": town.shop, "agent": town.agent}
    assert {name: person.balance() for name, person in people.items()} == BALANCES
    assert await receipts(town) == RECEIPTS
    expected = range(len(RECEIPTS)) if codes is None else codes

    async def are_told() -> bool:
        return len(found_in(await way.told())) >= len(expected)

    await town.until(are_told)
    found = found_in(await way.told())
    town.site.settle()
    proven = [await proven_receipt(town, code) for code in found]
    assert set(proven) >= {_proof_of(RECEIPTS[place]) for place in expected}
    assert set(proven) <= set(map(_proof_of, RECEIPTS))
    assert codes is not None or len(set(found)) == len(RECEIPTS), "each once"
    page = (await town.site.client.get("/proof")).text
    assert _sums(page, columns=2) == (len(by_pin), sum(DEBITS[step] for step in by_pin))
    assert _sums(page, columns=3) == ((1, DEBITS["buy"], 1) if "buy" in by_pin else (0, 0, 0))
    return found


def _sums(page: str, *, columns: int) -> tuple[int, ...]:
    """Of a table on the public page, over all days: payments by PIN and what they took, or those to shops and how many are countersigned."""
    cells = '<td class="amount">([0-9,.]+)</td>' * columns
    rows = re.findall(f'<time datetime="[0-9-]{{10}}">[0-9-]{{10}}</time></td>{cells}</tr>', page)
    assert len(rows) == 7, page
    return tuple(sum(int(re.sub("[,.]", "", row[place])) for row in rows) for place in range(columns))


def found_in(texts: list[str]) -> list[str]:
    """The receipt codes in texts, in order."""
    return [code for text in texts for code in CODE.findall(text)]


def _proof_of(receipt: Receipt) -> tuple[str, str, int, int]:
    """What the log can prove of it: whom it concerns, and the note, only the two of them know."""
    return (receipt.kind.name, "in" if receipt.amount > 0 else "out", abs(receipt.amount), receipt.fee)


async def proven_receipt(town: Town, code: str) -> tuple[str, str, int, int]:
    """What anybody's program proves of the receipt that the public page shows for a code."""
    answer = await town.site.client.get(f"/r/{parse_code(code)}")
    assert answer.status_code == 200, code
    data = re.search(r'<script type="application/json" id="words">(.*?)</script>', answer.text, re.DOTALL)
    assert data is not None, answer.text
    (given,) = json.loads(data[1])["receipts"]
    report = check_receipt(given["receipt"].encode(), Policy.parse(policy().encode()))
    assert report.exit_code == 0, report.text()
    said = report.fields
    coded = Coded(int(said["payment"], 16), int(said["account"], 16), bytes.fromhex(given["proof"]))
    assert belongs(parse_code(code), coded)
    assert coded.account == town.ama.account
    return said["kind"].upper(), said["direction"], said["amount"], abs(said["fee"])


def check_after(folder: Path, *, by_pin: Collection[str]) -> None:
    """When all is over: the operator's own check, and the auditor's replay, which counts the PINs as well; and no PIN in any file."""
    checked = run("check", "--data", folder, "--json")
    assert (checked.code, checked.json["passed"]) == (0, True), checked
    openings, rules = folder.parent / "openings", folder.parent / "policy"
    rules.write_text(policy())
    assert run("openings", "--data", folder, "--out", openings).code == 0
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(out):
        code = verifier(["audit", str(folder / "log" / "public"), "--openings", str(openings), "--policy", str(rules), "--json"])
    out.seek(0)
    report = json.loads(out.read())
    assert (code, report["verdict"]) == (0, "proven"), report
    assert report["fields"]["authorisations"]["PIN"]["count"] == len(by_pin), report["fields"]["authorisations"]
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert PIN.encode() not in data, path
        assert NEW_PIN.encode() not in data, path


@asynccontextmanager
async def town_in(folder: Path, language: str, **settings: Any) -> AsyncIterator[Town]:
    """A town in `folder`/scheme, behind a real server with its log."""
    scheme = folder / "scheme"
    (scheme / "keys").mkdir(mode=0o700, parents=True)
    (scheme / "keys" / "operator.ed25519").write_bytes(bytes(KEY))
    async with logged(scheme, languages=("en", "ko", "fr"), **settings) as site:
        town = Town(site, scheme, language)
        await town.people()
        yield town
