"""Wallet commands to keep in touch, and to keep: messages with people, and a month's statement as a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from counterfoil.commands.output import Answer, WrongUse, pairs, plain, table
from counterfoil.commands.pay import checked_id
from counterfoil.commands.wallet import Wallet
from counterfoil.errors import Unavailable
from counterfoil.ids import id_text

MESSAGES, THREADS, STATEMENTS = "/v1/messages", "/v1/threads", "/v1/statements"
FORMS = {".csv": "text/csv", ".pdf": "application/pdf"}


def message(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """Writes to somebody. The same --id is the same message, however often it is sent."""
    to = wallet.resolve(arguments.to)
    message_id = checked_id(arguments.id) if arguments.id else id_text(wallet.new_id())
    try:
        sent = wallet.client.post(MESSAGES, {"id": message_id, "to": to["account"], "text": arguments.text})
    except Unavailable as error:
        raise Unavailable(
            f"{error.detail.rstrip('.')}. Not known whether it was sent; with --id {message_id} it is not sent twice."
        ) from None
    return Answer(sent, pairs([("Sent to", plain(to["name"])), ("Message", sent["id"])]))


def messages(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """With whom there are messages; or those with one person, which then have been read."""
    if arguments.with_ is None:
        return _threads(wallet, arguments)
    other = wallet.resolve(arguments.with_)
    path = f"{THREADS}/{other['account']}"
    page = wallet.client.get(path, limit=arguments.limit, cursor=arguments.cursor)
    wallet.client.post(f"{path}/read")
    rows = [
        (each["at"][:19].replace("T", " "), "you" if each["from"] == wallet.key.account else plain(page["name"]), plain(each["text"]))
        for each in reversed(page["messages"])
    ]
    lines = table(("When (UTC)", "Who", "Text"), rows) if rows else [f"No messages with {plain(page['name'])} yet."]
    if page["blocked"]:
        lines.append("You have blocked messages between you.")
    if page["next"]:
        lines.append(f"Older: counterfoil wallet messages {plain(arguments.with_)} --cursor {page['next']}")
    return Answer(page, lines)


def _threads(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    page = wallet.client.get(THREADS, limit=arguments.limit, cursor=arguments.cursor)
    rows = [
        (
            plain(each["name"]),
            each["unread"] or "",
            each["last"]["at"][:19].replace("T", " "),
            ("you: " if each["last"]["from"] == wallet.key.account else "") + plain(each["last"]["text"]),
        )
        for each in page["threads"]
    ]
    lines = table(("With", "New", "When (UTC)", "Last"), rows, right=("New",)) if rows else ["No messages yet."]
    if page["next"]:
        lines.append(f"More: counterfoil wallet messages --cursor {page['next']}")
    return Answer(page, lines)


def statement(wallet: Wallet, arguments: argparse.Namespace) -> Answer:
    """A month's statement as CSV or PDF, by the file's name."""
    path: Path = arguments.out or Path(f"statement-{arguments.month}.csv")
    if path.suffix.lower() not in FORMS:
        raise WrongUse(f"--out: must end in {' or '.join(FORMS)}")
    data = wallet.client.file(f"{STATEMENTS}/{arguments.month}", accept=FORMS[path.suffix.lower()], lang=arguments.lang)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise WrongUse(f"{path}: {error.strerror}") from None
    return Answer({"month": arguments.month, "file": str(path), "bytes": len(data)}, [f"Written: {path} ({len(data)} bytes)"])
