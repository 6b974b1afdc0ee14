"""The simulated queue waits as theory says, where theory knows."""

from __future__ import annotations

import pytest

from benchmarks.queues import Cluster, erlang_c, greatest_rate, main


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (2, 1.4), (4, 3.0)])
def test_exponential_services_wait_as_erlang_says(servers: int, load: float) -> None:
    seconds = 0.02
    waits = Cluster(seconds, servers, service="exponential").waits(load / seconds)
    queue = erlang_c(servers, load) * load / (servers - load)
    assert waits.queue == pytest.approx(queue, rel=0.1)
    assert waits.mean == pytest.approx(seconds * (1 + queue / load), rel=0.05)  # Little's law


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_constant_services_wait_half_as_long(load: float) -> None:
    waits = Cluster(0.01, service="constant").waits(load / 0.01)
    assert waits.queue == pytest.approx(load**2 / (2 * (1 - load)), rel=0.1)  # Pollaczek and Khinchine


@pytest.mark.parametrize("load", [0.4, 0.8])
def test_services_that_vary_wait_by_their_second_moment(load: float) -> None:
    second = (0.9 + 0.1 * 25) / 1.4**2
    waits = Cluster(1.0).waits(load)
    assert waits.queue == pytest.approx(load**2 * second / (2 * (1 - load)), rel=0.1)


def test_more_searchers_and_shards_serve_more_in_time() -> None:
    one, two, halves = (
        greatest_rate(cluster, 0.5, questions=20_000)
        for cluster in (Cluster(0.1), Cluster(0.1, 2), Cluster(0.05, shards=2))
    )
    assert two > 2 * one
    assert halves > 2 * one
    assert greatest_rate(Cluster(1.0), 0.5, questions=2000) == 0


def test_the_table_has_a_row_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--milliseconds", "20", "--questions", "2000"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 12
