"""`tools/find-python` on machines that are made up: each has just the programs that a test puts on its PATH."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from unit.project.repository import ROOT

# What the script asks of a Python, answered by a shell script: which version it is, whether it has its venv module.
PYTHON = """#!/bin/sh
case "$2" in
*"< (3, 11)"*) {fits} ;;
*ensurepip*) {makes_environments} ;;
*) echo 3.12 ;;
esac
"""
SHIM = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
Run = Callable[..., subprocess.CompletedProcess[str]]


def python(fits: str = "exit 0", makes_environments: str = "exit 0") -> str:
    return PYTHON.format(fits=fits, makes_environments=makes_environments)


@pytest.fixture
def machine(tmp_path: Path) -> Run:
    def run(programs: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
        script = ROOT.joinpath("tools/find-python").read_text(encoding="utf-8")
        here = tmp_path / "find-python"
        here.write_text(script.replace("/usr/bin/python3", str(tmp_path / "bin" / "no-such-python")))
        for name, text in programs.items():
            program = tmp_path / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(text)
            program.chmod(0o755)
        environment = {"PATH": str(tmp_path / "bin")} | environment
        return subprocess.run(  # noqa: S603 - the project's own script
            ["/bin/sh", str(here)], env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    return run


def found(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()).name


def test_python3_is_taken_when_it_fits(machine: Run) -> None:
    assert found(machine({"python3": python(), "python3.13": python()})) == "python3"


def test_a_shim_that_runs_nothing_is_passed_over(machine: Run) -> None:
    assert found(machine({"python3": SHIM, "python3.13": SHIM, "python3.12": python()})) == "python3.12"


def test_an_old_python_is_passed_over(machine: Run) -> None:
    assert found(machine({"python3": python(fits="exit 1"), "python3.11": python()})) == "python3.11"


def test_one_without_its_venv_module_is_passed_over_for_one_that_has_it(machine: Run) -> None:
    bare = python(makes_environments="exit 1")
    assert found(machine({"python3": bare, "python3.13": python()})) == "python3.13"


def test_a_named_python_is_the_one(machine: Run) -> None:
    assert found(machine({"python3": python(), "python3.13": python()}, PYTHON="python3.13")) == "python3.13"


def test_a_named_python_that_does_not_fit_is_not_replaced(machine: Run) -> None:
    done = machine({"python3": python(), "mine": SHIM, **installer("python3")}, PYTHON="mine")
    assert (done.returncode, done.stdout) == (1, "")
    assert "PYTHON=mine does not run or is older than 3.11" in done.stderr


def installer(makes: str, *, user: int = 0, works: bool = True) -> dict[str, str]:
    """Return an apt-get that says what it was asked, and makes the Python of that name whole."""
    text = python().replace("$", "\\$")
    make = f'printf \'%s\' "{text.replace(chr(34), chr(92) + chr(34))}" > "${{0%/*}}/{makes}"'
    return {
        "apt-get": f'#!/bin/sh\necho "apt-get $*" >&2\n{"[ $1 = update ] || " + make if works else "exit 100"}\n',
        "id": f"#!/bin/sh\necho {user}\n",
        "env": '#!/bin/sh\nshift\nexec "$@"\n',  # drops the one assignment
    }


def test_root_gets_the_missing_venv_module_installed(machine: Run) -> None:
    done = machine({"python3": python(makes_environments="exit 1"), **installer("python3")})
    assert found(done) == "python3"
    assert "--no-install-recommends python3.12-venv" in done.stderr


def test_who_is_not_root_is_told_what_to_install(machine: Run) -> None:
    done = machine({"python3": python(makes_environments="exit 1"), **installer("python3", user=1000)})
    assert done.returncode == 1
    assert "python3 lacks the venv module" in done.stderr
    assert "apt-get install python3.12-venv" in done.stderr


def test_a_failed_installation_is_no_python(machine: Run) -> None:
    done = machine({"python3": python(makes_environments="exit 1"), **installer("python3", works=False)})
    assert done.returncode == 1
    assert "that did not work" in done.stderr


def test_no_python_at_all_says_which_to_get(machine: Run) -> None:
    done = machine({"python3": python(fits="exit 1")})
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs Python 3.11 or newer" in done.stderr
    assert "make setup PYTHON=" in done.stderr
