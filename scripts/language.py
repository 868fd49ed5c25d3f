"""A language more: `python -m scripts.language CODE` makes its catalogues, or adds to them what is not in them yet.

Every catalogue gets a file with all its messages and no translations; translations that are there stay. It prints how many
are to be written in each. Run it again whenever texts were added.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po, write_po

from counterfoil.i18n import PLURAL_RULES, catalogue_path

LIKE = "ko"
"""The language whose catalogues say which messages there are: tests hold them against the sources."""
FOLDER = catalogue_path("pages", LIKE).parent

HEADER = """\
# {comment}
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""


def main() -> int:
    """1 when the language's plurals are not among those that we know how to choose, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="python -m scripts.language", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("code", help="BCP 47 code of the language, such as sw")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the catalogues are; for tests")
    arguments = parser.parse_args()
    try:
        locale = Locale.parse(arguments.code, sep="-")
    except (ValueError, UnknownLocaleError):
        parser.error(f"{arguments.code}: CLDR knows no such language")
    plurals = get_plural(str(locale))
    for like in sorted(arguments.folder.glob(f"*.{LIKE}.po")):
        domain = like.name.split(".")[0]
        path = like.with_name(f"{domain}.{arguments.code}.po")
        missing = complete(path, like, locale)
        print(f"{path.name:24} {missing:5} to translate" if missing else f"{path.name:24}       complete")
    if plurals.plural_expr.strip("()") not in PLURAL_RULES:
        print(
            f"{locale.english_name} chooses plurals by {plurals.plural_expr}: give that rule a name in PLURAL_RULES "
            "(src/counterfoil/i18n/__init__.py) and in PLURALS (src/counterfoil/web/static/phone/words.js).",
            file=sys.stderr,
        )
        return 1
    return 0


def complete(path: Path, like: Path, locale: Locale) -> int:
    """Gives the catalogue at `path` every message that `like` has, and no other. Returns how many have no translation."""
    with like.open("rb") as file:
        wanted = read_po(file, locale=LIKE)
    known = Catalog(locale=locale)
    if path.exists():
        with path.open("rb") as file:
            known = read_po(file, locale=locale)
    made = Catalog(locale=locale)
    comment = _comment(path) or f"{path.name.split('.')[0].capitalize()} in {locale.english_name}."
    missing = 0
    for message in wanted:
        if message.id:
            before = known.get(message.id)
            empty = ("",) * made.num_plurals if message.pluralizable else ""
            text = before.string if before is not None and before.string and any(before.string) else empty
            missing += text == empty
            made.add(message.id, text, flags=message.flags)
    body = io.BytesIO()
    write_po(body, made, width=0, omit_header=True)
    head = HEADER.format(comment=comment, language=str(locale).replace("_", "-"), plurals=made.plural_forms)
    path.write_bytes(head.encode() + body.getvalue().rstrip(b"\n") + b"\n")
    return missing


def _comment(path: Path) -> str:
    """What stands at the head of the catalogue; "" when there is none yet."""
    first = path.read_text("utf-8").partition("\n")[0] if path.exists() else ""
    return first.removeprefix("# ") if first.startswith("# ") else ""


if __name__ == "__main__":
    sys.exit(main())
