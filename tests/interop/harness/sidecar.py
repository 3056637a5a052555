"""The real sidecar with a file of its own, and what it counted."""

import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .http import is_ok, once
from .ports import free_port
from .process import Child

KEY_HEADER = "x-user-id"
STABLE, CANARY = "v1", "v2"
SAMPLE = re.compile(r"serinus_sidecar_(\w+)\{(.*)\} (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass
class Route:
    """What the file says about the model."""

    model: str
    endpoints: dict[str, str]
    """Variant to base address, without the scheme."""
    salt: str = "serinus"
    more: str = ""
    """Further lines of TOML for the model, such as a rewrite."""

    def toml(self, listen: int, admin: int) -> str:
        return f"""name = "interop"
listen = "127.0.0.1:{listen}"
admin = "127.0.0.1:{admin}"
log = "pretty"
log_filter = "serinus_sidecar=debug,info"

[[model]]
name = "{self.model}"
match = "any"
stable_name = "{STABLE}"
stable = ["http://{self.endpoints[STABLE]}"]
endpoints.{CANARY} = ["http://{self.endpoints[CANARY]}"]
key = "header:{KEY_HEADER}"
salt = "{self.salt}"
{self.more}
[model.split]
{CANARY} = 0.5
"""


@dataclass
class Counts:
    """Counters per variant."""

    by_class: dict[str, Counter[str]] = field(default_factory=dict)
    """Variant to class to judged calls that ended."""
    rescued: Counter[str] = field(default_factory=Counter)
    user_errors: Counter[str] = field(default_factory=Counter)
    unkeyed: Counter[str] = field(default_factory=Counter)
    openings: Counter[str] = field(default_factory=Counter)


class Sidecar(Child):
    """A sidecar between an application and two variants; ready once both of them are."""

    def __init__(self, name: str, route: Route, work: Path) -> None:
        listen, admin = free_port(), free_port()
        config = work / f"{name}.toml"
        config.write_text(route.toml(listen, admin))
        binary = os.environ["SERINUS_SIDECAR"]
        self.route = route
        self.address = f"127.0.0.1:{listen}"
        self.admin = f"127.0.0.1:{admin}"
        super().__init__(name, [binary, "--config", str(config)], work)
        try:
            self.wait_until(lambda: is_ok(self.admin, "/readyz") and self._sees_all(), 20)
        except Exception:
            self.stop()
            raise

    def _sees_all(self) -> bool:
        status = json.loads(once(self.admin, "GET", "/status").body)
        return all(variant["ready"] for model in status["models"] for variant in model["variants"])

    def counts(self) -> Counts:
        """What its metrics say now."""
        counts = Counts()
        for line in once(self.admin, "GET", "/metrics").body.decode().splitlines():
            match = SAMPLE.fullmatch(line)
            if match is None:
                continue
            name, labels, value = match[1], dict(LABEL.findall(match[2])), int(float(match[3]))
            variant = labels.get("variant", "")
            if name == "requests_total":
                counts.by_class.setdefault(variant, Counter())[labels["class"]] = value
            for counter, found in (
                ("rescued_total", counts.rescued),
                ("user_errors_total", counts.user_errors),
                ("unkeyed_total", counts.unkeyed),
                ("breaker_openings_total", counts.openings),
            ):
                if name == counter:
                    found[variant] = value
        return counts
