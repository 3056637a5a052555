"""Where things are, and which processes run."""

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .ledger import Ledger
from .process import Child, Ready
from .sidecar import Route, Sidecar


@dataclass
class Context:
    """One run."""

    venvs: Path
    work: Path
    ledgers: list[Ledger] = field(default_factory=list)
    _processes: ExitStack = field(default_factory=ExitStack)
    _waiting: list[tuple[Child, Ready, float]] = field(default_factory=list)

    def bin(self, venv: str, program: str) -> Path:
        """A program of one of the environments."""
        return self.venvs / venv / "bin" / program

    def train(self) -> None:
        """Makes the models and the rows."""
        script = Path(__file__).parent.parent / "models" / "digits.py"
        subprocess.run([self.bin("mlserver", "python"), script, self.work / "models"], check=True)
        found = json.loads((self.work / "models" / "rows.json").read_text())
        self.rows: list[list[float]] = found["rows"]
        self.labels: list[int] = found["labels"]

    def model(self, version: str) -> Path:
        return self.work / "models" / f"digits-{version}.joblib"

    def started(self, child: Child, ready: Ready, seconds: float) -> None:
        """Notes a process that was started: it is waited for later, so that several start at a time."""
        self._processes.enter_context(child)
        self._waiting.append((child, ready, seconds))

    def wait(self) -> None:
        """Waits for all that was started."""
        while self._waiting:
            child, ready, seconds = self._waiting.pop(0)
            child.wait_until(ready, seconds)

    def case(self, name: str, route: Route, run: Callable[[Ledger], None], *, exact: bool = True) -> None:
        """Runs one case through a sidecar of its own, whose counts must be `exact`ly those of the case."""
        with Sidecar(name.replace(" ", "-"), route, self.work) as sidecar:
            ledger = Ledger(name, sidecar)
            self.ledgers.append(ledger)
            try:
                run(ledger)
            except Exception as error:  # The other cases are of interest all the same.
                ledger.differs(f"{type(error).__name__}: {error}")
            if exact:
                ledger.close()

    def stop(self) -> None:
        """Ends every process, the last one first."""
        self._waiting.clear()
        self._processes.close()
        self._processes = ExitStack()
