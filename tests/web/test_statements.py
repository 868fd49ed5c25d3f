"""History with conditions, months and statements, as an app asks for them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from pypdf import PdfReader

from counterfoil.clock import NANOSECONDS
from counterfoil.ids import id_text
from counterfoil.parties.types import PartyKind
from counterfoil.payments import search
from counterfoil.web.api import statements
from tests.scheme import Person
from tests.web.site import Site, hold

pytestmark = pytest.mark.asyncio(loop_scope="module")


def month(site: Site) -> str:
    return datetime.fromtimestamp(site.services.clock.now_ns() // NANOSECONDS, UTC).strftime("%Y-%m")


async def busy(site: Site) -> tuple[Person, Person, Person]:
    one, other, shop = (
        await site.scheme.customer("김하은", funds=90_000),
        await site.scheme.customer("Rose"),
        await site.scheme.merchant("Quay Books"),
    )
    for number in range(4):
        await one.pay(other, 100, memo=f"lunch {number}")
        await one.pay(shop, 250, memo="=1+1")
    await site.services.payments.pay(one.sign(hold(one, shop, 500)))
    return one, other, shop


# History


async def test_a_history_can_be_of_one_kind_month_person_or_word(site: Site) -> None:
    one, other, _ = await busy(site)

    async def found(query: str) -> list[str]:
        page = await site.ok(one, "GET", "/v1/history", query=query)
        assert (page["next"], page["looked_to"]) == (None, None)
        return [entry["memo"] for entry in page["entries"]]

    assert await found("kind=hold") == [""]
    assert await found("q=LUNCH") == [f"lunch {number}" for number in (3, 2, 1, 0)]
    assert await found("q=quay&kind=payment") == ["=1+1"] * 4
    assert await found(f"counterparty={id_text(other.account)}&q=2") == ["lunch 2"]
    assert await found("q=2.50") == await found("q=2,5") == ["=1+1"] * 4
    assert await found("q=5.00&kind=hold") == [""]
    assert await found("q=2.505") == []
    assert len(await found(f"month={month(site)}")) == 10
    assert await found("month=2020-01") == []
    assert await found(f"kind=refund&month={month(site)}") == []


async def test_a_search_goes_on_where_it_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _, _ = await busy(site)
    monkeypatch.setattr(search, "LOOKED_AT_MAX", 3)
    monkeypatch.setattr(search, "PAGE_SIZE_MAX", 3)
    memos, query, asked = [], "q=lunch&limit=2", 0
    while True:
        page = await site.ok(one, "GET", "/v1/history", query=query)
        memos += [entry["memo"] for entry in page["entries"]]
        asked += 1
        assert (page["looked_to"] is None) == (page["next"] is None)
        if page["next"] is None:
            break
        query = f"q=lunch&limit=2&cursor={page['next']}"
    assert memos == [f"lunch {number}" for number in (3, 2, 1, 0)]
    assert asked > 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=lunch", "kind"),
        ("month=2026", "month"),
        ("counterparty=1", "counterparty"),
        ("q=", "q"),
        ("q=%20", "q"),
        (f"q={'x' * 101}", "q"),
    ],
)
async def test_a_condition_that_is_none_is_refused(site: Site, query: str, field: str) -> None:
    one = await site.scheme.customer()
    found = await site.refused(one, "GET", "/v1/history", query=query)
    assert (found["code"], found["facts"]["field"]) == ("malformed", field)


# Months


async def test_a_month_adds_up(site: Site) -> None:
    one, other, shop = await busy(site)
    found = await site.ok(one, "GET", f"/v1/months/{month(site)}")
    assert (found["opening"], found["in"], found["out"], found["closing"]) == (0, 90_000, 1_400, one.balance())
    assert found["by_kind"] == [
        {"kind": "payment", "count": 9, "in": 90_000, "out": 1_400}, {"kind": "hold", "count": 1, "in": 0, "out": 0}
    ]  # fmt: skip
    people = {each["account"]: each for each in found["by_counterparty"]}
    assert people[id_text(other.account)] == {"account": id_text(other.account), "name": "Rose", "count": 4, "in": 0, "out": 400}
    assert people[id_text(shop.account)]["out"] == 1_000
    assert found["others"] == {"count": 0, "in": 0, "out": 0}
    assert found["fees"] == 0


@pytest.mark.parametrize("path", ["/v1/months/2026-13", "/v1/months/now", "/v1/statements/2026-1", "/v1/statements/%ff"])
async def test_what_is_no_month_is_refused(site: Site, path: str) -> None:
    one = await site.scheme.customer()
    found = await site.refused(one, "GET", path)
    assert (found["code"], found["facts"]["field"]) == ("malformed", "month")


# Statements


async def test_a_statement_is_csv_unless_pdf_is_wanted(site: Site) -> None:
    one, _, _ = await busy(site)
    path = f"/v1/statements/{month(site)}"
    for accept, kind in (
        ("text/csv", "text/csv"),
        ("*/*", "text/csv"),
        ("application/pdf", "application/pdf"),
        ("application/json", "text/csv"),
    ):
        answer = await site.call(one, "GET", path, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == kind
        end = "pdf" if kind.endswith("pdf") else "csv"
        assert answer.headers["content-disposition"] == f'attachment; filename="statement-{month(site)}.{end}"'
        assert answer.headers["cache-control"] == "no-store"


async def test_a_csv_is_the_history_in_the_order_of_time(site: Site) -> None:
    one, _, _ = await busy(site)
    answer = await site.call(one, "GET", f"/v1/statements/{month(site)}")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    entries = (await site.ok(one, "GET", "/v1/history"))["entries"][::-1]
    assert len(rows) == len(entries) + 3
    for row, entry in zip(rows[2:-1], entries, strict=True):
        assert row[0] == entry["at"][:19].replace("T", " ")
        assert row[2] == entry["counterparty_name"]
        assert row[3].lstrip("'") == entry["memo"]
        assert round(100 * (float(row[4] or 0) - float(row[5] or 0))) == entry["change"]
        assert (round(100 * float(row[6])), row[9]) == (entry["balance"], entry["payment"] or "")
    assert "'=1+1" in [row[3] for row in rows]


async def test_a_pdf_is_in_the_language_of_its_holder_or_the_one_asked_for(site: Site) -> None:
    one, _, _ = await busy(site)

    async def text(query: str) -> str:
        answer = await site.call(one, "GET", f"/v1/statements/{month(site)}", query=query, headers={"Accept": "application/pdf"})
        assert answer.status_code == 200, answer.text
        return "".join("".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(answer.content)).pages)

    assert "Openingbalance" in await text("")
    korean = await text("lang=ko")
    assert "기초잔액" in korean
    assert "김하은" in korean
    assert "Soldeinitial" in await text("lang=fr")
    assert (await site.refused(one, "GET", f"/v1/statements/{month(site)}", query="lang=xx"))["facts"]["field"] == "lang"


async def test_one_cannot_ask_without_end(site: Site) -> None:
    one = await site.scheme.customer()
    answers = [(await site.call(one, "GET", f"/v1/months/{month(site)}")).status_code for _ in range(statements.PER_MINUTE + 1)]
    assert answers == [200] * statements.PER_MINUTE + [429]
    site.wait(60)
    assert (await site.call(one, "GET", f"/v1/statements/{month(site)}")).status_code == 200


async def test_a_server_asks_with_its_token_and_nobody_else_for_it(site: Site) -> None:
    shop = await site.scheme.merchant()
    paths = (f"/v1/months/{month(site)}", f"/v1/statements/{month(site)}")
    tokens = {scope: await site.token(shop, scope) for scope in ("payments:read", "holds:write")}
    for path in paths:
        assert (await site.call(tokens["payments:read"], "GET", path)).status_code == 200
        assert (await site.refused(tokens["holds:write"], "GET", path))["code"] == "forbidden"
        assert (await site.refused(None, "GET", path))["code"] == "not_authenticated"


async def test_a_pdf_that_would_be_too_long_is_refused_and_the_csv_is_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PDF_LINES_MAX", 5)
    one, _, _ = await busy(site)
    path = f"/v1/statements/{month(site)}"
    refused = await site.refused(one, "GET", path, headers={"Accept": "application/pdf"})
    assert (refused["code"], refused["facts"]) == ("too_large", {"lines_max": 5})
    assert (await site.call(one, "GET", path)).status_code == 200


async def test_a_person_without_any_entry_has_an_empty_statement(site: Site) -> None:
    person: Any = await site.scheme.open(PartyKind.CUSTOMER, "Nobody yet")
    found = await site.ok(person, "GET", f"/v1/months/{month(site)}")
    assert (found["opening"], found["closing"], found["by_kind"], found["by_counterparty"]) == (0, 0, [], [])
    answer = await site.call(person, "GET", f"/v1/statements/{month(site)}", headers={"Accept": "application/pdf"})
    assert answer.content.startswith(b"%PDF-")
