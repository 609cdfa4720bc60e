"""The table of manifests that are wrong within one object: our loader says what and where, and the command ends with 2.

`tests/cluster/test_crds.py` gives the same table to a real API server.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alpha_panda.contracts.manifests.checking import check
from alpha_panda.contracts.manifests.documents import Document, Reading
from alpha_panda.errors import ManifestError, ManifestFault
from cases.wrong_manifests import CASES, GOOD, Manifest, Wrong

REFERENCE = "there is no "


def faults_of(manifest: Manifest) -> list[ManifestFault]:
    """Return what is wrong within the manifest, not with what it refers to."""
    try:
        check(Reading([Document("m.yaml", 1, manifest)], files=["m.yaml"]), None)
    except ManifestError as error:
        return [fault for fault in error.faults if not fault.problem.startswith(REFERENCE)]
    return []


def test_the_table_is_long_enough_and_names_each_case_once() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("manifest", GOOD, ids=lambda manifest: manifest["metadata"]["name"])
def test_what_the_cases_spoil_is_good(manifest: Manifest) -> None:
    assert faults_of(manifest) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_loader_says_what_is_wrong_and_where(case: Wrong) -> None:
    (fault,) = faults_of(case.manifest)
    assert fault.field == case.field
    for word in case.words:
        assert word in str(fault)


def test_the_command_names_file_and_field_of_every_case_and_ends_with_2(tmp_path: Path) -> None:
    for number, case in enumerate(CASES):
        (tmp_path / f"case-{number:03d}.yaml").write_text(json.dumps(case.manifest))
    command = [sys.executable, "-m", "alpha_panda.cli", "validate", str(tmp_path)]
    own = {key: value for key, value in os.environ.items() if not key.startswith("ALPHAPANDA_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=own)  # noqa: S603
    assert done.returncode == 2
    said = (done.stdout + done.stderr).splitlines()
    for number, case in enumerate(CASES):
        lines = [line for line in said if f"case-{number:03d}.yaml" in line]
        assert any(f", {case.field}: " in line for line in lines), case.name
