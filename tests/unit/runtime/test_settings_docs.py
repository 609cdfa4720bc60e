from pathlib import Path

import pytest

from alpha_panda.contracts.codes import DESCRIPTIONS, REMEDIES, Code
from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda.runtime.settings_docs import main, render_codes, render_settings

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
REMEDY = "run `python -m alpha_panda.runtime.settings_docs docs/reference`"


@pytest.mark.parametrize(
    ("name", "rendered"), [("settings.md", render_settings()), ("codes.md", render_codes())]
)
def test_the_page_in_the_repository_is_what_the_code_says(name: str, rendered: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == rendered, REMEDY


def test_every_setting_has_its_row() -> None:
    page = render_settings()
    for field in Settings.model_fields:
        assert page.count(f"| `{env_name(field)}` |") == 1


def test_a_row_has_five_cells_even_where_the_allowed_values_hold_bars() -> None:
    rows = [line for line in render_settings().splitlines() if line.startswith("| `ALPHAPANDA_")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {6}


def test_every_code_is_described_and_says_what_to_do() -> None:
    assert list(DESCRIPTIONS) == list(Code)
    assert list(REMEDIES) == list(Code)
    page = render_codes()
    for code in Code:
        assert f"| `{code.value}` | {DESCRIPTIONS[code]} | {REMEDIES[code]} |" in page


def test_the_command_writes_both_pages(tmp_path: Path) -> None:
    main(str(tmp_path / "reference"))
    assert (tmp_path / "reference" / "settings.md").read_text(encoding="utf-8") == render_settings()
    assert (tmp_path / "reference" / "codes.md").read_text(encoding="utf-8") == render_codes()
