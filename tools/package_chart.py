# ruff: noqa: INP001 - a script, no package
"""Packs the chart so that the same files always make the same bytes, which `helm package` doesn't: it stamps the time.

`python tools/package_chart.py charts/alpha-panda dist` writes `dist/alpha-panda-VERSION.tgz` and prints its name. The
package is Helm's own: what .helmignore names is left out, and Helm has checked it.
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

HELM_VARIABLE: Final = "HELM"
"""Names Helm's program, where it is not `helm` on the PATH."""

SECONDS: Final = 60


def pack(chart: Path, folder: Path, helm: str) -> Path:
    """Return the package of a chart in `folder`; CalledProcessError if Helm refuses it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [helm, "package", str(chart), "--destination", scratch]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603 - no shell
        (made,) = Path(scratch).iterdir()
        target = folder / made.name
        target.write_bytes(settled(made.read_bytes()))
    return target


def settled(package: bytes) -> bytes:
    """Return a tar.gz with the same files in the order of their names, without times and owners."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(package)) as old,
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            clean = tarfile.TarInfo(member.name)
            clean.size, clean.mode = member.size, 0o644
            new.addfile(clean, old.extractfile(member))
    return out.getvalue()


def main(chart: str, folder: str) -> int:
    """Pack, and say where."""
    helm = os.environ.get(HELM_VARIABLE) or shutil.which("helm")
    if helm is None:
        print(f"needs helm on the PATH, or its name in {HELM_VARIABLE}", file=sys.stderr)  # noqa: T201 - for a person
        return 2
    try:
        print(pack(Path(chart), Path(folder), helm))  # noqa: T201 - its output
    except subprocess.CalledProcessError as error:
        print(error.stderr.strip(), file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
