"""The receipt check in a real browser: true receipts are proven, and nothing that was changed is proven with other fields."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.forge import BASE45, LOG, ORIGIN, WITNESSES, Entry, Forge, Signer, base45, payment, policy, sha, transfer_payload

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def check(page: Page, receipt: str, rules: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(
        "async ([receipt, policy]) => plain(await verify.check(receipt, policy))", [receipt, policy() if rules is None else rules]
    )
    return found


async def check_all(page: Page, receipts: Sequence[str], rules: str | None = None) -> list[dict[str, Any]]:
    """As `check`, many at a time."""
    found: list[dict[str, Any]] = await page.evaluate(
        """async ([receipts, policy]) => {
          const found = [];
          for (const receipt of receipts) {
            const {outcome, steps, fields, index, checkpoint} = await verify.check(receipt, policy);
            const last = steps.findLast((step) => step.state !== 'skipped');
            found.push(plain({outcome, code: last.code, said: {fields, index, checkpoint}}));
          }
          return found;
        }""",
        [list(receipts), policy() if rules is None else rules],
    )
    return found


def values(report: dict[str, Any]) -> dict[str, str]:
    return {field["name"]: field["value"] for field in report["fields"]}


def last(report: dict[str, Any]) -> tuple[str, str, str]:
    step = next(step for step in reversed(report["steps"]) if step["state"] != "skipped")
    return report["outcome"], step["name"], step["code"]


# True receipts


@pytest.mark.parametrize("form", ["text", "qr"])
@pytest.mark.parametrize("role", [1, 2])
async def test_a_true_receipt_is_proven_and_its_fields_are_told(verifier: Page, form: str, role: int) -> None:
    forge = Forge(payment())
    report = await check(verifier, forge.receipt(role) if form == "text" else forge.qr_text(role))
    assert report["outcome"] == "proven", report["steps"]
    assert [step["name"] for step in report["steps"]] == ["receipt", "policy", "log", "witnesses", "opening", "inclusion", "content"]
    assert {step["state"] for step in report["steps"]} == {"proven"}
    told = values(report)
    assert told["amount"] == "1250"
    assert (told["fee"], told["balance"]) == (("-10", "98740") if role == 1 else ("0", "1250"))
    assert told["account"] == f"00000000-0000-0000-0000-0000000000{'a1' if role == 1 else 'b2'}"
    assert told["time"] == "1795289990123456789"
    assert (report["index"], report["checkpoint"]["size"], report["leaf"]) == ("300", "700", forge.entry.leaf.hex())
    assert [each["name"] for each in report["cosigned"]] == [witness.name for witness in WITNESSES]


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 2), (6, 7), (255, 256), (256, 257), (511, 512), (699, 700)])
async def test_every_place_in_a_tree_can_be_proven(verifier: Page, index: int, size: int) -> None:
    assert (await check(verifier, Forge(payment(), index=index, size=size).receipt()))["outcome"] == "proven"


async def test_entries_that_are_no_payments_are_told_too(verifier: Page) -> None:
    chain = (0xA1).to_bytes(16) + (4).to_bytes(8) + b"\x05" * 32 + (10**18).to_bytes(8)
    key = b"\x01" + chain + (9).to_bytes(16) + b"\x01" + (32).to_bytes(2) + b"k" * 32 + bytes(16) + b"\x03" + b"\0\x02st\0\x01p\0\0"
    freeze = b"\x01" + chain + (8).to_bytes(16) + b"\x01" + bytes(8) + b"h" * 32
    account = b"\x03" + chain + b"\0\x02" + b"\0\0\x03\x48" + b"\0\x02" + "identité".encode()
    public = b'{"amount":1000,"asset":"USD","at":5,"payment":"00"}'
    cases: list[tuple[Entry, int, dict[str, str]]] = [
        (Entry(4, [key, b"", key, b""]), 1, {"what": "key.1", "reason": "reason.3", "public_key": (b"k" * 32).hex()}),
        (Entry(6, [freeze, b"", freeze, public]), 1, {"what": "freeze.1", "incoming": "incoming.1", "expires_at": "0"}),
        (Entry(10, [account, b"", account, b""]), 1, {"what": "account.3", "tier": "identité", "code": "2", "ledger": "840"}),
        (Entry(2, [b"", b"", b"", public]), 4, {"public": public.decode()}),
    ]
    for entry, role, expected in cases:
        report = await check(verifier, Forge(entry).receipt(role))
        assert report["outcome"] == "proven", report["steps"]
        assert expected.items() <= values(report).items()


async def test_a_receipt_that_continues_the_last_one_closes_the_chain(verifier: Page) -> None:
    before = payment()
    following = payment(seq=8, prev=before.leaf, amount=100, fee=-1, balance=98_740 - 101)
    incoming = payment(seq=8, prev=before.leaf, amount=100, fee=0, balance=98_740 + 100, direction=1)
    held = payment(seq=8, prev=before.leaf, event=1, kind=2, amount=500, fee=-5, balance=98_740, held=505)
    cases = {
        "chain.proven": [following, incoming, held],
        "chain.fork": [payment(seq=8, prev=b"\x06" * 32, balance=98_740 - 1_260)],
        "chain.balance": [payment(seq=8, prev=before.leaf, amount=100, fee=-1, balance=98_740 - 102)],
        "chain.gap": [payment(seq=9, prev=before.leaf)],
        "chain.order": [payment(seq=7, prev=before.leaf)],
        "chain.other_account": [payment(seq=8, prev=before.leaf, account=0xA2)],
    }
    for code, entries in cases.items():
        for entry in entries:
            step = await verifier.evaluate(
                "async ([a, b, policy]) => verify.checkChain(await verify.check(a, policy), await verify.check(b, policy))",
                [Forge(before).receipt(), Forge(entry, index=301).receipt(), policy()],
            )
            assert step["code"] == code, step
            assert step["state"] == {"proven": "proven", "fork": "refuted", "balance": "refuted"}.get(code.partition(".")[2], "unreadable")


# What is false, and which step says so


async def test_each_false_link_is_refuted_by_its_own_step(verifier: Page) -> None:
    forge, other = Forge(payment()), payment(amount=9_999)
    stranger = Signer(ORIGIN, 1, seed="another key")
    strangers = [Signer(witness.name, 4, seed=f"false {witness.name}") for witness in WITNESSES]
    forged_line = forge.checkpoint().replace(LOG.line(forge.text), f"— {ORIGIN} {base64.b64encode(LOG.key_id + bytes(64)).decode()}\n")
    cases = {
        "log.unknown": Forge(payment(), log=Signer("other.example/log", 1)).receipt(),
        "log.unsigned": Forge(payment(), log=stranger).receipt(),
        "log.signature": forge.receipt().replace(forge.checkpoint(), forged_line),
        "witnesses.few": Forge(payment(), cosigners=WITNESSES[:3]).receipt(),
        "inclusion.root": forge.receipt(opening=other.opening(1)),
        "inclusion.beyond": forge.receipt(index=700),
    }
    cases_list = list(cases.items())
    cases_list.append(("witnesses.few", Forge(payment(), cosigners=strangers).receipt()))
    cases_list.append(("inclusion.root", forge.receipt(index=301)))
    swapped = forge.receipt()
    first, second = (base64.b64encode(each).decode() for each in forge.hashes[:2])
    cases_list.append(("inclusion.root", swapped.replace(first, "?").replace(second, first).replace("?", second)))
    cases_list.append(("inclusion.root", swapped.replace(f"{first}\n", "")))
    cases_list.append(("inclusion.root", swapped.replace(f"{first}\n", f"{first}\n{first}\n")))
    for code, receipt in cases_list:
        assert last(await check(verifier, receipt)) == ("refuted", code.partition(".")[0], code)


async def test_a_failing_signature_of_a_known_witness_refuses_even_above_the_quorum(verifier: Page) -> None:
    forge = Forge(payment())
    good = WITNESSES[0].line(forge.text)
    late = base64.b64encode(WITNESSES[0].key_id + (5).to_bytes(8) + WITNESSES[0].signature(forge.text)[8:]).decode()
    false = f"— {WITNESSES[0].name} {late}\n"
    assert last(await check(verifier, forge.receipt().replace(good, false))) == ("refuted", "witnesses", "witnesses.signature")


async def test_one_witness_counts_once_however_often_it_signs(verifier: Page) -> None:
    forge = Forge(payment(), cosigners=[WITNESSES[0]] * 5)
    assert last(await check(verifier, forge.receipt())) == ("refuted", "witnesses", "witnesses.few")


async def test_a_root_of_another_tree_with_true_signatures_does_not_carry_the_receipt(verifier: Page) -> None:
    forge, elsewhere = Forge(payment()), Forge(payment(amount=1))
    receipt = forge.receipt().replace(forge.checkpoint(), elsewhere.checkpoint())
    assert last(await check(verifier, receipt)) == ("refuted", "inclusion", "inclusion.root")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("receipt.header", ("@v1", "@v2")),
        ("receipt.no_opening", ("extra ", "more ")),
        ("receipt.index", ("index 300", "index 0300")),
        ("receipt.index", ("index 300", "index -1")),
        ("receipt.index", ("index 300", f"index {2**64}")),
        ("receipt.checkpoint", ("\n700\n", "\n0700\n")),
        ("receipt.checkpoint", ("\n700\n", "\n700\nmore\n")),
        ("receipt.note", ("— ", "- ")),
        ("receipt.note", ("money.example/log ", "money.example/log\u2003x ")),
    ],
)
async def test_what_is_not_in_the_form_is_unreadable(verifier: Page, code: str, change: tuple[str, str]) -> None:
    receipt = Forge(payment()).receipt().replace(*change, 1)
    assert last(await check(verifier, receipt)) == ("unreadable", "receipt", code)


async def test_a_payload_that_is_not_in_its_form_is_not_told(verifier: Page) -> None:
    wrong = [
        transfer_payload()[:-1],
        transfer_payload() + b"\0",
        transfer_payload(event=5),
        transfer_payload(kind=7),
        transfer_payload(seq=0),
    ]
    for payload in [*wrong, b""]:
        report = await check(verifier, Forge(Entry(1, [payload, b"", b"", b""])).receipt())
        assert last(report)[:2] == ("unreadable", "content")
        assert report["fields"] is None


async def test_base64_and_base45_have_one_text_for_each_value(verifier: Page) -> None:
    read = "([name, text]) => { try { return plain(verify[name](text, 'receipt.hash')); } catch (finding) { return finding.outcome; } }"
    assert await verifier.evaluate(read, ["fromBase64", "AQ=="]) == "01"
    assert await verifier.evaluate(read, ["fromBase45", "BB8"]) == b"AB".hex()  # RFC 9285 §4.3
    for text in ("AR==", "AQ", "AQ= =", " AQ==", "AQ==\n", "_w==", "AQ==AQ=="):
        assert await verifier.evaluate(read, ["fromBase64", text]) == "unreadable", text
    for text in ("GGW", "B", "::", "bb8", "BB8B"):
        assert await verifier.evaluate(read, ["fromBase45", text]) == "unreadable", text


async def test_nothing_and_very_much_are_answered(verifier: Page) -> None:
    for receipt in ("", "\n\n", "CF1:", "CF1:\u2603", "CF1:" + "Z" * 70_000, "x" * 70_000):
        assert (await check(verifier, receipt))["outcome"] == "unreadable"


# Every byte


@pytest.mark.slow
async def test_no_flipped_byte_of_a_receipt_is_proven_with_other_fields(verifier: Page) -> None:
    """Every byte in turn, in eight ways; at most a signature that the quorum does not need may become unknown."""
    forge = Forge(payment(), index=5, size=11)
    data = forge.receipt().encode()
    truth = (await check_all(verifier, [data.decode()]))[0]
    assert truth["outcome"] == "proven"
    changed = [
        (at, bit, flipped.decode())
        for at in range(len(data))
        for bit in range(7)
        if _is_utf8(flipped := data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    ]
    assert len(changed) > 6 * len(data)
    names = data.decode().encode()
    proven = 0
    for start in range(0, len(changed), 2_000):
        part = changed[start : start + 2_000]
        for (at, bit, _), found in zip(part, await check_all(verifier, [text for _, _, text in part]), strict=True):
            if found["outcome"] == "proven":
                proven += 1
                assert found["said"] == truth["said"], (at, bit, names[max(0, at - 20) : at + 20])
                assert at > data.index("— ".encode() + WITNESSES[0].name.encode()), (at, bit)  # only in lines of cosigners
    assert 0 < proven < len(changed) / 10


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.slow
async def test_no_changed_byte_of_a_packed_receipt_is_proven_with_other_fields(verifier: Page) -> None:
    forge = Forge(payment(), index=5, size=11)
    data = forge.packed()
    truth = (await check_all(verifier, [forge.qr_text()]))[0]
    changed = ["CF1:" + base45(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]) for at in range(len(data)) for bit in (0, 3, 7)]
    for found in await check_all(verifier, changed):
        assert found["outcome"] != "proven" or found["said"] == truth["said"]
    text = forge.qr_text()
    changed = [text[:at] + BASE45[(BASE45.index(text[at]) + 1) % 45] + text[at + 1 :] for at in range(4, len(text))]
    for found in await check_all(verifier, changed):
        assert found["outcome"] != "proven" or found["said"] == truth["said"]


async def test_no_shorter_and_no_longer_receipt_is_proven_with_other_fields(verifier: Page) -> None:
    forge = Forge(payment(), index=5, size=11)
    text, data = forge.receipt(), forge.packed()
    truth = (await check_all(verifier, [text]))[0]
    cut = [text[:at] for at in range(len(text))] + [f"{text}x", f"{text}\n", f"{text} ", f"\ufeff{text}", f" {text}"]
    for found in await check_all(verifier, cut):
        assert found["outcome"] != "proven" or found["said"] == truth["said"]
    packed = ["CF1:" + base45(each) for each in [*(data[:at] for at in range(len(data))), data + b"\0"]]
    assert all(found["outcome"] != "proven" for found in await check_all(verifier, packed))


# Vectors of others


def load(vectors: Path, name: str) -> Any:
    return json.loads((vectors / "vectors/trust" / name).read_text("utf-8"))


async def test_the_inclusion_proofs_of_the_interop_log_lead_to_its_root(verifier: Page, vectors: Path) -> None:
    proofs = load(vectors, "counterfoil-interop/proofs.json")
    note = (vectors / "vectors/trust/counterfoil-interop/checkpoint").read_text("utf-8")
    root = base64.b64decode(note.split("\n")[2]).hex()
    assert len(proofs["incl"]) == 5
    for case in proofs["incl"]:
        hashes = [base64.b64decode(each).hex() for each in case["proof"]]
        index, size, leaf = str(case["index"]), str(proofs["size"]), base64.b64decode(case["leaf"]).hex()
        assert await lead_to(verifier, index, size, leaf, hashes) == root
        assert await lead_to(verifier, index, size, leaf, [sha(b"false").hex(), *hashes[1:]]) != root


async def lead_to(page: Page, index: str, size: str, leaf: str, proof: list[str]) -> str | None:
    found: str | None = await page.evaluate(
        "async ([index, size, leaf, proof]) => plain(await verify.rootFrom(BigInt(index), BigInt(size), bytes(leaf), proof.map(bytes)))",
        [index, size, leaf, proof],
    )
    return found


async def test_the_checkpoint_of_the_interop_log_is_signed_by_its_key_and_no_other(verifier: Page, vectors: Path) -> None:
    """A receipt of an entry whose commitment nobody can open: log, witnesses (none asked) and form hold, inclusion does not."""
    vkey = load(vectors, "counterfoil-interop/proofs.json")["vkey"]
    note = (vectors / "vectors/trust/counterfoil-interop/checkpoint").read_text("utf-8")
    forge = Forge(payment())
    receipt = forge.receipt().replace(forge.checkpoint(), note)
    assert last(await check(verifier, receipt, f"log {vkey}\nquorum none\n")) == ("refuted", "inclusion", "inclusion.root")
    assert last(await check(verifier, receipt.replace("\n700\n", "\n701\n"), f"log {vkey}\nquorum none\n"))[2] == "log.signature"


async def test_rfc_6962_inclusion_vectors(verifier: Page, vectors: Path) -> None:
    files = sorted((vectors / "vectors/trust/transparency-dev-merkle/inclusion").rglob("*.json"))
    assert len(files) > 90
    for file in files:
        case = json.loads(file.read_text("utf-8"))
        if not 0 <= case["leafIdx"] < 2**64 or not 0 <= case["treeSize"] < 2**64:
            continue
        proof = [base64.b64decode(each).hex() for each in case["proof"] or []]
        leaf, root = base64.b64decode(case["leafHash"]).hex(), base64.b64decode(case["root"]).hex()
        found = await lead_to(verifier, str(case["leafIdx"]), str(case["treeSize"]), leaf, proof)
        sizes = {len(each) for each in [*proof, leaf, root]}
        if sizes == {64}:
            assert (found == root) is not case["wantErr"], file
        else:
            assert case["wantErr"] or found == root, file


async def test_signed_notes_of_go(verifier: Page, vectors: Path) -> None:
    """Their form; whose signature counts is the policy's matter, and tested above."""
    cases = [case for case in load(vectors, "golang-mod/note.json")["cases"] if "note" in case]
    refused = 0
    for case in cases:
        found = await verifier.evaluate("(note) => { try { return plain(verify.readNote(note)); } catch { return null; } }", case["note"])
        if "malformed" in case.get("why", "") or "too many" in case.get("why", ""):
            assert found is None, case["name"]
            refused += 1
        else:
            assert case["note"].startswith(found["text"] + "\n"), case["name"]
            assert {each["name"] for each in found["signatures"]} >= {*case.get("verified", []), *case.get("unverified", [])}, case["name"]
    assert (len(cases), refused) == (14, 7)


