"""All routes of the server as one ASGI application."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from textgate.api.auth import Authenticator
from textgate.api.documents import documents
from textgate.api.endpoint import Endpoint, request_id_of, send_problem
from textgate.api.operation import Edge, Group, Services
from textgate.api.paths import Paths
from textgate.api.probes import ROOT
from textgate.api.problem import DIALECT, NO_SUCH_PATH, wrong_method

_NO_PARTS: Mapping[str, str] = {}


def build_api(services: Services, *groups: Group) -> "Api":
    """Return the application. Without ``groups`` it serves everything there is."""
    served = groups or _all_groups(services)
    root = Group("Server", ("",), DIALECT, ROOT)
    shown = Group("Documents", ("",), DIALECT, documents((*served, root)))
    return Api(services, (*served, root, shown))


def _all_groups(services: Services) -> tuple[Group, ...]:
    from textgate.api import (
        device_events,
        ingress,
        mobile_v1,
        native_v1,
        thirdparty_v1,
        upstream,
    )

    relay = () if services.forward_pushes is None else (upstream.GROUP,)
    return (
        native_v1.GROUP,
        thirdparty_v1.GROUP,
        mobile_v1.GROUP,
        device_events.GROUP,
        *ingress.GROUPS,
        *relay,
    )


class Api:
    """Finds the endpoint of a request: by its very path first, then as ``Paths`` reads it."""

    def __init__(self, services: Services, groups: tuple[Group, ...]) -> None:
        self.lines = services.lines
        self._paths: Paths[Endpoint] = Paths()
        self._exact: dict[tuple[str, bytes], Endpoint] = {}
        self.quick: dict[tuple[bytes, bytes], Endpoint] = {}
        """By method and target: the routes that ``api.protocol`` serves in its short way."""
        edges = [(prefix, group.edge) for group in groups for prefix in group.prefixes]
        self._edges = sorted(edges, key=lambda one: len(one[0]), reverse=True)
        authenticator = Authenticator(services)
        for group in groups:
            for operation in group.operations:
                endpoint = Endpoint(services, authenticator, group.edge, operation)
                for prefix in group.prefixes:
                    for path in (operation.path, *operation.aliases):
                        self._add(operation.method, prefix + path, endpoint)

    def _add(self, method: str, path: str, endpoint: Endpoint) -> None:
        self._paths.add(method, path, endpoint)
        if "{" not in path:
            self._exact[method, path.encode()] = endpoint
            if endpoint.operation.quick:
                self.quick[method.encode(), path.encode()] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"this server does not speak {scope['type']}")
        endpoint = self._exact.get((scope["method"], scope["raw_path"]))
        if endpoint is not None:
            return await endpoint.serve(scope, receive, send, _NO_PARTS)
        return await self._look_up(scope, receive, send)

    async def _look_up(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        # The server itself leaves out the body of an answer to HEAD.
        found = self._paths.find("GET" if method == "HEAD" else method, path)
        if isinstance(found, tuple):
            endpoint, parts = found
            return await endpoint.serve(scope, receive, send, parts)
        problem = NO_SUCH_PATH
        if found:
            allowed = found | {"HEAD"} if "GET" in found else found
            problem = wrong_method(", ".join(sorted(allowed)))
        request_id = request_id_of(dict(scope["headers"]))
        return await send_problem(send, problem, self._edge_of(path), request_id)

    def _edge_of(self, path: str) -> Edge:
        lowered = "/" + "/".join(part for part in path.lower().split("/") if part) + "/"
        for prefix, edge in self._edges:
            if lowered.startswith(prefix + "/"):
                return edge
        return DIALECT
