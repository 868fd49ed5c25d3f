"""The command `counterfoil-verify`. Exit codes: 0 proven, 1 refuted, 2 could not be checked."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from counterfoil_verify.audit import replay
from counterfoil_verify.auditor import Auditor
from counterfoil_verify.complaint import check_complaint
from counterfoil_verify.log import Files, LogCheck
from counterfoil_verify.note import Note
from counterfoil_verify.policy import Policy
from counterfoil_verify.receipt import check_receipt
from counterfoil_verify.report import Refuted, Report, Unchecked


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    report = Report()
    try:
        if parsed.command == "key":
            vkey = Auditor.make(parsed.name, parsed.file)
            sys.stdout.write(f"{json.dumps({'vkey': vkey}) if parsed.json else vkey}\n")
            return 0
        policy = Policy.parse(_read(parsed.policy))
        if parsed.command == "receipt":
            report = check_receipt(_read(parsed.file), policy, _read(parsed.previous) if parsed.previous else None)
        elif parsed.command == "complaint":
            report = check_complaint(_read(parsed.file), policy, _read(parsed.answer) if parsed.answer else None)
        else:
            _check_log(parsed, policy, report)
    except Refuted as problem:
        report.refuted.append(str(problem))
    except (Unchecked, OSError) as problem:
        report.unchecked.append(str(problem))
    except Exception as problem:  # a bug of ours refutes nobody
        report.unchecked.append(f"a bug of counterfoil-verify: {type(problem).__name__}: {problem}")
    text = report.json() if parsed.json else report.text()
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    return report.exit_code


def _check_log(parsed: argparse.Namespace, policy: Policy, report: Report) -> None:
    files = Files(parsed.place)
    auditor = Auditor.read(parsed.key) if parsed.command == "audit" and parsed.key else None
    check = LogCheck(files, policy, report, parsed.state)
    check.run()
    if parsed.command == "log" or report.exit_code:
        return
    with Path(parsed.openings).open("rb", buffering=2**20) as openings:
        replay(files, check.witnessed, check.rules, openings, report)
    if auditor and not report.exit_code:
        Path(parsed.out).write_bytes(auditor.cosigned(Note.parse(check.witnessed.note).text))
        report.proved.append(f"cosigned: audited to size {check.witnessed.size} ({parsed.out})")


def _read(path: str) -> bytes:
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="counterfoil-verify", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    receipt = commands.add_parser("receipt", help="check a receipt, offline")
    receipt.add_argument("file", help="a .tlog-proof file or the text of a QR code (CF1:...); - for standard input")
    receipt.add_argument("--previous", metavar="FILE", help="an older receipt of the same account")
    log = commands.add_parser("log", help="check a whole log")
    audit = commands.add_parser("audit", help="replay the ledger from its first entry")
    for command in (log, audit):
        command.add_argument("place", help="the log's folder, or its http(s) address")
        command.add_argument("--state", type=Path, metavar="FILE", help="where heads seen on earlier runs are kept")
    audit.add_argument("--openings", required=True, metavar="FILE", help="what the operator gave to the auditor")
    audit.add_argument("--key", metavar="FILE", help="the auditor's key: cosigns when all holds")
    audit.add_argument("--out", metavar="FILE", default="audited", help="where the cosigned checkpoint goes")
    key = commands.add_parser("key", help="make an auditor's key; prints its public half, for the policy")
    key.add_argument("name", help="of the key, such as auditors.example.org/2026")
    key.add_argument("file", help="a new file for the secret half")
    complaint = commands.add_parser("complaint", help="decide on a complaint")
    complaint.add_argument("file")
    complaint.add_argument("--answer", metavar="RECEIPT", help="the operator's answer")
    for command in (receipt, log, audit, complaint):
        command.add_argument("--policy", required=True, metavar="FILE", help="whom to believe: a C2SP tlog-policy file of your own")
    for command in (receipt, log, audit, complaint, key):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
