#!/usr/bin/env python3
"""What a sidecar takes before it does anything: memory, the time until it answers, and the size of its program.

    tests/dataplane/footprint.py [--program target/release/serinus-sidecar] [--starts 20]

It runs with the configuration of the data-plane yardstick: static, one model, one worker. Standard library only.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
REQUEST = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: m\r\nx-session-id: a\r\ncontent-length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
PATIENCE_S = 10
# Longer than the first second, after which everything that is done every second has been done.
SETTLED_S = 2.5


def endpoint():
    """A server that answers whatever it is asked; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection):
        with connection:
            try:
                while connection.recv(1 << 16):
                    connection.sendall(ANSWER)
            except OSError:
                pass

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Sidecar:
    """A running sidecar."""

    def __init__(self, program, folder, backend):
        with open(os.path.join(HERE, "serinus.toml.in"), encoding="utf-8") as template:
            text = template.read()
        for name, value in {"LISTEN": 0, "ADMIN": 0, "V1": backend, "V2": backend}.items():
            text = text.replace(f"@{name}@", str(value))
        config = os.path.join(folder, "serinus.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        said, says = os.pipe()
        self.begun = time.monotonic()
        actions = [(os.POSIX_SPAWN_DUP2, says, 1)]
        self.pid = os.posix_spawn(program, [program, "--config", config], os.environ, file_actions=actions)
        os.close(says)
        with open(said, encoding="ascii") as lines:
            ready = re.search(r"inference=127\.0\.0\.1:(\d+)", lines.readline())
        if not ready:
            os.waitpid(self.pid, 0)
            raise SystemExit("the sidecar has not started")
        self.port = int(ready.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)

    def answers(self):
        """Asks it something; milliseconds since it was started."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(REQUEST)
            line = connection.recv(1 << 16).split(b"\r\n")[0].decode()
        if " 200 " not in line:
            raise SystemExit(f"the sidecar answered {line}")
        return (time.monotonic() - self.begun) * 1000

    def memory_kib(self):
        """Resident, and of it what is no file's: KiB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            text = status.read()
        return [int(re.search(rf"{name}:\s+(\d+) kB", text).group(1)) for name in ("VmRSS", "RssAnon")]


def stripped(program, folder):
    """Bytes of the program without its symbols."""
    out = os.path.join(folder, "stripped")
    subprocess.run(["strip", "-o", out, program], check=True)
    return os.path.getsize(out)


def show(what, sidecar):
    time.sleep(SETTLED_S)
    resident, anonymous = (kib / 1024 for kib in sidecar.memory_kib())
    print(f"{what:18} {resident:6.2f} MiB, of it no file's {anonymous:.2f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(ROOT, "target", "release", "serinus-sidecar"))
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    backend, folder = endpoint(), tempfile.mkdtemp(prefix="serinus-footprint-")
    try:
        starts = []
        for _ in range(options.starts):
            with Sidecar(options.program, folder, backend) as sidecar:
                starts.append(sidecar.answers())
        with Sidecar(options.program, folder, backend) as sidecar:
            show("resident, idle", sidecar)
            sidecar.answers()
            show("after one request", sidecar)
        middle, slowest = statistics.median(starts), max(starts)
        print(f"start to answer    {middle:6.1f} ms median, {slowest:.1f} ms slowest of {len(starts)}")
        print(f"program, stripped  {stripped(options.program, folder) / (1 << 20):6.2f} MiB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
