"""A demo town of its own, served and furnished with what pictures need: a stall with clerks and goods, requests, conversations."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from nacl.signing import SigningKey

from counterfoil.acceptance import emv
from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.clock import NANOSECONDS, SystemClock
from counterfoil.folder import card_secret
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.moments import moment_text
from counterfoil.parties import statements
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments import forms
from counterfoil.payments.orders import Order, encode
from counterfoil.web import signatures
from counterfoil.web.values import base64_text, parse_base64
from tests.acceptance.cards.tag import Tag
from tests.acceptance.cards.test_personalise import make, tapped

CLERKS = {"Zawadi": ["sell", "refund", "capture", "goods", "close_day", "see_takings"], "Tumaini": ["sell"]}
CLERK_PIN = "4826"
PACE = "0.2"
"""Payments a second that the town makes meanwhile: enough to be alive, and few enough to leave the machine to the pictures."""
GOODS = {"Limes": 45, "Papaya": 120, "Oranges, 1 kg": 180, "Plantain": 60, "Guava": 210, "Avocado": 90}
SHOP, STAFF, PIN = "neema_fruit", "osborne", "2580"
"""A stall of the town, a treasurer, and the PIN of the first people: what the demo prints."""
SUPERVISOR, CLERK, ADMINISTRATOR = "garnier", "wekesa", "hale"
SAID = {"en": "We are closed on Friday.", "ko": "금요일에는 문을 닫아요.", "fr": "Nous sommes fermés vendredi."}
PROPOSED = {
    "en": "The new tariff begins on Monday: sending money is free up to 5.00 USD.",
    "ko": "월요일부터 5.00 USD까지는 수수료 없이 보내요.",
}


class Town:
    """A demo town that is being served."""

    def __init__(self, base: str, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self.clock = SystemClock()
        self.client = httpx2.AsyncClient(base_url=base, timeout=20)
        self.holders: dict[str, str] = {}
        """Whose wallet is opened, for each language: the name of the key file."""
        self.tickets: list[str] = []
        self.fill = ""
        self.till = "", ""
        """Of a car that came in just now, and of one that has stayed for a while."""
        self._numbers = iter(range(900, 999))

    def key(self, name: str) -> dict[str, Any]:
        """The key file of somebody."""
        found: dict[str, Any] = json.loads((self.folder / "wallets" / f"{name}.key").read_text("utf-8"))
        return found

    def new_id(self) -> str:
        return id_text(new_id(self.clock))

    def new_number(self) -> str:
        """One that nobody in the town has."""
        return f"+1671555{next(self._numbers):04}"

    def tap(self) -> str:
        """What a new card of the scheme says when it is tapped, as a query."""
        tag = Tag(b"\x04" + self.clock.random_bytes(6))
        make(tag, BatchKeys(card_secret(self.folder, self.clock)))
        e, c = tapped(tag)
        return f"e={e}&c={c}"

    async def furnish(self) -> None:
        """What the pictures need beside the town's own trade: a stall with clerks and goods, a request, a conversation."""
        for path in sorted((self.folder / "wallets").glob("*.key"), key=lambda path: (path.stem.isdigit(), path.stem)):
            if self.key(path.stem)["account"]:
                me = await self.call(path.stem, "GET", "/v1/accounts/me")
                if me["kind"] == "customer":
                    self.holders.setdefault(me["language"], path.stem)
        for name, rights in CLERKS.items():
            await self.call(SHOP, "POST", "/v1/clerks", {"id": self.new_id(), "name": name, "pin": CLERK_PIN, "rights": rights})
        made = await self.call(SHOP, "POST", "/v1/tills", {"id": self.new_id(), "name": "Till 1"})
        token = (await self.plain("POST", "/v1/tills/pair", {"code": made["pairing_code"], "label": "Phone"}))["token"]
        shop = await self.plain("GET", "/v1/till", token=token)
        clerk = next(each["id"] for each in shop["clerks"] if each["name"] == next(iter(CLERKS)))
        session = (await self.plain("POST", "/v1/till/sign-in", {"clerk": clerk, "pin": CLERK_PIN}, token=token))["session"]
        for position, (name, price) in enumerate(GOODS.items()):
            body = {"name": name, "price": price, "unit": "", "shown": True, "position": position}
            await self.plain("PUT", f"/v1/till/goods/{self.new_id()}", body, token=token, session=session)
        self.till = token, session
        self.tickets = [await self._park(token, session, minutes) for minutes in (5, 95)]
        self.fill = await self._ask_for_fuel(token, session)
        for holder in self.holders.values():
            account, key = self.key(holder)["account"], self.key(SHOP)
            request = forms.RequestToPay(
                origin=key["origin"],
                asset=key["currency"],
                payee=parse_id(key["account"]),
                payer=parse_id(account),
                amount=1_250,
                id=new_id(self.clock),
                expiry_ms=self.clock.now_ns() // 1_000_000 + 86_400_000,
                purpose=0,
                memo="two crates of oranges",
            )
            await self.call(SHOP, "POST", "/v1/requests", self.signed(SHOP, forms.encode(request)))
            allowed = statements.allow_pin(
                origin=key["origin"], account=parse_id(account), per_day=5_000, made_at_ms=self.clock.now_ns() // 1_000_000
            )
            consent = self.signed(holder, allowed)
            await self.call(holder, "POST", "/v1/pin-consent", {"statement": consent.pop("order"), **consent})
            for sender, reader, text in (
                (SHOP, account, "Your oranges are here."),
                (holder, key["account"], "I come by at five. Thank you!"),
            ):
                await self.call(sender, "POST", "/v1/messages", {"id": self.new_id(), "to": reader, "text": text})
        await self._write_to_everybody()
        await self._complain()

    async def _park(self, token: str, session: str, minutes: int) -> str:
        """The ticket of a car that came in so many minutes ago."""
        bands = [{"minutes": 60, "price": 200}, {"minutes": 30, "price": 50}]
        terms = {"name": "Market square", "places": 80, "hold": 1_000, "tariff": {"free_minutes": 10, "bands": bands}}
        park, entered_at = self.new_id(), moment_text(self.clock.now_ns() - minutes * 60 * NANOSECONDS)
        await self.plain("PUT", f"/v1/till/car-parks/{park}", terms, token=token, session=session)
        body = {"id": self.new_id(), "car_park": park, "entered_at": entered_at, "plate": f"KAA {minutes}0 B", "hold": minutes < 10}
        return str((await self.plain("POST", "/v1/till/stays", body, token=token))["id"])

    async def _ask_for_fuel(self, token: str, session: str) -> str:
        """A fill that nobody has agreed to so far."""
        pump = {"number": 3, "products": [{"name": "Diesel", "price": 149}], "full_tank": 9_000}
        body = {"id": self.new_id(), "pump": self.new_id(), "product": "Diesel", "totaliser": 482_190_750}
        await self.plain("PUT", f"/v1/till/pumps/{body['pump']}", pump, token=token, session=session)
        return str((await self.plain("POST", "/v1/till/fills", body, token=token))["id"])

    async def ring_up(self) -> None:
        """A sale that waits for whoever pays it."""
        lines = [{"name": name, "price": price, "quantity": 2} for name, price in list(GOODS.items())[:3]]
        body = {"id": self.new_id(), "lines": lines, "amount": sum(2 * price for price in list(GOODS.values())[:3])}
        token, session = self.till
        await self.plain("POST", "/v1/till/sales", body | {"made_at": moment_text(self.clock.now_ns())}, token=token, session=session)

    async def code_of_till(self) -> str:
        """A code that pairs one more device with the shop."""
        made = await self.call(SHOP, "POST", "/v1/tills", {"id": self.new_id(), "name": "Handheld"})
        return str(made["pairing_code"])

    async def _write_to_everybody(self) -> None:
        """One message to many that has gone out, and one that waits for a second person."""
        for texts, is_approved in ((SAID, True), (PROPOSED, False)):
            body = {"id": self.new_id(), "to": "all", "value": "", "texts": texts, "reason": "public holiday", "security": False}
            await self.call(SUPERVISOR, "POST", "/v1/staff/announcements", body)
            if is_approved:
                await self.call(ADMINISTRATOR, "POST", f"/v1/staff/proposals/{body['id']}/approve")

    async def _complain(self) -> None:
        """Two reports about messages, one of which is closed."""
        for closing, holder in zip((None, {"word": "known to each other", "days": 0}), self.holders.values(), strict=False):
            thread = await self.call(holder, "GET", f"/v1/threads/{self.key(SHOP)['account']}")
            message = next(each["id"] for each in thread["messages"] if each["from"] == self.key(SHOP)["account"])
            report = {"id": self.new_id(), "reason": "fraud", "note": "I ordered nothing."}
            await self.call(holder, "POST", f"/v1/messages/{message}/report", report)
            if closing:
                await self.call(CLERK, "POST", f"/v1/staff/reports/{report['id']}/close", closing)

    async def pay(self, name: str, code: str) -> None:
        """Somebody of the town scans a till's code and pays it."""
        read = emv.read(code)
        assert isinstance(read, emv.Code), read
        assert read.amount is not None
        key = self.key(name)
        scheme = await self.plain("GET", "/v1/scheme")
        amount = emv.minor(read.amount, key["digits"])
        order = Order(
            origin=key["origin"],
            asset=key["currency"],
            payer=parse_id(key["account"]),
            payee=read.account,
            amount=amount,
            max_fee=amount,
            id=new_id(self.clock),
            expiry_ms=self.clock.now_ns() // 1_000_000 + 600_000,
            rules_hash=parse_base64(scheme["rules_hash"], "rules_hash"),
            reference=read.request or 0,
        )
        await self.plain("POST", "/v1/payments", self.signed(name, encode(order)))

    def signed(self, name: str, data: bytes) -> dict[str, str]:
        """An order or a form of somebody's, as it is sent."""
        key = self.key(name)
        signature = SigningKey(parse_base64(key["seed"], "seed")).sign(data).signature
        return {"order": base64_text(data), "device": key["device"], "signature": base64_text(signature)}

    async def plain(self, method: str, path: str, body: Any = None, *, token: str = "", session: str = "") -> Any:
        """A request with a till's token, or without any."""
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Counterfoil-Clerk": session} if session else {})
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def call(self, name: str, method: str, path: str, body: Any = None) -> Any:
        """A request signed by somebody of the town; its JSON."""
        key = self.key(name)
        content = b"" if body is None else json.dumps(body).encode()
        secret = SigningKey(parse_base64(key["seed"], "seed"))
        signed = signatures.headers(
            method=method,
            path=path,
            query="",
            body=content,
            device=parse_id(key["device"]),
            algorithm=KeyAlgorithm.ED25519,
            sign=lambda message: secret.sign(message).signature,
            now_ns=self.clock.now_ns(),
        )
        answer = await self.client.request(method, path, content=content or None, headers={"Content-Type": "application/json", **signed})
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """A town of its own on a free port, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-screenshots-") as folder:
        command = [sys.executable, "-m", "counterfoil", "demo", "--data", folder, "--port", "0", "--pace", PACE]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert process.stdout is not None
        told = ""
        while "Ctrl-C ends it" not in told:
            line = (await process.stdout.readline()).decode()
            assert line, f"the town did not start:\n{told}"
            told += line
        front = re.search(r"http://[^\s/]+:(\d+)", told)
        assert front is not None, told
        found = Town(f"http://localhost:{front[1]}", Path(folder))
        try:
            await found.furnish()
            yield found
        finally:
            await found.client.aclose()
            process.terminate()
            await process.communicate()
