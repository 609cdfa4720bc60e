"""`alpha-panda login` against a local Kite: from the page to the stored session, in files and in a cluster."""

import asyncio
import base64
import io
import json
import re
import socket
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli import login, login_keys
from alpha_panda.cli.login_callback import Callback
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import UserInputError
from alpha_panda.testing.kite.config import API_KEY, API_SECRET, KiteConfig
from alpha_panda.testing.kite.server import KiteServer
from unit.cli.kit import Alpha
from unit.cli.plugin_kit import HOME, FakeCluster, Plugin, named

SECONDS = 20
ACCOUNTS = "brokeraccounts.alphapanda.io"
KEYS = {"api_key": API_KEY, "api_secret": API_SECRET}


class Kite:
    """A local Kite on a thread of its own, for commands that have loops of their own."""

    def __init__(self, config: KiteConfig) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = KiteServer(config=config)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(self.server.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self.server.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SECONDS)
        self.loop.close()

    def wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    def request_token(self) -> str:
        async def ask() -> str:
            return self.server.request_token()

        return str(self.wait(ask()))

    def set_environment(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setenv("ALPHAPANDA_ZERODHA_API_URL", self.server.url)
        monkeypatch.setenv("ALPHAPANDA_ZERODHA_LOGIN_URL", self.server.login_url)
        monkeypatch.setenv("ALPHAPANDA_BROKER_DIRECTORY", str(folder))


@contextmanager
def free_port() -> Iterator[int]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found.getsockname()[1]


@pytest.fixture
def kite(untouched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kite]:
    with Kite(KiteConfig()) as found:
        found.set_environment(monkeypatch, tmp_path / "accounts")
        yield found


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


class Terminal:
    """A person at a terminal: answers what is asked for by name, and notes whether it was hidden."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
        self.asked: dict[str, bool] = {}
        self._answers = answers
        stdin = io.StringIO()
        stdin.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("typer.prompt", self._prompt)

    def _prompt(self, text: str, *, hide_input: bool = False, **_: object) -> str:
        self.asked[text] = hide_input
        return next(answer for name, answer in self._answers.items() if name in text)


def keep_keys(folder: Path, kite: Kite) -> Path:
    keys = folder / "accounts" / "kite" / "keys"
    keys.mkdir(parents=True)
    for name, text in (("api_key", kite.server.api_key), ("api_secret", kite.server.api_secret)):
        (keys / name).write_text(text)
        (keys / name).chmod(0o600)
    return keys.parent


class TestFiles:
    def test_what_is_pasted_becomes_a_session_for_its_owner_s_eyes(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = keep_keys(tmp_path, kite)
        typed(monkeypatch, f"https://mine.example/?status=success&request_token={kite.request_token()}\n")
        called = alpha("login", "kite")
        assert (called.code, "logged in as AB1234" in called.out) == (0, True), called
        assert f"{kite.server.login_url}?v=3&api_key=kitelocalkey" in called.err
        assert re.search(r"valid until \d{4}-\d\d-\d\d 06:00 in India, for \d+ h \d\d min", called.out)
        file = account / "session" / "session.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        session = json.loads(file.read_text())
        assert (session["user_id"], session["api_key"]) == ("AB1234", "kitelocalkey")
        assert session["access_token"] not in called.out + called.err
        assert kite.server.api_secret not in called.out + called.err
        profile = urllib.request.Request(  # noqa: S310 - loopback
            f"{kite.server.url}/user/profile",
            headers={
                "X-Kite-Version": "3",
                "Authorization": f"token {session['api_key']}:{session['access_token']}",
            },
        )
        with urllib.request.urlopen(profile, timeout=SECONDS) as answer:  # noqa: S310 - loopback
            assert json.load(answer)["data"]["user_id"] == "AB1234"

    def test_programs_get_one_object(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = keep_keys(tmp_path, kite)
        typed(monkeypatch, kite.request_token())
        told = alpha("login", "kite", "--output", "json").json
        session = json.loads((account / "session" / "session.json").read_text())
        expires = datetime.fromtimestamp(session["expires_at"] / SECOND_NS, UTC)
        assert told == {
            "account": "kite",
            "user": "AB1234",
            "expiresAt": expires.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "storedIn": str(account / "session" / "session.json"),
        }

    def test_keys_are_asked_for_once_and_kept_for_their_owner_s_eyes(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = KEYS
        person = Terminal(monkeypatch, **answers, Paste=kite.request_token())
        assert alpha("login", "kite").code == 0
        assert (person.asked["api_key"], person.asked["api_secret"]) == (False, True)
        keys = tmp_path / "accounts" / "kite" / "keys"
        for name, text in answers.items():
            assert (keys / name).read_text().strip() == text
            assert stat.S_IMODE((keys / name).stat().st_mode) == 0o600
        again = Terminal(monkeypatch, Paste=kite.request_token())
        assert alpha("login", "kite").code == 0
        assert len(again.asked) == 1

    def test_without_keys_and_terminal_the_files_are_named(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        typed(monkeypatch, "")
        called = alpha("login", "kite")
        assert called.code == 2
        assert f"api_key is missing: write it to {tmp_path}/accounts/kite/keys/api_key" in called.err

    @pytest.mark.parametrize(
        ("pasted", "words"),
        [
            ("", "no request_token found"),
            ("https://mine.example/?status=failed&request_token=abc", "did not succeed"),
            ("wrongtoken", "Kite refuses the log-in"),
        ],
    )
    def test_what_is_no_log_in_stores_nothing(  # noqa: PLR0917 - fixtures
        self,
        alpha: Alpha,
        kite: Kite,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        pasted: str,
        words: str,
    ) -> None:
        account = keep_keys(tmp_path, kite)
        typed(monkeypatch, pasted)
        called = alpha("login", "kite")
        assert (called.code, words in called.err) == (2, True), called.err
        assert not (account / "session").exists()

    def test_a_token_is_good_once(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = keep_keys(tmp_path, kite)
        token = kite.request_token()
        typed(monkeypatch, token)
        assert alpha("login", "kite").code == 0
        before = (account / "session" / "session.json").read_bytes()
        typed(monkeypatch, token)
        assert alpha("login", "kite").code == 2
        assert (account / "session" / "session.json").read_bytes() == before

    def test_another_user_s_session_that_is_good_still_is_not_written_over(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = keep_keys(tmp_path, kite)
        file, before = self.kept_session(account, RealClock().now() + 3_600 * SECOND_NS)
        typed(monkeypatch, kite.request_token())
        called = alpha("login", "kite")
        assert called.code == 2
        assert "that was a log-in of user AB1234, but the session of ZZ0000 is good still" in called.err
        assert f"delete {file}; nothing is stored" in called.err, "else nobody gets out of it"
        assert json.loads(file.read_text()) == before

    def test_a_slip_of_yesterday_locks_nobody_out(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = keep_keys(tmp_path, kite)
        file, _ = self.kept_session(account, 2)
        typed(monkeypatch, kite.request_token())
        assert alpha("login", "kite").code == 0
        assert json.loads(file.read_text())["user_id"] == "AB1234"

    @staticmethod
    def kept_session(account: Path, expires_at: int) -> tuple[Path, dict[str, Any]]:
        session = {
            "user_id": "ZZ0000", "api_key": "k", "access_token": "t", "login_at": 1, "expires_at": expires_at,
        }  # fmt: skip
        file = account / "session" / "session.json"
        file.parent.mkdir()
        file.write_text(json.dumps(session))
        return file, session

    def test_it_says_where_the_keys_are_that_a_broker_refuses(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Terminal(monkeypatch, api_key="mistyped", api_secret=API_SECRET, Paste=kite.request_token())
        called = alpha("login", "kite")
        assert called.code == 2
        way_out = f"in {tmp_path}/accounts/kite/keys: delete that folder to be asked for others"
        assert called.err.count(way_out) == 2, (
            "beside the page, where a browser may show no more than an error, and after"
        )
        (tmp_path / "accounts" / "kite" / "keys" / "api_key").unlink()
        Terminal(monkeypatch, api_key=API_KEY, Paste=kite.request_token())
        assert alpha("login", "kite").code == 0

    def test_a_broker_that_is_away_is_no_user_s_fault(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep_keys(tmp_path, kite)
        with free_port() as port:
            monkeypatch.setenv("ALPHAPANDA_ZERODHA_API_URL", f"http://127.0.0.1:{port}")
            typed(monkeypatch, "sometoken")
            called = alpha("login", "kite")
        assert (called.code, "still good, try again" in called.err) == (1, True), called.err

    def test_keys_that_others_may_read_are_told(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = keep_keys(tmp_path, kite)
        (account / "keys" / "api_secret").chmod(0o644)
        typed(monkeypatch, kite.request_token())
        assert "warning: others may read" in alpha("login", "kite").err

    def test_a_name_leads_nowhere_else(self, alpha: Alpha, kite: Kite) -> None:
        called = alpha("login", "../etc")
        assert (called.code, "is no name of a BrokerAccount" in called.err) == (2, True)


class TestCallback:
    def test_the_browser_brings_the_token(
        self, alpha: Alpha, kite: Kite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep_keys(tmp_path, kite)
        with free_port() as found:
            port = found
        config = kite.server.core.config
        monkeypatch.setattr(
            kite.server.core,
            "config",
            KiteConfig(api_key=config.api_key, redirect_url=f"http://127.0.0.1:{port}/done"),
        )
        page: Future[str] = Future()

        def shown(text: str) -> None:
            if found := re.search(r"http://\S+/connect/login\S+", text):
                page.set_result(found[0])

        monkeypatch.setattr(login, "warn", shown)
        bodies: list[str] = []
        forged: list[int] = []

        def browse() -> None:
            url = page.result(SECONDS)
            forged.append(
                first_answer(f"http://127.0.0.1:{port}/done?request_token=evil&status=success&state=x")
            )
            for _ in range(100):
                try:
                    with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - loopback
                        bodies.append(answer.read().decode())
                except urllib.error.URLError:
                    continue  # it does not listen yet
                return

        browser = threading.Thread(target=browse, daemon=True)
        browser.start()
        called = alpha("login", "kite", "--callback", port)
        browser.join(SECONDS)
        assert (called.code, "logged in as AB1234" in called.out) == (0, True), called
        assert bodies == [
            "Alpha Panda has what it needs: you can close this page and go back to the terminal."
        ]

    async def test_another_page_can_t_slip_in_a_log_in_of_its_own(self) -> None:
        async with Callback(0, lambda query: "state=mine" in query) as callback:
            forged = asyncio.create_task(
                asyncio.to_thread(fetched, f"{callback.url}/?request_token=evil&state=x")
            )
            assert await forged == 403
            assert await asyncio.to_thread(fetched, f"{callback.url}/favicon.ico") == 404
            assert await asyncio.to_thread(fetched, f"{callback.url}/?request_token=ok&state=mine") == 200
            assert await callback.query(SECONDS) == "?request_token=ok&state=mine"

    async def test_it_waits_no_longer_than_told(self) -> None:
        async with Callback(0, lambda _: True) as callback:
            with pytest.raises(UserInputError, match=r"did not come back within 0\.01 s"):
                await callback.query(0.01)

    async def test_a_port_in_use_is_named(self) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(UserInputError, match="choose another port"):
                async with Callback(other.getsockname()[1], lambda _: True):
                    pass


def first_answer(url: str) -> int:
    """Ask until somebody listens."""
    for _ in range(1_000):
        try:
            return fetched(url)
        except urllib.error.URLError:
            continue
    raise AssertionError


def fetched(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def an_account(**zerodha: Any) -> dict[str, Any]:
    spec = {"live": True, "userId": "AB1234", "product": "MIS", **zerodha}
    return named("kite", HOME) | {
        "apiVersion": "alphapanda.io/v1alpha1",
        "kind": "BrokerAccount",
        "spec": {"marketFeed": "nse", "zerodha": spec},
    }


def a_secret(name: str, **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return named(name, HOME) | {"data": encoded}


class TestCluster:
    @pytest.fixture
    def served(self, cluster: FakeCluster, kite: Kite) -> FakeCluster:
        cluster.has(ACCOUNTS, an_account())
        cluster.has("secret", a_secret("kite-zerodha-keys", **KEYS))
        return cluster

    def test_the_session_is_applied_as_a_secret_and_never_a_word(
        self, panda: Plugin, served: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        typed(monkeypatch, kite.request_token())
        called = panda("login", "kite")
        assert called.code == 0, called.err
        assert f"stored in Secret kite-zerodha-session of namespace {HOME}" in called.out
        (applied,) = [call for call in served.calls if "apply" in call.words]
        assert {"--server-side", "--force-conflicts", "--field-manager=alpha-panda-login"} < set(
            applied.words
        )
        manifest = json.loads(applied.stdin)
        assert manifest["metadata"]["name"] == "kite-zerodha-session"
        session = json.loads(base64.b64decode(manifest["data"]["session.json"]))
        assert session["user_id"] == "AB1234"
        words = " ".join(word for call in served.calls for word in call.words)
        assert session["access_token"] not in words + called.out + called.err

    def test_the_account_is_annotated_so_that_its_pods_look_at_once(
        self, panda: Plugin, served: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        typed(monkeypatch, kite.request_token())
        assert panda("login", "kite").code == 0
        (noted,) = [call.words for call in served.calls if "annotate" in call.words]
        assert noted[:3] == ["annotate", ACCOUNTS, "kite"]
        assert re.fullmatch(r"alphapanda\.io/session-at=\d{19}", noted[3])

    def test_one_who_may_not_annotate_has_stored_it_all_the_same(
        self, panda: Plugin, served: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served.refuses("annotate")
        typed(monkeypatch, kite.request_token())
        called = panda("login", "kite")
        assert (called.code, "within a minute or two" in called.err) == (0, True)

    def test_one_who_may_not_write_secrets_is_told(
        self, panda: Plugin, served: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served.refuses("apply")
        typed(monkeypatch, kite.request_token())
        called = panda("login", "kite")
        assert (called.code, "`kubectl apply` of a secret failed" in called.err) == (1, True)

    def test_secrets_of_other_names_are_used(
        self, panda: Plugin, cluster: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = {"keysSecret": "app", "sessionSecret": "day"}
        cluster.has(ACCOUNTS, an_account(**names))
        cluster.has("secret", a_secret("app", api_key="kitelocalkey"))
        person = Terminal(monkeypatch, **KEYS, Paste=kite.request_token())
        called = panda("login", "kite")
        assert (called.code, "Secret day" in called.out) == (0, True), called.err
        assert person.asked["api_secret"], "typed unseen, and kept nowhere"

    @pytest.mark.parametrize(
        ("has", "words"),
        [
            ([], "there is no BrokerAccount kite in your namespace"),
            (
                [named("kite", HOME) | {"spec": {"paper": {"cash": 1}}}],
                "needs no log-in: it is a paper account",
            ),
            (
                [an_account()],
                "kubectl create secret generic kite-zerodha-keys -n trading --from-file=api_key=FILE",
            ),
        ],
    )
    def test_what_is_missing_has_a_remedy(
        self, panda: Plugin, cluster: FakeCluster, kite: Kite, has: list[dict[str, Any]], words: str
    ) -> None:
        cluster.has(ACCOUNTS, *has)
        called = panda("login", "kite")
        assert (called.code, words in called.err) == (2, True), called.err

    def test_another_user_s_log_in_is_not_stored(
        self, panda: Plugin, cluster: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.has(ACCOUNTS, an_account(userId="ZZ0000"))
        cluster.has("secret", a_secret("kite-zerodha-keys", **KEYS))
        typed(monkeypatch, kite.request_token())
        assert panda("login", "kite").code == 2
        assert not [call for call in cluster.calls if "apply" in call.words]

    @pytest.mark.parametrize("words", [("-n", "desk", "login", "kite"), ("login", "kite", "-n", "desk")])
    def test_the_namespace_goes_to_kubectl_from_before_and_behind_the_command(
        self, panda: Plugin, served: FakeCluster, kite: Kite, words: tuple[str, ...]
    ) -> None:
        called = panda(*words)
        assert (called.code, "there is no BrokerAccount kite in namespace desk" in called.err) == (2, True)
        assert "--namespace=desk" in served.calls[-1].words

    def test_without_the_plugin_an_option_says_that_it_is_a_cluster(
        self, alpha: Alpha, served: FakeCluster, kite: Kite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        typed(monkeypatch, kite.request_token())
        assert "stored in Secret" in alpha("login", "kite", "--cluster").out


def test_keys_are_not_shown_where_something_goes_wrong() -> None:
    assert "hush" not in repr(login_keys.Keys("key", "hush"))
