"""Wallet commands about the account and about asking: create, balance, history, devices, requests, batches, standing orders."""

from __future__ import annotations

import argparse
import csv
import getpass
import hashlib
import sys
from pathlib import Path
from typing import Any

import msgspec

from counterfoil.clock import Clock
from counterfoil.commands import keyfile
from counterfoil.commands.client import Client, ServerRefused
from counterfoil.commands.keyfile import KeyFile
from counterfoil.commands.output import DONE, REFUSED, Answer, WrongUse, pairs, plain, table
from counterfoil.commands.pay import checked_id
from counterfoil.commands.wallet import BATCHES, REQUESTS, STANDING_ORDERS, Wallet, signed_body
from counterfoil.errors import Malformed
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.parties import statements
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.forms import Batch, Every, RequestToPay, StandingOrder
from counterfoil.web.values import base64_text

DAY_MS = 86_400_000
FILE_SIZE_MAX = 8 * 2**20
"""Bytes of a batch's file."""
REQUEST_DAYS_MAX = 90


def create(path: Path, server: str, arguments: argparse.Namespace, clock: Clock) -> Answer:
    """Makes a key, proves the number with the code that is sent to it, and opens the account.

    The key is on the disk before it is sent: when the answer is lost, the same command goes on with the same key, and the
    server answers with the same account.
    """
    client = Client(server, None, clock)
    scheme = client.get("/v1/scheme", signed=False)
    try:
        number = parse_number(arguments.number, scheme["region"], "--number")
    except Malformed as error:
        raise WrongUse(error.detail) from None
    begun_before = path.exists()
    key = _begun(path, number, client.server, scheme, arguments.name, clock)
    sent = client.post("/v1/codes", {"number": number, "purpose": "enrol"}, signed=False)
    code = arguments.code or sent.get("code") or _ask("The code that was sent to your number: ", "--code")
    pin = arguments.pin or _ask_secret("A PIN of 4 to 8 digits: ", "--pin")
    statement = statements.enrol(
        origin=key.origin,
        number=number,
        device=parse_id(key.device, "device"),
        algorithm=KeyAlgorithm.ED25519,
        public_key=bytes(key.signing_key.verify_key),
    )
    body = {"number": number, "code": code, "name": arguments.name, "language": arguments.language, "pin": pin}
    try:
        opened = client.post("/v1/accounts", body | {"key": key_body(key, statement)}, signed=False)
    except ServerRefused:
        if not begun_before:  # a no to the first try: nobody has heard of this key
            path.unlink()
        raise
    key = msgspec.structs.replace(key, party=opened["party"], account=opened["account"], name=opened["name"])
    keyfile.complete(path, key)
    rows = [
        ("Opened for", plain(key.name)),
        ("Number", number),
        ("Account", key.account),
        ("Key file", f"{path} (whoever has it can spend your money)"),
        ("Operator's key", f"{key.operator_key} (compare it with what the operator has published)"),
    ]
    if arguments.handle:
        handle = Wallet(path, None, clock).client.post("/v1/handle", {"handle": arguments.handle})["handle"]
        rows.append(("Handle", f"@{handle}"))
        opened = opened | {"handle": handle}
    return Answer(opened | {"number": number, "key_file": str(path), "operator_key": key.operator_key}, pairs(rows))


def _begun(path: Path, number: str, server: str, scheme: dict[str, Any], name: str, clock: Clock) -> KeyFile:
    """A new key, saved; or the one that an earlier try for the same number has left without knowing what came of it."""
    if path.exists():
        key = keyfile.load(path)
        if key.party or key.number != number or key.origin != scheme["origin"]:
            raise WrongUse(f"{path} is already there: a key is never written over")
        return key
    key = new_key(server, scheme, clock, name=name, number=number)
    keyfile.save(path, key)
    return key


def new_key(server: str, scheme: dict[str, Any], clock: Clock, *, name: str, number: str = "") -> KeyFile:
    """A fresh key for whoever is going to be `name`. `scheme`: what the server says of itself at /v1/scheme."""
    return KeyFile(
        server=server,
        origin=scheme["origin"],
        currency=scheme["currency"],
        digits=scheme["digits"],
        operator_key=scheme["operator_key"],
        party="",
        account="",
        device=id_text(new_id(clock)),
        seed=keyfile.new_seed(clock.random_bytes(32)),
        name=name,
        number=number,
    )


