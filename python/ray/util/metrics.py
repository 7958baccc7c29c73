# SPDX-License-Identifier: Apache-2.0
"""Metrics of the user's own: each node shows them at its metrics port as `ray_<name>`."""
import bisect
import logging
import re
import threading
import time
import warnings

logger = logging.getLogger(__name__)

_NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
_REPORT_SECONDS = 1.0

_lock = threading.Lock()
_families = {}  # (kind, name) -> _Family
_changed = threading.Event()
_reporter = None


class _Family:
    """All series of one metric in this process: they outlive the objects that record them."""

    def __init__(self, kind, name, description, boundaries):
        self.kind, self.name, self.description = kind, name, description
        self.boundaries = boundaries
        self.values = {}  # labels -> a number; of a histogram ([counts by bucket], sum)

    def record(self, value, tags):
        key = tuple(sorted(tags.items()))
        if self.kind == "gauge":
            self.values[key] = value
        elif self.kind == "counter":
            self.values[key] = self.values.get(key, 0) + value
        else:
            counts, total = self.values.get(key) or ([0] * (len(self.boundaries) + 1), 0.0)
            counts[bisect.bisect_left(self.boundaries, value)] += 1
            self.values[key] = (counts, total + value)

    def samples(self):
        for key, value in self.values.items():
            labels = list(key)
            if self.kind == "histogram":
                yield from self._buckets(labels, *value)
            else:
                yield self.exported, labels, float(value)

    def _buckets(self, labels, counts, total):
        so_far = 0
        for bound, count in zip([*map(float, self.boundaries), "+Inf"], counts):
            so_far += count
            yield f"{self.exported}_bucket", [*labels, ("le", str(bound))], float(so_far)
        yield f"{self.exported}_sum", labels, float(total)
        yield f"{self.exported}_count", labels, float(so_far)

    @property
    def exported(self):
        name = "ray_" + self.name.replace(":", "_")
        return name + "_total" if self.kind == "counter" and not name.endswith("_total") else name

    def report(self):
        return self.exported, self.kind, self.description or self.name, list(self.samples())


def _report():
    from ray import _mobula

    with _lock:
        families = [family.report() for family in _families.values() if family.values]
    if families and _mobula.is_connected():
        _mobula.report_metrics(families)


def _report_changes():
    while True:
        _changed.wait()
        _changed.clear()
        try:
            _report()
        except Exception:  # the connection went meanwhile
            logger.debug("metrics were not reported", exc_info=True)
        time.sleep(_REPORT_SECONDS)  # what changes until then is told at once


def _tell():
    global _reporter
    if _reporter is None or not _reporter.is_alive():
        _reporter = threading.Thread(target=_report_changes, name="ray_metrics", daemon=True)
        _reporter.start()
    _changed.set()


def _is_invalid_name(name):
    if len(name) == 0:
        raise ValueError("Empty name is not allowed. Please provide a metric name.")
    if _NAME.match(name):
        return False
    warnings.warn(
        f"Invalid metric name: {name}. Metric will be discarded "
        "and data will not be collected or published. "
        "Metric names can only contain letters, numbers, _, and :. "
        "Metric names cannot start with numbers.",
        UserWarning,
    )
    return True


class Metric:
    """What counters, gauges and histograms have in common."""

    def __init__(self, name, description="", tag_keys=None):
        self._discard_metric = _is_invalid_name(name)
        self._name = name
        self._description = description
        self._default_tags = {}
        self._tag_keys = tag_keys or ()
        if not isinstance(self._tag_keys, tuple):
            raise TypeError(f"tag_keys should be a tuple type, got: {type(self._tag_keys)}")
        for key in self._tag_keys:
            if not isinstance(key, str):
                raise TypeError(f"Tag keys must be str, got {type(key)}.")
        if ":" in name:
            warnings.warn(
                f"Metric name {name} contains a : character, which is no longer allowed. "
                f"Please migrate to the new metric name format. "
                f"This will be an error in the future.",
                FutureWarning,
            )

    def _register(self, kind, boundaries=()):
        with _lock:
            key = (kind, self._name)
            if key not in _families:
                _families[key] = _Family(kind, self._name, self._description, list(boundaries))
            self._family = _families[key]

    def set_default_tags(self, default_tags):
        """Tags that every record has unless it sets them itself; returns the metric."""
        for key, value in default_tags.items():
            if key not in self._tag_keys:
                raise ValueError(f"Unrecognized tag key {key}.")
            if not isinstance(value, str):
                raise TypeError(f"Tag values must be str, got {type(value)}.")
        self._default_tags = default_tags
        return self

    def _record(self, value, tags=None):
        if self._discard_metric:
            return
        for given in (tags or {}).values():
            if not isinstance(given, str):
                raise TypeError(f"Tag values must be str, got {type(given)}.")
        final = {**self._default_tags, **(tags or {})}
        missing = [key for key in self._tag_keys if key not in final]
        if missing:
            raise ValueError(f"Missing value for tag key(s): {','.join(missing)}.")
        with _lock:
            self._family.record(value, final)
        _tell()

    @property
    def info(self):
        return {
            "name": self._name,
            "description": self._description,
            "tag_keys": self._tag_keys,
            "default_tags": self._default_tags,
        }


def _check_number(value):
    if not isinstance(value, (int, float)):
        raise TypeError(f"value must be int or float, got {type(value)}.")


class Counter(Metric):
    """It only grows."""

    def __init__(self, name, description="", tag_keys=None):
        super().__init__(name, description, tag_keys)
        self._register("counter")

    def __reduce__(self):
        return Counter, (self._name, self._description, self._tag_keys)

    def inc(self, value=1.0, tags=None):
        """Adds `value`, more than 0."""
        _check_number(value)
        if value <= 0:
            raise ValueError(f"value must be >0, got {value}")
        self._record(value, tags)


class Histogram(Metric):
    """Counts observations by size."""

    def __init__(self, name, description="", boundaries=None, tag_keys=None):
        super().__init__(name, description, tag_keys)
        if not boundaries:
            raise ValueError(
                "boundaries argument should be provided when using "
                "the Histogram class. e.g., "
                'Histogram("name", boundaries=[1.0, 2.0])'
            )
        for i, boundary in enumerate(boundaries):
            if boundary <= 0:
                raise ValueError(
                    "Invalid `boundaries` argument at index "
                    f"{i}, {boundaries}. Use positive values for the arguments."
                )
        self.boundaries = boundaries
        self._register("histogram", boundaries)

    def __reduce__(self):
        return Histogram, (self._name, self._description, self.boundaries, self._tag_keys)

    def observe(self, value, tags=None):
        """Counts one observation."""
        _check_number(value)
        self._record(value, tags)

    @property
    def info(self):
        return {**super().info, "boundaries": self.boundaries}


class Gauge(Metric):
    """The last value counts."""

    def __init__(self, name, description="", tag_keys=None):
        super().__init__(name, description, tag_keys)
        self._register("gauge")

    def __reduce__(self):
        return Gauge, (self._name, self._description, self._tag_keys)

    def set(self, value, tags=None):
        """Sets it; None is passed over."""
        if value is None:
            return
        _check_number(value)
        self._record(value, tags)


__all__ = ["Counter", "Gauge", "Histogram"]
