"""What plugins keep beyond halls on the control endpoint: `/v1/<shelf>`, the same for every shelf."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from relay_bot.control.errors import ApiError, from_refuse
from relay_bot.control.hall_api import NoParameters
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.control.operation import Call, Operation, Run
from relay_bot.hall.session import Loaded
from relay_bot.hall.shelf import Shelf, read_row
from relay_bot.journal.batch import ShelfRow, Unavailable
from relay_bot.plugin import Refuse, Request, Shelved, iso
from relay_bot.wire.clock import now_ms

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="No / and nothing that can't be seen")]


class OneShelved(Request, frozen=True):
    """Something on a shelf, by the path."""

    name: Name


class ShelvedName(msgspec.Struct, frozen=True):
    """The name of something on a shelf, and when it was put there."""

    name: str
    shelved_at: str


class ShelfList(msgspec.Struct, frozen=True):
    """What is on a shelf, by name."""

    shelved: list[ShelvedName]


class ShelfApi:
    """Makes the operations on shelves."""

    def __init__(self, shelf: Shelf, plugins: Mapping[str, Loaded], once: IdempotencyLog) -> None:
        self._shelf = shelf
        self._plugins = plugins
        self._once = once

    def operations(self) -> list[Operation]:
        """List the operations: four for each shelf."""
        return [
            operation
            for plugin, loaded in self._plugins.items()
            for kind in loaded.spec.plugin_type.shelves
            for operation in self._of(plugin, loaded, kind)
        ]

    def _of(self, plugin: str, loaded: Loaded, kind: type[Shelved]) -> list[Operation]:
        path, words = f"/v1/{kind.shelf}", kind.shelf.replace("-", " ")
        put, view = _put_type(kind), _view_type(kind)
        one = f"{path}/{{name}}"
        return [
            Operation("GET", path, plugin, f"List the {words}", NoParameters, ShelfList, self._list(kind)),
            Operation(
                "POST",
                path,
                plugin,
                f"Keep one of the {words}, in the place of what has its name",
                put,
                view,
                self._put(loaded, kind),
                errors=(503,),
            ),
            Operation(
                "GET", one, plugin, f"Show one of the {words}", OneShelved, view, self._show(kind), errors=(404,)
            ),
            Operation(
                "DELETE",
                one,
                plugin,
                f"Delete one of the {words}",
                OneShelved,
                OneShelved,
                self._delete(kind),
                errors=(404, 503),
            ),
        ]

    def _list(self, kind: type[Shelved]) -> Run:
        async def run(call: Call) -> Any:
            return ShelfList([ShelvedName(name, iso(at)) for _, name, at, _ in self._shelf.rows(kind.shelf)])

        return run

    def _put(self, loaded: Loaded, kind: type[Shelved]) -> Run:
        async def run(call: Call) -> Any:
            thing = kind(**{field: getattr(call.request, field) for field in kind.__struct_fields__})

            async def put() -> Any:
                try:
                    row = self._shelf.row(thing, call.request.name, loaded.settings, now_ms())
                    await self._shelf.put(row)
                except Refuse as refusal:
                    raise from_refuse(refusal) from None
                except Unavailable as error:
                    raise ApiError(503, "busy", f"not kept, send again: {error}") from None
                return _view(thing, row)

            if call.idempotency_key is None:
                return await put()
            return await self._once.once(call.idempotency_key, call.digest, put)

        return run

    def _show(self, kind: type[Shelved]) -> Run:
        async def run(call: Call) -> Any:
            for row in self._shelf.rows(kind.shelf):
                if row[1] == call.request.name and (thing := read_row(kind, row)) is not None:
                    return _view(thing, row)
            raise _not_there(kind)

        return run

    def _delete(self, kind: type[Shelved]) -> Run:
        async def run(call: Call) -> Any:
            try:
                found = await self._shelf.delete(kind.shelf, call.request.name)
            except Unavailable as error:
                raise ApiError(503, "busy", f"not deleted, send again: {error}") from None
            if not found:
                raise _not_there(kind)
            return call.request

        return run


def _view(thing: Shelved, row: ShelfRow) -> dict[str, Any]:
    return {"name": row[1], "shelved_at": iso(row[2])} | msgspec.to_builtins(thing)


def _not_there(kind: type[Shelved]) -> ApiError:
    return ApiError(404, "not_found", f"there is none of this name among the {kind.shelf.replace('-', ' ')}")


@functools.cache  # one type for each: OpenAPI names its schemas by them
def _put_type(kind: type[Shelved]) -> type[Request]:
    """Give the type of a request that puts something: its name and its fields."""
    fields = [(field.name, field.type, _default(field)) for field in msgspec.structs.fields(kind)]
    return msgspec.defstruct(  # type: ignore[return-value]  (its base is a Request)
        f"Put{kind.__name__}", [("name", Name), *fields], bases=(Request,), frozen=True, kw_only=True
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """Give a field's default as a definition takes it: `NODEFAULT` says that there is none."""
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


@functools.cache
def _view_type(kind: type[Shelved]) -> type[Shelved]:
    """Give the type of what is shown of something: beside its fields its name, and when it was put there."""
    return msgspec.defstruct(  # type: ignore[return-value]  (its base is a Shelved)
        f"{kind.__name__}View",
        [("name", str), ("shelved_at", str)],
        bases=(kind,),
        frozen=True,
        kw_only=True,
    )
