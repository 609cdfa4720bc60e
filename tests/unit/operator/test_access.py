"""How the API is reached: the pod's own account, or a kubeconfig."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpha_panda.errors import SettingsError
from alpha_panda_operator.access import find_access, from_kubeconfig


def kubeconfig(tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    path = tmp_path / "kubeconfig"
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "trading"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_a_pods_token_is_read_anew_each_time(tmp_path: Path) -> None:
    for name, text in (("token", "first\n"), ("ca.crt", ""), ("namespace", "home\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    found = find_access(environment, tmp_path)
    assert (found.server, found.namespace, found.token()) == ("https://[fd00::1]:6443", "home", "first")
    (tmp_path / "token").write_text("second", encoding="utf-8")
    assert found.token() == "second"


def test_a_pod_without_a_token_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="token is missing"):
        find_access({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)


def test_nothing_at_all_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set KUBECONFIG"):
        find_access({"HOME": str(tmp_path)}, tmp_path)


def test_a_kubeconfig_with_a_token(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "secret-word"})
    found = find_access({"KUBECONFIG": str(path), "KUBERNETES_SERVICE_HOST": "x"})
    assert (found.server, found.namespace, found.token()) == (
        "https://127.0.0.1:6443",
        "trading",
        "secret-word",
    )
    assert "secret-word" not in repr(found)


def test_a_kubeconfigs_inline_data_become_what_tls_reads(tmp_path: Path) -> None:
    inline = base64.b64encode(b"PEM").decode()
    user = {"client-certificate-data": inline, "client-key-data": inline}
    found = from_kubeconfig(kubeconfig(tmp_path, user, {"certificate-authority-data": inline}))
    assert found.ca_data == "PEM"
    assert found.certificate_file is not None
    assert found.key_file is not None
    assert found.key_file.read_bytes() == b"PEM"
    assert found.key_file.stat().st_mode & 0o077 == 0
    for file in (found.certificate_file, found.key_file):
        file.unlink()


def test_files_of_a_kubeconfig_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("from-file\n", encoding="utf-8")
    found = from_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "t"}, {"certificate-authority": "ca.pem"}))
    assert found.token() == "from-file"
    assert found.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("user", "words"), [({"exec": {}}, "by a plugin"), ({"auth-provider": {}}, "by a plugin")]
)
def test_plugins_are_refused(tmp_path: Path, user: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_kubeconfig(kubeconfig(tmp_path, user))


@pytest.mark.parametrize("text", ["{}", "a: [", "current-context: x\ncontexts: []"])
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="broken is not complete"):
        from_kubeconfig(path)
    with pytest.raises(SettingsError, match="can't be read"):
        from_kubeconfig(tmp_path / "nowhere")


def test_plain_http_needs_no_certificates(tmp_path: Path) -> None:
    found = from_kubeconfig(kubeconfig(tmp_path, {}, {"server": "http://127.0.0.1:1"}))
    assert found.ssl_context() is None
    assert (
        from_kubeconfig(kubeconfig(tmp_path, {}, {"insecure-skip-tls-verify": True})).ssl_context()
        is not None
    )
