"""The API's description, generated from the code: OpenAPI 3.1. Whatever an operation can answer is in it.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from counterfoil import __version__
from counterfoil.errors import (
    CounterfoilError,
    Forbidden,
    InternalError,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotYourAccount,
    PartyClosed,
    RequestTooOld,
    TooLarge,
    TooMany,
    Unavailable,
    UnknownDevice,
    UnsupportedFormat,
    WrongSignature,
    WrongToken,
)
from counterfoil.web import problems
from counterfoil.web.endpoint import Operation
from counterfoil.web.incoming import Answer
from counterfoil.web.values import UuidText

DEVICE_SCHEME = "DeviceSignature"
TOKEN_SCHEME = "BearerToken"  # noqa: S105 - the name of a scheme
_REFERENCE = "#/components/schemas/{name}"

_SECURITY_SCHEMES = {
    DEVICE_SCHEME: {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": 'HTTP message signature by a device of the party (RFC 9421), over "@method" "@path" "@query" and, with a body, '
        '"content-digest" (RFC 9530, sha-256); parameters created, keyid (the device\'s id) and alg (ed25519 or ecdsa-p256-sha256) '
        "in Signature-Input. Good for 300 seconds.",
    },
    TOKEN_SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A merchant's access token, `cft_...`, with the scope that is named.",
    },
}


def document(operations: Sequence[Operation], *, title: str) -> dict[str, Any]:
    """The description of `operations`."""
    schemas, components = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.endpoint.path, {})[operation.endpoint.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{title}: API",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Amounts are whole numbers of minor units. Whoever wants something makes its id, keeps it, then sends it: "
            "a repeat with the same id gets the same answer and never happens twice. Every error is a problem document (RFC 9457) "
            "whose `retry` says what to do next.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY_SCHEMES},
    }


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    kinds: list[Any] = [problems.Problem]
    for operation in operations:
        kinds += [kind for kind in (operation.body_type, operation.returns) if _is_described(kind)]
    return _described(tuple(dict.fromkeys(kinds)))


@functools.cache
def _described(kinds: tuple[Any, ...]) -> tuple[dict[Any, Any], dict[str, Any]]:
    found, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    for schema in components.values():  # a field that we did not know was there is a mistake of ours, on the way out as well
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return dict(zip(kinds, found, strict=True)), components


def _is_described(kind: Any) -> bool:
    return kind is not None and kind is not types.NoneType and kind is not Answer


def _operation(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    endpoint = operation.endpoint
    summary, _, description = inspect.cleandoc(endpoint.handler.__doc__ or "").partition("\n")
    result: dict[str, Any] = {
        "operationId": endpoint.handler.__qualname__.replace(".", "_").lower(),
        "summary": summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {str(endpoint.status): _success(operation, schemas)},
    }
    if description.strip():
        result["description"] = description.strip()
    if operation.body_type is not None:
        result["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[operation.body_type]}}}
    if endpoint.body_media_type:
        result["requestBody"] = {"required": True, "content": {endpoint.body_media_type: {"schema": {"type": "string"}}}}
    access = endpoint.access
    security: list[dict[str, list[str]]] = [{DEVICE_SCHEME: []}] if access.device or access.permission else []
    if access.scope:
        security.append({TOKEN_SCHEME: [access.scope]})
    result["security"] = security
    for status, classes in _by_status(errors_of(operation)).items():
        result["responses"][str(status)] = {
            "description": "\n".join(f"- `{cls.code}`: {cls.sentence()}" for cls in classes),
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}},
        }
    return result


def errors_of(operation: Operation) -> list[type[CounterfoilError]]:
    """All classes that an operation can refuse with: what it declares, and what follows from its form."""
    endpoint = operation.endpoint
    found: list[type[CounterfoilError]] = [Malformed, TooLarge, Unavailable, InternalError]
    if operation.body_type is not None or endpoint.body_media_type:
        found.append(UnsupportedFormat)
    if operation.path_types:
        found.append(NotFound)
    if endpoint.access.protected:
        found += [NotAuthenticated, UnknownDevice, WrongSignature, RequestTooOld, Forbidden, PartyClosed, TooMany]
    if endpoint.access.scope:
        found.append(WrongToken)
    if endpoint.own_signature:
        found += [UnknownDevice, WrongSignature, NotYourAccount, TooMany]
    return list(dict.fromkeys([*found, *endpoint.errors]))


def _by_status(errors: Iterable[type[CounterfoilError]]) -> dict[int, list[type[CounterfoilError]]]:
    result: dict[int, list[type[CounterfoilError]]] = {}
    for cls in sorted(errors, key=lambda cls: cls.status):
        result.setdefault(cls.status, []).append(cls)
    return result


def _success(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    endpoint = operation.endpoint
    if endpoint.status == 204:
        return {"description": "Done"}
    schema = schemas[operation.returns] if _is_described(operation.returns) else {"type": "string"}
    if endpoint.media_type == "application/json" and not _is_described(operation.returns):
        schema = {"type": "object"}
    others = {media_type: {"schema": {"type": "string"}} for media_type in endpoint.other_media_types}
    return {"description": "Done", "content": {endpoint.media_type: {"schema": schema}, **others}}


def _path_parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for name, kind in operation.path_types.items():
        schema = msgspec.json.schema(UuidText) if kind is int else msgspec.json.schema(kind)
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    if operation.query_type is None:
        return
    for field in msgspec.structs.fields(operation.query_type):
        schema = msgspec.json.schema(_without_none(field.type))
        if isinstance(field.default, (int, str)):
            schema["default"] = field.default
        yield {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}


def _without_none(kind: Any) -> Any:
    """`X` of `X | None`: what is not given is left out of a query string."""
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind
    arguments = [part for part in typing.get_args(kind) if part is not types.NoneType]
    return arguments[0] if len(arguments) == 1 else kind
