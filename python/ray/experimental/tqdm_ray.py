# SPDX-License-Identifier: Apache-2.0
"""Progress bars of workers, drawn by the driver: a worker prints a bar's state as a line of JSON,
and the driver, which shows what workers print, draws that line instead."""
import builtins
import json
import os
import sys
import threading
import time
import uuid

from ray._private.driver_logs import TQDM_MARK as RAY_TQDM_MAGIC


def _in_worker():
    from ray._private import worker

    return worker.global_worker.mode == worker.WORKER_MODE


def safe_print(*args, **kwargs):
    """print() that leaves the bars alone."""
    bars = instance()
    bars.hide_bars()
    try:
        builtins.print(*args, **kwargs)
    finally:
        bars.unhide_bars()


class tqdm:
    """One bar, of the driver or of any worker. Takes the arguments of tqdm.tqdm that are here."""

    DEFAULT_FLUSH_INTERVAL_SECONDS = 1.0

    def __init__(
        self,
        iterable=None,
        desc=None,
        total=None,
        unit=None,
        position=None,
        flush_interval_s=None,
    ):
        from ray.util import get_node_ip_address

        self._iterable = iterable
        self._total = _length(iterable) if total is None else total
        self._interval = (
            self.DEFAULT_FLUSH_INTERVAL_SECONDS if flush_interval_s is None else flush_interval_s
        )
        self._shown_at = 0.0
        self._state = {
            "__magic_token__": RAY_TQDM_MAGIC,
            "x": 0,
            "pos": position or 0,
            "desc": desc or "",
            "unit": unit or "it",
            "ip": get_node_ip_address(),
            "pid": os.getpid(),
            "uuid": uuid.uuid4().hex,
            "closed": False,
        }

    def set_description(self, desc):
        self._state["desc"] = desc
        self._show()

    def update(self, n=1):
        self._state["x"] += n
        self._show()

    def refresh(self):
        self._show()

    def close(self):
        self._state["closed"] = True
        self._show(now=True)

    @property
    def total(self):
        return self._total

    @total.setter
    def total(self, total):
        self._total = total

    @property
    def n(self):
        return self._state["x"]

    @n.setter
    def n(self, n):
        self._state["x"] = n

    def __iter__(self):
        if self._iterable is None:
            raise ValueError("No iterable provided")
        for item in self._iterable:
            self.update(1)
            yield item

    def _show(self, now=False):
        at = time.monotonic()
        if not now and at - self._shown_at < self._interval:
            return
        self._shown_at = at
        state = {**self._state, "total": self._total}
        if _in_worker():
            sys.stdout.write(json.dumps(state) + "\n")  # in one piece, so that no line breaks it
            sys.stdout.flush()
        else:
            instance().process_state_update(state)


def _length(iterable):
    try:
        return len(iterable)
    except (TypeError, AttributeError):
        return None


class _Bars:
    """The bars on this process's terminal; those of one process stand together."""

    def __init__(self):
        from ray.util import get_node_ip_address

        self._lock = threading.RLock()
        self._bars = {}  # uuid -> (state, tqdm.tqdm)
        self._here = get_node_ip_address(), os.getpid()
        try:
            from tqdm.auto import tqdm as real
        except ImportError:
            real = None
        self._real = real
        self._warned = False

    def process_state_update(self, state):
        with self._lock:
            if self._real is None:
                self._warn()
            elif state["closed"]:
                self._close(state)
            else:
                self._draw(state)

    def hide_bars(self):
        with self._lock:
            for _, bar in self._bars.values():
                bar.clear()

    def unhide_bars(self):
        with self._lock:
            for _, bar in self._bars.values():
                bar.refresh()

    def _warn(self):
        import logging

        if not self._warned:
            self._warned = True
            logging.getLogger(__name__).warning(
                "tqdm is not installed. Progress bars will be disabled."
            )

    def _named(self, state):
        ip, pid = state["ip"], state["pid"]
        if (ip, pid) == self._here:
            return state["desc"]
        where = "" if ip == self._here[0] else f", ip={ip}"
        return f"(pid={pid}{where}) {state['desc']}"

    def _draw(self, state):
        before, bar = self._bars.get(state["uuid"], (None, None))
        if bar is None:
            bar = self._real(
                desc=self._named(state),
                total=state["total"],
                unit=state["unit"],
                position=self._row(state),
                dynamic_ncols=True,
                unit_scale=True,
            )
        elif state["desc"] != before["desc"]:
            bar.set_description(self._named(state), refresh=False)
        bar.total, bar.n = state["total"], state["x"]
        bar.refresh()
        self._bars[state["uuid"]] = state, bar

    def _close(self, state):
        _, bar = self._bars.pop(state["uuid"], (None, None))
        if bar is not None:
            bar.n = state["x"]
            bar.close()

    def _row(self, state):
        """The first free row at or below the one that was asked for."""
        taken = {abs(bar.pos) for _, bar in self._bars.values()}
        row = state["pos"]
        while row in taken:
            row += 1
        return row


_instance = None
_instance_lock = threading.Lock()


def instance():
    """This process's bars."""
    global _instance
    with _instance_lock:
        if _instance is None:
            _instance = _Bars()
        return _instance
