# SPDX-License-Identifier: Apache-2.0
import pytest

from cluster import Cluster


@pytest.fixture
def start(tmp_path_factory):
    """start(**options) gives a Cluster that ends with the test."""
    clusters = []

    def make(**options):
        # Socket paths are short, so the folder must be.
        clusters.append(Cluster(tmp_path_factory.mktemp("c"), **options))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.stop()
