"""Each gateway's own form against the vectors: what its requests say, how it is answered, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.channels.gateways import africastalking, crossgate, hollatags, infobip, sendexa
from counterfoil.channels.gateways.forms import Asked, Ended, Form, IsItOpen
from counterfoil.channels.ussd.types import SESSION_SIZE_MAX, TYPED_SIZE_MAX, Hop, Screen
from counterfoil.errors import Malformed

FORMS: dict[str, Form] = {
    "africastalking": africastalking,
    "crossgate": crossgate,
    "hollatags": hollatags,
    "infobip": infobip,
    "sendexa": sendexa,
}
NAME = "main"
PIN = "4321"
MENU, BYE = Screen("1 Send\n2 Balance", ends=False), Screen("Sent. SMS follows.", ends=True)


@pytest.fixture(scope="module")
def at(vectors: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((vectors / "vectors/channels/africastalking.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def others(vectors: Path) -> dict[str, dict[str, Any]]:
    found = json.loads((vectors / "vectors/channels/ussd_other_gateways.json").read_text("utf-8"))
    return {gateway["id"]: gateway for gateway in found["gateways"]}


def hop_of(form: Form, asked: Asked) -> Hop:
    heard = form.read(asked)
    assert isinstance(heard, Hop)
    return heard


def post(fields: dict[str, str]) -> Asked:
    return Asked(gateway=NAME, method="POST", body=urlencode(fields).encode())


def get(fields: dict[str, str]) -> Asked:
    return Asked(gateway=NAME, method="GET", query=urlencode(fields))


def send(document: Any, *, rest: str = "") -> Asked:
    return Asked(gateway=NAME, method="POST", rest=rest, body=json.dumps(document).encode())


AT = {"sessionId": "ATUid_0001", "phoneNumber": "+254711000111", "networkCode": "63902", "serviceCode": "*384#", "text": "1*2"}
CROSSGATE = {"session_id": "70381", "msisdn": "254711000111", "network_code": "2541", "service_code": "123", "ussd_string": "1*2"}
HOLLATAGS = {
    "session_msisdn": "2347000000000", "session_operation": "continue", "session_msg": "2", "session_id": "54", "session_from": "*7006#",
    "session_type": "3", "session_mno": "MTN",
}  # fmt: skip
SENDEXA = {
    "sessionId": "s1", "phone": "233555000000", "network": "MTN", "serviceCode": "*123#", "type": "continue", "input": "2",
    "timestamp": "2026-01-15T10:30:05Z",
}  # fmt: skip
INFOBIP = {"msisdn": "385955000000", "text": "2", "shortCode": "*123#1#"}


# Vectors


def test_africas_talking_hands_over_the_whole_transcript(at: dict[str, Any]) -> None:
    cases = at["ussd"]["session"] + at["ussd"]["odd"]
    assert len(cases) > 10
    for case in cases:
        hop = hop_of(africastalking, Asked(gateway=NAME, method=at["ussd"]["method"], body=case["body"].encode()))
        form = case["form"]
        expected = Hop(gateway=NAME, session=form["sessionId"], number=form["phoneNumber"], typed=form["text"], whole=True)
        assert hop == expected, case["id"]


def test_africas_talkings_notice_of_an_end_is_read_without_what_was_typed(at: dict[str, Any]) -> None:
    form = at["ussd"]["end_notification"]["form"]
    assert PIN in form["input"]
    for status in at["ussd"]["end_notification"]["status_values"]:
        heard = africastalking.read(post(form | {"status": status, "errorMessage": "x"}))
        assert heard == Ended(form["sessionId"])
        assert PIN not in repr(heard)
    with pytest.raises(Malformed, match="status: must be Success"):
        africastalking.read(post(form | {"status": PIN}))


def test_africas_talking_is_answered_as_its_vectors_say(at: dict[str, Any]) -> None:
    hop = hop_of(africastalking, post(AT))
    bodies = [africastalking.screen(hop, MENU).body.decode(), africastalking.screen(hop, BYE).body.decode()]
    assert bodies == [each["body"] for each in at["ussd"]["responses"] if each["valid"]]
    assert africastalking.screen(hop, MENU).media_type.split(";")[0] == at["ussd"]["response_content_type"]


def test_crossgate_as_its_vector_says(others: dict[str, dict[str, Any]]) -> None:
    vector = others["crossgate"]
    asked = Asked(gateway=NAME, method=vector["method"], query=urlsplit(vector["url"]).query)
    hop = hop_of(crossgate, asked)
    assert hop == Hop(gateway=NAME, session="70381", number="+254711000111", typed="1*2", whole=True)
    answer = crossgate.screen(hop, Screen("Enter amount", ends=False))
    assert answer.body.decode() == vector["response"]
    assert answer.media_type.split(";")[0] == vector["response_content_type"]
    assert hop_of(crossgate, get({key: value for key, value in CROSSGATE.items() if key != "ussd_string"})).typed == ""


def test_hollatags_as_its_vector_says(others: dict[str, dict[str, Any]]) -> None:
    vector = others["hollatags"]
    query = urlsplit(vector["url"]).query
    hop = hop_of(hollatags, Asked(gateway=NAME, method="GET", query=query))
    assert hop == Hop(gateway=NAME, session="5456657676", number="+2347000000000", typed="", begins=True)
    assert hop_of(hollatags, Asked(gateway=NAME, method="GET", body=query.encode())) == hop
    answer = hollatags.screen(hop, Screen("1: Send\n2: Balance", ends=False))
    assert msgspec.json.decode(answer.body) == vector["response"]
    assert answer.media_type == vector["response_content_type"]
    assert msgspec.json.decode(hollatags.screen(hop, Screen("Done", ends=True)).body) == vector["response_end"]
    later = hop_of(hollatags, get(HOLLATAGS))
    assert (later.typed, later.begins) == ("2", False)
    assert hollatags.read(get(HOLLATAGS | {"session_operation": "end", "session_msg": PIN})) == Ended("54")


def test_a_hollatags_screen_stays_within_its_size_where_it_can() -> None:
    text = "\n".join(["x" * 39] * 4)
    assert len(text) == 159
    answer = msgspec.json.decode(hollatags.screen(hop_of(hollatags, get(HOLLATAGS)), Screen(text, ends=False)).body)
    assert answer["session_msg"] == text


def test_sendexa_as_its_vector_says(others: dict[str, dict[str, Any]]) -> None:
    vector = others["sendexa"]
    hop = hop_of(sendexa, send(vector["request"]))
    assert hop == Hop(
        gateway=NAME, session="ussd_sess_1", number="+233555000000", typed="1", begins=False, mark="2026-01-15T10:30:05Z"
    )  # fmt: skip
    answer = sendexa.screen(hop, Screen("1. Send\n2. Balance", ends=False))
    assert msgspec.json.decode(answer.body) == vector["response"]
    assert answer.media_type == vector["response_content_type"]
    dialled = hop_of(sendexa, send(vector["request"] | {"type": "new", "input": vector["input_on_new"]}))
    assert (dialled.typed, dialled.begins) == ("", True)


def test_infobip_as_its_vector_says(others: dict[str, dict[str, Any]]) -> None:
    vector = others["infobip"]
    heard = [
        infobip.read(
            Asked(
                gateway=NAME, method=each["method"], rest=each["path"].replace("{id}", "17"),
                body=json.dumps(each["json"]).encode() if each["json"] else b"",
            )
        )
        for each in vector["requests"]
    ]  # fmt: skip
    start, response, end, status = heard
    assert start == Hop(gateway=NAME, session="17", number="+385955000000", typed="", begins=True)
    assert response == Hop(gateway=NAME, session="17", number="+385955000000", typed="2", begins=False)
    assert end == Ended("17")
    assert isinstance(start, Hop)
    assert isinstance(response, Hop)
    assert isinstance(status, IsItOpen)
    assert msgspec.json.decode(infobip.screen(response, MENU).body) == vector["response"]
    assert msgspec.json.decode(infobip.ended("17").body) == vector["response_end_ack"]
    assert msgspec.json.decode(status.yes.body) == vector["response_status"]
    assert msgspec.json.decode(status.no.body) == vector["response_error"]
    assert msgspec.json.decode(infobip.screen(start, BYE).body)["shouldClose"] is False
    assert msgspec.json.decode(infobip.screen(response, BYE).body)["shouldClose"] is True


# What is refused, by name


CHANGES: list[tuple[Form, dict[str, str], Any, list[tuple[str, str]]]] = [
    (africastalking, AT, post, [("sessionId", "session"), ("phoneNumber", "number"), ("text", "typed")]),
    (crossgate, CROSSGATE, get, [("session_id", "session"), ("msisdn", "number"), ("ussd_string", "optional")]),
    (hollatags, HOLLATAGS, get, [("session_id", "session"), ("session_msisdn", "number"), ("session_msg", "typed")]),
    (sendexa, SENDEXA, send, [("sessionId", "session"), ("phone", "number"), ("input", "typed")]),
]
WRONG = {
    "session": [("", "must be 1 to"), ("x" * (SESSION_SIZE_MAX + 1), "must be 1 to"), ("a b", "visible"), ("é", "visible"), ("a\n", "visible")],
    "number": [
        ("", "phone number"), ("0711000111", "country code"), ("+2547110001112345", "7 to 15"), ("25471100x111", "phone number"),
        ("٢٥٤٧١١٠٠٠١١١", "phone number"), ("+" + "1" * 5_000, "at most"),
    ],
    "typed": [("x" * (TYPED_SIZE_MAX + 1), "at most"), ("1\x00", "control"), ("1\x1b[2J", "control")],
    "optional": [("x" * (TYPED_SIZE_MAX + 1), "at most"), ("1\x00", "control")],
}  # fmt: skip


@pytest.mark.parametrize(("form", "fields", "asked", "names"), CHANGES, ids=[change[0].__name__.split(".")[-1] for change in CHANGES])  # type: ignore[attr-defined]
def test_a_field_that_is_wrong_or_missing_is_refused_by_its_name(
    form: Form, fields: dict[str, str], asked: Any, names: list[tuple[str, str]]
) -> None:
    for name, kind in names:
        for value, rule in WRONG[kind]:
            with pytest.raises(Malformed, match=rule) as refusal:
                form.read(asked(fields | {name: value}))
            assert refusal.value.facts["field"] == name
            assert not value or value not in refusal.value.detail
        if kind != "optional":
            with pytest.raises(Malformed, match=f"{name}: is missing"):
                form.read(asked({key: value for key, value in fields.items() if key != name}))


@pytest.mark.parametrize("value", [7, 7.0, True, ["1"], {"1": 1}])
def test_json_of_another_type_is_refused_by_its_name(value: Any) -> None:
    for name in ("sessionId", "phone", "type", "input", "timestamp"):
        with pytest.raises(Malformed, match=f"{name}: must be a text"):
            sendexa.read(send(SENDEXA | {name: value}))
    for name in ("msisdn", "text"):
        with pytest.raises(Malformed, match=f"{name}: must be a text"):
            infobip.read(send(INFOBIP | {name: value}, rest="/session/1/response"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"[" * 5_000, b'{"sessionId": "\\ud800"}'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    for form, rest in ((sendexa, ""), (infobip, "/session/1/start")):
        with pytest.raises(Malformed):
            form.read(Asked(gateway=NAME, method="POST", rest=rest, body=body))


@pytest.mark.parametrize(
    "body", [b"", b"text", b"&&&", b"text=%ff%fe", b"text=1&text=2", b"\xff=1", b"&".join([b"a%d=1" % n for n in range(99)])]
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        africastalking.read(Asked(gateway=NAME, method="POST", body=body))
    for form in (crossgate, hollatags):
        with pytest.raises(Malformed):
            form.read(Asked(gateway=NAME, method="GET", query=body.decode("latin-1")))


@pytest.mark.parametrize(
    ("form", "asked", "field"),
    [
        (africastalking, Asked(gateway=NAME, method="GET", query=urlencode(AT)), "method"),
        (africastalking, Asked(gateway=NAME, method="POST", rest="/more", body=urlencode(AT).encode()), "path"),
        (crossgate, Asked(gateway=NAME, method="POST", body=urlencode(CROSSGATE).encode()), "method"),
        (hollatags, Asked(gateway=NAME, method="PUT"), "method"),
        (hollatags, Asked(gateway=NAME, method="GET", query=urlencode(HOLLATAGS), body=b"session_id=55"), "body"),
        (hollatags, get(HOLLATAGS | {"session_operation": "restart"}), "session_operation"),
        (sendexa, send(SENDEXA | {"type": "resume"}), "type"),
        (sendexa, send(SENDEXA | {"timestamp": "9" * 65}), "timestamp"),
        (infobip, send(INFOBIP), "path"),
        (infobip, send(INFOBIP, rest="/session/1/pause"), "path"),
        (infobip, send(INFOBIP, rest="/session//start"), "path"),
        (infobip, send(INFOBIP, rest=f"/session/{'x' * 200}/start"), "session"),
        (infobip, Asked(gateway=NAME, method="GET", rest="/session/1/start"), "method"),
        (infobip, Asked(gateway=NAME, method="POST", rest="/session/1/end"), "method"),
    ],
)
def test_another_method_path_or_value_is_refused_by_name(form: Form, asked: Asked, field: str) -> None:
    with pytest.raises(Malformed) as refusal:
        form.read(asked)
    assert refusal.value.facts["field"] == field


@given(
    text=st.text(max_size=200),
    body=st.binary(max_size=300),
    name=st.sampled_from(sorted(FORMS)),
    method=st.sampled_from(["GET", "POST", "PUT"]),
)
def test_garbage_is_refused_and_never_breaks_a_form(text: str, body: bytes, name: str, method: str) -> None:
    for asked in (
        Asked(gateway=NAME, method=method, query=text, body=body),
        Asked(gateway=NAME, method=method, rest="/session/1/start", body=text.encode("utf-8", "replace")),
    ):
        try:
            FORMS[name].read(asked)
        except Malformed as refusal:
            assert refusal.facts["field"]


def test_a_field_that_comes_twice_is_refused() -> None:
    body = f"{urlencode(AT)}&text=2"
    with pytest.raises(Malformed, match="body: must have each name once"):
        africastalking.read(Asked(gateway=NAME, method="POST", body=body.encode()))
    with pytest.raises(Malformed, match="query: must have each name once"):
        crossgate.read(Asked(gateway=NAME, method="GET", query=f"{urlencode(CROSSGATE)}&msisdn=254711000112"))


def test_numbers_come_with_and_without_plus_or_zeros_in_front() -> None:
    for number in ("254711000111", "+254711000111", "00254711000111"):
        assert hop_of(crossgate, get(CROSSGATE | {"msisdn": number})).number == "+254711000111"


@pytest.mark.parametrize("name", FORMS)
def test_a_refusal_is_an_end_in_words(name: str) -> None:
    body = FORMS[name].refusal("저희 쪽에 문제가 생겼어요.", session="17").body.decode()
    assert "저희 쪽에 문제가 생겼어요." in body
    if name in ("africastalking", "crossgate"):
        assert body.startswith("END ")
    else:
        field, value = {
            "hollatags": ("session_operation", "end"),
            "infobip": ("responseExitCode", 400),
            "sendexa": ("shouldClose", True),
        }[name]
        assert msgspec.json.decode(body)[field] == value


def test_what_was_asked_and_answered_shows_nothing_in_a_trace() -> None:
    asked = post(AT | {"text": f"1*{PIN}"})
    hop = hop_of(africastalking, asked)
    for shown in (asked, hop, africastalking.screen(hop, Screen(PIN, ends=True))):
        assert PIN not in repr(shown)
        assert "254711000111" not in repr(shown)
