"""Documents that say what is so: version, licence, files, links, entry points."""

import re
from importlib import import_module

import pytest
from packaging.requirements import Requirement

import alpha_panda
from alpha_panda.sdk import Strategy, known_types
from unit.project.repository import PLATFORM, PROJECT, PYPROJECT, ROOT, packages, read


def test_the_changelog_begins_with_this_version() -> None:
    newest = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == alpha_panda.__version__


def test_the_licence_is_whole() -> None:
    text = read("LICENSE")
    assert PROJECT["license"] == "Apache-2.0"
    assert re.search(r"Apache License\s+Version 2\.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text
    assert [f" {number}. " in text for number in range(1, 10)] == [True] * 9


def test_architecture_names_real_files() -> None:
    table = read("ARCHITECTURE.md").partition("## Which file does what")[2]
    named = re.findall(r"`([^`]+)`", table.partition("|---|")[2])
    assert len(named) > 50
    assert [name for name in named if not (ROOT / name).is_file() and not (PLATFORM / name).is_file()] == []


def test_architecture_names_every_package() -> None:
    table = read("ARCHITECTURE.md").partition("## Which file does what")[2]
    assert [name for name in sorted(packages()) if f"`{name}/" not in table] == []


def test_architecture_gives_a_reason_for_every_dependency() -> None:
    section = read("ARCHITECTURE.md").partition("## Libraries")[2].partition("\n## ")[0].lower()
    section += " types-pyyaml"  # mypy's half of PyYAML
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["parquet"]]
    for group in PYPROJECT["dependency-groups"].values():
        asked += [entry for entry in group if isinstance(entry, str)]
    assert [
        name for name in (Requirement(entry).name for entry in asked) if name.lower() not in section
    ] == []


DOCUMENTS = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "charts/**/*.md", "tests/harness/*.md")
    for page in ROOT.glob(pattern)
)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's titles, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", read(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), target


def test_all_pages_are_looked_at() -> None:
    assert {"README.md", "docs/kubernetes/security.md", "charts/alpha-panda/README.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize(("name", "path"), PROJECT["entry-points"]["alpha_panda.strategies"].items())
def test_entry_points_are_the_shipped_strategies(name: str, path: str) -> None:
    module, _, attribute = path.partition(":")
    assert issubclass(getattr(import_module(module), attribute), Strategy)
    assert name in known_types()


def test_the_command_exists() -> None:
    module, _, attribute = PROJECT["scripts"]["alpha-panda"].partition(":")
    assert callable(getattr(import_module(module), attribute))


def test_the_index_of_the_documentation_is_complete() -> None:
    pages = [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs").rglob("*.md"))]
    assert [
        page for page in pages if page != "README.md" and f"]({page})" not in read("docs/README.md")
    ] == []
