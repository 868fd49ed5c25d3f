"""House rules that a linter does not know. Each failure names the file, the line and the rule."""

from __future__ import annotations

import ast
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.repository import ROOT, files, none, ours, text, tree

LINES_MAX = 500
LONG_FILES: dict[str, str] = {}
"""Files of src that may be longer, each with the reason why it is one file and not two."""

PYTHON = ("src", "tests", "scripts", "bench", "verifier")

# Written in pieces, so that this file does not contain what it forbids.
MARKS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b|#.*\bX" + r"XX\b")
BANNED = {
    "a registry's host": re.compile(
        r"py" + r"pi\.org|python" + r"hosted\.org|npm" + r"js\.(org|com)|yarn" + r"pkg\.com|deb\.deb" + r"ian\.org"
    ),
    "a path of somebody's machine": re.compile(r"(?<![\w.$}~/-])/(wo" + r"rk|ro" + r"ot|ho" + r"me)/\w"),
}
EMPTY_NAMES = ("utils", "util", "helpers", "helper", "misc", "common")

CLOCK = Path("src/counterfoil/clock.py")
IMPURE = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "localtime", "sleep"},
    "datetime.datetime": {"now", "utcnow", "today"},
    "datetime.date": {"today"},
    "os": {"urandom", "getrandom"},
    "uuid": {"uuid1", "uuid4", "uuid6", "uuid7", "uuid8"},
    "random": None,
    "secrets": None,
}
"""What reads the time or draws randomness: of a module these names, or (None) all of them."""


def lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text(path).splitlines(), 1):
        yield f"{path}:{number}", line


def test_no_file_outgrows_its_room() -> None:
    long = {str(path): len(text(path).splitlines()) for path in ours(".py", under=("src",))}
    none((f"{path}: {length} lines" for path, length in long.items() if length > LINES_MAX and path not in LONG_FILES))
    none((path for path in LONG_FILES if long.get(path, 0) <= LINES_MAX), "no longer long: take them off the list")


def test_every_module_says_what_it_is_for() -> None:
    none(str(path) for path in ours(".py", under=PYTHON) if not ast.get_docstring(tree(path)))


def test_nothing_is_left_for_later() -> None:
    found = [
        where
        for path in ours(".py", ".js", ".html", ".css", ".toml", under=(*PYTHON, "docs"))
        for where, line in lines(path)
        if MARKS.search(line)
    ]
    none(found)


def test_every_ignored_type_error_is_named() -> None:
    bare = re.compile(r"#\s*type:\s*ig" + r"nore(?!\[)|#\s*noqa(?!: ?[A-Z])")
    none((where for path in ours(".py", under=PYTHON) for where, line in lines(path) if bare.search(line)))


def test_no_file_has_a_name_that_says_nothing() -> None:
    none(str(path) for path in files() if path.stem in EMPTY_NAMES or set(path.parts[:-1]) & set(EMPTY_NAMES))


@pytest.mark.parametrize("what", BANNED)
def test_nothing_names(what: str) -> None:
    found = [f"{where}: {line.strip()[:100]}" for path in files() for where, line in lines(path) if BANNED[what].search(line)]
    none(found)


def test_no_line_of_code_ends_in_spaces() -> None:
    none((where for path in ours(".py", ".js", ".css", ".html", ".toml") for where, line in lines(path) if line != line.rstrip()))


def test_only_the_clock_reads_the_time_and_draws_randomness() -> None:
    found = [f"{path}:{line}: {name}" for path in ours(".py", under=("src",)) if path != CLOCK for line, name in impure(tree(path))]
    none(found, "take a Clock as an argument")


