"""Reads manifests: files and folders of YAML into documents that know where each value stands.

YAML is read as kubectl reads it, not as YAML 1.1 has it: dates and 15:30 stay text, 1e6 is a number, and a key
given twice is a fault.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from alpha_panda.contracts.manifests.faults import path_of
from alpha_panda.contracts.resources.rules import Location
from alpha_panda.errors import ManifestFault

SUFFIXES: Final = (".yaml", ".yml")
MAX_DEPTH: Final = 64
"""Deepest nesting of lists and mappings; manifests need about ten, parameters may need more."""
_CHANGED_TAGS: Final = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, is not everywhere


class _Loader(_Base):  # type: ignore[misc]  # chosen at run time
    """Safe loader with the implicit types of YAML 1.2's JSON schema for numbers, and no dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _CHANGED_TAGS]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^([-+]?([0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: where it is and what it says (`data`, unchecked). It begins in `line`."""

    file: str
    number: int
    data: Mapping[Any, Any]
    directory: Path = field(default_factory=Path)
    node: yaml.Node | None = field(default=None, repr=False)
    line: int = 0

    @property
    def resource(self) -> str:
        """`Kind/name` as far as the document says it."""
        metadata = self.data.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        parts = (self.data.get("kind"), name)
        return "/".join(part for part in parts if isinstance(part, str))

    def fault(self, location: Location, problem: str, allowed: str = "") -> ManifestFault:
        """Return a fault at a place in this document."""
        return ManifestFault(
            file=self.file,
            document=self.number,
            field=path_of(location),
            problem=problem,
            allowed=allowed,
            resource=self.resource,
            line=line_of(self.node, location) or self.line,
        )


@dataclass(slots=True)
class Reading:
    """What was read, and what could not be; `files` are all paths in the order of reading."""

    documents: list[Document] = field(default_factory=list)
    faults: list[ManifestFault] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def refuse(self, path: Path, problem: str, allowed: str = "") -> None:
        """Note that nothing can be read at a path."""
        self.files.append(str(path))
        self.faults.append(ManifestFault(str(path), 0, "", problem, allowed))


def read_documents(paths: Sequence[Path]) -> Reading:
    """Read all documents of files and folders, in the order given, folders sorted by path."""
    reading = Reading()
    seen: set[Path] = set()
    for path in paths:
        for file in _files(path, reading):
            if file.resolve() not in seen:
                seen.add(file.resolve())
                _read_file(file, reading)
    if not paths:
        reading.faults.append(ManifestFault("", 0, "", "no manifest is named", "files or folders of YAML"))
    return reading


def read_again(document: Document) -> Document:
    """Return the document with its nodes, which tell lines, as long as its file says the same; else as it is."""
    try:
        content = Path(document.file).read_bytes()
    except (OSError, ValueError):
        return document
    same = (item for item in _parse(content, Path(document.file)) if isinstance(item, Document))
    return next(
        (item for item in same if item.number == document.number and item.data == document.data), document
    )


def _files(path: Path, reading: Reading) -> list[Path]:
    """Return the file, or all manifests in and below the folder but in hidden ones (git's, a ConfigMap's)."""
    if not path.exists():
        reading.refuse(path, "there is no such file or folder")
        return []
    if not path.is_dir():
        return [path]
    found = sorted(
        file for file in path.rglob("*") if _is_manifest(file.relative_to(path)) and file.is_file()
    )
    if not found:
        problem = "the folder holds no manifest"
        reading.faults.append(
            ManifestFault(str(path), 0, "", problem, f"files named *{', *'.join(SUFFIXES)}")
        )
    return found


def _is_manifest(relative: Path) -> bool:
    return relative.suffix in SUFFIXES and not any(part.startswith(".") for part in relative.parts)


