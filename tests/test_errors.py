"""The errors: a closed tree, in which each says its code, its status, what to do next, and one sentence for a person."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator

import pytest

from counterfoil import errors
from counterfoil.errors import CounterfoilError, InsufficientFunds, Malformed, Refused, Retry, Unavailable


def tree(cls: type[CounterfoilError]) -> Iterator[type[CounterfoilError]]:
    for child in cls.__subclasses__():
        yield child
        yield from tree(child)


EVERY = list(tree(CounterfoilError))


def an_error(cls: type[CounterfoilError]) -> CounterfoilError:
    return Malformed("amount", "must be a whole number", limit=5) if issubclass(cls, Malformed) else cls(limit=5)


def test_the_tree_is_closed() -> None:
    assert {cls.__module__ for cls in EVERY} == {errors.__name__}, "errors are declared in errors.py, and nowhere else"
    assert [cls for cls in EVERY if not issubclass(cls, Refused | Unavailable)] == []
    assert issubclass(Refused, Unavailable) is issubclass(Unavailable, Refused) is False


def test_codes_are_distinct_and_are_the_names() -> None:
    codes = [cls.code for cls in EVERY]
    assert len(set(codes)) == len(codes)
    assert InsufficientFunds.code == "insufficient_funds"
    assert all(code.replace("_", "") == cls.__name__.lower() for code, cls in zip(codes, EVERY, strict=True))


@pytest.mark.parametrize("cls", EVERY)
def test_each_has_a_sentence_for_a_person(cls: type[CounterfoilError]) -> None:
    assert re.fullmatch(r"[A-Z].{10,120}\.", cls.sentence())
    assert cls.__doc__ != (cls.__base__ or object).__doc__


@pytest.mark.parametrize("cls", EVERY)
def test_the_status_says_whether_the_answer_is_no_or_not_known(cls: type[CounterfoilError]) -> None:
    assert cls.status in (range(400, 500) if issubclass(cls, Refused) else range(500, 600))


@pytest.mark.parametrize("cls", [cls for cls in EVERY if Refused not in (cls, cls.__base__) and issubclass(cls, Refused)])
def test_a_refusal_has_the_status_of_its_branch(cls: type[CounterfoilError]) -> None:
    branch = cls.__mro__[cls.__mro__.index(Refused) - 1]
    assert cls.status == getattr(branch, "status")  # noqa: B009 - a parent that the type checker knows only as a type


@pytest.mark.parametrize("cls", EVERY)
def test_only_the_unknown_is_repeated_with_the_same_id(cls: type[CounterfoilError]) -> None:
    assert (cls.retry is Retry.SAME_ID) == issubclass(cls, Unavailable)


def test_the_drawing_in_the_docstring_shows_every_branch_with_its_status() -> None:
    drawn = dict(re.findall(r"── (\w+) +(\d{3})? ", errors.__doc__ or ""))
    branches = {cls.__name__: str(cls.status) for cls in Refused.__subclasses__()}
    assert branches.items() <= drawn.items()
    assert drawn["Unavailable"] == str(Unavailable.status)


@pytest.mark.parametrize("cls", EVERY)
def test_an_error_crosses_a_process_border_whole(cls: type[CounterfoilError]) -> None:
    error = an_error(cls)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is cls
        assert (other.detail, other.facts, str(other)) == (error.detail, error.facts, str(error))


def test_malformed_names_the_field_and_the_rule() -> None:
    error = Malformed("amount", "must be positive", maximum=9)
    assert error.detail == "amount: must be positive"
    assert error.facts == {"field": "amount", "rule": "must be positive", "maximum": 9}


def test_the_detail_is_the_sentence_unless_more_is_known() -> None:
    assert InsufficientFunds().detail == InsufficientFunds.sentence()
    assert InsufficientFunds("12 are missing", missing=12).detail == "12 are missing"
    assert InsufficientFunds("12 are missing", missing=12).facts == {"missing": 12}
