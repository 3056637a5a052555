"""LiteLLM's proxy: the OpenAI API with answers that it makes up itself, and with a backend of ours."""

import json
import secrets
from typing import Any

from harness.context import Context
from harness.http import is_ok
from harness.ports import free_port
from harness.process import Child

READY_S = 180.0

# It does not start without one.
KEY = f"sk-{secrets.token_hex(16)}"


def models(backend: str, variant: str, suffix: str = "") -> list[dict[str, Any]]:
    """What one variant offers; with a suffix to the names where both variants are in one proxy."""
    answers = {
        "chat": f"This is {variant}, and it says the same thing every time: ünïcode ✓.",
        "busy": "litellm.RateLimitError",
        "broken": "litellm.InternalServerError",
    }
    listed = [
        {
            "model_name": f"{name}{suffix}",
            "litellm_params": {"model": "openai/mock", "api_key": "none", "mock_response": answer},
        }
        for name, answer in answers.items()
    ]
    params = {"model": f"openai/backend-{variant}", "api_key": "none", "api_base": f"http://{backend}/v1"}
    return [*listed, {"model_name": f"told{suffix}", "litellm_params": params}]


def start(context: Context, name: str, listed: list[dict[str, Any]]) -> str:
    """A proxy for these models; its address."""
    config = context.work / f"{name}.yaml"
    settings = {"num_retries": 0, "telemetry": False, "disable_streaming_logging": True}
    # JSON is YAML.
    config.write_text(
        json.dumps({"model_list": listed, "litellm_settings": settings, "router_settings": {"disable_cooldowns": True}})
    )
    port = free_port()
    argv = [str(context.bin("litellm", "litellm")), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    # The prices of models are part of the package: nothing is fetched.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1", "LITELLM_MASTER_KEY": KEY}
    child = Child(name, argv, context.work, env)
    address = f"127.0.0.1:{port}"
    context.started(child, lambda: is_ok(address, "/health/liveliness"), READY_S)
    return address
