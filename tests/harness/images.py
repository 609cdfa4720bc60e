"""The images of the test cluster, without Docker: the project's own, Kafka, Redis, and what holds a pod together.

All are built on one Debian base, so that a node keeps it once. Without a container registry: Debian packages by apt,
Python packages by pip, Kafka's jars from the cache of `alpha_panda.testing`. After a change of the sources only the
project's own layer is made anew (seconds).
"""

import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pip

from alpha_panda.testing.servers import kafka_install

from .build import find_program
from .cache import cached, forget_old
from .command import run
from .dockerfile import PATH, image_config
from .layers import Built, added, base, key_of, key_of_files
from .node_files import PAUSE_IMAGE
from .oci import ARCHITECTURE, Image, Layer, write_archive

PROJECT_IMAGE: Final = "localhost/alpha-panda:dev"
KAFKA_IMAGE: Final = f"localhost/kafka:{kafka_install.VERSION}"
REDIS_IMAGE: Final = "localhost/redis:7"

REPOSITORY: Final = Path(__file__).parents[2]
SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", "services", "operator")
"""What the wheel is made of; as in .dockerignore."""

USER: Final = "10001:10001"
BASE_PACKAGES: Final = ("python3", "ca-certificates", "tzdata")
DOWNLOAD_SECONDS: Final = 900.0
PIP_FLAGS: Final = ("--disable-pip-version-check", "--no-input", "--quiet")

DEPENDENCIES: Final = """
groupadd --gid 10001 panda
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin panda
python3 -m venv --without-pip /opt/alpha-panda
PYTHONPATH=/mnt/installer /opt/alpha-panda/bin/python -m pip install --quiet --no-compile --no-index --no-deps \
  --root-user-action=ignore /mnt/wheels/*.whl
/opt/alpha-panda/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/alpha-panda/lib
"""

PROJECT: Final = """
PYTHONPATH=/mnt/installer /opt/alpha-panda/bin/python -m pip install --quiet --no-compile --no-index --no-deps \
  --root-user-action=ignore /mnt/wheel/*.whl
cd /opt/alpha-panda/lib/python3.*/site-packages
/opt/alpha-panda/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash alpha_panda alpha_panda_operator
"""

INSTALL: Final = """
cp /mnt/resolv.conf /tmp/resolv.conf
rm -f /etc/resolv.conf && cp /tmp/resolv.conf /etc/resolv.conf
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
mkdir -p /usr/share/man/man1  # Java's alternatives want a place for their manual pages
apt-get update -qq
apt-get install -y -qq --no-install-recommends {packages}
rmdir --ignore-fail-on-non-empty /usr/share/man/man1
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt /usr/sbin/policy-rc.d
: >/etc/resolv.conf
"""


def project_image(name: str = PROJECT_IMAGE) -> Image:
    """Return the project's image, as the Dockerfile describes it, of the sources as they are now."""
    below = [_base(), _dependencies()]
    config = image_config((REPOSITORY / "Dockerfile").read_text(encoding="utf-8"))
    return _image(name, [*below, _project(below)], config)


def kafka_image() -> Image:
    """Return an image that takes the environment of `apache/kafka` (KAFKA_NODE_ID …) and has its command.

    Without any: one node, broker and controller, that advertises `KAFKA_HOST` (by default the pod's own name) on 9092.
    """
    java = [_base(), _packages("java", "default-jre-headless")]
    script = """
install -d -o 10001 -g 10001 /var/lib/kafka /var/lib/kafka/data
install -d /opt/kafka /etc/kafka/docker
cp -r /mnt/kafka/lib /mnt/kafka/formatted /opt/kafka/ && chmod -R a+rX /opt/kafka
install -m 755 /mnt/run /etc/kafka/docker/run
"""
    run_script = Path(__file__).with_name("kafka-run.sh")
    binds = {"kafka": kafka_install.installed_kafka(), "run": run_script}
    jars = added("kafka", java, script, binds, kafka_install.VERSION, run_script.read_text())
    config = {"User": USER, "Env": [f"PATH={PATH}"], "Cmd": ["/etc/kafka/docker/run"], "WorkingDir": "/"}
    return _image(KAFKA_IMAGE, [*java, jars], config)


