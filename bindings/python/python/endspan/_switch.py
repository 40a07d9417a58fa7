"""What is installed in a process once, and put back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Installable(Protocol):
    """A replacement of something, which can be put back."""

    def install(self) -> None: ...

    def uninstall(self, timeout: float) -> None: ...


_I = TypeVar("_I", bound=Installable)


class Switch(Generic[_I]):
    """Whether a drop-in is installed, and which."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.installed: _I | None = None

    def on(self, make: Callable[[], _I]) -> None:
        """Installs what ``make`` returns, unless something is installed. What raises half-way is put back."""
        with self._lock:
            if self.installed is not None:
                return
            made = make()
            try:
                made.install()
            except BaseException:
                made.uninstall(0.0)
                raise
            self.installed = made

    def off(self, timeout: float) -> None:
        """Puts everything back, if anything is installed. Waits at most ``timeout`` seconds for spans to be delivered."""
        with self._lock:
            installed, self.installed = self.installed, None
        if installed is not None:
            installed.uninstall(timeout)
