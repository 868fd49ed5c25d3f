"""The real command in a process of its own: arguments, exit codes, words and JSON; and what the distribution is made of."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import counterfoil_verify.__main__ as command
from counterfoil_verify.note import Key, Note
from tests.verifier.conftest import SOURCE
from tests.verifier.maker import POLICY, Signer
from tests.verifier.test_complaint import complaint
from tests.verifier.town import Town

Place = Callable[[str, bytes], str]


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    environment = {"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"], "LC_ALL": "C"}
    command = [sys.executable, "-m", "counterfoil_verify", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=60, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode()


@pytest.fixture(scope="module")
def town() -> Town:
    return Town().live()


def test_receipt(town: Town, placed: Place) -> None:
    policy, first, second = placed("policy", POLICY.encode()), placed("1", town.receipt(14, 2)), placed("2", town.receipt(16))
    code, text = run("receipt", second, "--policy", policy, "--previous", first)
    assert code == 0, text
    assert text.startswith("PROVEN\n")
    assert "proved: the balance adds up: 40000 -1000 = 39000" in text
    code, text = run("receipt", "-", "--policy", policy, "--json", stdin=town.packed(16))
    report = json.loads(text)
    assert (code, report["verdict"], report["exit_code"]) == (0, "proven", 0)
    assert report["fields"]["amount"] == 1_000
    code, text = run("receipt", "-", "--policy", policy, stdin=town.receipt(16)[:-9])
    assert code == 1
    assert text.startswith("REFUTED\nFALSE: ")


def test_what_cannot_be_read_could_not_be_checked(town: Town, placed: Place, tmp_path: Path) -> None:
    receipt, policy = placed("receipt", town.receipt(16)), placed("policy", POLICY.encode())
    for arguments in (
        ("receipt", receipt, "--policy", placed("bad", b"quorum nobody\n")),
        ("receipt", receipt, "--policy", str(tmp_path / "none")),
        ("receipt", str(tmp_path / "none"), "--policy", policy),
        ("log", str(tmp_path / "none"), "--policy", policy),
        ("log", str(tmp_path), "--policy", policy),
        ("complaint", str(tmp_path), "--policy", policy),
    ):
        code, text = run(*arguments)
        assert (code, text.split("\n")[0]) == (2, "COULD NOT BE CHECKED"), arguments
        assert "not checked: " in text
    assert run("receipt")[0] == 2
    assert json.loads(run("log", str(tmp_path), "--policy", policy, "--json")[1])["verdict"] == "could not be checked"


def test_log(town: Town, placed: Place, tmp_path: Path) -> None:
    folder, policy, state = str(town.publish(tmp_path / "log")), placed("policy", POLICY.encode()), str(tmp_path / "state")
    code, text = run("log", folder, "--policy", policy, "--state", state, "--json")
    assert code == 0, text
    assert json.loads(text)["fields"]["totals"]["USD"]["issue"] == 1_000_000
    assert run("log", str(town.publish(tmp_path / "old", [20])), "--policy", policy, "--state", state)[0] == 1


def test_audit_replays_and_cosigns(town: Town, placed: Place, tmp_path: Path) -> None:
    folder, policy = str(town.publish(tmp_path / "log")), placed("policy", POLICY.encode())
    auditor = Signer("auditor.example/audit", 4)
    key, out = placed("key", auditor.private.encode() + b"\n"), tmp_path / "audited"
    arguments = ("audit", folder, "--policy", policy, "--key", key, "--out", str(out), "--openings")
    code, text = run(*arguments, placed("openings", town.openings()))
    assert code == 0, text
    note = Note.parse(out.read_bytes())
    (time,) = note.verified([Key.parse(auditor.vkey)]).values()
    assert time > 1_700_000_000
    assert note.text == Note.parse((tmp_path / "log/witnessed").read_bytes()).text
    assert f"cosigned: audited to size {len(town.entries)}" in text

    out.unlink()
    liar = Town()
    liar.pay(signature=bytes(64))
    liar.publish(tmp_path / "lies")
    code, text = run("audit", str(tmp_path / "lies"), *arguments[2:], placed("openings", liar.openings()))
    assert code == 1
    assert "entry 16: the signature by the holder's device is missing or false" in text
    assert not out.exists(), "nothing false is cosigned"
    wrong = placed("wrong", Signer("auditor.example/audit", 1).private.encode())
    assert run(*arguments[:4], "--key", wrong, *arguments[6:], placed("openings", town.openings()))[0] == 2
    assert run(*arguments[:4], "--key", placed("wrong", b"secret"), *arguments[6:], placed("openings", town.openings()))[0] == 2


def test_complaint(placed: Place) -> None:
    town = Town()
    town.pay()
    made, policy = placed("complaint", complaint(town)), placed("policy", POLICY.encode())
    code, text = run("complaint", made, "--policy", policy)
    assert code == 0
    assert "the operator acknowledged this payment" in text
    code, text = run("complaint", made, "--policy", policy, "--answer", placed("answer", town.receipt(len(town.entries) - 1)))
    assert code == 1
    assert "it was answered" in text


FILES = sorted((SOURCE / "counterfoil_verify").glob("*.py"))


def test_an_auditor_makes_a_key_and_cosigns_with_it(town: Town, placed: Place, tmp_path: Path) -> None:
    policy, folder, key = placed("policy", POLICY.encode()), town.publish(tmp_path / "log"), tmp_path / "auditor.key"
    code, vkey = run("key", "auditors.example/2026", str(key))
    assert code == 0, vkey
    assert key.stat().st_mode & 0o077 == 0
    openings = placed("openings", town.openings())
    code, text = run("audit", str(folder), "--policy", policy, "--openings", openings, "--key", str(key), "--out", str(tmp_path / "word"))
    assert code == 0, text
    assert Note.parse((tmp_path / "word").read_bytes()).verified([Key.parse(vkey.strip())])
    code, text = run("key", "auditors.example/2026", str(key))
    assert (code, "exists" in text) == (2, True)
    code, text = run("key", "no spaces", str(tmp_path / "other"))
    assert (code, (tmp_path / "other").exists()) == (2, False), text


def test_a_bug_of_ours_refutes_nobody(placed: Place, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    def broken(data: bytes, policy: object, previous: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "check_receipt", broken)
    assert command.main(["receipt", placed("receipt", b""), "--policy", placed("policy", POLICY.encode())]) == 2
    assert b"a bug of counterfoil-verify: ZeroDivisionError" in capsysbinary.readouterr().out


REPLAY = ("audit", "auditor", "book", "keys", "law", "shops", "spending")


def test_it_shares_no_code_with_the_server_and_needs_one_library() -> None:
    known = {*sys.stdlib_module_names, "nacl", "counterfoil_verify"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                optional = path.stem == "keys" and name.startswith("cryptography.")
                assert name.split(".")[0] in known or optional, (path, name)
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["pynacl>=1.6.2"]
    assert project["optional-dependencies"] == {"p256": ["cryptography>=46"]}


def test_it_can_be_read_in_an_evening() -> None:
    """Under 1,000 lines of code without the auditor's replay, and five sixths as many again with it."""
    counted = {path.stem: lines_of_code(path) for path in FILES}
    assert sum(count for name, count in counted.items() if name not in REPLAY) < 1_000, counted
    assert sum(counted.values()) < 1_800, counted
    assert max(len(path.read_text().splitlines()) for path in FILES) < 400


def lines_of_code(path: Path) -> int:
    """Lines with code on them: no blank lines, comments and docstrings."""
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    text, lines = path.read_text(), set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)
