"""What the server enforces of the highest balances of tiers, and when, is what the auditor's program demands: no more, and no less."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from counterfoil.errors import PayeeLimitExceeded
from counterfoil.ids import new_id
from counterfoil.ledger.types import Transfer
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.orders import OrderKind
from counterfoil_verify.report import Refuted
from tests.payments.publish.logbook import Logbook
from tests.scheme import Scheme, opened

MOST = 50_000
"""Of the tier number_only, minor units."""
LATER_S = 180
"""Seconds after which nothing is on its way any more."""


def at_once(scheme: Scheme, count: int) -> None:
    """The next `count` payments wait for each other before the ledger, when all have been admitted."""
    ledger, all_there, waiting = scheme.services.ledger, asyncio.Event(), count
    create = ledger.create_transfers

    async def create_together(transfers: Sequence[Transfer]) -> Any:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            all_there.set()
        await all_there.wait()
        return await create(transfers)

    ledger.create_transfers = create_together  # type: ignore[method-assign]


async def test_what_the_server_lets_through_is_proven(tmp_path: Path) -> None:
    async with opened(tmp_path, recovery_delay_s=10) as scheme:
        bank, shop = await scheme.institution(funds=500_000), await scheme.merchant(funds=1_000)
        payee = await scheme.customer(tier="number_only", funds=30_000)
        with pytest.raises(PayeeLimitExceeded):
            await bank.pay(payee, MOST - 30_000 + 1)
        at_once(scheme, 3)
        await asyncio.gather(*(bank.pay(payee, MOST - 30_000) for _ in range(3)))
        assert payee.balance() == 90_000, "nothing is reserved: all three found room"
        scheme.clock.offset_s += LATER_S
        with pytest.raises(PayeeLimitExceeded):
            await bank.pay(payee, 1, max_fee=5)
        bought = await payee.pay(shop, 9_000)
        await shop.answer(OrderKind.REFUND, bought, 9_000, max_fee=0)
        scheme.clock.offset_s += LATER_S
        await scheme.services.parties.staff.change_tier(payee.party, "identity_verified", reason="seen", by=scheme.supervisors[0])
        held = await bank.hold(payee, 60_000)
        await scheme.services.parties.staff.change_tier(payee.party, "number_only", reason="a mistake", by=scheme.supervisors[0])
        scheme.clock.offset_s += LATER_S
        await payee.answer(OrderKind.CAPTURE, held, 60_000)
        await recovered(scheme, payee)
        with Logbook.of(scheme) as book:
            size = book.publish()
            assert book.replayed(scheme) == size


async def recovered(scheme: Scheme, person: Any) -> None:
    """A clerk has seen the person, the delay is over, the new key is in force and the older ones no more."""
    key, device = SigningKey.generate(), new_id(scheme.clock)
    named: dict[str, Any] = {"device": device, "algorithm": KeyAlgorithm.ED25519, "public_key": bytes(key.verify_key)}
    statement = statements.recover(origin=scheme.services.config.origin, number=person.address, **named)
    new = NewKey(**named, possession=key.sign(statement).signature)
    recoveries = scheme.services.parties.recoveries
    await recoveries.begin_by_staff(person.party, new, reason="phone lost", by=scheme.clerk)
    scheme.clock.offset_s += 11
    assert await recoveries.complete_due() == 1


async def test_what_the_server_must_not_let_through_is_refuted(tmp_path: Path) -> None:
    """An operator that does not look at what the payee has."""
    async with opened(tmp_path) as scheme:
        bank, payee = await scheme.institution(funds=500_000), await scheme.customer(tier="number_only", funds=30_000)
        scheme.clock.offset_s += LATER_S
        scheme.services.parties.check_payee = lambda *_: None
        await bank.pay(payee, MOST - 30_000 + 1)
        with Logbook.of(scheme) as book:
            book.publish()
            with pytest.raises(Refuted, match="the payee had 30000, 20001 come in, and 50000 is the most"):
                book.replayed(scheme)
