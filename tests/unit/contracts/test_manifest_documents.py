"""Reading YAML: files, folders, documents, places; nothing ignored silently, every fault with its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.manifests.documents import MAX_DEPTH, Document, kind_of, line_of, read_documents
from alpha_panda.contracts.manifests.faults import path_of

FEED = "kind: MarketFeed\nmetadata: {name: demo}\n"


def write(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def data_of(folder: Path, text: str) -> object:
    reading = read_documents([write(folder, "m.yaml", text)])
    assert not reading.faults, [str(fault) for fault in reading.faults]
    return reading.documents[0].data


def messages(path: Path) -> list[str]:
    return [str(fault).replace(str(path.parent) + "/", "") for fault in read_documents([path]).faults]


# ------------------------------------------------------------------------------------------ files, folders


def test_documents_are_numbered_from_one_and_know_their_line_and_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "m.yaml", f"{FEED}---\n{FEED}")
    documents = read_documents([file]).documents
    assert [(item.number, item.line, item.directory) for item in documents] == [
        (1, 1, tmp_path),
        (2, 4, tmp_path),
    ]
    assert documents[0].resource == "MarketFeed/demo"


def test_an_empty_document_between_others_is_none_but_is_counted(tmp_path: Path) -> None:
    file = write(tmp_path, "m.yaml", f"---\n# nothing\n---\n{FEED}---\n")
    assert [item.number for item in read_documents([file]).documents] == [2]


@pytest.mark.parametrize("text", ["", "\n\n", "# only words\n", "---\n---\n"])
def test_a_file_without_any_document_is_a_fault(tmp_path: Path, text: str) -> None:
    assert messages(write(tmp_path, "m.yaml", text)) == [
        "m.yaml: the file is empty; allowed: at least one resource"
    ]


def test_a_folder_is_read_with_all_below_it_sorted_by_path(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "a/b/c.yaml", "notes.txt", "data.csv"):
        write(tmp_path, name, FEED)
    found = [item.file for item in read_documents([tmp_path]).documents]
    assert found == [str(tmp_path / name) for name in ("a/b/c.yaml", "a/z.yml", "b.yaml")]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    # Kubernetes mounts ..2026_01_01/m.yaml, links ..data to that folder and m.yaml to ..data/m.yaml.
    write(tmp_path, "..2026_01_01/m.yaml", FEED)
    (tmp_path / "..data").symlink_to("..2026_01_01")
    (tmp_path / "m.yaml").symlink_to("..data/m.yaml")
    documents = read_documents([tmp_path]).documents
    assert [(item.file, item.directory) for item in documents] == [(str(tmp_path / "m.yaml"), tmp_path)]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = write(tmp_path, "m.yaml", FEED)
    assert len(read_documents([file, tmp_path, tmp_path / "." / "m.yaml"]).documents) == 1


def test_a_file_may_have_any_name_when_it_is_named_itself(tmp_path: Path) -> None:
    assert len(read_documents([write(tmp_path, "manifest.json", '{"kind": "MarketFeed"}')]).documents) == 1


def test_what_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert messages(tmp_path / "x.yaml") == ["x.yaml: there is no such file or folder"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert messages(empty) == ["empty: the folder holds no manifest; allowed: files named *.yaml, *.yml"]
    assert [fault.problem for fault in read_documents([]).faults] == ["no manifest is named"]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "m.yaml", FEED)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert messages(file) == ["m.yaml: can't be read: Permission denied"]


def test_a_fault_in_one_file_does_not_hide_the_others(tmp_path: Path) -> None:
    bad, good = write(tmp_path, "a.yaml", "a: [\n"), write(tmp_path, "b.yaml", FEED)
    reading = read_documents([bad, tmp_path / "none", good])
    assert [item.file for item in reading.documents] == [str(good)]
    assert len(reading.faults) == 2


# ---------------------------------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("day: 2026-01-26", "2026-01-26"),
        ("time: 15:30", "15:30"),
        ("time: 09:15:00", "09:15:00"),
        ("number: 1e6", 1e6),
        ("number: -2.5E-3", -0.0025),
        ("number: .5", 0.5),
        ("number: 5.", 5.0),
        ("number: 10_000", 10_000),
        ("number: 0x1F", 31),
        ("number: '5'", "5"),
        ("version: 1.2.3", "1.2.3"),
        ("flag: yes", True),
        ("flag: off", False),
        ("nothing: ~", None),
        ("nothing:", None),
    ],
)
def test_values_are_read_as_kubectl_reads_them(tmp_path: Path, text: str, expected: object) -> None:
    data = data_of(tmp_path, text)
    assert isinstance(data, dict)
    (value,) = data.values()
    assert value == expected
    assert type(value) is type(expected)


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18))
def test_a_number_is_read_back_as_itself(number: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert data_of(tmp_path_factory.mktemp("n"), f"number: {number!r}") == {"number": number}


def test_a_key_given_twice_is_a_fault_at_its_place(tmp_path: Path) -> None:
    file = write(
        tmp_path, "m.yaml", "kind: Strategy\nspec:\n  risk:\n    - {a: 1, b: 2, a: 3}\nkind: MarketFeed\n"
    )
    assert messages(file) == [
        "m.yaml:1, document 1 (MarketFeed), kind: the key is given twice; allowed: each key once",
        "m.yaml:4, document 1 (MarketFeed), spec.risk[0].a: the key is given twice; allowed: each key once",
    ]


def test_a_key_that_overrides_a_merged_one_is_no_repetition(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3\n"
    assert data_of(tmp_path, text) == {"base": {"a": 1, "b": 2}, "other": {"a": 1, "b": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "m.yaml:1, document 1: the document is a list, not a mapping"),
        ("just words\n", "m.yaml:1, document 1: the document is text, not a mapping"),
        ("3\n", "m.yaml:1, document 1: the document is a single value, not a mapping"),
        ("a: 1\n---\nb: [\n", "m.yaml:4, document 2: is not YAML: while parsing a flow node"),
        ("a: 1\n b: 2\n", "m.yaml:2, document 1: is not YAML: mapping values are not allowed"),
        ("\ta: 1\n", "document 1: is not YAML: "),
        (
            "a: !!python/object:os.system x\n",
            "m.yaml:1, document 1: could not determine a constructor for the tag",
        ),
        (
            "a: 1\n---\nb: !secret x\n",
            "m.yaml:3, document 2: could not determine a constructor for the tag '!secret'",
        ),
        ("? [a, b]\n: 1\n", "m.yaml:1, document 1: while constructing a mapping found unhashable key"),
        ("a: *nobody\n", "m.yaml:1, document 1: is not YAML: found undefined alias"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_a_fault_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (found,) = messages(write(tmp_path, "m.yaml", text))
    assert message in found


def test_a_document_after_one_with_a_strange_tag_is_still_read(tmp_path: Path) -> None:
    reading = read_documents([write(tmp_path, "m.yaml", f"a: !secret x\n---\n{FEED}")])
    assert [(item.number, item.resource) for item in reading.documents] == [(2, "MarketFeed/demo")]


@pytest.mark.parametrize("content", [b"\xff\xfe\xfa", b"a: \xc3\x28\n", b"a: \x00\n"])
def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path, content: bytes) -> None:
    (found,) = messages(write(tmp_path, "m.yaml", content))
    assert "is not YAML" in found


def test_nesting_without_end_is_a_fault_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    allowed = f"allowed: at most {MAX_DEPTH} levels"
    for text in ("[" * 200_000, "a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, "- " * 5_000):
        assert messages(write(tmp_path, "m.yaml", text)) == [f"m.yaml: is nested too deeply; {allowed}"]
    inside = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert messages(write(tmp_path, "m.yaml", inside)) == []


def test_few_aliases_that_stand_for_billions_of_values_are_read_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert len(read_documents([write(tmp_path, "m.yaml", "\n".join(lines))]).documents) == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    reading = read_documents([write(tmp_path_factory.mktemp("b"), "m.yaml", content)])
    assert reading.documents or reading.faults


@given(st.text(alphabet="ab:-[]{}&*!'\"#\n <,?|>1.", max_size=60))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    reading = read_documents([write(tmp_path_factory.mktemp("t"), "m.yaml", content)])
    assert reading.documents or reading.faults


# -------------------------------------------------------------------------------------------------- places


def test_a_place_is_found_in_its_line(tmp_path: Path) -> None:
    text = "kind: X\nspec:\n  list:\n    - {a: 1}\n    - a: 2\n      b: 3\n"
    (document,) = read_documents([write(tmp_path, "m.yaml", text)]).documents
    assert document.fault(("kind",), "p").line == 1
    assert document.fault(("spec", "list", 0, "a"), "p").line == 4
    assert document.fault(("spec", "list", 1, "b"), "p").line == 6
    # What is missing stands where it should be: at the nearest thing that exists.
    assert document.fault(("spec", "list", 1, "c"), "p").line == 5
    assert document.fault(("spec", "list", 9), "p").line == 3
    assert document.fault(("other", "x"), "p").line == 1


def test_a_document_without_nodes_falls_back_to_its_first_line() -> None:
    assert Document("f", 2, {}, line=7).fault(("spec",), "p").line == 7
    assert line_of(None, ("spec",)) == 0


@pytest.mark.parametrize(
    ("data", "resource"),
    [
        ({"kind": "Strategy", "metadata": {"name": "x"}}, "Strategy/x"),
        ({"kind": "Strategy"}, "Strategy"),
        ({"kind": "Strategy", "metadata": []}, "Strategy"),
        ({"metadata": {"name": "x"}}, "x"),
        ({"kind": 3}, ""),
    ],
)
def test_a_fault_names_the_resource_as_far_as_it_is_known(data: dict[str, object], resource: str) -> None:
    assert Document("f", 1, data).fault((), "p").resource == resource


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ((), ""),
        (("spec", "instruments", 0, "tickSize"), "spec.instruments[0].tickSize"),
        (("metadata", "labels", "a/b"), 'metadata.labels["a/b"]'),
        (("metadata", "labels", ""), 'metadata.labels[""]'),
        (("a", 1, 2, "b-c"), "a[1][2].b-c"),
    ],
)
def test_a_place_is_written_as_a_user_writes_it(location: tuple[str | int, ...], path: str) -> None:
    assert path_of(location) == path


def test_kinds_of_values_have_words() -> None:
    values: tuple[object, ...] = ({}, "x", [], None)
    assert [kind_of(value) for value in values] == [
        "a mapping",
        "text",
        "a list",
        "a single value",
    ]
