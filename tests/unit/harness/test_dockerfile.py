"""What an image tells containers is read from the Dockerfile."""

from harness.dockerfile import PATH, image_config, instructions
from harness.images import REPOSITORY

DOCKERFILE = """
# syntax=docker/dockerfile:1
ARG BASE=debian
FROM ${BASE} AS build
ENV ONLY=build
USER 5
LABEL of="the build"
FROM ${BASE}
ARG VERSION=0.1.0
LABEL one="a b" \\
      version="${VERSION}"
# in between
ENV PATH=/opt/bin:$PATH \\
    X=1
USER 10001:10001
WORKDIR /
ENTRYPOINT ["program"]
CMD ["--help", "x"]
"""


def test_the_last_stage_counts_and_variables_are_filled_in() -> None:
    assert image_config(DOCKERFILE) == {
        "User": "10001:10001",
        "WorkingDir": "/",
        "Entrypoint": ["program"],
        "Cmd": ["--help", "x"],
        "Env": [f"PATH=/opt/bin:{PATH}", "X=1"],
        "Labels": {"one": "a b", "version": "0.1.0"},
    }


def test_continued_lines_are_one_and_comments_none() -> None:
    assert list(instructions("# no\nRUN a \\\n  && b\n\nuser 1")) == [("RUN", "a && b"), ("USER", "1")]


def test_the_projects_own_image_runs_the_command_line_as_a_user_without_rights() -> None:
    config = image_config((REPOSITORY / "Dockerfile").read_text())
    assert config["Entrypoint"] == ["alpha-panda"]
    assert config["User"] == "10001:10001"
    assert config["Env"][0].startswith("PATH=/opt/alpha-panda/bin:/usr/local/sbin")
    assert config["Labels"]["org.opencontainers.image.title"] == "alpha-panda"