def _ask(prompt: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise WrongUse(f"{option} is needed where nobody can be asked")
    print(prompt, end="", file=sys.stderr, flush=True)
    return input().strip()


def _ask_secret(prompt: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise WrongUse(f"{option} is needed where nobody can be asked")
    return getpass.getpass(prompt)


def key_body(key: KeyFile, statement: bytes, label: str = "command line") -> dict[str, Any]:
    """A key as the API takes it, with its own signature over `statement`."""
    return {
        "device": key.device,
        "algorithm": "ed25519",
        "public_key": base64_text(bytes(key.signing_key.verify_key)),
        "possession": base64_text(key.signing_key.sign(statement).signature),
        "label": label,
    }


# The account


def balance(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """What is in the account."""
    me = wallet.client.get("/v1/accounts/me")
    held = me["balance"] - me["available"]
    rows = [("Balance", wallet.money(me["balance"])), ("Available", wallet.money(me["available"]))]
    if held:
        rows.append(("Set aside", wallet.money(held)))
    rows += [("Name", plain(me["name"])), ("Tier", me["tier"])]
    rows += [(label, prefix + me[name]) for label, prefix, name in _KNOWN_AS if me[name]]
    rows += [("Frozen", plain(freeze["reason"])) for freeze in me["freezes"]]
    return Answer(me, pairs(rows))


_KNOWN_AS = (("Number", "", "number"), ("Handle", "@", "handle"), ("Code", "", "merchant_code"))


def history(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Entries of the account, newest first."""
    page = wallet.client.get("/v1/history", limit=arguments.limit, cursor=arguments.cursor)
    rows = [
        (
            entry["at"][:19].replace("T", " "),
            entry["code"].replace("_", " "),
            plain(entry["counterparty_name"] or "the scheme"),
            _signed(wallet, entry["change"]) if entry["change"] or not entry["set_aside"] else f"({wallet.money(abs(entry['set_aside']))})",
            wallet.money(entry["balance"]),
            plain(entry["memo"]),
        )
        for entry in page["entries"]
    ]
    headers = ("When (UTC)", "What", "With", "Change", "Balance", "Memo")
    lines = table(headers, rows, right=("Change", "Balance")) if rows else ["No entries yet."]
    return Answer(page, [*lines, *_more(page, "history")])


def devices(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Devices that may sign; takes one away, or enrols a new key file."""
    if arguments.revoke:
        device = parse_id(checked_id(arguments.revoke), "--revoke")
        statement = statements.revoke_device(origin=wallet.key.origin, party=parse_id(wallet.key.party, "party"), device=device)
        body = {"by_device": wallet.key.device, "signature": base64_text(wallet.key.signing_key.sign(statement).signature)}
        wallet.client.post(f"/v1/devices/{arguments.revoke}/revoke", body, signed=False)
        return Answer({"revoked": arguments.revoke}, [f"Taken away for good: {arguments.revoke}"])
    if arguments.add:
        return _add_device(wallet, arguments.add)
    found = wallet.client.get("/v1/devices")
    rows = [
        (each["id"], plain(each["label"]), each["state"], each["created_at"][:10], "this one" if each["id"] == wallet.key.device else "")
        for each in found["devices"]
    ]
    return Answer(found, table(("Device", "Label", "State", "Since", ""), rows))


def _add_device(wallet: Wallet, path: Path) -> Answer:
    """A second key for the same account, in a key file of its own. Both keys sign."""
    if path.exists():
        raise WrongUse(f"{path} is already there: a key is never written over")
    device = new_id(wallet.clock)
    seed = keyfile.new_seed(wallet.clock.random_bytes(32))
    key = msgspec.structs.replace(wallet.key, device=id_text(device), seed=seed)
    statement = statements.add_device(
        origin=key.origin,
        party=parse_id(key.party, "party"),
        device=device,
        algorithm=KeyAlgorithm.ED25519,
        public_key=bytes(key.signing_key.verify_key),
    )
    keyfile.save(path, key)  # first: a key that is enrolled and lost would have to be taken away again
    body = {
        "key": key_body(key, statement),
        "by_device": wallet.key.device,
        "signature": base64_text(wallet.key.signing_key.sign(statement).signature),
    }
    added = wallet.client.post("/v1/devices", body, signed=False)
    return Answer(added, [f"Added: {added['id']}, key file {path}"])


# Requests


def request(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Asks somebody, or anyone, for money."""
    amount = 0 if arguments.amount is None else wallet.amount(arguments.amount)
    payer = parse_id(wallet.resolve(arguments.payer)["account"], "payer") if arguments.payer else 0
    if not 0 < arguments.days <= REQUEST_DAYS_MAX:
        raise WrongUse(f"--days: must be 1 to {REQUEST_DAYS_MAX}")
    return _request(wallet, amount, payer, arguments.memo, arguments.days, purpose=0)


def cash_in(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """The customer's half of a cash-in. The agent's half is accepting it."""
    agent = wallet.resolve(arguments.agent)
    asked = _request(wallet, wallet.amount(arguments.amount), parse_id(agent["account"], "agent"), "", 1, purpose=1)
    return Answer(
        asked.data, [*asked.lines, f"Give {plain(agent['name'])} the cash; they answer with: counterfoil wallet accept {asked.data['id']}"]
    )


def _request(wallet: Wallet, amount: int, payer: int, memo: str, days: int, *, purpose: int) -> Answer:
    signer = wallet.signer()
    form = RequestToPay(
        origin=wallet.key.origin,
        asset=wallet.key.currency,
        payee=wallet.account,
        payer=payer,
        amount=amount,
        id=wallet.new_id(),
        expiry_ms=wallet.now_ms() + days * DAY_MS,
        purpose=purpose,
        memo=memo,
    )
    asked = wallet.send_once(form.id, "request", REQUESTS, signed_body(signer.form(form)))
    rows = [
        ("Asked for", wallet.money(asked["amount"]) if asked["amount"] else "what the payer decides"),
        ("Open until", asked["expires_at"]),
        ("Request", asked["id"]),
    ]
    return Answer(asked, pairs(rows))


def requests(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Requests by and to the account, newest first."""
    page = wallet.client.get(REQUESTS, limit=arguments.limit, cursor=arguments.cursor)
    rows = [
        (
            each["id"],
            "by you" if each["payee"] == wallet.key.account else "to you",
            wallet.money(each["amount"]) if each["amount"] else "open",
            "cash in" if each["cash_in"] else "",
            each["state"],
            plain(each["memo"]),
        )
        for each in page["requests"]
    ]
    lines = table(("Request", "Asked", "Amount", "", "State", "Memo"), rows, right=("Amount",)) if rows else ["No requests yet."]
    return Answer(page, [*lines, *_more(page, "requests")])


def decline(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Says no to a request."""
    declined = wallet.client.post(f"{REQUESTS}/{checked_id(arguments.id)}/decline")
    return Answer(declined, [f"Declined: {declined['id']}"])


def cancel(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Takes back a request of one's own."""
    cancelled = wallet.client.post(f"{REQUESTS}/{checked_id(arguments.id)}/cancel")
    return Answer(cancelled, [f"Taken back: {cancelled['id']}"])


# Batches and standing orders


def batch(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Sends a file of payments under one signature, or tells how far one is."""
    if arguments.status:
        return _batch_status(wallet, checked_id(arguments.status))
    if arguments.file is None:
        raise WrongUse("name a file (to,amount,memo), or --status ID")
    try:
        data = arguments.file.read_bytes()
        file = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{arguments.file}: {error}") from None
    if len(data) > FILE_SIZE_MAX:
        raise WrongUse(f"{arguments.file} must be at most {FILE_SIZE_MAX} bytes")
    amounts = _amounts(wallet, file)
    form = Batch(
        origin=wallet.key.origin,
        asset=wallet.key.currency,
        payer=wallet.account,
        id=wallet.new_id(),
        count=len(amounts),
        total=sum(amounts),
        max_fee=wallet.amount(arguments.max_fee, "--max-fee"),
        expiry_ms=wallet.now_ms() + DAY_MS,
        lines_hash=hashlib.sha256(data).digest(),
        memo=arguments.memo,
    )
    body = signed_body(wallet.signer().form(form)) | {"file": file}
    taken = wallet.send_once(form.id, f"batch of {len(amounts)}", BATCHES, body)
    rows = [("Batch", taken["id"]), ("Lines", taken["count"]), ("Total", wallet.money(taken["total"]))]
    return Answer(taken, [*pairs(rows), f"Results: counterfoil wallet batch --status {taken['id']}"])


def _amounts(wallet: Wallet, file: str) -> list[int]:
    """The amounts of the file, for count and total in the signature. The server reads the file again, strictly."""
    rows = list(csv.reader(file.splitlines()))[1:]
    if not rows or any(len(row) != 3 for row in rows):
        raise WrongUse("the file must have the header to,amount,memo and three fields a line")
    return [wallet.amount(row[1]) for row in rows]


def _batch_status(wallet: Wallet, batch_id: str) -> Answer:
    status = wallet.client.get(f"{BATCHES}/{batch_id}")
    lines, cursor = [], None
    while True:
        page = wallet.client.get(f"{BATCHES}/{batch_id}/lines", limit=1_000, cursor=cursor)
        lines += page["lines"]
        if (cursor := page["next"]) is None:
            break
    rows = [
        (each["line"], plain(each["to"]), wallet.money(each["amount"]), each["outcome"] or "waits", plain(each["detail"])) for each in lines
    ]
    head = pairs(
        [
            ("State", status["state"]),
            ("Paid", f"{status['completed']} of {status['count']}, {wallet.money(status['completed_amount'])}"),
            ("Refused", status["refused"]),
        ]
    )
    shown = table(("Line", "To", "Amount", "Outcome", ""), rows, right=("Line", "Amount"))
    return Answer(status | {"lines": lines}, [*head, "", *shown], REFUSED if status["refused"] else DONE)


def standing(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Pays the same again and again; lists, or ends one."""
    if arguments.cancel:
        ended = wallet.client.post(f"{STANDING_ORDERS}/{checked_id(arguments.cancel)}/cancel")
        return Answer(ended, [f"Ended: {ended['id']}"])
    if arguments.payee is None:
        return _standing_orders(wallet)
    if arguments.amount is None:
        raise WrongUse("say whom to pay and how much")
    payee = wallet.resolve(arguments.payee)
    form = StandingOrder(
        origin=wallet.key.origin,
        asset=wallet.key.currency,
        payer=wallet.account,
        payee=parse_id(payee["account"], "payee"),
        amount=wallet.amount(arguments.amount),
        max_fee=wallet.amount(arguments.max_fee, "--max-fee"),
        id=wallet.new_id(),
        first_at_ms=wallet.now_ms(),
        every=Every[arguments.every.upper()],
        count_max=arguments.count,
        memo=arguments.memo,
    )
    made = wallet.send_once(form.id, "standing order", STANDING_ORDERS, signed_body(wallet.signer().form(form)))
    rows = [
        ("Pays", f"{wallet.money(made['amount'])} to {plain(payee['name'])}, every {made['every']}"),
        ("Times", made["count_max"] or "until you end it"),
        ("Next", made["next_at"]),
        ("Standing order", made["id"]),
    ]
    return Answer(made, pairs(rows))


def _standing_orders(wallet: Wallet) -> Answer:
    found = wallet.client.get(STANDING_ORDERS)
    rows = [
        (
            each["id"],
            wallet.money(each["amount"]),
            each["every"],
            each["state"],
            each["next_at"][:10],
            each["done"],
            each["last_outcome"] or "",
        )
        for each in found["standing_orders"]
    ]
    headers = ("Standing order", "Amount", "Every", "State", "Next", "Done", "Last")
    return Answer(found, table(headers, rows, right=("Amount", "Done")) if rows else ["No standing orders."])


def _more(page: dict[str, Any], command: str) -> list[str]:
    return [f"More: counterfoil wallet {command} --cursor {page['next']}"] if page["next"] else []


def _signed(wallet: Wallet, change: int) -> str:
    return f"{'+' if change > 0 else ''}{wallet.money(change)}"
