"""The `counterfoil` command. Parses, hands over to `commands`, and turns what comes back into output and an exit code.

0 done   1 refused: the answer is no   2 wrong use   3 unavailable: not known, run it again
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from counterfoil.commands import arguments
from counterfoil.commands.output import DONE, REFUSED, UNAVAILABLE, Answer, Failure, Output, WrongUse
from counterfoil.errors import CounterfoilError, Retry, Unavailable

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code."""
    parsed = arguments.parser().parse_args(argv)
    output = Output(as_json=parsed.json, progress=parsed.progress)
    try:
        answer = run(parsed, output)
    except BrokenPipeError:
        return _nobody_reads()
    except (Failure, CounterfoilError, OSError) as error:
        failure = error if isinstance(error, Failure) else _failure_of(error)
        output.failure(failure)
        return failure.exit_code
    except KeyboardInterrupt:
        output.note("stopped")
        return INTERRUPTED
    try:
        output.answer(answer)
    except BrokenPipeError:
        return _nobody_reads()
    return answer.exit_code


def _failure_of(error: CounterfoilError | OSError) -> Failure:
    """The house's own errors, and the machine's (a full disk, a file that may not be read), as what a command tells."""
    if isinstance(error, OSError):
        return Failure(str(error), code="unavailable", retry=Retry.SAME_ID, exit_code=UNAVAILABLE)
    exit_code = UNAVAILABLE if isinstance(error, Unavailable) else REFUSED
    return Failure(error.detail, code=error.code, retry=error.retry, facts=error.facts, exit_code=exit_code)


def _nobody_reads() -> int:
    """`counterfoil ... | head`: whoever read us has enough. Keeps Python from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def run(parsed: argparse.Namespace, output: Output) -> Answer:
    """The command's answer. What a command needs is imported when it is run, so that --help is instant."""
    if parsed.command in ("wallet", "staff") and parsed.action != "first":
        return _with_key(parsed)
    if parsed.command == "demo":
        from counterfoil.commands import logs
        from counterfoil.commands.demo.run import demo

        logs.configure(level=logging.WARNING)
        return demo(parsed, output)
    if parsed.command == "witness":
        from counterfoil.commands import logs
        from counterfoil.commands.witness import witness

        logs.configure(level=logging.INFO)
        return witness(parsed, output)
    if parsed.command == "serve":
        from counterfoil.commands import logs
        from counterfoil.commands.serve import serve

        logs.configure(level=logging.INFO)
        return serve(parsed, output)
    if parsed.command == "terminal":
        from counterfoil.commands import logs
        from counterfoil.commands.terminal import commands as terminal

        logs.configure(level=logging.WARNING)
        return terminal.pair(parsed, output) if parsed.action == "pair" else terminal.terminal(parsed, output)
    if parsed.command == "gate":
        from counterfoil.commands import logs
        from counterfoil.commands.gate import commands as gate

        logs.configure(level=logging.WARNING)
        return gate.pair(parsed, output) if parsed.action == "pair" else gate.gate(parsed, output)
    if parsed.command == "pump":
        from counterfoil.commands import logs
        from counterfoil.commands.pump import commands as pump

        logs.configure(level=logging.WARNING)
        return {"pair": pump.pair, "simulate": pump.simulate, None: pump.pump}[parsed.action](parsed, output)
    from counterfoil.commands import card, check, ledger, logs, scheme
    from counterfoil.commands.backup import backup

    logs.configure(level=logging.WARNING)
    commands = {
        ("migrate", None): scheme.migrate,
        ("check", None): check.check,
        ("backup", None): backup,
        ("openings", None): check.openings,
        ("audited", None): check.audited,
        ("ledger", "move"): ledger.move,
        ("keys", "show"): scheme.keys_show,
        ("keys", "create"): scheme.keys_create,
        ("import", "book"): scheme.import_book_file,
        ("card", "make"): card.make,
        ("card", "read"): card.read,
        ("staff", "first"): scheme.first_staff,
    }
    return commands[parsed.command, getattr(parsed, "action", None)](parsed, output)


def _with_key(parsed: argparse.Namespace) -> Answer:
    """Commands that act through a server with a key of their own."""
    from counterfoil.clock import SystemClock
    from counterfoil.commands import account, announce, messages, pay, proof, staff
    from counterfoil.commands.wallet import Wallet

    path = parsed.key or (Path(os.environ["COUNTERFOIL_KEY"]) if os.environ.get("COUNTERFOIL_KEY") else None)
    if path is None:
        raise WrongUse("whose wallet? Name the key file with --key or COUNTERFOIL_KEY")
    server, clock = parsed.server or os.environ.get("COUNTERFOIL_SERVER"), SystemClock()
    wallet_commands = {
        "quote": pay.quote,
        "pay": pay.pay,
        "hold": pay.hold,
        "capture": pay.capture,
        "release": pay.release,
        "refund": pay.refund,
        "accept": pay.accept,
        "cash-out": pay.cash_out,
        "receipt": pay.show_receipt,
        "proof": proof.proof,
        "complain": proof.complain,
        "balance": account.balance,
        "history": account.history,
        "devices": account.devices,
        "request": account.request,
        "requests": account.requests,
        "decline": account.decline,
        "cancel": account.cancel,
        "cash-in": account.cash_in,
        "batch": account.batch,
        "standing": account.standing,
        "message": messages.message,
        "messages": messages.messages,
        "statement": messages.statement,
    }
    staff_commands = {
        "login": staff.login,
        "party": staff.party,
        "open": staff.open_party,
        "tier": staff.tier,
        "freeze": staff.freeze,
        "unfreeze": staff.unfreeze,
        "propose": staff.propose,
        "proposals": staff.proposals,
        "approve": staff.approve,
        "reject": staff.reject,
        "announce": announce.announce,
        "announcement": announce.announcement,
        "reports": announce.reports,
        "close-report": announce.close_report,
    }
    if (parsed.command, parsed.action) == ("wallet", "create"):
        return account.create(path, server or "http://127.0.0.1:8480", parsed, clock)
    command = (wallet_commands if parsed.command == "wallet" else staff_commands)[parsed.action]
    return command(Wallet(path, server, clock), parsed)


if __name__ == "__main__":
    sys.exit(main())
