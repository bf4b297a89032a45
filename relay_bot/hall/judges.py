"""Asks the plugins what they say of the texts of a message that others will see, before it is decided."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from relay_bot.hall.calling import PluginCalls
from relay_bot.hall.session import Session
from relay_bot.judging import Content, Shape, Steps, Verdict, path_of, texts_of, with_texts
from relay_bot.plugin import Plugin, own_methods
from relay_bot.wire.refusal import Refuse

if TYPE_CHECKING:
    from relay_bot.plugin import Context

B = TypeVar("B", bound=msgspec.Struct)

Contexts = Callable[[str], "Context"]
"""Gives a plugin's context for judging."""


class OnHold(Refuse):
    """A message is to be held. Where it can't be, it is refused."""

    def __init__(self, plugin: str, reason: str, field: str, text: str = "") -> None:
        super().__init__(
            "blocked", "this text needs a moderator's approval, which can't be asked for here", field=field
        )
        self.plugin = plugin
        self.reason = reason
        self.text = text
        """As it may be seen once it is approved."""


class Judges:
    """The plugins of a session that judge; most halls have none or one."""

    def __init__(self, session: Session, calls: PluginCalls) -> None:
        self._calls = calls
        self._session = session
        self._plugins = [
            (name, plugin) for name, plugin in session.plugins.items() if "judge" in own_methods(type(plugin))
        ]

    def __bool__(self) -> bool:
        return bool(self._plugins)

    def text(self, content: Content, contexts: Contexts) -> str:
        """Have one text judged; gives it as it may be seen. Raises `Refuse`, `OnHold`, or `internal` for a failure."""
        hold: OnHold | None = None
        for name, plugin in self._plugins:
            if name not in self._session.plugins:  # in quarantine
                continue
            verdict = self._calls(name, partial(_verdict, plugin, content, contexts(name)))
            match verdict.action:
                case "refuse":
                    raise Refuse(verdict.code, verdict.text, field=content.field or None)
                case "hold":
                    hold = hold or OnHold(name, verdict.text, content.field)
                case "replace":
                    content = msgspec.structs.replace(content, text=verdict.text)
                case "allow":
                    pass
        if hold is not None:
            hold.text = content.text
            raise hold
        return content.text

    def body(self, body: B, shape: Shape | None, kind: str, root: str, contexts: Contexts, *, released: bool) -> B:
        """Have all public texts of a body judged; gives the body as it may be seen. Raises like `text`.

        `released`: a moderator has approved of it, so nothing holds it any more.
        """
        if shape is None or not self._plugins:
            return body
        hold: OnHold | None = None
        changed: dict[Steps, str] = {}
        for steps, text, what in texts_of(body, shape):
            try:
                seen = self.text(Content(text, what, kind, path_of(root, steps)), contexts)
            except OnHold as held:
                hold, seen = hold or held, held.text
            if seen != text:
                changed[steps] = seen
        if hold is not None and not released:
            raise hold
        try:
            return with_texts(body, changed) if changed else body
        except msgspec.ValidationError as error:
            raise Refuse("malformed", f"the text that a plugin put in its place can't stand there: {error}") from None


def _verdict(plugin: Plugin[Any, Any], content: Content, context: Context) -> Verdict:
    verdict = plugin.judge(content, context)
    if not isinstance(verdict, Verdict):  # pyright: ignore[reportUnnecessaryIsInstance]  (a plugin may be untyped)
        raise TypeError(f"judge gave {type(verdict).__name__}: expected a Verdict")
    return verdict
