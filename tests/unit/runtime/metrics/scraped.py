"""An exposition as Prometheus reads it, for tests to ask."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from alpha_panda.runtime.metrics.catalogue import CATALOGUE, Kind, Spec
from alpha_panda.runtime.metrics.metrics import Metrics

Labels = frozenset[tuple[str, str]]


class Scraped:
    """Every sample by its name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: dict[tuple[str, Labels], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    @classmethod
    def of(cls, metrics: Metrics) -> "Scraped":
        return cls(metrics.exposition()[0].decode())

    def value(self, spec: Spec | str, **labels: str) -> float | None:
        """Return the sample with exactly these labels, if there is one."""
        name = spec if isinstance(spec, str) else spec.name
        return self.samples.get((name, frozenset(labels.items())))

    def number(self, spec: Spec | str, **labels: str) -> float:
        """Return the sample that must be there."""
        found = self.value(spec, **labels)
        assert found is not None, (spec, labels)
        return found

    def count(self, spec: Spec, **labels: str) -> float:
        """Return how many observations a histogram has, which must be there."""
        return self.number(f"{spec.name}_count", **labels)

    def total(self, spec: Spec, **labels: str) -> float:
        """Return the sum of all samples that have these labels among theirs."""
        name = f"{spec.name}_count" if spec.kind is Kind.HISTOGRAM else spec.name
        wanted = set(labels.items())
        return sum(value for (found, own), value in self.samples.items() if found == name and wanted <= own)

    def told(self) -> set[str]:
        """Return the names of the catalogue's metrics that have a sample."""
        names = {name for name, _ in self.samples}
        return {
            spec.name
            for spec in CATALOGUE
            if (f"{spec.name}_count" if spec.kind is Kind.HISTOGRAM else spec.name) in names
        }

    def label_values(self) -> Iterator[tuple[str, str]]:
        """Yield each label and value that occurs, histograms' bounds aside."""
        for _, labels in self.samples:
            yield from ((name, value) for name, value in labels if name != "le")
