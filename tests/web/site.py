"""A scheme behind a real HTTP server on a free port, and callers who sign what they send."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from nacl.signing import SigningKey

from counterfoil.ids import id_text, new_id
from counterfoil.moments import moment_text
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey, NewParty
from counterfoil.parties.types import KeyAlgorithm, PartyKind, StaffRole
from counterfoil.payments.orders import Order, OrderKind
from counterfoil.payments.types import SignedOrder
from counterfoil.web import signatures
from counterfoil.web.app import WebApplication, create_app
from counterfoil.web.server import listening
from counterfoil.web.values import base64_text
from tests.scheme import MovedClock, Person, Scheme, opened


class PatientClock(MovedClock):
    """A clock on which minutes can pass at once, for whoever was told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.waited_s * 1_000_000_000


class Site:
    """The server, and its callers' way to it."""

    def __init__(self, scheme: Scheme, app: WebApplication, port: int, client: httpx2.AsyncClient) -> None:
        self.scheme = scheme
        self.services = scheme.services
        self.app = app
        self.port = port
        self.client = client

    async def call(
        self, who: Person | str | None, method: str, path: str, body: Any = None, *, query: str = "", headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """A request by a person (signed), a token (text) or nobody. `body` is JSON, or bytes as they are."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if content else {}
        if isinstance(who, str):
            sent["Authorization"] = f"Bearer {who}"
        elif who is not None:
            sent |= self.signature(who, method, path, content, query=query)
        target = f"{path}?{query}" if query else path
        return await self.client.request(method, target, content=content or None, headers=sent | (headers or {}))

    def signature(self, who: Person, method: str, path: str, body: bytes = b"", *, query: str = "", age_s: int = 0) -> dict[str, str]:
        return signatures.headers(
            method=method,
            path=path,
            query=query,
            body=body,
            device=who.device,
            algorithm=KeyAlgorithm.ED25519,
            sign=lambda message: who.key.sign(message).signature,
            now_ns=self.services.clock.now_ns() - age_s * 1_000_000_000,
        )

    async def ok(self, who: Person | str | None, method: str, path: str, body: Any = None, *, query: str = "") -> Any:
        """As `call`, for what must succeed; the JSON, None for 204."""
        answer = await self.call(who, method, path, body, query=query)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def refused(
        self, who: Person | str | None, method: str, path: str, body: Any = None, *, query: str = "", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """As `call`, for what must be refused; the problem document, checked for its form."""
        return problem(await self.call(who, method, path, body, query=query, headers=headers))

    async def pay(self, signed: SignedOrder) -> httpx2.Response:
        return await self.call(None, "POST", "/v1/payments", signed_body(signed))

    def wait(self, seconds: int) -> None:
        """Lets time pass for the throttles."""
        clock = self.scheme.clock
        assert isinstance(clock, PatientClock)
        clock.waited_s += seconds

    def in_seconds(self, seconds: int) -> str:
        return moment_text(self.services.clock.now_ns() + seconds * 1_000_000_000)

    async def token(self, shop: Person, *scopes: str) -> str:
        """A token with these scopes, for an hour."""
        body = {"label": "till", "scopes": scopes, "expires_at": self.in_seconds(3_600)}
        return str((await self.ok(shop, "POST", "/v1/tokens", body))["token"])

    async def enrolment(self, name: str, *, number: str | None = None, key: SigningKey | None = None) -> dict[str, Any]:
        """The body that opens an account, for a new number and key, with the code that was sent."""
        number = number or f"+2547{20_000_000 + new_id(self.scheme.clock) % 10_000_000}"
        sent = await self.ok(None, "POST", "/v1/codes", {"number": number})
        key, device = key or SigningKey.generate(), new_id(self.scheme.clock)
        public_key = bytes(key.verify_key)
        statement = statements.enrol(
            origin=self.services.config.origin, number=number, device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key
        )
        return {
            "number": number,
            "code": sent["code"],
            "name": name,
            "language": "en",
            "pin": "2580",
            "key": {
                "device": id_text(device),
                "algorithm": "ed25519",
                "public_key": base64_text(public_key),
                "possession": base64_text(key.sign(statement).signature),
            },
        }

    async def staff_member(self, role: StaffRole) -> Person:
        """Somebody of the staff with a device."""
        key, device, handle = SigningKey.generate(), new_id(self.scheme.clock), f"s{new_id(self.scheme.clock) % 10**12}"
        statement = statements.enrol(
            origin=self.services.config.origin,
            number="",
            device=device,
            algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(key.verify_key),
        )
        new_key = NewKey(
            device=device,
            algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(key.verify_key),
            possession=key.sign(statement).signature,
        )
        new = NewParty(
            id=new_id(self.scheme.clock),
            kind=PartyKind.STAFF,
            name=handle,
            language="en",
            handle=handle,
            roles=frozenset({role}),
            key=new_key,
        )
        party = await self.services.parties.enrolment.open_by_staff(new, by=self.scheme.administrator)
        return Person(self.scheme, party=party.id, account=0, device=device, key=key, address=f"@{handle}")


def signed_body(signed: SignedOrder) -> dict[str, str]:
    return {"order": base64_text(signed.order), "device": id_text(signed.device), "signature": base64_text(signed.signature)}


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """The problem document in an answer."""
    assert answer.status_code >= 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found: dict[str, Any] = answer.json()
    assert found.keys() == {"type", "title", "status", "detail", "code", "retry", "request_id", "facts"}, found
    assert found["status"] == answer.status_code, found
    assert found["type"] == f"/problems/{found['code']}", found
    assert found["title"], found
    assert found["detail"], found
    return found


def hold(payer: Person, payee: Person, amount: int, **changes: Any) -> Order:
    return payer.order(payee, amount, kind=OrderKind.HOLD, timeout_s=3600, **changes)


@asynccontextmanager
async def serving(folder: Path, clock: PatientClock | None = None, **settings: Any) -> AsyncIterator[Site]:
    """A scheme in `folder` behind its server, in this event loop."""
    async with opened(folder, clock or PatientClock(), **settings) as scheme:
        app = create_app(scheme.services)
        async with listening(app, host="127.0.0.1", port=0) as address, httpx2.AsyncClient(base_url=address, timeout=60) as client:
            yield Site(scheme, app, int(address.rpartition(":")[2]), client)
