"""MLServer: Open Inference Protocol over REST and gRPC, event streams, several versions in one process."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.context import Context
from harness.http import is_ok
from harness.ports import free_port
from harness.process import Child

RUNTIMES = Path(__file__).parent.parent / "models"
READY_S = 60.0


@dataclass
class Server:
    """A server that runs, and how to start it again at the same place."""

    child: Child
    http: str
    grpc: str
    again: Callable[[], Child]


def start(context: Context, name: str, versions: tuple[str, ...]) -> Server:
    """A server with these versions of every model."""
    root = context.work / name
    http, grpc, metrics = free_port(), free_port(), free_port()
    root.mkdir()
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
    }
    (root / "settings.json").write_text(json.dumps(settings))
    for version in versions:
        model(root / f"digits-{version}", "digits", version, "mlserver_sklearn.SKLearnModel", context.model(version))
        model(root / f"streams-{version}", "streams", version, "streams.Streams", RUNTIMES / "streams.py")
        model(root / f"echo-{version}", "echo", version, "streams.Echo", RUNTIMES / "streams.py")
    argv = [str(context.bin("mlserver", "mlserver")), "start", str(root)]

    def run() -> Child:
        child = Child(name, argv, context.work, {"PYTHONPATH": str(RUNTIMES)})
        context.started(child, lambda: is_ok(f"127.0.0.1:{http}", "/v2/health/ready"), READY_S)
        return child

    return Server(run(), f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", run)


def model(folder: Path, name: str, version: str, implementation: str, file: Path) -> None:
    folder.mkdir()
    parameters = {"version": version}
    if file.suffix == ".joblib":
        shutil.copy(file, folder)
        parameters["uri"] = f"./{file.name}"
    settings = {"name": name, "implementation": implementation, "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps(settings))
