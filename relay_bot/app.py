"""The composition root: builds the parts, starts them in order, stops them in stages."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from relay_bot import __version__, descriptors
from relay_bot.checks import faults
from relay_bot.control.effects_api import EffectsApi
from relay_bot.control.events_api import EventsApi
from relay_bot.control.guard import Guard, control_token
from relay_bot.control.hall_api import HallApi
from relay_bot.control.held_api import HeldApi
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.control.openapi import describe
from relay_bot.control.operation import Operation
from relay_bot.control.privacy_api import PrivacyApi
from relay_bot.control.process_api import ProcessApi, webhook_handler
from relay_bot.control.rooms_api import RoomsApi
from relay_bot.control.server import ControlServer
from relay_bot.control.shelf_api import ShelfApi
from relay_bot.control.show_api import ShowApi
from relay_bot.hall.halls import Halls, Hinted
from relay_bot.hall.plugins import load_plugins, personal_of_others
from relay_bot.hall.services import Services
from relay_bot.hall.shelf import Shelf
from relay_bot.hall.supervisor import Supervisor, Trouble
from relay_bot.hall.watchdog import Watchdog
from relay_bot.journal.writer import Journal
from relay_bot.link import LinkError
from relay_bot.link.choose import choose
from relay_bot.livekit.rooms import LivekitRooms
from relay_bot.livekit.webhooks import Webhooks
from relay_bot.observe import logs
from relay_bot.paths import settled
from relay_bot.settings import Settings, SettingsError, load
from relay_bot.tuning import tune_interpreter

log = structlog.get_logger("app")

_RELOADABLE: Final = ("halls", "roles", "gate", "commands", "effects", "log", "plugins")
"""Sections that a reload takes up: new halls have them. The others need a restart."""


class App:
    """One bot process."""

    def __init__(self, settings: Settings, config_path: Path | None) -> None:
        self._base = config_path.parent if config_path else Path.cwd()
        self.settings = settled(settings, self._base)
        self._config_path = config_path
        self._stop = asyncio.Event()
        self._stages: list[tuple[str, Callable[[], Any], float]] = []
        self._halls: Halls | None = None
        self._show: ShowApi | None = None
        self._services: Services | None = None
        self.control: ControlServer | None = None

    async def start(self) -> None:
        """Start everything; on a failure what was started is stopped again, and the error goes on.

        Raises `SettingsError`, `PluginsError`, `JournalError` or `ControlError`, each with a text for a person.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings = self.settings
        if not settings.livekit.api_key or not settings.livekit.api_secret:
            raise SettingsError(
                "livekit.api_key and livekit.api_secret are missing: set LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
            )
        for fault in faults(settings, self._base):
            log.warning("app.configuration_fault", fault=fault)
        token = control_token(settings.control, self._base)
        plugins = load_plugins(settings.plugins, self._base)
        watchdog = Watchdog()
        if threading.current_thread() is threading.main_thread():
            watchdog.start()
            self._stages.append(("watchdog", watchdog.stop, 1.0))
        journal = Journal(settings.storage.url)
        await journal.start()
        self._stages.append(("journal", journal.stop, 10.0))
        rooms = LivekitRooms(settings.livekit, settings.bot)
        self._stages.append(("rooms", rooms.close, 2.0))
        try:
            link = choose(settings.link.kind)
        except LinkError as error:
            raise SettingsError(str(error)) from None
        self._stages.append(("link", link.close, 2.0))
        shelf = Shelf(journal, settings.storage.max_shelved)
        await shelf.load()
        others = personal_of_others(settings.plugins, self._base, plugins)
        self._services = Services(settings, journal, link, rooms, plugins, watchdog, shelf, others)
        limit = descriptors.raise_limit()
        halls = self._halls = Halls(self._services, descriptors.halls_that_fit(limit, link.name))
        self._stages.append(("halls", halls.stop, 10.0))
        once = IdempotencyLog(journal, f"control {settings.control.host}:{settings.control.port}")
        await once.start()
        operations: list[Operation] = HallApi(settings, halls, plugins, once).operations()
        operations += RoomsApi(settings, rooms, halls, once).operations()
        self._show = ShowApi(settings, rooms, halls, plugins, once)
        operations += self._show.operations()
        operations += EventsApi(halls, journal, lambda hall: hall.feed).operations()
        operations += EffectsApi(halls).operations()
        operations += HeldApi(halls).operations()
        operations += ShelfApi(shelf, plugins, once).operations()
        operations += PrivacyApi(halls).operations()
        supervisor = Supervisor()

        def troubles() -> list[Trouble]:
            return supervisor.troubles() + watchdog.troubles() + halls.troubles()

        operations += ProcessApi(
            halls, journal, lambda: describe(operations, __version__), troubles, lambda: halls.trouble
        ).operations()
        webhook = webhook_handler(Webhooks(settings.livekit), Hinted(halls))
        self.control = ControlServer(
            settings.control,
            Guard(settings.control, token),
            operations,
            webhook,
            most_connections=descriptors.for_control(limit),
        )
        await self.control.start()
        self._stages.append(("control", self.control.stop, 5.0))
        tune_interpreter()
        supervisor.start("finder", halls.run)
        self._stages.append(("finder", supervisor.stop, 2.0))
        log.info(
            "app.started",
            version=__version__,
            livekit=settings.livekit.url,
            control=self.control.address,
            link=link.name,
            plugins=sorted(plugins),
        )

    async def stop(self) -> None:
        """Stop in the reverse order, each stage within its time; what takes longer is named in the log."""
        while self._stages:
            name, function, seconds = self._stages.pop()
            try:
                async with asyncio.timeout(seconds):
                    result = function()
                    if asyncio.iscoroutine(result):
                        await result
            except TimeoutError:
                log.warning("app.stage_late", stage=name, seconds=seconds)
            except Exception:
                log.exception("app.stage_failed", stage=name)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.start()
        try:
            await self._stop.wait()
            log.info("app.stopping")
        finally:
            await self.stop()

    def reload(self) -> None:
        """Read the configuration again: take up what can be, say what can't."""
        if self._services is None or self._halls is None:
            return
        try:
            settings = settled(load(self._config_path), self._base)
            plugins = load_plugins(settings.plugins, self._base)
            others = personal_of_others(settings.plugins, self._base, plugins)
        except Exception as error:
            log.error("app.reload_refused", error=str(error))
            return
        changed = [
            name for name in Settings.__struct_fields__ if getattr(settings, name) != getattr(self.settings, name)
        ]
        taken = {name: getattr(settings, name) for name in changed if name in _RELOADABLE}
        merged = {name: taken.get(name, getattr(self.settings, name)) for name in Settings.__struct_fields__}
        self.settings = Settings(**merged)
        logs.configure(self.settings.log)
        self._services = Services(
            self.settings,
            self._services.journal,
            self._services.link,
            self._services.rooms,
            plugins,
            self._services.watchdog,
            self._services.shelf,
            others,
        )
        self._halls.update(self._services)
        if self._show is not None:
            self._show.update(self.settings)
        log.info(
            "app.reloaded",
            taken_for_new_halls=sorted(taken),
            needs_restart=[name for name in changed if name not in _RELOADABLE],
        )
