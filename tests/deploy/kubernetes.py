"""Checks the rendered objects: the restricted pod security standard, the native sidecar, probes, names that refer to
each other. Writes the embedded configurations to a folder, for the programs to read.

usage: kubernetes.py OBJECTS FOLDER
"""

import sys
import tomllib
from pathlib import Path

import yaml

objects = [item for item in yaml.safe_load_all(Path(sys.argv[1]).read_text()) if item]
folder = Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)


def named(kind):
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def templates():
    for item in objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            yield item["metadata"]["name"], item, item["spec"]["template"]


def check_restricted(name, pod):
    context = pod["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] > 0, f"{name} may run as root"
    assert context["seccompProfile"]["type"] == "RuntimeDefault", f"{name} has no seccomp profile"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        assert not pod.get(key), f"{name} uses {key}"
    for container in pod["containers"] + pod.get("initContainers", []):
        where = f"{name}/{container['name']}"
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, where
        assert own["readOnlyRootFilesystem"] is True, where
        assert own["capabilities"] == {"drop": ["ALL"]}, where
        assert "limits" in container["resources"], f"{where} has no limits"
        assert ":" in container["image"] and not container["image"].endswith(":latest"), f"{where} has no fixed version"


def check_references(name, pod, claims):
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])} | {claim: {} for claim in claims}
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] in named("ConfigMap"), f"{name}: {volume}"
        if "secret" in volume:
            assert volume["secret"]["secretName"] in named("Secret"), f"{name}: {volume}"
    for container in pod["containers"] + pod.get("initContainers", []):
        ports = {port["name"] for port in container.get("ports", [])}
        for mount in container.get("volumeMounts", []):
            assert mount["name"] in volumes, f"{name}: {mount}"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in container:
                assert container[probe]["httpGet"]["port"] in ports, f"{name}: {probe}"
    # Else Kubernetes sets SERINUS_CONTROL_PLANE_PORT and the like, which look like settings of the program.
    assert pod["enableServiceLinks"] is False, f"{name} gets the variables of every service"


def check_services():
    labels = [template["metadata"]["labels"] for _, _, template in templates()]
    for name, service in named("Service").items():
        selector = service["spec"]["selector"].items()
        assert any(selector <= label.items() for label in labels), f"service {name} selects nothing"


def check_native_sidecar():
    pod = named("Deployment")["digits-app"]["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always", "the sidecar is no native one"
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert sidecar["readinessProbe"]["httpGet"]["path"] == "/readyz"
    admin = {port["name"]: port["containerPort"] for port in sidecar["ports"]}["serinus-admin"]
    config = configurations()["sidecar.toml"]
    assert config["admin"] == f"0.0.0.0:{admin}", "the kubelet cannot reach the probes"
    assert config["listen"].startswith("127.0.0.1:"), "others reach the application's listener"
    assert pod["terminationGracePeriodSeconds"] > 10, "the sidecar is killed before it has drained"
    service, port = config["control_plane"].removeprefix("http://").split(":")
    assert int(port) in [port["port"] for port in named("Service")[service]["spec"]["ports"]]
    for address in config["model"][0]["stable"] + config["model"][0]["endpoints"]["v2"]:
        assert address.removeprefix("http://").split(":")[0] in named("Service"), address


def configurations():
    return {
        file: tomllib.loads(text)
        for item in named("ConfigMap").values()
        for file, text in item["data"].items()
        if file.endswith(".toml")
    }


for name, item, template in templates():
    check_restricted(name, template["spec"])
    claims = [claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])]
    check_references(name, template["spec"], claims)
    assert item["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), name
check_services()
check_native_sidecar()
assert named("StatefulSet")["serinus-control-plane"]["spec"]["replicas"] == 1, "two writers of one store"
namespace = named("Namespace")["serinus"]["metadata"]["labels"]
assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
for item in objects:
    assert item["kind"] == "Namespace" or item["metadata"]["namespace"] == "serinus", item["metadata"]
for item in named("ConfigMap").values():
    for file, text in item["data"].items():
        if file.endswith(".toml"):
            (folder / f"kubernetes-{file}").write_text(text)
print(f"{len(objects)} objects")