async def test_policies_of_sigsum(verifier: Page, vectors: Path) -> None:
    """Their bare keys as verifier keys; groups, thresholds and quorum are the same."""
    given = load(vectors, "sigsum-go/policy.json")
    read = "async (text) => { try { await verify.readPolicy(text); return true; } catch (finding) { return false; } }"
    asked = "async ([text, names]) => { const p = await verify.readPolicy(text); return verify.reached(p.quorum, p, new Set(names)); }"
    questions = 0
    for case in given["valid"]:
        text = translated(case["policy"])
        for question in case["quorum_cases"]:
            questions += 1
            assert await verifier.evaluate(asked, [text, question["witnesses"]]) is question["sufficient"], (text, question)
    assert questions == 23
    for case in given["invalid"]:
        assert not await verifier.evaluate(read, translated(case["policy"])), case["name"]
    assert len(given["invalid"]) == 13


def translated(text: str) -> str:
    """A Sigsum policy in C2SP's syntax: each key becomes the verifier key of a signer."""

    def vkey(key: str, kind: int) -> str:
        data = bytes([kind]) + bytes.fromhex(key) if len(key) == 64 else b""
        name = f"k.example/{key}"
        key_id = sha(name.encode(), b"\n", data)[:4].hex()
        return f"{name}+{key_id}+{base64.b64encode(data).decode()}" if data else key

    lines = []
    for line in text.split("\n"):
        words = line.strip(" \t").replace("\t", " ").split(" ")
        if words[:1] == ["log"] and len(words) > 1:
            words[1] = vkey(words[1], 1)
        elif words[:1] == ["witness"] and len(words) > 2:
            words[2] = vkey(words[2], 4)
        lines.append(" ".join(words))
    return "\n".join(lines)


