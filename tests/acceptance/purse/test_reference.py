"""The purse's reference page says what the program does: its example byte for byte, its tables name by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from counterfoil.acceptance.purse import apdu, evidence, messages
from counterfoil.acceptance.purse.apdu import AID, Instruction, Status
from counterfoil.acceptance.purse.card import Card
from counterfoil.acceptance.purse.evidence import Contradiction
from counterfoil.acceptance.purse.messages import Payment
from counterfoil.acceptance.purse.signatures import Algorithm, IssuerKey, PrivateKey
from counterfoil.acceptance.purse.terminal import Decision, Reason
from tests.acceptance.purse.purses import InMemory

PAGE = (Path(__file__).parents[3] / "docs/reference/purse.md").read_text("utf-8")

ISSUER_SECRET, CARD_SECRET = bytes(range(32)), bytes(range(32, 64))
CARD_ID = bytes.fromhex("0199f3a85d6e7a1bb2c3d4e5f6071829")
TERMINAL_ID = bytes.fromhex("0199f3a85d6f7c2d8e9fa0b1c2d3e4f5")


def example() -> dict[str, Any]:
    """What the page shows; `python -m tests.acceptance.purse.test_reference` prints it."""
    issuer, key = PrivateKey(Algorithm.ED25519, ISSUER_SECRET), PrivateKey(Algorithm.P256_DER, CARD_SECRET)
    issuer_key = IssuerKey(issuer.algorithm, issuer.public_key)
    terms = messages.Terms(
        algorithm=key.algorithm, issuer_algorithm=issuer.algorithm, issuer_key_id=issuer_key.key_id, card_id=CARD_ID, epoch=1,
        currency="USD", ceiling=5_000, max_tx=2_000, max_ctr=500, not_before=1_795_280_000, not_after=1_796_489_600,
        public_key=key.public_key,
    )  # fmt: skip
    certificate = messages.sign_certificate(terms, issuer)
    payments = [
        Payment(amount=amount, currency="USD", terminal_id=TERMINAL_ID, nonce=bytes([amount % 256]) * 16) for amount in (1_250, 320)
    ]
    memory = InMemory()
    card = Card(CARD_ID, key, issuer_key, memory)
    steps: list[dict[str, str]] = []

    def send(title: str, instruction: Instruction, data: bytes = b"") -> bytes:
        command = apdu.command(instruction, data)
        answer = card.answer(command)
        steps.append({"title": title, "command": command.hex(), "answer": answer.hex()})
        return answer[:-2]

    send("SELECT a new card", Instruction.SELECT, AID)
    send("PUT CERT", Instruction.PUT_CERT, messages.encode_certificate(certificate))
    before = memory.kept
    send("SELECT", Instruction.SELECT, AID)
    send("GET CERT", Instruction.GET_CERT)
    first = messages.decode_receipt(send("PAY 12.50", Instruction.PAY, messages.encode_payment(payments[0])))
    send("the same PAY again", Instruction.PAY, messages.encode_payment(payments[0]))
    send("GET LAST", Instruction.GET_LAST)
    send("GET STATE", Instruction.GET_STATE)
    send(
        "PAY 50.00",
        Instruction.PAY,
        messages.encode_payment(Payment(amount=5_000, currency="USD", terminal_id=TERMINAL_ID, nonce=bytes(16))),
    )
    memory.kept = before
    send("SELECT the card, set back", Instruction.SELECT, AID)
    second = messages.decode_receipt(send("PAY 3.20", Instruction.PAY, messages.encode_payment(payments[1])))
    found = evidence.find(certificate, second, [first])
    assert found
    return {
        "issuer": {"alg": 2, "secret": ISSUER_SECRET.hex(), "public_key": issuer.public_key.hex(), "key_id": issuer_key.key_id.hex()},
        "card": {"alg": 1, "secret": CARD_SECRET.hex(), "public_key": key.public_key.hex(), "card_id": CARD_ID.hex()},
        "steps": steps,
        "evidence": evidence.encode(found).hex(),
        "proves": evidence.verify(found, issuer_key),
    }


def test_the_example_is_what_the_program_says() -> None:
    block = re.search(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert block
    assert json.loads(block[1]) == example()


def column(heading: str) -> list[str]:
    """The code-marked first cells of the first table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` ", section, re.MULTILINE)


def test_the_tables_have_every_name_and_no_other() -> None:
    assert column("Status words") == [f"{status:04X}" for status in sorted(Status, key=lambda each: (each != Status.DONE, each))]
    assert column("Reasons") == list(Reason)
    assert column("After a tear") == list(Decision)
    assert column("Evidence") == list(Contradiction)


def test_the_page_has_each_field_with_its_place() -> None:
    """Fields of a table begin where those before them end, and end where the message does."""
    sizes = {
        "Certificate": 72,
        "Receipt": messages.BODY_SIZE,
        "What SELECT answers": messages.SELECTED_SIZE,
        "What PAY carries": messages.PAYMENT_SIZE,
    }
    for heading, size in sizes.items():
        section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
        rows = re.findall(r"^\| \w+ \| (\d+) \| (\d+) \|", section, re.MULTILINE)
        at = 0
        for start, length in rows:
            assert int(start) == at, (heading, start)
            at += int(length)
        assert at == size, heading


if __name__ == "__main__":
    print(json.dumps(example(), indent=1))
