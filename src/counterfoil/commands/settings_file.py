"""Changes one setting in a scheme's `counterfoil.toml`, and not a byte besides: comments, order and spaces stay."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

from counterfoil.commands.output import WrongUse


def changed(path: Path, name: str, value: str) -> str:
    """The text of the file with the setting at `value`: its line changed, or one added at the end where there was none.

    Raises WrongUse where the file is written in a way in which that cannot be done safely.
    """
    before = path.read_bytes().decode() if path.exists() else ""
    kept = tomllib.loads(before)
    wanted = kept | {name: value}
    if kept == wanted:
        return before
    line_of = re.compile(rf"""(\s*(?:{name}|"{name}"|'{name}')\s*=\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*')(\s*(?:\#[^\r\n]*)?\s*)""")
    lines = before.splitlines(keepends=True)
    written = json.dumps(value, ensure_ascii=False)
    ended = not lines or lines[-1].endswith("\n")
    tries = [
        "".join([*lines[:number], f"{match[1]}{written}{match[2]}", *lines[number + 1 :]])
        for number, line in enumerate(lines)
        if (match := line_of.fullmatch(line))
    ]
    tries.append("".join([*lines, "" if ended else "\n", f"{name} = {written}\n"]))
    for text in tries:
        if _loads(text) == wanted:
            return text
    raise WrongUse(
        f'{path} is written in a way that cannot be changed safely: bring `{name} = "..."` to a line of its own, and run this again'
    )


def write(path: Path, text: str) -> None:
    """Replaces the file in one step, or makes it: whoever reads it sees the old text or the new one, also after a power cut.

    Owner and mode stay as they were. Raises OSError.
    """
    path = path.resolve()  # a link leads to the file that is changed, and stays one
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if path.exists():
            found = path.stat()
            os.fchmod(file.fileno(), found.st_mode & 0o7777)
            if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _loads(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
