"""What the Dockerfile promises. No engine is needed: it is read, not built."""

import re

import alpha_panda
from unit.project.repository import read


def test_the_image_carries_this_version() -> None:
    assert f"ARG VERSION={alpha_panda.__version__}\n" in dockerfile()


def dockerfile() -> str:
    return re.sub(r"^#.*\n", "", read("Dockerfile"), flags=re.MULTILINE)


def stage(number: int) -> str:
    return re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)[number]


def test_the_image_installs_only_what_is_locked() -> None:
    assert stage(1).count("--require-hashes --no-deps --only-binary :all: -r requirements") == 2
    installs = [command for command in re.split(r"&&|RUN", stage(1)) if "install" in command]
    assert installs
    assert all("--require-hashes" in command or "--no-index" in command for command in installs)


def test_the_image_runs_as_a_numbered_user_and_writes_nothing() -> None:
    final = stage(2)
    assert re.findall(r"^USER (.+)$", dockerfile(), re.MULTILINE) == ["10001:10001"]
    assert final.index("USER") > final.rindex("RUN")
    assert "PYTHONDONTWRITEBYTECODE=1" in final
    assert "compileall" in stage(1)
    assert not re.search(r"chown|VOLUME|chmod|ADD |sudo", dockerfile())


def test_the_final_stage_has_no_build_tools() -> None:
    final = stage(2)
    assert not re.search(r"apt|\bpip install|COPY (?!--from=build )", final)
    assert "pip uninstall" in final


def test_the_image_starts_the_command() -> None:
    assert 'ENTRYPOINT ["alpha-panda"]' in stage(2)
    assert "org.opencontainers.image.licenses" in stage(2)


def test_the_base_is_one_named_image() -> None:
    assert re.findall(r"^ARG BASE=(\S+)$", dockerfile(), re.MULTILINE) == ["python:3.13-slim"]
    assert re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_the_build_context_is_an_allow_list_with_all_that_is_copied() -> None:
    lines = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for words in re.findall(r"^COPY (?!--from)(.+) \S+$", stage(1), re.MULTILINE)
        for word in words.split()
    }
    assert copied == allowed
