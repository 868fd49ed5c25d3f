"""The small framework: an endpoint is a typed async function. Decoding, errors and OpenAPI follow from its signature.

    async def quote(self, caller: Principal, query: QuoteQuery) -> QuoteView:
        '''What a payment would cost.      <- summary

        Shown to the payer ...             <- description
        '''

    Endpoint("GET", "/v1/quote", self.quote, access=HOLDER, errors=(PartyNotFound,))

Parameters are known by name: `caller` (who asks), `body` (a struct, JSON; bytes, of `body_media_type`), `query` (a struct, query string), `request`
(the request itself); any other name is a parameter of the path, an id if annotated int, else text. The result is a
struct (JSON), None (204), or an `Answer` that says all of it by itself (`View | Answer` where that depends on Accept).

Decoding is strict: an amount of "5", 5.0, true or 1e3 is refused, and so is a field or parameter that we do not know:
a misspelt limit must never be silently without effect.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, get_args, get_type_hints
from urllib.parse import parse_qsl, unquote

import msgspec

from counterfoil.errors import CounterfoilError, Malformed
from counterfoil.ids import parse_id
from counterfoil.web.access import Access, Principal
from counterfoil.web.incoming import Answer, Incoming

QUERY_SIZE_MAX = 2_048
"""Characters of a query string."""
PATH_SIZE_MAX = 512
"""Characters of a path."""
_SPECIAL = ("caller", "body", "query", "request")
_AT = re.compile(r"(?s)(?P<rule>.*?)(?: - at `(?:key in )?\$(?P<path>[A-Za-z0-9_.\[\]]*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_WORDS = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "a text",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "an object",
    "`null`": "null",
}


class Endpoint(msgspec.Struct, frozen=True):
    """One method of one path.

    Attributes:
        handler: the function, as the module shows.
        access: who may call it.
        errors: what it may refuse with, besides what follows from access and parameters.
        status: of success.
        media_type: of success, where it is not JSON.
        body_media_type: of a body that is bytes; the handler says what it makes of them.
        other_media_types: of success, where the caller's Accept asks for one of them.
        tag: the chapter of the documentation.
        own_signature: the body carries the signature that authenticates it; the request needs none.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    access: Access
    errors: tuple[type[CounterfoilError], ...] = ()
    status: int = 200
    media_type: str = "application/json"
    body_media_type: str = ""
    other_media_types: tuple[str, ...] = ()
    tag: str = ""
    own_signature: bool = False


class Operation:
    """An endpoint, looked at once: what it takes and how that is decoded."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        hints = get_type_hints(endpoint.handler, include_extras=True)
        self.returns: Any = _described(hints.pop("return", None))
        names = list(inspect.signature(endpoint.handler).parameters)
        body = hints.get("body")
        self.body_type: type[msgspec.Struct] | None = None if body is bytes else body
        assert (body is bytes) == bool(endpoint.body_media_type), endpoint.path
        self.query_type: type[msgspec.Struct] | None = hints.get("query")
        self.path_types: dict[str, Any] = {name: hints[name] for name in names if name not in _SPECIAL}
        self.takes = frozenset(names)
        in_path = set(re.findall(r"\{(\w+)\}", endpoint.path))
        assert in_path == set(self.path_types), (endpoint.path, self.path_types)
        for kind in filter(None, (self.body_type, self.query_type)):
            assert kind.__struct_config__.forbid_unknown_fields, f"{kind.__name__} must forbid unknown fields"
        self._decoder = msgspec.json.Decoder(self.body_type) if self.body_type else None
        assert (endpoint.handler.__doc__ or "").strip(), f"{endpoint.handler.__qualname__} needs a docstring"
        self.pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", endpoint.path))

    async def answer(self, request: Incoming, caller: Principal | None, path_values: tuple[str, ...]) -> Answer:
        """Decodes the rest, calls the handler, encodes its result. The body has been read, the caller is known."""
        arguments: dict[str, Any] = {
            name: _path_value(text, name, kind) for text, (name, kind) in zip(path_values, self.path_types.items(), strict=True)
        }
        if "caller" in self.takes:
            arguments["caller"] = caller
        if "request" in self.takes:
            arguments["request"] = request
        if self.query_type is not None:
            arguments["query"] = decode_query(request.query, self.query_type)
        elif request.query:
            raise Malformed("query", "there are no parameters here")
        if self._decoder is not None:
            request.check_json()
            arguments["body"] = decode_body(request.body, self._decoder)
        elif self.endpoint.body_media_type:
            request.check_media_type(self.endpoint.body_media_type)
            arguments["body"] = request.body
        elif request.body:
            raise Malformed("body", "must be empty here")
        result = await self.endpoint.handler(**arguments)
        if isinstance(result, Answer):
            return result
        if result is None:
            return Answer(status=204)
        return Answer(msgspec.json.encode(result), status=self.endpoint.status)


def _described(kind: Any) -> Any:
    """What a handler returns, as far as a description has it: `View` of `View | Answer`."""
    parts = get_args(kind)
    return parts[0] if len(parts) == 2 and parts[1] is Answer else kind


def decode_body(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The struct in `body`. Raises Malformed, naming field and rule, for whatever is not exactly that."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise malformed(error) from None
    except UnicodeDecodeError:
        raise Malformed("body", "must be UTF-8") from None
    except RecursionError:
        raise Malformed("body", "is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise Malformed("body", f"must be JSON: {str(error).removeprefix('JSON is malformed: ')}") from None


def malformed(error: msgspec.ValidationError, prefix: str = "body") -> Malformed:
    """msgspec's message as field and rule in plain words."""
    match = _AT.fullmatch(str(error))
    assert match is not None, error
    rule, path = match["rule"], (match["path"] or "").removeprefix(".").replace("[...]", "[]")
    for pattern, words in ((_UNKNOWN, "there is no such field"), (_MISSING, "is missing")):
        if found := pattern.fullmatch(rule):
            name = found["field"][:64]
            return Malformed(f"{path}.{name}" if path else name, words)
    for word, plain in _WORDS.items():
        rule = rule.replace(word, plain)
    return Malformed(path or prefix, rule.replace("Expected", "must be", 1).replace(", got", ", not"))


def decode_query(query: str, kind: type[msgspec.Struct]) -> Any:
    """The struct in a query string: known names, each once, numbers in plain digits."""
    if len(query) > QUERY_SIZE_MAX:
        raise Malformed("query", f"must be at most {QUERY_SIZE_MAX} characters")
    values: dict[str, Any] = {}
    hints = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=32)
    except ValueError:
        raise Malformed("query", "must be name=value pairs in UTF-8, joined by &") from None
    for name, text in pairs:
        if name not in hints:
            raise Malformed(name[:64], "there is no such parameter")
        if name in values:
            raise Malformed(name, "must be given once")
        values[name] = _number(text, name) if _is_number(hints[name]) else text
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise malformed(error, "query") from None


def _is_number(hint: Any) -> bool:
    info = msgspec.inspect.type_info(hint)
    while isinstance(info, msgspec.inspect.Metadata):  # a description makes it one
        info = info.type
    return isinstance(info, msgspec.inspect.IntType)


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text, re.ASCII):
        raise Malformed(name, "must be a whole number")
    return int(text)


def _path_value(text: str, name: str, kind: Any) -> Any:
    try:
        text = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed(name, "must be UTF-8") from None
    return parse_id(text, name) if kind is int else text
