"""The command line's grammar: every command, its arguments, and an example of each. Imports nothing heavy: --help is instant."""

from __future__ import annotations

import argparse
from pathlib import Path

from counterfoil.commands import machine_arguments
from counterfoil.commands.argument_parts import Commands, add, data, group, reader

EPILOG = """\
Exit codes: 0 done, 1 refused (the answer is no), 2 wrong use, 3 unavailable (not known: run it again).
The data folder comes from --data or COUNTERFOIL_DATA, a wallet's key from --key or COUNTERFOIL_KEY.
"""


def parser() -> argparse.ArgumentParser:
    """The whole grammar. The result has `command`, and where there are several, `action` (and `what`)."""
    top = argparse.ArgumentParser(
        prog="counterfoil",
        description="Mobile money that people can check for themselves.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _scheme(commands)
    _wallet(commands)
    _staff(commands)
    return top


# The scheme's own commands


def _scheme(commands: Commands[argparse.ArgumentParser]) -> None:
    serve = data(
        add(
            commands,
            "serve",
            "run the scheme's server",
            "serve --data /var/lib/counterfoil",
            "serve --port 0",
            "serve --data /var/lib/counterfoil --workers 2",
        )
    )
    _address(serve)
    serve.add_argument(
        "--workers",
        default=0,
        type=int,
        metavar="N",
        help="processes for HTTP beside the one that has ledger and store; 0 is one process for everything (default: 0)",
    )

    demo = data(add(commands, "demo", "run a small town that trades, the same each time", "demo", "demo --data /tmp/town --port 0"))
    _address(demo)
    demo.add_argument("--seed", default=None, help="which town; kept in the data folder (default: halyard)")
    demo.add_argument("--pace", type=float, default=3.0, metavar="N", help="payments a second while it runs; 0 is none (default: 3)")
    demo.add_argument("--fill-only", action="store_true", help="fill the town, print how to use it, and end")

    data(add(commands, "migrate", "bring the data folder's tables up to this version", "migrate --data /var/lib/counterfoil"))
    data(
        add(
            commands,
            "check",
            "recompute every balance from the transfers and prove that no money was made or lost",
            "check",
            "check --data /var/lib/counterfoil --json",
        )
    )

    backup = data(
        add(
            commands,
            "backup",
            "copy the scheme while it serves, so that it can be served from the copy",
            "backup --to /mnt/backups/2026-11-22",
            "backup --data /var/lib/counterfoil --to /mnt/backups/monday --json",
        )
    )
    backup.add_argument("--to", required=True, metavar="FOLDER", help="a new folder")

    ledgers = group(commands, "ledger", "where the ledger is kept", "action")
    move = data(
        add(
            ledgers,
            "move",
            "take the ledger to another engine, and prove that both hold the same; the server must not be running",
            "ledger move --to 'postgresql:///counterfoil?host=/run/postgresql' --dry-run",
            "ledger move --to 'tigerbeetle://10.0.0.1:3001,10.0.0.2:3001,10.0.0.3:3001?cluster=170'",
            "ledger move --data /var/lib/counterfoil --to sqlite",
        )
    )
    move.add_argument(
        "--to", required=True, metavar="PLACE", help='as the setting `ledger` names it; "sqlite" is the file in the data folder'
    )
    move.add_argument("--dry-run", action="store_true", help="read and compare, and tell what would be copied or is in the way")

    openings = data(
        add(
            commands,
            "openings",
            "write what opens the log's entries, for an auditor alone",
            "openings --out openings.bin",
            "openings --first 10000 --out more.bin",
        )
    )
    openings.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file, readable by its owner only")
    openings.add_argument("--first", type=int, default=0, metavar="INDEX", help="begin with this entry (default: 0)")

    audited = data(add(commands, "audited", "publish an auditor's word: a head of the log that it cosigned", "audited word"))
    audited.add_argument("file", type=Path, metavar="FILE", help="what `counterfoil-verify audit --key KEY --out FILE` wrote")

    _witness(commands)

    keys = group(commands, "keys", "the operator's signing key", "action")
    data(add(keys, "show", "show the operator's public key, as wallets pin it", "keys show", "keys show --json"))
    data(add(keys, "create", "make the operator's key, if there is none yet", "keys create --data /var/lib/counterfoil"))

    cards = group(commands, "card", "cards that are tapped", "action")
    make = data(
        add(
            cards,
            "make",
            "make cards of the scheme from new NTAG 424 DNA cards, on a PC/SC reader",
            "card make",
            "card make --data /var/lib/counterfoil --count 100 --reader 'ACS ACR1252'",
        )
    )
    make.add_argument("--count", type=int, default=1, metavar="N", help="so many, one after the other (default: 1)")
    reader(make)
    make.add_argument("--host", default=None, help="whose address the card says (default: the host in the scheme's origin)")

    reader(data(add(cards, "read", "tell which of the scheme's cards lies on the reader", "card read", "card read --json")))

    machine_arguments.terminal(commands)
    machine_arguments.gate(commands)
    machine_arguments.pump(commands)

    imports = group(commands, "import", "take over what another system has", "action")
    book = data(
        add(
            imports,
            "book",
            "import an institution's book: replay every transaction, compare every stated balance",
            "import book book.csv --mapping plain",
            "import book trans.asc --mapping pkdd99 --tolerance 0.10 --json",
        )
    )
    book.add_argument("file", type=Path, metavar="FILE", help="the book")
    book.add_argument(
        "--mapping", default="plain", metavar="NAME", help="a layout that comes with the product, or a TOML file (default: plain)"
    )
    book.add_argument(
        "--tolerance", default="0", metavar="AMOUNT", help="by how much a stated balance may be off, such as 0.10 (default: 0)"
    )
    book.add_argument("--name", default=None, help="the book's name, when it is not the mapping's")


def _witness(commands: Commands[argparse.ArgumentParser]) -> None:
    witness = add(
        commands,
        "witness",
        "run a witness, who keeps a log from telling two stories",
        "witness --new witness.example.org/ours witness.toml --log 'money.example.org/log+1a2b3c4d+AbCd...'",
        "witness witness.toml",
    )
    witness.add_argument("file", type=Path, metavar="FILE", help="the witness's settings")
    witness.add_argument("--new", default=None, metavar="NAME", help="write FILE, with a fresh key, for a witness of this name")
    witness.add_argument(
        "--log", action="append", default=[], metavar="VKEY", help="with --new: key of a log to watch; may be given more than once"
    )
    witness.add_argument("--host", default=None, help="address to listen on (default: as the file says)")
    witness.add_argument("--port", default=None, type=int, help="TCP port; 0 takes a free one (default: as the file says)")
    witness.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)  # ends when stdin does


