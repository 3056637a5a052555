"""Checks that the compose file is hardened, exposes loopback only, and mounts files that exist."""

import sys
from pathlib import Path

import yaml

path = Path(sys.argv[1])
services = yaml.safe_load(path.read_text())["services"]
for name, service in services.items():
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name} listens beyond loopback: {port}"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (path.parent / source).is_file(), f"{name} mounts {source}, which is not there"
            assert volume.endswith(":ro"), f"{name} may write to {source}"
    if service["image"].startswith("serinus"):
        assert service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} is not hardened"
assert services["sidecar"]["network_mode"] == "service:app", "the sidecar does not share the application's loopback"
print(f"{len(services)} services")
