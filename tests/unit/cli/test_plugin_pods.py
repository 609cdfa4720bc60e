"""Which pod: the one that most likely answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.cli.plugin_pods import Pod, best, chosen
from alpha_panda.errors import DependencyUnavailableError
from unit.cli.plugin_kit import a_pod


def pod(name: str, **facts: object) -> Pod:
    return Pod.of(a_pod("BrokerAccount", "paper", "risk", name=name, **facts))  # type: ignore[arg-type]


def test_what_is_read_of_a_pod() -> None:
    read = pod("paper-risk-x", namespace="desk")
    assert (read.name, read.namespace) == ("paper-risk-x", "desk")
    assert (read.component, read.instance) == ("risk", "paper")
    assert (read.running, read.ready, read.leaving) == (True, True, False)


class TestTheContainer:
    def test_it_is_that_of_the_role_not_one_that_was_put_before_it(self) -> None:
        assert pod("a", containers=("mesh", "risk")).container == "risk"

    def test_without_one_of_that_name_it_is_the_first(self) -> None:
        assert pod("a", containers=("service", "mesh")).container == "service"

    def test_its_state_counts_not_another_s(self) -> None:
        found = a_pod("BrokerAccount", "paper", "risk", containers=("mesh", "risk"))
        found["status"]["containerStatuses"][1]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
        read = Pod.of(found)
        assert (read.running, read.state) == (False, "CrashLoopBackOff")


class TestTheChoice:
    def test_a_ready_one_first(self) -> None:
        assert best([pod("a", ready=False), pod("b"), pod("c")]) == pod("b")

    def test_one_that_runs_is_better_than_none(self) -> None:
        """Readiness fails while Kafka is down, and a halt must not wait for Kafka."""
        assert best([pod("a", waiting="ImagePullBackOff"), pod("b", ready=False)]) == pod("b", ready=False)

    def test_one_that_leaves_is_the_last_choice(self) -> None:
        assert best([pod("a", leaving=True), pod("b", ready=False)]) == pod("b", ready=False)
        assert best([pod("a", leaving=True)]) == pod("a", leaving=True)

    def test_one_that_does_not_run_is_none(self) -> None:
        assert best([pod("a", waiting="CrashLoopBackOff")]) is None

    @given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=6))
    def test_never_one_that_does_not_run_and_a_ready_one_where_one_stays(
        self, facts: list[tuple[bool, bool, bool]]
    ) -> None:
        pods = [
            pod(str(index), ready=ready, waiting="" if running else "Waiting", leaving=leaving)
            for index, (ready, running, leaving) in enumerate(facts)
        ]
        found = best(pods)
        assert (found is None) == (not any(item.running for item in pods))
        if found is not None and any(item.ready and not item.leaving for item in pods):
            assert found.ready
            assert not found.leaving


class TestNoneThatRuns:
    def test_it_says_what_there_is_and_what_to_do(self) -> None:
        with pytest.raises(DependencyUnavailableError) as refused:
            chosen([pod("paper-risk-x", waiting="CrashLoopBackOff")], "risk pod of paper", "see the log")
        assert "paper-risk-x (CrashLoopBackOff); see the log" in str(refused.value)

    def test_it_says_that_there_is_nothing(self) -> None:
        with pytest.raises(DependencyUnavailableError, match="there is no risk pod of paper; see the log"):
            chosen([], "risk pod of paper", "see the log")

    def test_a_pod_without_containers_yet_tells_its_phase(self) -> None:
        found = a_pod("BrokerAccount", "paper", "risk")
        found["status"] = {"phase": "Pending"}
        assert Pod.of(found).state == "Pending"
        assert Pod.of({}).state == "unknown"

    def test_an_evicted_one_tells_why(self) -> None:
        found = a_pod("BrokerAccount", "paper", "risk")
        found["status"] = {"phase": "Failed", "reason": "Evicted"}
        assert Pod.of(found).state == "Evicted"