def impure(module: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each use of something that is IMPURE, under whatever name it was imported."""
    known: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.partition(".")[0]] = alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if is_impure(f"{node.module}.{alias.name}"):
                    yield node.lineno, f"{node.module}.{alias.name}"
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and (name := dotted(node)):
            first, _, rest = name.partition(".")
            name = f"{known[first]}.{rest}" if first in known else ""
            if is_impure(name):
                yield node.lineno, name


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def is_impure(name: str) -> bool:
    owner, _, last = name.rpartition(".")
    return owner in IMPURE and ((names := IMPURE[owner]) is None or last in names)


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic_ns()",
        "from time import time_ns",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime as d\nd.utcnow()",
        "import datetime as dt\ndt.date.today()",
        "import random\nrandom.choice([1])",
        "from secrets import token_bytes",
        "import os\nos.urandom(8)",
        "import uuid\nuuid.uuid4()",
    ],
)
def test_the_search_for_time_and_randomness_finds_it_under_every_name(source: str) -> None:
    assert len(list(impure(ast.parse(source)))) == 1


def test_the_search_for_time_and_randomness_finds_nothing_else() -> None:
    innocent = "import os, uuid, datetime\nos.fsync(1)\nuuid.UUID(int=1)\ndatetime.datetime.fromtimestamp(0)\nclock.time()\n"
    none(impure(ast.parse(innocent)))


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")


def test_every_link_in_the_docs_leads_somewhere() -> None:
    pages = ours(".md")
    assert len(pages) > 5
    none(problem for page in pages for problem in broken_links(page))


def broken_links(page: Path) -> Iterator[str]:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text(page), flags=re.DOTALL)
    for match in LINK.finditer(prose):
        target, _, anchor = (match[1] or match[2]).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        if not file.exists():
            yield f"{page}: no file {target}"
        elif anchor and anchor not in anchors(file.read_text("utf-8")):
            yield f"{page}: no heading #{anchor} in {target or page}"


def anchors(markdown: str) -> set[str]:
    """The anchors that headings have on the usual forges: lower case, hyphens for spaces, no punctuation."""
    without_code = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    headings = re.findall(r"^#{1,6} +(.+?) *$", without_code, re.MULTILINE)
    return {
        "".join(c for c in heading.lower().replace(" ", "-") if c in "-_" or unicodedata.category(c)[0] in "LN") for heading in headings
    }


def test_every_page_of_the_docs_is_in_the_index() -> None:
    index = text(Path("docs/README.md"))
    pages = [path for path in ours(".md", under=("docs",)) if path != Path("docs/README.md")]
    none(str(path) for path in pages if f"({path.relative_to('docs')})" not in index)


LOCKS = ("requirements.lock", "requirements-servers.lock", "requirements-dev.lock")
"""Of the product, of the product with clients of database servers, and of its tests."""


def test_lock_files_name_no_place_and_no_version_of_one_machine() -> None:
    for name in LOCKS:
        entries = [line for line in text(Path(name)).splitlines() if line and not line.startswith("#")]
        wrong = [
            line
            for line in entries
            if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
        ]
        none(wrong, name)
        assert len(entries) > 30, name


def test_each_lock_has_all_of_the_one_before_alike() -> None:
    product, servers, development = (set(re.findall(r"^\S+==\S+", text(Path(name)), re.MULTILINE)) for name in LOCKS)
    assert product < servers < development, (product - servers, servers - development)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads(text(Path("pyproject.toml")))
    groups = [*project["dependency-groups"].values(), *project["project"]["optional-dependencies"].values()]
    wanted = [*project["project"]["dependencies"], *(entry for group in groups for entry in group)]
    locked = set(re.findall(r"^(\S+)==", text(Path("requirements-dev.lock")), re.MULTILINE))
    assert {re.split(r"[<>=\[ ]", entry)[0] for entry in wanted} - locked == set(), "run make lock"


def test_every_folder_of_python_is_type_checked() -> None:
    checked = set(tomllib.loads(text(Path("pyproject.toml")))["tool"]["mypy"]["files"])
    folders = {path.parts[0] for path in ours(".py") if len(path.parts) > 1}
    assert folders <= checked, folders - checked