async def test_verifier_keys_are_read_strictly(verifier: Page) -> None:
    read = "async ([text, kind]) => (await verify.readKey(text, kind)) !== null"
    vkey = WITNESSES[0].vkey
    name, key_id, data = vkey.split("+", 2)
    assert await verifier.evaluate(read, [vkey, 4])
    small = b"\x04" + b"\x01" + bytes(31)
    small_id = sha(name.encode(), b"\n", small)[:4].hex()
    wrong = [vkey.upper(), f"{name}+{key_id}", f"{name}+00000000+{data}", f"{name} x+{key_id}+{data}", f"{vkey}=", ""]
    for text in [*wrong, f"{name}+{small_id}+{base64.b64encode(small).decode()}"]:
        assert not await verifier.evaluate(read, [text, 4]), text
    assert not await verifier.evaluate(read, [vkey, 1])  # a witness's key does not sign as a log


async def test_odd_ed25519_points_are_refused(verifier: Page, vectors: Path) -> None:
    cases = load(vectors, "cctv-ed25519/ed25519vectors.json")
    run = """async (cases) => {
      const found = [];
      for (const c of cases) found.push(await verify.verifies(bytes(c.key), bytes(c.sig), new TextEncoder().encode(c.msg)));
      return found;
    }"""
    accepted = await verifier.evaluate(run, cases)
    odd = {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R", "low_order_residue"}
    wrong = [case["number"] for case, verdict in zip(cases, accepted, strict=True) if verdict and odd & set(case["flags"] or [])]
    assert wrong == []
    assert any(accepted)


async def test_wycheproof_ed25519(verifier: Page, vectors: Path) -> None:
    groups = load(vectors, "wycheproof/ed25519_test.json")["testGroups"]
    run = "async ([key, tests]) => Promise.all(tests.map((t) => verify.verifies(bytes(key), bytes(t.sig), bytes(t.msg))))"
    count = 0
    for group in groups:
        verdicts = await verifier.evaluate(run, [group["publicKey"]["pk"], group["tests"]])
        for case, verdict in zip(group["tests"], verdicts, strict=True):
            count += 1
            assert verdict is (case["result"] == "valid"), case
    assert count > 140
