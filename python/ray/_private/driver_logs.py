# SPDX-License-Identifier: Apache-2.0
"""What workers print, shown by the driver: prefixed, coloured, repeated lines once in a while."""
import os
import re
import sys
import threading
import time

from ray import _mobula

_CYAN, _YELLOW, _GREEN, _RESET = "\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
# Magenta, cyan, green and the light forms of black, blue and magenta: seen on any background.
_RAINBOW = ("\x1b[35m", "\x1b[36m", "\x1b[32m", "\x1b[90m", "\x1b[94m", "\x1b[95m")


TQDM_MARK = "__ray_tqdm_magic_token__"


def _flag(name, default):
    value = os.environ.get(name)
    return default if value is None else value.lower() in ("1", "true")


class _Pattern:
    """Lines that differ in numbers only, seen lately."""

    __slots__ = ("since", "count", "line", "source", "sources")

    def __init__(self, since, line, source):
        self.since = since
        self.count = 0  # not shown yet
        self.line = line
        self.source = source  # the batch of the newest line, for its prefix
        self.sources = {_who(source)}


def _who(batch):
    return batch["ip"], batch["pid"]


class Deduplicator:
    """The first of lines that several workers print is shown at once, the others as a count."""

    _number = re.compile(r"(\d+|0x[0-9a-fA-F]+)")

    def __init__(self, now=time.time):
        self._now = now
        self._enabled = _flag("RAY_DEDUP_LOGS", True)
        self._window = int(os.environ.get("RAY_DEDUP_LOGS_AGG_WINDOW_S", 5))
        allow = os.environ.get("RAY_DEDUP_LOGS_ALLOW_REGEX")
        skip = os.environ.get("RAY_DEDUP_LOGS_SKIP_REGEX")
        self._allow = re.compile(allow) if allow else None
        self._skip = re.compile(skip) if skip else None
        self._recent = {}  # pattern text -> _Pattern, oldest first

    def add(self, batch):
        """[(batch, lines to show)] for a new batch."""
        if not self._enabled:
            return [(batch, batch["lines"])]
        now = self._now()
        shown = [line for line in batch["lines"] if self._show_now(line, batch, now)]
        return [(batch, shown), *self._expired(now)]

    def _show_now(self, line, batch, now):
        if self._allow and self._allow.search(line):
            return True
        if self._skip and self._skip.search(line):
            return False
        if TQDM_MARK in line:
            return True
        key = " ".join(word for word in line.split() if not self._number.search(word))
        if not key:
            return True
        pattern = self._recent.get(key)
        if pattern is None:
            self._recent[key] = _Pattern(now, line, batch)
            return True
        pattern.sources.add(_who(batch))
        if len(pattern.sources) == 1 and batch["name"] != "raylet":
            return True  # one source may repeat itself
        pattern.count += 1
        pattern.line, pattern.source = line, batch
        return False

    def _expired(self, now):
        output = []
        while self._recent:
            key, pattern = next(iter(self._recent.items()))
            if now - pattern.since < self._window:
                break
            del self._recent[key]
            if pattern.count > 1:
                output.append((pattern.source, [self._counted(pattern)]))
                pattern.since, pattern.count = now, 0
                self._recent[key] = pattern
            elif pattern.count:
                output.append((pattern.source, [pattern.line]))
        return output

    def flush(self):
        """What was held back, at the end."""
        patterns, self._recent = list(self._recent.values()), {}
        return [
            (p.source, [self._counted(p) if p.count > 1 else p.line]) for p in patterns if p.count
        ]

    _hint = (
        " (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0 to "
        "disable log deduplication, or see https://docs.ray.io/en/master/"
        "ray-observability/user-guides/configure-logging.html#log-deduplication "
        "for more options.)"
    )

    @classmethod
    def _counted(cls, pattern):
        hint, cls._hint = cls._hint, ""  # said once
        return f"{pattern.line}{_GREEN} [repeated {pattern.count}x across cluster]{hint}{_RESET}"


class Printer:
    """Shows batches on this process's stdout and stderr."""

    def __init__(self, my_ip, plain=False):
        self._my_ip = my_ip
        self._plain = plain or _flag("RAY_DISABLE_WORKER_LOG_PREFIX", False)
        self._deduplicators = {False: Deduplicator(), True: Deduplicator()}
        self._bars = None  # once a worker has shown one

    def show(self, batch):
        self._print(self._deduplicators[batch["is_err"]].add(batch), batch["is_err"])

    def flush(self):
        for is_err, deduplicator in self._deduplicators.items():
            self._print(deduplicator.flush(), is_err)

    def _print(self, parts, is_err):
        file = sys.stderr if is_err else sys.stdout
        for batch, lines in parts:
            prefix = "" if self._plain else self._prefix(batch)
            for line in lines:
                if TQDM_MARK in line:
                    self._draw(line)
                else:
                    self._above_bars(f"{prefix}{line}", file)
        file.flush()

    def _draw(self, line):
        """A worker's progress bar (ray.experimental.tqdm_ray)."""
        import json

        from ray.experimental import tqdm_ray

        try:
            state = json.loads(line)
            bars = tqdm_ray.instance()
            bars.process_state_update(state)
        except (ValueError, LookupError, TypeError):
            return  # broken up by what else the worker printed: the next one follows
        self._bars = bars

    def _above_bars(self, text, file):
        if self._bars is None:
            print(text, file=file)
            return
        self._bars.hide_bars()
        print(text, file=file)
        self._bars.unhide_bars()

    def _prefix(self, batch):
        name = batch["name"]
        if name == "raylet":
            text = "(raylet)"
        else:
            where = "" if batch["ip"] == self._my_ip else f", ip={batch['ip']}"
            text = f"({name + ' ' if name else ''}pid={batch['pid']}{where})"
        mode = os.environ.get("RAY_COLOR_PREFIX")
        if mode == "0":
            return text + " "
        color = _CYAN
        if name == "raylet":
            color = _YELLOW
        elif mode == "1":
            color = _RAINBOW[batch["pid"] % len(_RAINBOW)]
        return f"{color}{text}{_RESET} "


class LogThread:
    """Reads what the raylet sends, until stop()."""

    def __init__(self, my_ip, plain):
        self._printer = Printer(my_ip, plain)
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="ray_print_logs", daemon=True)
        self._thread.start()

    def _run(self):
        import select

        poll = select.poll()
        poll.register(_mobula.log_fd(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._stopping:
            poll.poll()
            self._drain()

    def _drain(self):
        while (batch := _mobula.log_take()) is not None:
            try:
                self._printer.show(batch)
            except ValueError:  # stdout is closed
                return

    def stop(self):
        """Shows what has arrived and ends the thread."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join(2)
        if not self._thread.is_alive():
            os.close(self._wake)
        self._drain()
        self._printer.flush()