def _read_file(file: Path, reading: Reading) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        reading.refuse(file, f"can't be read: {error.strerror}")
        return
    found = list(_parse(content, file))
    if not found:
        reading.refuse(file, "the file is empty", "at least one resource")
        return
    reading.files.append(str(file))
    reading.documents += [item for item in found if isinstance(item, Document)]
    reading.faults += [item for item in found if isinstance(item, ManifestFault)]


def _parse(content: bytes, file: Path) -> Iterator[Document | ManifestFault]:
    """Yield the file's documents and faults; after text that is not YAML nothing more can be read."""
    number = 1
    loader = None
    try:
        if _too_deep(content):
            yield ManifestFault(str(file), 0, "", "is nested too deeply", f"at most {MAX_DEPTH} levels")
            return
        loader = _Loader(content)
        while loader.check_node():
            yield from _document(loader, loader.get_node(), file, number)
            number += 1
    except yaml.YAMLError as error:
        problem, line = _words(error)
        yield ManifestFault(str(file), number, "", f"is not YAML: {problem}", line=line)
    finally:
        if loader is not None:
            loader.dispose()


def _too_deep(content: bytes) -> bool:
    """Whether anything nests deeper than MAX_DEPTH: libyaml composes by recursion and would overflow the stack."""
    depth = 0
    with contextlib.suppress(yaml.YAMLError):  # composing meets the same error and says in which document
        for event in yaml.parse(content, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                return True
    return False


def _document(loader: Any, node: yaml.Node, file: Path, number: int) -> Iterator[Document | ManifestFault]:  # noqa: ANN401 - libyaml's or PyYAML's
    line = node.start_mark.line + 1
    repeated = _repeated_keys(node)  # before construction, which merges << into the nodes
    try:
        data = loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        problem, at = _words(error)
        yield ManifestFault(str(file), number, "", problem, "plain YAML values", line=at or line)
        return
    if data is None:
        return  # as kubectl does: nothing between two `---` is no document
    if not isinstance(data, Mapping):
        problem = f"the document is {kind_of(data)}, not a mapping"
        yield ManifestFault(str(file), number, "", problem, "apiVersion, kind, metadata, spec", line=line)
        return
    document = Document(str(file), number, data, file.parent, node, line)
    yield document
    yield from (document.fault(place, "the key is given twice", "each key once") for place in repeated)


def kind_of(data: object) -> str:
    """Return what a YAML value is, in words."""
    if isinstance(data, Mapping):
        return "a mapping"
    if isinstance(data, str):
        return "text"
    return "a list" if isinstance(data, list | tuple) else "a single value"


def _words(error: Exception) -> tuple[str, int]:
    """Return what is wrong and in which line (0: unknown)."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split()), 0
    mark = error.problem_mark or error.context_mark
    text = " ".join(part for part in (error.context, error.problem) if part)
    return (f"{text} (line {mark.line + 1}, column {mark.column + 1})", mark.line + 1) if mark else (text, 0)


# ------------------------------------------------------------------------------------- places in a document


def _repeated_keys(root: yaml.Node) -> list[Location]:
    """Return the places of all keys that repeat an earlier one of their mapping."""
    found: list[Location] = []
    seen: set[int] = set()  # an alias is the same node again
    stack: list[tuple[yaml.Node, Location]] = [(root, ())]
    while stack:
        node, place = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            stack.extend((child, (*place, index)) for index, child in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            keys = [str(key.value) for key, _ in node.value]
            found.extend((*place, key) for key, count in Counter(keys).items() if count > 1)
            stack.extend((child, (*place, key)) for key, (_, child) in zip(keys, node.value, strict=True))
    return sorted(found, key=str)


def line_of(root: yaml.Node | None, location: Location) -> int:
    """Return the line, from 1, of a place, or of what of it exists; 0 without a node."""
    if root is None:
        return 0
    node, line = root, root.start_mark.line
    for step in location:
        found = _child(node, step)
        if found is None:
            break
        node, line = found
    return int(line) + 1


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            if key.value == step:
                return child, key.start_mark.line
    return None
