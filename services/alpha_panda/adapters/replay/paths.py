"""From a manifest's `path` to files."""

import glob
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from alpha_panda.errors import SourceError

PACKAGE_PREFIX = "package:"


def find_files(path: str, base: Path) -> list[Path]:
    """Return the files that `path` names, in the order in which they are read.

    `path` is relative to `base`, or absolute; a pattern (`ticks/2024-*.csv.gz`) gives its files sorted by name;
    `package:NAME/FILE` names a file inside an installed Python package, which is not imported.

    Raises:
        SourceError: there is no such file, pattern match or package.

    """
    if path.startswith(PACKAGE_PREFIX):
        return [_package_file(path)]
    full = base / path
    if full.is_file():
        return [full]
    if full.is_dir():
        raise SourceError(
            f"{full} is a folder; name a file, or several by a pattern such as {path.rstrip('/')}/*.csv"
        )
    if not glob.has_magic(path):
        raise SourceError(f"{full}: no such file (a relative path starts at {base})")
    found = glob.glob(path, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    files = [base / name for name in sorted(found) if (base / name).is_file()]
    if not files:
        raise SourceError(f"{full}: no file matches the pattern (a relative one starts at {base})")
    return files


def _package_file(path: str) -> Path:
    name, _, inner = path.removeprefix(PACKAGE_PREFIX).partition("/")
    parts = PurePosixPath(inner).parts
    if not name.isidentifier() or not parts or ".." in parts or parts[0] == "/" or "\\" in inner:
        raise SourceError(f"{path}: must be package:NAME/FILE, with FILE inside the package (without `..`)")
    for folder in _folders(path, name):
        file = folder.joinpath(*parts)
        if file.is_file():
            return file
    raise SourceError(f"{path}: the installed package {name} holds no such file; another version of it may")


def _folders(path: str, name: str) -> list[Path]:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # ValueError: a module of this name has no spec (__main__)
        spec = None
    if spec is None or spec.submodule_search_locations is None:
        raise SourceError(f"{path}: the Python package {name} is not installed; try `pip install {name}`")
    return [Path(location) for location in spec.submodule_search_locations]
