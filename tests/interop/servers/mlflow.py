"""`mlflow models serve`: `/invocations` and `/ping`, one model a process."""

import os
import subprocess
from pathlib import Path

from harness.context import Context
from harness.http import is_ok
from harness.ports import free_port
from harness.process import Child

from .mlserver import RUNTIMES

READY_S = 120.0


def save(context: Context) -> Path:
    """Saves the models; answers where."""
    out = context.work / "models"
    script = RUNTIMES / "save_mlflow.py"
    with (context.work / "mlflow-save.log").open("wb") as log:
        subprocess.run(
            [context.bin("mlflow", "python"), script, out], check=True, stdout=log, stderr=log, cwd=context.work
        )
    return out


def start(context: Context, name: str, model: Path) -> str:
    """A server of a saved model; its address."""
    port = free_port()
    program = context.bin("mlflow", "mlflow")
    argv = [str(program), "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    # It starts uvicorn by name.
    child = Child(name, argv, context.work, {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"})
    address = f"127.0.0.1:{port}"
    context.started(child, lambda: is_ok(address, "/ping"), READY_S)
    return address
