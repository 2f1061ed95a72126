"""The cluster files of the docs: every field is one that KubeRay or Ray knows, and their commands are ours."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
import ray.autoscaler
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distsys.cli import _parser

FOLDER = Path(__file__).parents[2] / "docs" / "cluster"


class Known(BaseModel):
    """Of a manifest: a field that is not named here is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Resources(Known):
    requests: dict[str, str]
    limits: dict[str, str]


class Variable(Known):
    name: str
    value: str


class Mount(Known):
    name: str
    mountPath: str = Field(pattern="^/")  # noqa: N815 - Kubernetes spells it so
    readOnly: bool = False  # noqa: N815


class Container(Known):
    name: str
    image: str
    resources: Resources
    env: list[Variable]
    volumeMounts: list[Mount]  # noqa: N815


class Claim(Known):
    claimName: str  # noqa: N815


class Volume(Known):
    name: str
    persistentVolumeClaim: Claim  # noqa: N815


class PodSpec(Known):
    terminationGracePeriodSeconds: int = Field(ge=60)  # noqa: N815
    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume]


class Template(Known):
    spec: PodSpec


class Head(Known):
    rayStartParams: dict[str, str]  # noqa: N815
    template: Template


class Group(Head):
    groupName: str  # noqa: N815
    replicas: int
    minReplicas: int  # noqa: N815
    maxReplicas: int  # noqa: N815


class Auth(Known):
    mode: Literal["token"]


class Cluster(Known):
    rayVersion: str  # noqa: N815
    authOptions: Auth  # noqa: N815
    headGroupSpec: Head  # noqa: N815
    workerGroupSpecs: list[Group]  # noqa: N815


class Spec(Known):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]  # noqa: N815
    backoffLimit: int  # noqa: N815
    shutdownAfterJobFinishes: bool  # noqa: N815
    ttlSecondsAfterFinished: int  # noqa: N815
    runtimeEnvYAML: str  # noqa: N815
    rayClusterSpec: Cluster  # noqa: N815


class Metadata(Known):
    name: str = Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=47)


class RayJob(Known):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: Spec


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return content


def test_the_rayjob_has_known_fields_and_what_it_mounts_is_there() -> None:
    job = RayJob.model_validate(read("rayjob.yaml"))
    cluster = job.spec.rayClusterSpec
    for pod in (cluster.headGroupSpec, *cluster.workerGroupSpecs):
        spec = pod.template.spec
        volumes = {volume.name for volume in spec.volumes}
        assert {mount.name for item in spec.containers for mount in item.volumeMounts} <= volumes
    assert cluster.rayVersion.rsplit(".", 1)[0] == ray.__version__.rsplit(".", 1)[0]
    options = _parser().parse_args(shlex.split(job.spec.entrypoint)[1:])
    mounts = cluster.headGroupSpec.template.spec.containers[0].volumeMounts
    assert str(options.out) in {mount.mountPath for mount in mounts if not mount.readOnly}
    environment = yaml.safe_load(job.spec.runtimeEnvYAML)["env_vars"]
    grace = cluster.headGroupSpec.template.spec.terminationGracePeriodSeconds
    assert int(environment["RAY_JOB_STOP_WAIT_TIME_S"]) <= grace


def test_there_is_a_worker_with_a_gpu_for_each_worker_of_the_command() -> None:
    job = RayJob.model_validate(read("rayjob.yaml"))
    options = _parser().parse_args(shlex.split(job.spec.entrypoint)[1:])
    groups = job.spec.rayClusterSpec.workerGroupSpecs
    gpus = sum(
        group.minReplicas * int(group.template.spec.containers[0].resources.limits["nvidia.com/gpu"])
        for group in groups
    )
    fewest, most = options.workers
    assert gpus >= fewest == most


@pytest.mark.parametrize(
    ("path", "value"), [("spec.entrypiont", "x"), ("kind", "RayJobs"), ("spec.rayClusterSpec", {})]
)
def test_a_wrong_rayjob_is_seen(path: str, value: object) -> None:
    content = read("rayjob.yaml")
    *parents, last = path.split(".")
    node = content
    for parent in parents:
        node = node[parent]
    node[last] = value
    with pytest.raises(ValidationError):
        RayJob.model_validate(content)


def test_every_command_of_the_page_is_one_that_the_parser_takes() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (FOLDER.parent / "cluster.md").read_text(), flags=re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    commands = re.findall(r"(?:^|-- +)(distsys .*)$", text, flags=re.MULTILINE)
    assert {line.split()[1] for line in commands} == {"plan", "cluster", "submit", "jobs", "run", "evaluate"}
    for line in commands:
        assert callable(_parser().parse_args(shlex.split(line)[1:]).run)


def test_ray_up_keeps_to_the_schema_of_the_ray_that_is_installed() -> None:
    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    content = read("ray-up.yaml")
    jsonschema.validate(content, schema)
    starts = [content["head_start_ray_commands"][-1], content["worker_start_ray_commands"][-1]]
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "head_start_commands": []}, schema)
