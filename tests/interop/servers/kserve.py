"""KServe's model server: v1 and Open Inference Protocol over REST, with binary tensors, and gRPC."""

from harness.context import Context
from harness.http import is_ok
from harness.ports import free_port
from harness.process import Child

from .mlserver import RUNTIMES, Server

READY_S = 90.0


def start(context: Context, name: str, version: str) -> Server:
    http, grpc = free_port(), free_port()
    argv = [str(context.bin("kserve", "python")), str(RUNTIMES / "kserve_digits.py"), "--version", version]
    argv += ["--http_port", str(http), "--grpc_port", str(grpc)]

    def run() -> Child:
        child = Child(name, argv, context.work)
        context.started(child, lambda: is_ok(f"127.0.0.1:{http}", "/v2/models/digits/ready"), READY_S)
        return child

    return Server(run(), f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", run)
