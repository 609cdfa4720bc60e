"""A real Prometheus: what it scrapes, what it is asked. It listens on loopback and ends with whoever started it."""

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml

from alpha_panda.testing.servers.ports import LOOPBACK, free_ports

from .build import find_program
from .processes import Processes

SECONDS: Final = 60.0
"""How long a start may take on a busy machine."""

Labels = dict[str, str]


class Prometheus:
    """One server; its data and log are in `folder`.

    Args:
        folder: an empty folder.
        targets: labels of what it scrapes, by `host:port`.
        rules: files of rules that it evaluates.
        every: seconds between two scrapes, and between two evaluations.

    """

    def __init__(
        self, folder: Path, targets: Mapping[str, Labels], rules: Sequence[Path] = (), every: float = 1.0
    ) -> None:
        self._folder = folder
        self._processes = Processes(folder)
        (self._port,) = free_ports(1)
        self._config = {
            "global": {
                "scrape_interval": f"{every * 1000:.0f}ms",
                "scrape_timeout": f"{every * 1000:.0f}ms",
                "evaluation_interval": f"{every * 1000:.0f}ms",
            },
            "rule_files": [str(file) for file in rules],
            "scrape_configs": [
                {
                    "job_name": "pods",
                    "static_configs": [
                        {"targets": [address], "labels": labels} for address, labels in targets.items()
                    ],
                }
            ],
        }

    def start(self) -> Self:
        """Start it and wait until it answers."""
        config = self._folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(self._config), encoding="utf-8")
        command: list[str | Path] = [
            *(find_program("prometheus"), f"--config.file={config}"),
            f"--web.listen-address={LOOPBACK}:{self._port}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            "--enable-feature=exemplar-storage",
        ]
        self._processes.start("prometheus", command)
        self._processes.wait_until(self._ready, "Prometheus is ready", SECONDS, "prometheus")
        return self

    def close(self) -> None:
        """End it."""
        self._processes.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------- questions

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """Return the labels and values that an expression has now; what is not a number is left out.

        Raises:
            ValueError: Prometheus does not understand the expression.

        """
        data = self._get("query", query=expression)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        rows = ((each["metric"], float(each["value"][1])) for each in data["result"])
        return [(labels, value) for labels, value in rows if not math.isnan(value)]

    def label_values(self, label: str, selector: str) -> list[str]:
        """Return the values of a label of the series that a selector finds."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": selector})
        return found

    def rules(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each alerting rule, by its name."""
        groups = self._get("rules", type="alert")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def _get(self, path: str, **parameters: str) -> Any:
        words = urllib.parse.urlencode(parameters)
        address = f"http://{LOOPBACK}:{self._port}/api/v1/{path}?{words}"
        try:
            with urllib.request.urlopen(address, timeout=SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from error

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/-/ready", timeout=SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
