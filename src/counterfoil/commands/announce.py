"""Commands of members of staff about messages: what goes to many, and what people have reported."""

from __future__ import annotations

import argparse
from typing import Any

from counterfoil.commands.output import Answer, WrongUse, pairs, plain, table
from counterfoil.commands.pay import checked_id
from counterfoil.commands.wallet import Wallet
from counterfoil.ids import id_text

ANNOUNCEMENTS, REPORTS = "/v1/staff/announcements", "/v1/staff/reports"


def announce(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Proposes a message to many. Another member of staff approves it."""
    texts = {}
    for each in arguments.text:
        code, is_one, text = each.partition("=")
        if not is_one or code in texts:
            raise WrongUse("--text is a language and its text, like en='We are closed on Friday.', once for each language")
        texts[code] = text
    body: dict[str, Any] = {"id": id_text(wallet.new_id()), "reason": arguments.reason, "texts": texts, "security": arguments.security}
    if arguments.list is not None:
        body |= {"to": "list", "list": [line.strip() for line in arguments.list.read_text("utf-8").splitlines() if line.strip()]}
    else:
        to, _, value = arguments.to.partition(":")
        body |= {"to": to, "value": value}
    return _announcement(wallet, wallet.client.post(ANNOUNCEMENTS, body))


def announcement(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """A message to many: what is sent, to how many, and how far it is."""
    return _announcement(wallet, wallet.client.get(f"{ANNOUNCEMENTS}/{checked_id(arguments.id)}"))


def reports(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Messages that people have reported and nobody has closed."""
    found = wallet.client.get(REPORTS, state="closed" if arguments.closed else "open")
    rows = [(each["id"], each["reason"], each["created_at"][:16].replace("T", " "), plain(each["text"])[:60]) for each in found["reports"]]
    return Answer(found, table(("Report", "Why", "Since (UTC)", "Message"), rows) if rows else ["No reports."])


def close_report(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Closes a report with a word, and stops its sender from writing if need be."""
    closed = wallet.client.post(f"{REPORTS}/{checked_id(arguments.id)}/close", {"word": arguments.word, "days": arguments.days})
    stopped = f"{closed['days']} days" if closed["days"] else "no"
    return Answer(closed, pairs([("Closed", closed["id"]), ("Sender stopped", stopped), ("Word", plain(closed["word"]))]))


def _announcement(wallet: Wallet, found: dict[str, Any]) -> Answer:
    rows = [
        ("Proposal", found["id"]),
        ("State", found["state"]),
        ("To", ":".join(part for part in (found["to"], "" if found["to"] == "list" else found["value"]) if part)),
        *[(f"Text ({code})", plain(text)) for code, text in found["texts"].items()],
    ]
    if found["security"]:
        rows.append(("Security", "goes at once, to those who have muted the scheme, too"))
    if reach := found["reach"]:
        rows += [("People", reach["people"]), ("In the app", reach["in_app"]), ("Muted", reach["muted"])]
        rows += [("By SMS", f"{reach['by_text']}, in {reach['parts']} parts"), ("Of these in a later week", reach["later"])]
        rows += [("Not reached", reach["unreached"])]
        rows += [("SMS from", reach["texts_from"])] if reach["texts_from"] else []
        rows += [("Cost of the SMS", "not known" if reach["cost"] is None else wallet.money(reach["cost"]))]
    if progress := found["progress"]:
        rows += [("People", progress["people"]), ("By SMS", progress["texts"]), ("Not reached", progress["left_out"])]
        rows += [("Done", progress["done_at"] or "under way")]
    return Answer(found, pairs(rows))