def redis_image() -> Image:
    """Return an image with Debian's redis-server; arguments are its own, as those of the official image."""
    layers = [_base(), _packages("redis", "redis-server")]
    config = {"User": USER, "Env": [f"PATH={PATH}"], "Cmd": ["redis-server", "--protected-mode", "no"]}
    return _image(REDIS_IMAGE, layers, {**config, "WorkingDir": "/tmp"})  # noqa: S108 - inside the image


def archive(*images: Image) -> Path:
    """Return a file with images, in the cache; the same images are written once."""
    key = key_of(
        *(f"{image.name} {image.config} {[layer.digest for layer in image.layers]}" for image in images)
    )

    def make(fresh: Path) -> None:
        with (fresh / "images.tar").open("wb") as stream:
            write_archive(stream, images)

    return cached(f"archives/{key}", make, lock="archives") / "images.tar"


def pause_image() -> Image:
    """Return the image that holds a pod's namespaces."""
    program = find_program("pause")

    def make(fresh: Path) -> None:
        run(["tar", "--create", "--file", fresh / "layer.tar", "-C", program.parent, "pause"], seconds=60.0)

    layer = Layer.of(cached(f"layers/{program.parent.name}", make) / "layer.tar")
    return _plain(PAUSE_IMAGE, [layer], {"Entrypoint": ["/pause"], "User": "65535:65535"})


def _image(name: str, layers: Sequence[Built], config: Mapping[str, object]) -> Image:
    return _plain(name, [one.layer for one in layers], config)


def _plain(name: str, layers: Sequence[Layer], config: Mapping[str, object]) -> Image:
    return Image(name, layers, config, ARCHITECTURE.get(platform.machine(), platform.machine()))


def _base() -> Built:
    return base(BASE_PACKAGES)


def _packages(name: str, *packages: str) -> Built:
    script = INSTALL.format(packages=" ".join(packages))
    return added(name, [_base()], script, {"resolv.conf": Path("/etc/resolv.conf")})


def _dependencies() -> Built:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    binds = {"wheels": _wheels(lock), "installer": _installer()}
    return added("dependencies", [_base()], DEPENDENCIES, binds, lock)


def _project(below: Sequence[Built]) -> Built:
    key = key_of_files(REPOSITORY, *SOURCES)
    binds = {"wheel": _project_wheel(key), "installer": _installer()}
    built = added("project", below, PROJECT, binds, key)
    forget_old("layers/project-*", "wheels/project-*", "archives/*")
    return built


def _wheels(lock: str) -> Path:
    """Download what the lock names, hash-checked, for the base's Python."""

    def make(fresh: Path) -> None:
        target = ["--python-version=3.11", "--implementation=cp", "--only-binary=:all:", "--no-deps"]
        machine = platform.machine()
        platforms = [
            f"--platform=manylinux{tag}_{machine}" for tag in ("_2_36", "_2_34", "_2_28", "2014", "_2_17")
        ]
        (fresh / "requirements.lock").write_text(lock)
        words = ["download", *PIP_FLAGS, "--require-hashes", *target, *platforms, f"--dest={fresh}"]
        _pip(*words, f"--requirement={fresh / 'requirements.lock'}")

    return cached(f"wheels/{key_of(lock)}", make)


def _project_wheel(key: str) -> Path:
    def make(fresh: Path) -> None:
        _pip(
            "wheel",
            *PIP_FLAGS,
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            f"--wheel-dir={fresh}",
            REPOSITORY,
        )

    return cached(f"wheels/project-{key}", make, lock="wheels-project")


def _installer() -> Path:
    """Return a folder with our own pip in it and nothing else: the image has none."""

    def make(fresh: Path) -> None:
        shutil.copytree(
            Path(pip.__file__).parent, fresh / "pip", ignore=shutil.ignore_patterns("__pycache__")
        )

    return cached(f"wheels/pip-{pip.__version__}", make)


def _pip(*arguments: str | Path) -> None:
    run([sys.executable, "-m", "pip", *arguments], seconds=DOWNLOAD_SECONDS)
