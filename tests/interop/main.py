"""Runs real model servers and real clients through the sidecar, and compares with calls that go there directly."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from families import kserve, litellm, mlflow, mlserver
from harness import report
from harness.context import Context

FAMILIES: dict[str, Callable[[Context], None]] = {
    "mlserver": mlserver.run,
    "kserve": kserve.run,
    "mlflow": mlflow.run,
    "litellm": litellm.run,
}


def ended(_number: int, _frame: object) -> None:
    """A signal ends this program in the ordinary way, and so all of its processes."""
    sys.exit(130)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venvs", type=Path, help="where the environments are")
    parser.add_argument("only", nargs="*", choices=[[], *FAMILIES], help="some families of servers [default: all]")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, ended)
    work = Path(tempfile.mkdtemp(prefix="serinus-interop-"))
    context = Context(chosen.venvs.absolute(), work)
    context.train()
    broken = False
    for name in chosen.only or FAMILIES:
        begun = time.monotonic()
        try:
            FAMILIES[name](context)
        except Exception:  # The other families are of interest all the same.
            traceback.print_exc()
            broken = True
        finally:
            context.stop()
        print(f"-- {name}: {time.monotonic() - begun:.0f} s", flush=True)
    if not report.show(context.ledgers) or broken:
        print(f"\nlogs: {work}")
        return 1
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
