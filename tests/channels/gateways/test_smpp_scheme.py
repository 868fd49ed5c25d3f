"""A scheme whose only gateway is an SMSC: one person's telephone, texts and USSD over one connection, down to the receipts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import structlog
from smpp34 import SubmitSmEvent

from counterfoil.channels.sms.queue import State
from tests.channels.gateways.smsc import Smsc, eventually, option
from tests.scheme import opened

PIN = "73194628"
SERVICE, SESSION_INFO = 0x0501, 0x1383


def told(event: SubmitSmEvent) -> str:
    content = event.short_message[6:] if event.esm_class & 0x40 else event.short_message
    return content.decode("utf-16-be" if event.data_coding == 8 else "ascii")


async def test_a_person_with_a_simple_phone_pays_by_text_and_by_ussd(tmp_path: Path) -> None:
    smsc = Smsc()
    await smsc.start()
    gateway = {"name": "operator", "kind": "smpp", "url": f"smpp://127.0.0.1:{smsc.port}", "user": "scheme", "password": "s3cret99"}

    async def text(pattern: str) -> re.Match[str]:
        """The text that the person was sent and that says so, once it is there."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            mine = [each for each in smsc.submits if f"+{each.destination_addr}" == person.address and each.service_type != "USSD"]
            found.extend(match for each in mine if (match := re.search(pattern, told(each), re.DOTALL)))
            return bool(found)

        await eventually(is_there)
        return found[0]

    async def write(text: str) -> None:
        assert await smsc.say(text.encode(), source_addr=person.address.removeprefix("+")) == 0

    async def type_in(sequence: int, typed: str) -> str:
        """The screen that follows."""
        options = [option(SERVICE, b"\x12" if sequence else b"\x01"), option(SESSION_INFO, bytes([200, sequence << 1]))]
        source = person.address.removeprefix("+")
        assert await smsc.say(typed.encode(), source_addr=source, service_type="USSD", tlvs=options) == 0
        screens: list[SubmitSmEvent] = []

        def is_there() -> bool:
            screens[:] = [each for each in smsc.submits if each.service_type == "USSD"]
            return len(screens) == sequence + 1

        await eventually(is_there)
        return told(screens[-1])

    logs: list[Any]
    try:
        with structlog.testing.capture_logs() as logs:
            async with opened(tmp_path, sms=[gateway]) as scheme:
                shop = await scheme.merchant("Corner shop")
                person = await scheme.simple_phone("Kofi", funds=5_000, pin=PIN)
                await write(f"PAY {shop.address} 20")
                code = (await text("Pay Corner shop 20.00.*Text back ([0-9]{4})"))[1]
                await write(f"{code} {PIN}")
                await text("20.00")
                await eventually(lambda: person.balance() == 3_000)

                assert "5 " in await type_in(0, "*123#")
                await type_in(1, "5")
                assert "30.00" in await type_in(2, PIN)

                first = next(at for at, each in enumerate(smsc.submits, 1) if f"+{each.destination_addr}" == person.address)
                assert await smsc.say(f"id:{first:08X} stat:DELIVRD".encode(), esm_class=4) == 0
                texts = await scheme.services.sms.to_number(person.address)
                assert [each.state for each in texts].count(State.DELIVERED) == 1
    finally:
        await smsc.close()
    assert PIN not in str(logs)
    assert person.address[1:] not in str(logs)
