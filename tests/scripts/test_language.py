"""The command that begins a language, or brings one up to what the sources say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from counterfoil.i18n import catalogue_path

I18N = catalogue_path("pages", "ko").parent
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in I18N.glob("*.po"):
        shutil.copy(path, tmp_path)
    return tmp_path


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.language", code, "--folder", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", ["ko", "fr"])
def test_a_language_that_is_whole_stays_as_it_is(folder: Path, code: str) -> None:
    ran = run(folder, code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("complete") == len(list(I18N.glob(f"*.{code}.po")))
    for path in I18N.glob(f"*.{code}.po"):
        with path.open("rb") as before, (folder / path.name).open("rb") as after:
            old, new = ({message.id: message.string for message in read_po(file)} for file in (before, after))
        assert {**old, "": ""} == {**new, "": ""}


def test_a_new_language_has_every_message_and_keeps_what_was_written(folder: Path) -> None:
    ran = run(folder, "pt-BR")
    assert ran.returncode == 0, ran.stderr
    assert len(list(folder.glob("*.pt-BR.po"))) == len(list(folder.glob("*.ko.po")))
    slips = folder / "slips.pt-BR.po"
    words = slips.read_text()
    assert words.startswith('# Slips in Portuguese (Brazil).\nmsgid ""\n')
    assert "Plural-Forms: nplurals=2; plural=(n > 1);" in words
    first = words.split('\nmsgid "')[2].split('"')[0]
    slips.write_text(words.replace(f'msgid "{first}"\nmsgstr ""', f'msgid "{first}"\nmsgstr "Olá"'))
    left = int(ran.stdout.split("slips.pt-BR.po")[1].split()[0])
    assert int(run(folder, "pt-BR").stdout.split("slips.pt-BR.po")[1].split()[0]) == left - 1
    assert 'msgstr "Olá"' in slips.read_text()


def test_plurals_that_nobody_can_choose_are_told(folder: Path) -> None:
    ran = run(folder, "ru")
    assert ran.returncode == 1
    assert "PLURAL_RULES" in ran.stderr


@pytest.mark.parametrize("code", ["xx", "", "../ko", "k"])
def test_a_language_that_nobody_knows_is_refused(folder: Path, code: str) -> None:
    before = sorted(folder.iterdir())
    assert run(folder, code).returncode == 2
    assert sorted(folder.iterdir()) == before
