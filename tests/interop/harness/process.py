"""Processes of a test: each with its own log, each ended by its own id."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from .wait import TooLateError, until

Ready = Callable[[], bool]

STOP_S = 10.0
TAIL_LINES = 40


class Child:
    """A process that leads a group of its own, so that its helpers end with it."""

    def __init__(self, name: str, argv: list[str], work: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = work / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=work,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Asks it to end, and insists after a while."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self.kill()

    def wait_until(self, ready: Ready, seconds: float) -> None:
        """Waits until `ready` is true; an error shows the end of the log."""

        def look() -> bool:
            if not self.is_running():
                raise RuntimeError(f"{self.name} has ended with {self.process.returncode}:\n{self.tail()}")
            return ready()

        try:
            until(look, f"{self.name} is ready", seconds)
        except TooLateError as error:
            raise RuntimeError(f"{error}\n{self.tail()}") from error

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives its leader while a helper runs; it has the leader's id.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.stop()
