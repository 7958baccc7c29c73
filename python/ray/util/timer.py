# SPDX-License-Identifier: Apache-2.0
"""How long a block of code takes, over its last runs."""
import time


class _Timer:
    """`with timer: ...`, then `timer.mean`. Not for several threads at once."""

    def __init__(self, window_size=10):
        self._window_size = window_size
        self._samples = []
        self._units_processed = []
        self._start_time = None
        self._total_time = 0.0
        self.count = 0

    def __enter__(self):
        assert self._start_time is None, "concurrent updates not supported"
        self._start_time = time.time()

    def __exit__(self, *raised):
        assert self._start_time is not None
        self.push(time.time() - self._start_time)
        self._start_time = None

    def push(self, time_delta):
        """A run that took so many seconds."""
        self._keep(self._samples, time_delta)
        self.count += 1
        self._total_time += time_delta

    def push_units_processed(self, n):
        """What the last run has done."""
        self._keep(self._units_processed, n)

    def _keep(self, values, value):
        values.append(value)
        del values[: -self._window_size]

    def has_units_processed(self):
        return bool(self._units_processed)

    @property
    def mean(self):
        return _mean(self._samples)

    @property
    def mean_units_processed(self):
        return _mean(self._units_processed)

    @property
    def mean_throughput(self):
        """Units a second."""
        seconds = sum(self._samples)
        return sum(self._units_processed) / seconds if seconds else 0.0


def _mean(values):
    return sum(values) / len(values) if values else 0.0
