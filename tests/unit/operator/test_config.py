"""The operator's configuration: every fault names its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alpha_panda.errors import SettingsError
from alpha_panda_operator.config import Image, OperatorConfig, load_config


def loaded(tmp_path: Path, raw: Any) -> OperatorConfig:
    file = tmp_path / "config.yaml"
    file.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw), encoding="utf-8")
    return load_config(file)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    found = loaded(tmp_path, "")
    assert found == OperatorConfig()
    assert (found.installation, found.control_ttl_seconds, found.watch_namespaces) == ("alpha-panda", 60, ())


def test_names_are_written_as_in_the_chart(tmp_path: Path) -> None:
    raw = {
        "watchNamespaces": ["a", "b"],
        "image": {"repository": "r/x", "digest": "sha256:1", "pullSecrets": ["s"]},
        "roles": {"engine": {"nodeSelector": {"disk": "ssd"}}},
        "leader": {"leaseSeconds": 30, "renewSeconds": 5, "giveUpSeconds": 20},
        "topicPrefix": "x-{namespace}.",
    }
    found = loaded(tmp_path, raw)
    assert found.watch_namespaces == ("a", "b")
    assert found.image.reference == "r/x@sha256:1"
    assert found.prefix("desk") == "x-desk."


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"instalation": "x"}, "instalation: there is no such field"),
        ({"leader": {"renewSecond": 1}}, "leader.renewSecond: there is no such field"),
        ({"roles": {"engin": {}}}, "engin: no such role; allowed: market-feed"),
        (
            {"env": {"ALPHAPANDA_TOPIC_PREFIX": "x."}},
            "ALPHAPANDA_TOPIC_PREFIX: the operator sets these itself",
        ),
        ({"topicPrefix": "x."}, "must hold {namespace}"),
        ({"controlRenewSeconds": 60}, "controlRenewSeconds must be less than controlTtlSeconds"),
        ({"terminationGraceSeconds": 20}, "must be more than a service's drain, 20 s"),
        (
            {"env": {"ALPHAPANDA_DRAIN_TIMEOUT_SECONDS": "50"}},
            "must be more than a service's drain, 50 s",
        ),
        ({"leader": {"leaseSeconds": 5}}, "two could lead at once"),
        ({"controlTtlSeconds": -1}, "controlTtlSeconds: "),
        ("a: [", "is not YAML"),
        ("[]", "the whole: "),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, raw: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, raw)
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere.yaml can't be read: No such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_role_has_its_own_fields_and_the_defaults_others() -> None:
    found = OperatorConfig.model_validate(
        {
            "defaults": {"priorityClassName": "high", "nodeSelector": {"a": "b"}},
            "roles": {"engine": {"nodeSelector": {}}},
        }
    )
    assert found.role("engine").node_selector == {}
    assert found.role("engine").priority_class_name == "high"
    assert found.role("risk") is found.defaults


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        (Image(), "alpha-panda"),
        (Image(tag="2"), "alpha-panda:2"),
        (Image(tag="2", digest="sha256:f"), "alpha-panda@sha256:f"),
    ],
)
def test_a_digest_wins_over_a_tag(image: Image, reference: str) -> None:
    assert image.reference == reference