def _address(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default=None, help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", default=None, type=int, help="TCP port; 0 takes a free one (default: 8480)")


# The wallet


def _wallet(commands: Commands[argparse.ArgumentParser]) -> None:
    wallet = group(commands, "wallet", "pay, be paid and keep proof, with a key of your own", "action")

    def with_key(name: str, help: str, *examples: str) -> argparse.ArgumentParser:
        command = add(wallet, name, help, *(f"wallet {name} {example}".rstrip() for example in examples))
        command.add_argument("--key", type=Path, default=None, metavar="FILE", help="the wallet's key file (default: COUNTERFOIL_KEY)")
        command.add_argument("--server", default=None, metavar="URL", help="(default: COUNTERFOIL_SERVER, else as the key file says)")
        command.add_argument("--data", default=None, metavar="DIR", help=argparse.SUPPRESS)
        return command

    create = with_key(
        "create",
        "open an account for a phone number and make its key",
        "--number +16715550199 --name 'Rose Hale' --key rose.key --server http://127.0.0.1:8480",
    )
    create.add_argument("--number", required=True, help="your phone number; without country code as the server reads it")
    create.add_argument("--name", required=True, help="your name, as payers see it")
    create.add_argument("--handle", default=None, help="a name to be paid under, such as @rose")
    create.add_argument("--code", default=None, help="the code that was sent to the number; asked for when left out")
    create.add_argument("--pin", default=None, help="4 to 8 digits; asked for when left out, which nobody else on this machine can see")
    create.add_argument("--language", default="en", help="of messages to you (default: en)")

    quote = with_key("quote", "what a payment would cost, before you agree to it", "@neema_fruit 2.50", "+16715550107 20")
    _payee(quote)
    pay = with_key("pay", "pay somebody", "@neema_fruit 2.50 --memo mangoes", "--request 0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1", "--resume")
    _payee(pay, required=False)
    _order(pay)
    pay.add_argument("--request", default=None, metavar="ID", help="the request to pay that this answers")
    pay.add_argument("--resume", action="store_true", help="send again what has no answer yet, with the same ids")

    hold = with_key("hold", "set money aside for a merchant until it is taken or the time is over", "@lighthouse_fuel 60 --minutes 30")
    _payee(hold)
    _order(hold)
    hold.add_argument("--minutes", type=int, default=60, help="how long (default: 60)")
    for name, help_text in (
        ("capture", "take money that was set aside for you, in full or in part"),
        ("refund", "give a payment back, in full or in part"),
    ):
        command = with_key(name, help_text, "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1", "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1 --amount 41.50")
        _id(command, "the hold" if name == "capture" else "the payment")
        command.add_argument("--amount", default=None, help="less than all of it, in major units")
        _order(command)
    release = with_key("release", "give back money that was set aside for you", "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1")
    _id(release, "the hold")
    _order(release)

    request = with_key("request", "ask somebody to pay you", "12.50 --from +16715550107 --memo 'table 4'", "--memo 'for the boat'")
    request.add_argument("amount", nargs="?", default=None, help="in major units; left out, the payer decides")
    request.add_argument(
        "--from", dest="payer", default=None, metavar="WHO", help="number, @handle or merchant code; left out, anyone may pay"
    )
    request.add_argument("--memo", default="", help="what for, at most 256 bytes")
    request.add_argument("--days", type=int, default=7, help="how long it is open (default: 7)")
    _page(with_key("requests", "requests that you made or were sent", "", "--limit 5"))
    for name, help_text in (("accept", "pay a request"), ("decline", "say no to a request"), ("cancel", "take back a request of yours")):
        command = with_key(name, help_text, "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1")
        _id(command, "the request")
        if name == "accept":
            command.add_argument("--amount", default=None, help="when the request leaves it to you")
            _order(command)

    with_key("balance", "what is in the account, and what of it is set aside", "", "--json")
    _page(with_key("history", "entries of the account, newest first", "", "--limit 5 --json"))
    statement = with_key("statement", "a month's statement as a file, CSV or PDF", "2026-11", "2026-11 --out november.pdf --lang ko")
    statement.add_argument("month", metavar="MONTH", help="of the scheme's time zone, such as 2026-11")
    statement.add_argument("--out", type=Path, default=None, metavar="FILE", help="ends in .csv or .pdf (default: statement-MONTH.csv)")
    statement.add_argument("--lang", default=None, help="its language (default: your own)")
    message = with_key("message", "write to somebody", "@neema_fruit 'Do you have cumin today?'")
    message.add_argument("to", metavar="ADDRESS", help="number, @handle or merchant code")
    message.add_argument("text", metavar="TEXT", help="at most 1,000 characters")
    message.add_argument("--id", default=None, metavar="ID", help="of a message that was sent before without an answer")
    messages = with_key("messages", "with whom you have messages; or those with one person, newest last", "", "@neema_fruit --limit 5")
    messages.add_argument("with_", nargs="?", default=None, metavar="ADDRESS", help="number, @handle or merchant code")
    _page(messages)
    receipt = with_key("receipt", "what became of a payment; checks the operator's signature again", "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1")
    _id(receipt, "the payment")
    proof = with_key(
        "proof",
        "the receipt that proves a payment without trusting the operator, as a file",
        "",
        "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1 --out rice.tlog-proof",
    )
    proof.add_argument("id", nargs="?", default=None, metavar="ID", help="the payment (default: the newest)")
    proof.add_argument("--out", type=Path, default=None, metavar="FILE", help="where to write it (default: ID.tlog-proof)")
    proof.add_argument(
        "--policy", type=Path, default=None, metavar="FILE", help="whose cosignatures it must carry: your own C2SP tlog-policy file"
    )
    proof.add_argument("--wait", type=int, default=60, metavar="SECONDS", help="how long to wait for the witnesses (default: 60)")
    complain = with_key(
        "complain",
        "turn an acknowledgement that was never logged into a complaint that anybody can verify",
        "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1",
    )
    _id(complain, "the payment")
    complain.add_argument("--out", type=Path, default=None, metavar="FILE", help="where to write it (default: ID.complaint)")

    devices = with_key(
        "devices",
        "devices that may sign for you; add one, take one away",
        "",
        "--add second.key",
        "--revoke 0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1",
    )
    devices.add_argument("--add", type=Path, default=None, metavar="FILE", help="make a second key for this account, in this new file")
    devices.add_argument("--revoke", default=None, metavar="ID", help="take this device away for good")

    batch = with_key(
        "batch",
        "pay many at once from a CSV file (to,amount,memo), or see how far a batch is",
        "wages.csv --memo 'wages, May'",
        "--status 0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1",
    )
    batch.add_argument("file", nargs="?", type=Path, default=None, metavar="FILE")
    batch.add_argument("--memo", default="", help="what for")
    batch.add_argument("--max-fee", default="1", metavar="AMOUNT", help="highest fee of each line, in major units (default: 1)")
    batch.add_argument("--status", default=None, metavar="ID", help="results of each line of this batch")

    standing = with_key(
        "standing",
        "pay the same each day, week or month; without arguments, list what you have",
        "@halyard_school 25 --every month --count 10",
        "--cancel 0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1",
        "",
    )
    _payee(standing, required=False)
    standing.add_argument("--every", choices=("day", "week", "month"), default="month")
    standing.add_argument("--count", type=int, default=0, help="how often; 0 is until you cancel (default: 0)")
    standing.add_argument("--memo", default="", help="what for")
    standing.add_argument("--max-fee", default="1", metavar="AMOUNT", help="highest fee of each payment, in major units (default: 1)")
    standing.add_argument("--cancel", default=None, metavar="ID", help="end this standing order")

    cash_in = with_key("cash-in", "ask an agent to take your cash and pay the same into your account", "50 --agent @kiosk_ferry")
    cash_in.add_argument("amount", help="in major units")
    cash_in.add_argument("--agent", required=True, metavar="WHO")
    cash_out = with_key("cash-out", "set money aside for an agent, who takes it when handing you the cash", "50 --agent @kiosk_ferry")
    cash_out.add_argument("amount", help="in major units")
    cash_out.add_argument("--agent", required=True, metavar="WHO")
    _order(cash_out)


def _payee(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    command.add_argument("payee", nargs=None if required else "?", default=None, help="number, @handle or merchant code")
    command.add_argument("amount", nargs=None if required else "?", default=None, help="in major units, such as 12.50")


def _order(command: argparse.ArgumentParser) -> None:
    command.add_argument("--memo", default="", help="what for, at most 256 bytes; both sides see it")
    command.add_argument("--max-fee", default=None, metavar="AMOUNT", help="highest fee to agree to (default: the fee that is quoted now)")


def _id(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("id", metavar="ID", help=f"id of {what}")


def _page(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=int, default=20, help="how many, 1 to 100 (default: 20)")
    command.add_argument("--cursor", default=None, help="where the page before ended")


# Staff


def _staff(commands: Commands[argparse.ArgumentParser]) -> None:
    staff = group(commands, "staff", "what members of staff do, each with a key of their own", "action")

    def with_key(name: str, help: str, *examples: str) -> argparse.ArgumentParser:
        command = add(staff, name, help, *(f"staff {name} {example}".rstrip() for example in examples))
        command.add_argument("--key", type=Path, default=None, metavar="FILE", help="your key file (default: COUNTERFOIL_KEY)")
        command.add_argument("--server", default=None, metavar="URL", help="(default: COUNTERFOIL_SERVER, else as the key file says)")
        command.add_argument("--data", default=None, metavar="DIR", help=argparse.SUPPRESS)
        return command

    first = data(
        add(
            staff,
            "first",
            "open a new scheme's first member of staff, an administrator; the server must not be running",
            "staff first 'Victor Hale' --handle hale --new-key hale.key --data /var/lib/counterfoil",
        )
    )
    first.add_argument("name", help="of the administrator")
    first.add_argument("--handle", required=True, help="such as hale")
    first.add_argument("--new-key", type=Path, required=True, metavar="FILE", help="make their key, in this new file")
    with_key("login", "get a link to the staff pages that works once", "--key demo-data/wallets/osborne.key")
    _who(with_key("party", "show who somebody is", "@neema_fruit"))
    opening = with_key(
        "open",
        "open an account at the counter",
        "merchant 'Quay Books' --handle quay_books --new-key books.key",
        "customer 'Rose Hale' --number +16715550199",
        "staff 'Amélie Noël' --handle noel --role treasurer --new-key noel.key",
    )
    opening.add_argument("kind", choices=("customer", "merchant", "agent", "institution", "staff"))
    opening.add_argument("name", help="as payers see it")
    for option in ("--number", "--handle", "--tier"):
        opening.add_argument(option, default=None)
    opening.add_argument("--language", default="en")
    roles = ("clerk", "supervisor", "treasurer", "administrator", "auditor")
    opening.add_argument("--role", choices=roles, action="append", default=[], help="of a member of staff; may be given more than once")
    opening.add_argument("--new-key", type=Path, default=None, metavar="FILE", help="make their first key, in this new file")
    tier = with_key("tier", "move somebody to another tier", "@clara_barlow identity_verified --reason 'passport seen'")
    _who(tier)
    tier.add_argument("tier")
    _reason(tier)
    freeze = with_key("freeze", "stop all that leaves an account", "@clara_barlow --reason 'phone stolen, caller known' --hours 48")
    _who(freeze)
    _reason(freeze)
    freeze.add_argument("--hours", type=int, default=0, help="how long; 0 is until it is lifted (default: 0)")
    freeze.add_argument("--incoming", action="store_true", help="nothing comes in, either")
    unfreeze = with_key("unfreeze", "lift a freeze", "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1 --reason 'phone found'")
    _id(unfreeze, "the freeze")
    _reason(unfreeze)
    propose = with_key(
        "propose",
        "propose what two persons must want",
        "issue @harbour_bank 50000 --reason 'deposit, bank statement of 3 May'",
        "reversal 0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1 --reason 'court order 12/26'",
    )
    propose.add_argument("kind", choices=("issue", "withdrawal", "reversal"))
    propose.add_argument("subject", help="the institution or agent; for a reversal, the payment's id")
    propose.add_argument("amount", nargs="?", default=None, help="in major units; not for a reversal")
    _reason(propose)
    proposals = with_key("proposals", "list the newest proposals", "", "--state proposed")
    states = ("proposed", "approved", "executed", "failed", "rejected", "expired")
    proposals.add_argument("--state", choices=states, default=None)
    for name, help_text in (
        ("approve", "approve somebody else's proposal, and do it"),
        ("reject", "reject a proposal, or take back your own"),
    ):
        _id(with_key(name, help_text, "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1"), "the proposal")
    announce = with_key(
        "announce",
        "propose a message to many",
        "--text en='We are closed on Friday.' --reason 'public holiday'",
        "--to kind:merchant --text en='New tariff from May.' --text fr='Nouveau tarif en mai.' --reason 'new tariff'",
    )
    announce.add_argument("--text", action="append", required=True, metavar="LANGUAGE=TEXT", help="at most 300 characters; once a language")
    announce.add_argument("--to", default="all", help="all (default), kind:merchant, tier:NAME or language:ko")
    announce.add_argument("--list", type=Path, default=None, metavar="FILE", help="to those in a file: a number, @handle or code a line")
    announce.add_argument("--security", action="store_true", help="at once, at night too, and to those who have muted the scheme")
    _reason(announce)
    _id(with_key("announcement", "show a message to many", "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1"), "the proposal")
    reports = with_key("reports", "list messages that people have reported", "", "--closed")
    reports.add_argument("--closed", action="store_true", help="those that were closed")
    close = with_key("close-report", "close a report", "0199f3b0-1c22-7b4e-9a5b-6c7d8e9fa0b1 --word fraud --days 7")
    _id(close, "the report")
    close.add_argument("--word", required=True, help="what was found; kept for good")
    close.add_argument("--days", type=int, choices=(0, 1, 7, 30), default=0, help="for how long the sender writes to nobody")


def _who(command: argparse.ArgumentParser) -> None:
    command.add_argument("who", help="number, @handle, merchant code or party id")


def _reason(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", required=True, help="kept for good")
