"""`/openapi.json`, made from the same types that check the requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from relay_bot.control.operation import MAX_KEY_CHARS, Operation
from relay_bot.plugin import Download

_REF: Final = "#/components/schemas/{name}"
_TOKEN: Final = "token"  # noqa: S105  (the name of the security scheme)

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Every error has this form.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "code", "message"],
            "properties": {
                "type": {"type": "string"},
                "code": {"type": "string"},
                "message": {"type": "string"},
                "field": {"type": "string", "description": "The path of what was wrong."},
                "retry_after_ms": {"type": "integer", "minimum": 0},
            },
        }
    },
    "examples": [{"error": {"type": "not_found", "code": "not_found", "message": "Room not found"}}],
}
_REASONS: Final[dict[int, str]] = {
    401: "unauthorized: the token is missing or wrong",
    403: "forbidden: a foreign Host, a web page, or someone who may not do this",
    404: "not_found: the hall, or what is asked for in it, does not exist",
    409: "hall_not_active, or the hall's state does not allow it",
    413: "invalid_request: the body is too large",
    415: "invalid_request: the body is not application/json",
    422: "validation_error or invalid_request: the body or a parameter is not as described",
    502: "livekit_error: LiveKit can't be reached, or answered with an error",
    503: "busy: overload, or the journal can't be written; nothing was taken, send again",
}
_OF_ALL: Final = (401, 403)
_OF_POSTS: Final = (413, 415, 422)

Schemas = list[tuple[Any, dict[str, Any]]]


def describe(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Make the OpenAPI 3.1 document of these operations."""
    types: list[Any] = []
    for operation in operations:
        for kind in (operation.request_type, operation.answer_type, *operation.other_answers.values()):
            if kind not in types and kind is not Download and kind is not None:
                types.append(kind)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    book = _Book(list(zip(types, schemas, strict=True)), components)
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, book)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "relay-bot control endpoint",
            "version": version,
            "description": "How backends steer halls. It listens on this machine alone unless configured otherwise.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": _used(components, paths) | {"Error": _ERROR},
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


class _Book:
    """The schemas of all types. Looked up by equality: `dict[str, Any]` is not always the same object."""

    def __init__(self, schemas: Schemas, components: dict[str, Any]) -> None:
        self._schemas = schemas
        self._components = components

    def schema(self, kind: Any) -> dict[str, Any]:
        """Give the schema of a type, by reference where it has a name."""
        empty: dict[str, Any] = {}
        return next((schema for known, schema in self._schemas if known == kind), empty)

    def resolved(self, kind: Any) -> dict[str, Any]:
        """Give the schema of a type itself."""
        schema = self.schema(kind)
        reference = schema.get("$ref")
        return self._components[reference.rpartition("/")[2]] if reference else schema


def _operation(operation: Operation, book: _Book) -> dict[str, Any]:
    shape = book.resolved(operation.request_type)
    properties: dict[str, Any] = shape.get("properties", {})
    in_path = operation.path_names()
    fields = {name: schema for name, schema in properties.items() if name not in in_path}
    required = [name for name in shape.get("required", ()) if name not in in_path]
    for name in operation.request_type.needed:
        required.append(name)
        fields[name] = {key: value for key, value in fields[name].items() if key != "default"}
    entry: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary.rstrip("."),
        "operationId": _identifier(operation),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": properties.get(name, {"type": "string"})}
            for name in in_path
        ],
    }
    if operation.description:
        entry["description"] = operation.description
    entry["parameters"] += [
        {"name": header.name, "in": "header", "description": header.description, "schema": {"type": "string"}}
        for header in operation.headers
    ]
    if operation.method == "POST":
        entry["parameters"].append(_IDEMPOTENCY_KEY)
        entry["requestBody"] = _body(operation, fields, required, shape)
    else:
        entry["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in fields.items()
        ]
    entry["responses"] = _responses(operation, book, bool(fields or in_path))
    entry["security"] = [] if operation.public else [{_TOKEN: []}]
    return entry


_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body act once and get the same answer; the same key with another body is 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS, "pattern": "^[ -~]+$"},
}


def _body(
    operation: Operation, fields: Mapping[str, Any], required: list[str], shape: Mapping[str, Any]
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": fields, "required": required}
    if "additionalProperties" in shape:
        schema["additionalProperties"] = shape["additionalProperties"]
    media: dict[str, Any] = {"schema": schema}
    if operation.example is not None:
        media["example"] = operation.example
    return {"required": bool(required), "content": {"application/json": media}}


def _responses(operation: Operation, book: _Book, has_parameters: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(operation.status): {"description": "Done", "content": _answer_media(operation, book)}
    }
    for status, kind in operation.other_answers.items():
        content = {"application/json": {"schema": book.schema(kind)}}
        responses[str(status)] = {"description": "As described", "content": content}
    if operation.error_form is not None:
        responses["default"] = {"description": "Any other error, in the same form"}
        return responses
    errors = {403, *operation.errors}
    if not operation.public:
        errors |= {*_OF_ALL}
    if operation.method == "POST":
        errors |= {*_OF_POSTS}
    elif has_parameters:
        errors.add(422)
    for status in sorted(errors):
        responses.setdefault(str(status), _failure(_REASONS.get(status, "An error")))
    responses.setdefault("default", _failure("Any other error"))
    return responses


def _answer_media(operation: Operation, book: _Book) -> dict[str, Any]:
    if operation.answer_type is Download:
        return {each: {"schema": _file_schema(each)} for each in operation.files or ("*/*",)}
    schema = {"type": "string"} if operation.answer_type is str else book.schema(operation.answer_type)
    media: dict[str, Any] = {"schema": schema}
    if operation.answer_example is not None:
        media["example"] = operation.answer_example
    return {operation.content_type: media}


def _file_schema(content_type: str) -> dict[str, Any]:
    if content_type == "*/*":
        return {}  # it may be JSON
    if content_type == "application/json":
        return {"type": "object"}
    if content_type.startswith("text/") or content_type == "application/x-ndjson":
        return {"type": "string"}
    return {"type": "string", "format": "binary"}


def _failure(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    return {"description": description, "content": content}


def _identifier(operation: Operation) -> str:
    words = re.sub(r"\W+", "_", f"{operation.method.lower()}_{operation.path}")
    return words.strip("_")


def _used(components: Mapping[str, Any], paths: Any) -> dict[str, Any]:
    """Keep the components that are referred to: those of whole requests are spread over their parameters."""
    wanted: dict[str, Any] = {}
    found = _references(paths)
    while found:
        name = found.pop()
        if name in components and name not in wanted:
            wanted[name] = components[name]
            found |= _references(components[name])
    return dict(sorted(wanted.items()))


def _references(value: Any) -> set[str]:
    found: set[str] = set()
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            reference: Any = part.get("$ref")  # type: ignore[reportUnknownMemberType]  (JSON)
            if isinstance(reference, str):
                found.add(reference.rpartition("/")[2])
            waiting += part.values()  # type: ignore[reportUnknownArgumentType]  (JSON)
        elif isinstance(part, list):
            waiting += part  # type: ignore[reportUnknownArgumentType]  (JSON)
    return found
