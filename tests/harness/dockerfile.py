"""What the last stage of a Dockerfile tells containers, as an OCI image configuration: our images can't drift from it."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of the base."""


def image_config(dockerfile: str) -> dict[str, Any]:
    """Return User, WorkingDir, Entrypoint, Cmd, Env and Labels of the last stage.

    Variables of `ARG` are filled in; `ENV` values may refer to `$PATH` of the base.
    """
    arguments: dict[str, str] = {}
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    config: dict[str, Any] = {}
    for word, rest in instructions(dockerfile):
        if word == "FROM":  # a new stage
            env, labels, config = {"PATH": PATH}, {}, {}
        elif word == "ARG":
            arguments.update(_pairs(rest, arguments))
        elif word == "ENV":
            env.update(_pairs(rest, {**arguments, **env}))
        elif word == "LABEL":
            labels.update(_pairs(rest, arguments))
        elif word in {"ENTRYPOINT", "CMD"}:
            config[word.capitalize()] = json.loads(rest)
        elif word == "USER":
            config["User"] = rest
        elif word == "WORKDIR":
            config["WorkingDir"] = rest
    return {**config, "Env": [f"{name}={value}" for name, value in env.items()], "Labels": labels}


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield (instruction, rest of the line); comments are gone, continued lines are joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield word.upper(), rest.strip()


def _pairs(rest: str, variables: Mapping[str, str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(rest))
    return {name: _fill(value, variables) for name, _, value in pairs}


def _fill(value: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], ""), value)
