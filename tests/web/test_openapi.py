"""The description of the API: complete, valid, and about what is really there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from counterfoil.web.endpoint import Operation
from counterfoil.web.openapi import errors_of
from tests.web.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_is_served_and_lists_every_operation(site: Site) -> None:
    document = await site.ok(None, "GET", "/openapi.json")
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(operation.endpoint.method, operation.endpoint.path) for operation in site.app.operations}
    assert ("POST", "/v1/payments") in described
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


async def test_every_reference_leads_somewhere_and_nothing_is_unused(site: Site) -> None:
    document = await site.ok(None, "GET", "/openapi.json")
    used = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document)))
    assert used == set(document["components"]["schemas"])


async def test_every_error_that_an_operation_declares_is_in_its_answers(site: Site) -> None:
    document = await site.ok(None, "GET", "/openapi.json")
    for operation in site.app.operations:
        endpoint = operation.endpoint
        responses = document["paths"][endpoint.path][endpoint.method.lower()]["responses"]
        for cls in errors_of(operation):
            answer = responses[str(cls.status)]
            assert f"`{cls.code}`" in answer["description"], (endpoint.path, cls)
            assert answer["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
        for status in ("400", "413", "500", "503", *needed(operation)):
            assert status in responses, (endpoint.path, status)


def needed(operation: Operation) -> list[str]:
    """Statuses that follow from the form of an operation."""
    found = []
    if operation.body_type is not None:
        found.append("415")
    if operation.endpoint.access.protected:
        found += ["401", "403", "429"]
    if operation.endpoint.own_signature:
        found += ["401", "403", "429"]
    if operation.path_types:
        found.append("404")
    return found


async def test_what_must_be_signed_says_so(site: Site) -> None:
    document = await site.ok(None, "GET", "/openapi.json")
    schemes = document["components"]["securitySchemes"]
    for operation in site.app.operations:
        endpoint = operation.endpoint
        security: list[dict[str, Any]] = document["paths"][endpoint.path][endpoint.method.lower()]["security"]
        assert all(name in schemes for each in security for name in each)
        assert bool(security) == endpoint.access.protected, endpoint.path
        token = [each["BearerToken"] for each in security if "BearerToken" in each]
        assert token == ([[endpoint.access.scope]] if endpoint.access.scope else [])


async def test_amounts_are_described_as_they_are_decoded(site: Site) -> None:
    refund = (await site.ok(None, "GET", "/openapi.json"))["components"]["schemas"]["RefundBody"]
    assert refund["additionalProperties"] is False
    assert refund["required"] == ["id", "payment", "amount"]
    amount = refund["properties"]["amount"]
    assert (amount["type"], amount["minimum"], amount["maximum"]) == ("integer", 1, 2**63 - 1)


async def test_every_kind_of_problem_has_an_address(site: Site) -> None:
    for code in ("insufficient_funds", "wrong_signature", "unavailable"):
        found = await site.ok(None, "GET", f"/problems/{code}")
        assert (found["code"], found["type"]) == (code, f"/problems/{code}")
    assert (await site.refused(None, "GET", "/problems/nonsense"))["code"] == "not_found"
