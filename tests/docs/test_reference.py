"""The generated reference pages are the ones that the code gives."""

from __future__ import annotations

import pytest

from counterfoil.config import Config
from counterfoil.errors import CounterfoilError
from tests.docs.generate import PAGES, REFERENCE, errors_page, settings_page


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text("utf-8") == PAGES[name](), "run make docs, and look at what changed"


def test_every_error_is_on_its_page() -> None:
    def below(cls: type[CounterfoilError]) -> list[type[CounterfoilError]]:
        return [each for child in cls.__subclasses__() for each in (child, *below(child))]

    codes = {cls.code for cls in below(CounterfoilError)} - {"refused"}
    assert len(codes) > 30
    assert {code for code in codes if f"| `{code}` |" not in errors_page()} == set()


def test_every_setting_is_on_its_page_with_a_meaning() -> None:
    rows = [line.split(" | ") for line in settings_page().splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == [f"| `{name}`" for name in Config.__struct_fields__]
    assert [row for row in rows if len(row[4]) < 10] == []
