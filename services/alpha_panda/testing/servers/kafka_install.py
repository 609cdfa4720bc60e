"""Kafka's jars from Maven Central, in one cache folder that all runs and workers share."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from alpha_panda.errors import DependencyUnavailableError

VERSION: Final = "4.1.1"
CACHE_VARIABLE: Final = "ALPHAPANDA_TEST_CACHE"
CLUSTER_ID: Final = "MkU3OEVBNTcwNTJENDM2Qk"  # any 16 bytes; each server is a cluster of its own
DOWNLOAD_SECONDS: Final = 600.0
FORMAT_SECONDS: Final = 60.0
NEEDED: Final = (("java", "default-jre-headless"), ("mvn", "maven"))

POM: Final = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>io.alphapanda.testing</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""

FORMAT_PROPERTIES: Final = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
"""


def cache_folder() -> Path:
    """Return the folder outside the repository in which test servers are kept."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "alpha-panda"


def installed_kafka() -> Path:
    """Return the folder with Kafka's `lib` and a `formatted` log directory; fetch them if they are missing.

    Safe to call from several processes at once. Without network the folder of an earlier run is enough.

    Raises:
        DependencyUnavailableError: Java or Maven is missing, or the download failed.

    """
    find_tools("java")
    cache = cache_folder()
    target = cache / f"kafka-{VERSION}"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"kafka-{VERSION}.lock"):
        if not target.exists():
            _install(target)
    return target


def find_tools(*names: str) -> None:
    """Check that programs are on the path; the error names the Debian packages that have them."""
    missing = [package for name, package in NEEDED if name in names and shutil.which(name) is None]
    if missing:
        raise DependencyUnavailableError(
            "kafka for tests",
            f"a real broker needs Java and Maven: `apt-get install {' '.join(missing)}` (Debian), or name a running "
            "one in ALPHAPANDA_TEST_KAFKA_BOOTSTRAP_SERVERS",
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(target: Path) -> None:
    """Build the folder beside its place and rename it: whoever sees it sees it whole."""
    find_tools("java", "mvn")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="kafka-building-") as building:
        fresh = Path(building) / "kafka"
        (fresh / "lib").mkdir(parents=True)
        (Path(building) / "pom.xml").write_text(POM)
        goal = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={fresh / 'lib'}"]
        _run(goal, Path(building), DOWNLOAD_SECONDS)
        _format(fresh, Path(building))
        fresh.rename(target)


def _format(fresh: Path, work: Path) -> None:
    """Make an empty log directory once, to be copied by each server: it knows no ports, and a JVM is saved."""
    properties = work / "format.properties"
    properties.write_text(FORMAT_PROPERTIES.format(data=fresh / "formatted"))
    tool = [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        f"{fresh / 'lib'}/*",
        "kafka.tools.StorageTool",
        "format",
    ]
    _run([*tool, "-t", CLUSTER_ID, "-c", str(properties)], work, FORMAT_SECONDS)


def _run(command: Sequence[str], folder: Path, seconds: float) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - programs named here
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DependencyUnavailableError(
            "kafka for tests", f"`{command[0]}` took more than {seconds:.0f} s"
        ) from error
    if done.returncode:
        raise DependencyUnavailableError(
            "kafka for tests", f"`{' '.join(command[:4])}` failed:\n{done.stdout}{done.stderr}"
        )
