"""One cluster, brought up once; every test works on a copy of its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import engine
from tests.engine.cluster import Cluster, Run, settings
from tests.engine.fakes import all_fakes
from tests.engine.journal import Journal
from tests.engine.provider import serving


@dataclass(frozen=True)
class Standing:
    """The cluster that tests copy, and the run that made it."""

    cluster: Cluster
    made: Run


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    engine.ensure()
    journal = Journal()
    with serving(all_fakes(journal)) as attached:
        cluster = Cluster.new(tmp_path_factory.mktemp("standing"), journal, attached)
        made = cluster.up(settings())
        assert made.ok, made.text
        yield Standing(cluster, made)


@pytest.fixture
def cluster(standing: Standing, tmp_path: Path) -> Cluster:
    """A cluster that stands and belongs to one test."""
    return standing.cluster.copied_to(tmp_path / "cluster")
