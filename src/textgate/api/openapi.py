"""The OpenAPI 3.1 document, made from the operations and from the types that check requests."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from textgate import __version__
from textgate.api.fields import field_schema
from textgate.api.operation import Group, Operation
from textgate.domain.account import Scope

Schema = dict[str, Any]

_COMMON_ERRORS: Mapping[int, str] = {
    400: "the request breaks a rule; the message says which member and why",
    401: "no credentials, or wrong ones",
    403: "the token lacks the scope",
    413: "the body is larger than the server takes",
    500: "a fault of the server",
    503: "not now; Retry-After says when to try again",
}
_REFERENCE = "#/components/schemas/{name}"
_DESCRIPTION = """\
`/3rdparty/v1` (also at `/api/3rdparty/v1`) is the API of SMS Gateway for Android, for its client
libraries; `/v1` is Textgate's own. Both take the same login and the same tokens. `/ingress` is
where other systems send through Textgate in words of their own, each with a secret of its own."""


def build_document(groups: Iterable[Group]) -> Schema:
    """Return the document of all ``groups``, each under its first prefix."""
    groups = tuple(groups)
    types = _Types(groups)
    paths: dict[str, Schema] = {}
    for group in groups:
        for operation in group.operations:
            path = (group.prefixes[0] + operation.path) or "/"
            item = paths.setdefault(path, {})
            item[operation.method.lower()] = _operation(group, operation, types)
    tags = dict.fromkeys(_tag(group, o) for group in groups for o in group.operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Textgate", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {"schemas": types.components, "securitySchemes": _security_schemes()},
    }


class _Types:
    """The schemas of all types that the operations name."""

    def __init__(self, groups: Iterable[Group]) -> None:
        wanted: list[Any] = []
        for group in groups:
            wanted.append(group.edge.problem_type)
            for operation in group.operations:
                wanted += [
                    t for t in (operation.body, *_choices(operation.answer)) if _is_schema(t)
                ]
        found, components = msgspec.json.schema_components(
            wanted, schema_hook=field_schema, ref_template=_REFERENCE
        )
        self._schemas = list(zip(wanted, found, strict=True))
        self.components = components

    def schema(self, wanted: Any) -> Schema:
        """Return the schema of a type that some operation names."""
        choices = [self._one(choice) for choice in _choices(wanted)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}

    def _one(self, wanted: Any) -> Schema:
        return next(schema for type_, schema in self._schemas if type_ == wanted)


def _choices(wanted: Any) -> tuple[Any, ...]:
    """The members of a union; msgspec writes no schema for a union of structs."""
    return get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)


def _is_schema(wanted: Any) -> bool:
    return wanted is not None and wanted is not bytes


def _security_schemes() -> Schema:
    return {
        "basic": {"type": "http", "scheme": "basic", "description": "Login and password."},
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of `POST /auth/token`. Scopes: "
            + ", ".join(f"`{scope}`" for scope in Scope),
        },
        "phone": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token that a phone got when it registered.",
        },
    }


def _operation(group: Group, operation: Operation, types: _Types) -> Schema:
    described: Schema = {
        "operationId": _operation_id(group, operation),
        "summary": operation.summary,
        "tags": [_tag(group, operation)],
        "responses": _responses(group, operation, types),
    }
    also = [f"Also at `{group.prefixes[0]}{alias}`." for alias in operation.aliases]
    if text := " ".join([operation.description, *also]).strip():
        described["description"] = text
    parameters = [*_path_parameters(operation), *_query_parameters(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, types)
    described["security"] = _security(operation)
    return described


def _tag(group: Group, operation: Operation) -> str:
    return f"{group.name}: {operation.tag}"


def _operation_id(group: Group, operation: Operation) -> str:
    words = f"{operation.method} {group.prefixes[0]} {operation.path}"
    return "_".join(re.findall("[A-Za-z0-9]+", words)).lower()


def _security(operation: Operation) -> list[Schema]:
    if operation.public:
        return []
    nobody: list[Schema] = [{}] if operation.optional else []
    if operation.for_phones:
        return [{"phone": []}, *nobody]
    if operation.password_only:
        return [{"basic": []}, *nobody]
    bearer = {"bearer": [operation.scope.value] if operation.scope else []}
    # Only a refresh token may refresh; a password is refused there.
    return [bearer] if operation.scope is Scope.TOKENS_REFRESH else [{"basic": []}, bearer]


def _request_body(operation: Operation, types: _Types) -> Schema:
    if operation.body is bytes:
        content: Schema = {"*/*": {"schema": {}}}
    else:
        content = {"application/json": {"schema": types.schema(operation.body)}}
    return {"required": not operation.body_optional, "content": content}


def _responses(group: Group, operation: Operation, types: _Types) -> Schema:
    success: Schema = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer is not None:
        schema = {} if operation.answer is bytes else types.schema(operation.answer)
        success["content"] = {operation.answer_type: {"schema": schema}}
    responses = {str(operation.status): success}
    problem = {"application/json": {"schema": types.schema(group.edge.problem_type)}}
    for status, why in sorted(_errors(group, operation).items()):
        content = success["content"] if operation.public and status == 503 else problem
        responses[str(status)] = {"description": why, "content": content}
    return responses


def _errors(group: Group, operation: Operation) -> Mapping[int, str]:
    left_out = set()
    if operation.public:
        left_out |= {401, 403}
    if operation.body is None:
        left_out.add(413)
        if operation.query is None:
            left_out.add(400)
    common = {status: why for status, why in _COMMON_ERRORS.items() if status not in left_out}
    if operation.body not in (None, bytes):
        wrong_type = group.edge.wrong_type
        common.setdefault(wrong_type.status, wrong_type.message)
    return {**common, **operation.errors}


def _path_parameters(operation: Operation) -> Iterable[Schema]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(operation: Operation) -> Iterable[Schema]:
    if operation.query is None:
        return
    _, components = msgspec.json.schema_components(
        [operation.query], schema_hook=field_schema, ref_template=_REFERENCE
    )
    described = components.pop(operation.query.__name__)
    for name, schema in described["properties"].items():
        parameter: Schema = {"name": name, "in": "query", "schema": _inline(schema, components)}
        if text := parameter["schema"].pop("description", None):
            parameter["description"] = text
        yield parameter


def _inline(schema: Any, components: Mapping[str, Any]) -> Any:
    """Put in what is referred to, and leave out null: a query has none."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(components[schema["$ref"].rpartition("/")[2]], components)
    if "anyOf" in schema:
        choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if rest.get("default", ...) is None:
            del rest["default"]
        inner = choices[0] if len(choices) == 1 else {"anyOf": choices}
        return {**_inline(inner, components), **rest}
    return dict(schema)
