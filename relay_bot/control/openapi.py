"""`/openapi.json`, made from the same types that check the requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from relay_bot.control.operation import Operation
from relay_bot.plugin import Download

_PATH_PART: Final = re.compile(r"{(\w+)}")
_REF: Final = "#/components/schemas/{name}"

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "code", "message"],
            "properties": {
                "type": {"type": "string"},
                "code": {"type": "string"},
                "message": {"type": "string"},
                "field": {"type": "string"},
                "retry_after_ms": {"type": "integer"},
            },
        }
    },
}


def describe(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Make the OpenAPI 3.1 document of these operations."""
    answers: list[Any] = [each.answer_type for each in operations if _is_struct(each.answer_type)]
    requests = [each.request_type for each in operations]
    types = list(dict.fromkeys([*answers, *requests]))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in operations:
        entry = _operation(operation, by_type, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    used = {name: schema for name, schema in components.items() if _is_used(name, paths, components)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "relay-bot control endpoint", "version": version},
        "paths": paths,
        "components": {
            "schemas": used | {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation, schemas: dict[Any, dict[str, Any]], components: dict[str, Any]) -> dict[str, Any]:
    shape = _resolved(schemas[operation.request_type], components)
    in_path = _PATH_PART.findall(operation.path)
    fields = {name: schema for name, schema in shape.get("properties", {}).items() if name not in in_path}
    required = [name for name in shape.get("required", ()) if name not in in_path]
    entry: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary.rstrip("."),
        "operationId": _identifier(operation),
        "parameters": [
            {
                "name": name, "in": "path", "required": True,
                "schema": shape.get("properties", {}).get(name, {"type": "string"}),
            }
            for name in in_path
        ],
        "responses": _responses(operation, schemas),
    }  # fmt: skip
    if operation.method == "POST":
        entry["parameters"].append(
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200}}
        )
        if fields:
            body = {"type": "object", "properties": fields, "required": required}
            entry["requestBody"] = {
                "required": bool(required),
                "content": {"application/json": {"schema": body}},
            }
    else:
        entry["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in fields.items()
        ]
    if not operation.public:
        entry["security"] = [{"token": []}]
    return entry


def _responses(operation: Operation, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    schema = schemas.get(operation.answer_type, {})
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if operation.answer_type is Download:
        content = {"application/octet-stream": {"schema": {"type": "string"}}}
    failure = {
        "description": "An error",
        "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
    }
    return {str(operation.status): {"description": "Done", "content": content}, "default": failure}


def _identifier(operation: Operation) -> str:
    words = re.sub(r"\W+", "_", f"{operation.method.lower()}_{operation.path}")
    return words.strip("_")


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return components[reference.rpartition("/")[2]] if reference else schema


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not Download


def _is_used(name: str, paths: dict[str, Any], components: dict[str, Any]) -> bool:
    """Tell whether a component is referred to: those of whole requests are spread over their parameters."""
    reference = _REF.format(name=name)
    return _mentions(paths, reference) or any(
        _mentions(schema, reference) for other, schema in components.items() if other != name
    )


def _mentions(value: Any, reference: str) -> bool:
    if isinstance(value, dict):
        return any(_mentions(part, reference) for part in value.values())  # type: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return any(_mentions(part, reference) for part in value)  # type: ignore[reportUnknownVariableType]
    return value == reference
