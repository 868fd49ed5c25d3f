"""The small framework: what an endpoint's signature promises, and what the description says of it."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import msgspec
import pytest

from counterfoil import errors
from counterfoil.errors import CounterfoilError, Malformed, TooLarge
from counterfoil.web import problems
from counterfoil.web.access import PUBLIC
from counterfoil.web.endpoint import Endpoint, Operation, decode_body, decode_query
from counterfoil.web.incoming import ClientGone, is_json, read_body

Receive = Any


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    amount: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: Inner
    names: list[str] = []
    done: bool = False


DECODER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        (b'{"inner":{"amount":"5"}}', "inner.amount", "must be a whole number, not a text"),
        (b'{"inner":{"amount":5.0}}', "inner.amount", "must be a whole number, not a number"),
        (b'{"inner":{"amount":1e3}}', "inner.amount", "must be a whole number, not a number"),
        (b'{"inner":{"amount":true}}', "inner.amount", "must be a whole number, not true or false"),
        (b'{"inner":{"amount":null}}', "inner.amount", "must be a whole number, not null"),
        (b'{"inner":{"amount":0}}', "inner.amount", "must be a whole number >= 1"),
        (b'{"inner":{"amount":9223372036854775808}}', "inner.amount", "must be a whole number <= 9223372036854775807"),
        (b'{"inner":{"amount":5,"x":1}}', "inner.x", "there is no such field"),
        (b'{"inner":{}}', "inner.amount", "is missing"),
        (b"{}", "inner", "is missing"),
        (b'{"inner":{"amount":5},"names":[1]}', "names[0]", "must be a text, not a whole number"),
        (b'{"inner":{"amount":5},"done":1}', "done", "must be true or false, not a whole number"),
        (b'{"inner":[]}', "inner", "must be an object, not a list"),
        (b"[]", "body", "must be an object, not a list"),
        (b"", "body", "must be JSON: Input data was truncated"),
        (b'{"inner":{"amount":5}}x', "body", "must be JSON: trailing characters (byte 23)"),
        (b'{"\xff":1}', "body", "must be UTF-8"),
        (b'{"' + b"x" * 200 + b'":1}', "x" * 64, "there is no such field"),
        (b'{"`a` - at `$.b`":1}', "`a` - at `$.b`", "there is no such field"),
    ],
)
def test_a_refusal_names_field_and_rule_in_plain_words(body: bytes, field: str, rule: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_body(body, DECODER)
    assert (caught.value.facts["field"], caught.value.facts["rule"]) == (field, rule)


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    after: str | None = None


def test_a_query_is_read_by_type() -> None:
    assert decode_query("", Query) == Query()
    assert decode_query("limit=9&after=a%20b%2B", Query) == Query(9, "a b+")
    assert decode_query("after=", Query) == Query(after="")
    assert decode_query("after=5", Query) == Query(after="5")


@pytest.mark.parametrize(
    "query", ["limit=10", "limit=01", "limit=+1", "limit=1.0", "limit", "x=1", "after=1&after=2", "after=%ff", "&", "a" * 3_000]
)
def test_another_query_is_refused(query: str) -> None:
    with pytest.raises(Malformed):
        decode_query(query, Query)


class Loose(msgspec.Struct, frozen=True):
    amount: int


def test_an_endpoint_without_a_docstring_or_with_a_loose_body_is_a_mistake_of_ours() -> None:
    async def silent() -> None: ...

    async def loose(body: Loose) -> None:
        """Takes anything."""

    async def lost(other: int) -> None:
        """Has a parameter that the path does not have."""

    loose.__annotations__["body"] = Loose
    lost.__annotations__["other"] = int
    for handler in (silent, loose, lost):
        handler.__annotations__["return"] = None
        with pytest.raises(AssertionError):
            Operation(Endpoint("POST", "/x", handler, access=PUBLIC))


# Bodies


def messages(*parts: bytes, gone: bool = False) -> Receive:
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if gone:
        waiting.append({"type": "http.disconnect"})
    else:
        waiting[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return receive


def test_a_body_is_counted_while_it_comes() -> None:
    assert asyncio.run(read_body([], messages(b"ab", b"", b"c"), 3)) == b"abc"
    with pytest.raises(TooLarge):
        asyncio.run(read_body([], messages(b"ab", b"cd", gone=True), 3))  # reading on would find that the caller has gone
    with pytest.raises(TooLarge):
        asyncio.run(read_body([], messages(b"abcd"), 3))
    with pytest.raises(TooLarge):
        asyncio.run(read_body([(b"content-length", b"4")], messages(b"never read"), 3))
    with pytest.raises(ClientGone):
        asyncio.run(read_body([], messages(b"a", gone=True), 3))


@pytest.mark.parametrize(
    "text", ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"']
)
def test_json_is_json(text: str) -> None:
    assert is_json(text)


@pytest.mark.parametrize(
    "text", ["", "json", "application/jsonp", "text/json", "application/json; charset=latin-1", "application/json; x=y"]
)
def test_everything_else_is_not(text: str) -> None:
    assert not is_json(text)


# Errors


@pytest.mark.parametrize("cls", list(problems.classes()), ids=lambda cls: str(cls.code))
def test_every_error_is_a_problem_that_says_what_to_do(cls: type[CounterfoilError]) -> None:
    error = cls("field", "rule") if issubclass(cls, Malformed) else cls(amount=5, id=2**127, huge=2**130)
    status, headers, body = problems.render(error, "abc-1")
    found = msgspec.json.decode(body, type=problems.Problem)
    assert (found.status, found.code, found.type) == (status, cls.code, f"/problems/{cls.code}")
    assert 400 <= status < 600
    assert found.title == cls.sentence()
    assert found.title.endswith((".", "?"))
    assert found.retry in errors.Retry
    assert found.request_id == "abc-1"
    assert dict(headers)[b"content-type"] == b"application/problem+json"
    assert dict(headers)[b"content-length"] == str(len(body)).encode()
    if status in (429, 503):
        assert b"retry-after" in dict(headers)
    if status == 401:
        assert b"www-authenticate" in dict(headers)
    if not issubclass(cls, Malformed):
        assert found.facts == {"amount": 5, "id": "80000000-0000-0000-0000-000000000000", "huge": str(2**130)}


def test_codes_are_unique_and_stable_in_form() -> None:
    codes = [cls.code for cls in problems.classes()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
