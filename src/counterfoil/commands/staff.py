"""Commands of members of staff: sign in to the pages, open accounts, propose and approve, freeze."""

from __future__ import annotations

import argparse
import re
from typing import Any

import msgspec

from counterfoil.commands import keyfile
from counterfoil.commands.account import key_body, new_key
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.output import DONE, REFUSED, Answer, WrongUse, pairs, plain, table
from counterfoil.commands.pay import checked_id
from counterfoil.commands.wallet import Wallet
from counterfoil.ids import id_text, parse_id
from counterfoil.parties import statements
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.types import KeyAlgorithm

PROPOSALS, PARTIES, FREEZES = "/v1/staff/proposals", "/v1/staff/parties", "/v1/staff/freezes"


def login(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """A link to the staff pages that works once."""
    link = wallet.client.post("/v1/staff/sign-in-links")
    url = f"{wallet.client.server}{link['path']}"
    return Answer(link | {"url": url}, [url, f"Works once, until {link['expires_at']}."])


def party(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Who somebody is, as staff see it."""
    return _party(wallet, _find(wallet, arguments.who))


def open_party(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Opens an account for somebody at the counter; with --new-key, also their first key file."""
    body: dict[str, Any] = {
        "id": id_text(wallet.new_id()),
        "kind": arguments.kind,
        "name": arguments.name,
        "language": arguments.language,
        "number": arguments.number,
        "handle": arguments.handle,
        "tier": arguments.tier,
        "roles": arguments.role,
    }
    if bool(arguments.role) != (arguments.kind == "staff"):
        raise WrongUse("--role is for members of staff, and they need one")
    key = None
    if arguments.new_key is not None:
        scheme = wallet.client.get("/v1/scheme", signed=False)
        number = parse_number(arguments.number, scheme["region"], "--number") if arguments.number else ""
        key = new_key(wallet.client.server, scheme, wallet.clock, name=arguments.name, number=number)
        keyfile.save(arguments.new_key, key)
        statement = statements.enrol(
            origin=key.origin,
            number=number,
            device=parse_id(key.device, "device"),
            algorithm=KeyAlgorithm.ED25519,
            public_key=bytes(key.signing_key.verify_key),
        )
        body["key"] = key_body(key, statement)
    try:
        opened = wallet.client.post(PARTIES, {name: value for name, value in body.items() if value})
    except ServerRefused:
        if key is not None:
            arguments.new_key.unlink()
        raise
    if key is not None:
        whose = {"party": opened["id"], "account": opened["account"] or "", "name": opened["name"]}
        keyfile.complete(arguments.new_key, msgspec.structs.replace(key, **whose))
    return _party(wallet, opened)


def tier(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Moves somebody to another tier, with a reason."""
    found = _find(wallet, arguments.who)
    return _party(wallet, wallet.client.post(f"{PARTIES}/{found['id']}/tier", {"tier": arguments.tier, "reason": arguments.reason}))


def freeze(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Stops all that leaves somebody's account, with a reason."""
    found = _find(wallet, arguments.who)
    body: dict[str, Any] = {
        "id": id_text(wallet.new_id()),
        "party": found["id"],
        "reason": arguments.reason,
        "incoming": arguments.incoming,
    }
    if arguments.hours:
        body["lifetime_s"] = arguments.hours * 3600
    frozen = wallet.client.post(FREEZES, body)
    until = frozen["expires_at"] or "somebody lifts it"
    rows = [("Frozen", plain(found["name"])), ("Until", until), ("Freeze", frozen["id"])]
    return Answer(frozen, pairs(rows))


def unfreeze(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Lifts a freeze, with a reason."""
    wallet.client.post(f"{FREEZES}/{checked_id(arguments.id)}/lift", {"reason": arguments.reason})
    return Answer({"lifted": arguments.id}, [f"Lifted: {arguments.id}"])


def propose(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Proposes an issue, a withdrawal or a reversal. Another member of staff approves it."""
    body: dict[str, Any] = {"id": id_text(wallet.new_id()), "kind": arguments.kind, "reason": arguments.reason}
    if arguments.kind == "reversal":
        body["reversal"] = {"payment": checked_id(arguments.subject)}
    else:
        if arguments.amount is None:
            raise WrongUse(f"{arguments.kind} needs an amount")
        body["circulation"] = {"account": _account(wallet, arguments.subject), "amount": wallet.amount(arguments.amount)}
    return _proposal(wallet.client.post(PROPOSALS, body))


def proposals(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """The newest proposals."""
    found = wallet.client.get(PROPOSALS, state=arguments.state)
    rows = [
        (each["id"], each["kind"], each["state"], each["created_at"][:16].replace("T", " "), plain(each["reason"]))
        for each in found["proposals"]
    ]
    return Answer(found, table(("Proposal", "What", "State", "Since (UTC)", "Reason"), rows) if rows else ["No proposals."])


def approve(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Approves somebody else's proposal, and does it."""
    return _proposal(wallet.client.post(f"{PROPOSALS}/{checked_id(arguments.id)}/approve"))


def reject(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Rejects a proposal, or takes back one's own."""
    return _proposal(wallet.client.post(f"{PROPOSALS}/{checked_id(arguments.id)}/reject"))


def _find(wallet: Wallet, who: str) -> dict[str, Any]:
    if re.fullmatch(r"[0-9a-f-]{36}", who, re.ASCII):
        return dict(wallet.client.get(f"{PARTIES}/{who}"))
    return dict(wallet.client.get(PARTIES, address=who))


def _account(wallet: Wallet, who: str) -> str:
    account = _find(wallet, who)["account"]
    if not account:
        raise WrongUse(f"{plain(who)} holds no account")
    return str(account)


def _party(wallet: Wallet, found: dict[str, Any]) -> Answer:
    rows = [
        ("Name", plain(found["name"])),
        ("Kind", found["kind"]),
        *([("Balance", wallet.money(found["balance"]))] if found["balance"] is not None else []),
        *[(label, prefix + found[name]) for label, prefix, name in _PARTICULARS if found[name]],
        *([("Roles", ", ".join(found["roles"]))] if found["roles"] else []),
        *[("Frozen", f"{plain(each['reason'])} ({each['id']})") for each in found["freezes"]],
        ("Devices", sum(device["state"] == "active" for device in found["devices"])),
        ("Party", found["id"]),
    ]
    return Answer(found, pairs(rows))


_PARTICULARS = (
    ("Number", "", "number"),
    ("Handle", "@", "handle"),
    ("Code", "", "merchant_code"),
    ("Tier", "", "tier"),
    ("State", "", "state"),
    ("Account", "", "account"),
)


def _proposal(found: dict[str, Any]) -> Answer:
    rows = [
        ("Proposal", found["id"]),
        ("What", found["kind"]),
        ("State", found["state"]),
        *([("Outcome", plain(found["outcome"]))] if found["outcome"] else []),
        ("Reason", plain(found["reason"])),
    ]
    return Answer(found, pairs(rows), REFUSED if found["state"] == "failed" else DONE)
