"""`python -m harness.build [NAME...]`: builds the cluster's programs from their Go modules into the cache.

Without names: all of them, which takes ten minutes on two idle cores, once. Versions are in `harness.versions`.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError

from .cache import cache, cached
from .command import run
from .versions import KUBERNETES, PROGRAMS, GoProgram

ASSETS_VARIABLE: Final = "KUBEBUILDER_ASSETS"
"""A folder with kube-apiserver, etcd and kubectl, as controller-runtime's envtest has it; what it has is preferred."""

BUILD_SECONDS: Final = 3600.0
FETCH_SECONDS: Final = 900.0

STAMP: Final = "k8s.io/component-base/version"
"""The package in which Kubernetes' programs keep their version."""


def find_program(name: str) -> Path:
    """Return a program of `harness.versions`: the environment's, the cache's, or one built now.

    Raises:
        DependencyUnavailableError: it is not there and can't be built, or is not there and CI=true: there the build is
            a step of its own.

    """
    there = existing_program(name)
    if there is not None:
        return there
    if os.environ.get("CI") == "true":
        raise DependencyUnavailableError(
            name, "is not built: run tools/install-cluster-tools before the tests"
        )
    return build(name)


def existing_program(name: str) -> Path | None:
    """Return where a program is, if it is there already."""
    assets = os.environ.get(ASSETS_VARIABLE)
    places = [Path(assets) / name] if assets else []
    places.append(cache() / _folder(PROGRAMS[name]) / name)
    return next((place for place in places if place.exists()), None)


def find_programs(names: Iterable[str]) -> dict[str, Path]:
    """Return programs by name; as `find_program`."""
    return {name: find_program(name) for name in names}


def build(name: str) -> Path:
    """Return a program in the cache, built if it is missing. Only one is built at a time, on this machine."""
    program = PROGRAMS[name]
    return cached(_folder(program), lambda fresh: _build(program, fresh), lock="go-build") / name


def _folder(program: GoProgram) -> str:
    return f"bin/{program.name}-{program.version}"


def _build(program: GoProgram, fresh: Path) -> None:
    if shutil.which("go") is None:
        raise DependencyUnavailableError(
            program.name,
            f"is built by Go 1.24 or newer, which is not on the PATH (https://go.dev/dl); or set {ASSETS_VARIABLE}",
        )
    module = fresh.parent / "module"
    module.mkdir()
    _module_maker(program)(program, module)
    command = [
        "go",
        "build",
        "-trimpath",
        "-tags",
        program.tags,
        "-ldflags",
        _linker_flags(program),
        "-o",
        str(fresh / program.name),
    ]
    run(
        [*command, program.package],
        seconds=BUILD_SECONDS,
        folder=module,
        env={**os.environ, "CGO_ENABLED": "0"},
    )


def _module_maker(program: GoProgram) -> Callable[[GoProgram, Path], None]:
    if not program.module:
        return _copy_own
    return _require_kubernetes if program.module == "k8s.io/kubernetes" else _require


def _linker_flags(program: GoProgram) -> str:
    if program.module != "k8s.io/kubernetes":
        return "-s -w"
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {STAMP}.{name}={value}" for name, value in values.items())])


def _copy_own(program: GoProgram, module: Path) -> None:
    shutil.copy(Path(__file__).parent / f"{program.name}.go", module)
    (module / "go.mod").write_text(f"module {program.name}\n\ngo 1.24\n")


def _require(program: GoProgram, module: Path, replacements: str = "") -> None:
    """Write a module that requires the program's and nothing else, and let Go find the rest."""
    requirement = f"require {program.module} {program.version}\n"
    (module / "go.mod").write_text(
        f"module harness.invalid/tools\n\ngo 1.24.0\n\n{requirement}{replacements}"
    )
    # All packages that we build of this module, whichever is built now: the same go.mod, the same compiled packages.
    imports = [f'import _ "{one.package}"' for one in PROGRAMS.values() if one.module == program.module]
    (module / "tools.go").write_text("\n".join(["//go:build tools\n\npackage tools\n", *imports, ""]))
    run(["go", "mod", "tidy"], seconds=FETCH_SECONDS, folder=module)


def _require_kubernetes(program: GoProgram, module: Path) -> None:
    """Kubernetes' own libraries are in its repository at version 0.0.0; outside it they are published as v0.MINOR.PATCH."""
    fetched = run(
        ["go", "mod", "download", "-json", f"{program.module}@{program.version}"],
        seconds=FETCH_SECONDS,
        folder=module,
    )
    published = f"v0.{KUBERNETES.removeprefix('1.')}"
    lines = Path(json.loads(fetched)["GoMod"]).read_text().splitlines()
    names = sorted({line.split()[0] for line in lines if _is_staging(line)})
    _require(program, module, "".join(f"replace {name} => {name} {published}\n" for name in names))


def _is_staging(line: str) -> bool:
    words = line.split()
    return len(words) >= 2 and words[0].startswith("k8s.io/") and words[1] == "v0.0.0"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is missing and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m harness.build", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(PROGRAMS)}")
    names = parser.parse_args(arguments).names or list(PROGRAMS)
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PROGRAMS)}")
    try:
        for name in names:
            _report(name)
    except AlphaPandaError as error:
        print(f"failed: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


def _report(name: str) -> None:
    began = time.monotonic()
    if existing_program(name) is None:
        print(f"building {name} ...", flush=True)  # noqa: T201 - for a person
        build(name)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    sys.exit(main())
