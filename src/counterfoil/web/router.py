"""Everything but the hot route: finds the operation, reads the body, asks who is calling, answers, writes one log line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import structlog

from counterfoil.clock import Clock
from counterfoil.errors import CounterfoilError, InternalError, Malformed, MethodNotAllowed, NotFound
from counterfoil.ids import id_text
from counterfoil.web import problems
from counterfoil.web.access import Principal
from counterfoil.web.authentication import Authenticator
from counterfoil.web.endpoint import PATH_SIZE_MAX, Operation
from counterfoil.web.incoming import Answer, ClientGone, Incoming, Receive, Scope, Send
from counterfoil.web.metrics import Metrics

log = structlog.get_logger("counterfoil.web")

NO_ROUTE = "(none)"
"""Route of a request that no operation answers: its path is the caller's text, and stays out of logs and metrics."""


class Router:
    """An ASGI application over `operations`. `common_headers` go with every answer."""

    def __init__(
        self,
        operations: Sequence[Operation],
        *,
        authenticator: Authenticator,
        clock: Clock,
        metrics: Metrics,
        next_request_id: Callable[[], str],
        titles: problems.Titles,
        body_size_max: int,
        common_headers: Sequence[problems.Header],
    ) -> None:
        self.authenticator = authenticator
        self.clock = clock
        self.metrics = metrics
        self.next_request_id = next_request_id
        self.titles = titles
        self.body_size_max = body_size_max
        self._common_headers = list(common_headers)
        self._routes: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            endpoint = operation.endpoint
            methods = self._routes.setdefault(endpoint.path, {})
            assert endpoint.method not in methods, (endpoint.method, endpoint.path)
            methods[endpoint.method] = operation
        self._patterns: dict[int, list[tuple[re.Pattern[str], str]]] = {}
        for path, methods in self._routes.items():
            if "{" in path:
                pattern = next(iter(methods.values())).pattern
                self._patterns.setdefault(path.count("/"), []).append((pattern, path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. Whatever happens in an endpoint, the caller hears a problem document and the server lives."""
        started = self.clock.monotonic_ns()
        request = Incoming(scope, self.next_request_id())
        request.route = NO_ROUTE
        try:
            answer = await self._answer(request, receive)
        except CounterfoilError as error:
            answer = self._problem(error, request)
        except ClientGone:
            return
        except Exception:
            log.exception("request_failed", request_id=request.request_id, route=request.route)
            answer = self._problem(InternalError(), request)
        self.metrics.request(request.method if request.route != NO_ROUTE else "", request.route, answer.status)
        log.info(
            "request",
            request_id=request.request_id,
            method=request.method[:16],
            route=request.route,
            status=answer.status,
            ms=(self.clock.monotonic_ns() - started) // 1_000_000,
            party=id_text(request.party) if request.party else None,
        )
        if not any(name == b"cache-control" for name, _ in answer.headers):
            answer.headers = (*answer.headers, (b"cache-control", b"no-store"))
        answer.headers = (*self._common_headers, *answer.headers, (b"x-request-id", request.request_id.encode()))
        await answer.send(receive, send)

    async def _answer(self, request: Incoming, receive: Receive) -> Answer:
        operation, path_values = self._find(request)
        request.route = operation.endpoint.path
        await request.read_body(receive, self.body_size_max)
        caller: Principal | None = None
        if operation.endpoint.access.protected:
            caller = await self.authenticator.caller(request, operation.endpoint.access)
        return await operation.answer(request, caller, path_values)

    def _find(self, request: Incoming) -> tuple[Operation, tuple[str, ...]]:
        if len(request.path) > PATH_SIZE_MAX:
            raise Malformed("path", f"must be at most {PATH_SIZE_MAX} characters")
        values: tuple[str, ...] = ()
        methods = self._routes.get(request.path)
        if methods is None:
            for pattern, path in self._patterns.get(request.path.count("/"), ()):
                if match := pattern.fullmatch(request.path):
                    methods, values = self._routes[path], match.groups()
                    break
        if methods is None or "{" in request.path:
            raise NotFound("there is nothing at this address")
        if request.method not in methods:
            raise MethodNotAllowed(allow=sorted(methods))
        return methods[request.method], values

    def _problem(self, error: CounterfoilError, request: Incoming) -> Answer:
        status, headers, body = problems.render(error, request.request_id, self.titles.language(request.headers))
        # Not "connection: close", even for a body that is too large: closing while it is still coming would lose our answer.
        kept = tuple(header for header in headers if header[0] not in (b"content-type", b"content-length"))
        return Answer(body, status=status, media_type=problems.MEDIA_TYPE, headers=kept)
