# SPDX-License-Identifier: Apache-2.0
"""The "ray" logger of a driver: a line on stderr with time, level and place."""
import logging

FORMAT = "%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s"

_made = None  # our handler


class PlainRayHandler(logging.StreamHandler):
    """Writes to what sys.stderr is at the time; a worker writes the message alone."""

    def __init__(self):
        super().__init__()
        self._plain = logging.Formatter("%(message)s")

    @property
    def stream(self):
        import sys

        return sys.stderr

    @stream.setter
    def stream(self, value):
        pass

    def format(self, record):
        from ray._private.worker import WORKER_MODE, global_worker

        if global_worker.mode == WORKER_MODE:
            return self._plain.format(record)
        return super().format(record)


def ensure():
    """The logger "ray" as Ray has it by default; what the user changed since stays."""
    global _made
    logger = logging.getLogger("ray")
    if _made is None:
        _made = PlainRayHandler()
        _made.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(_made)
        logger.propagate = False
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        logging.getLogger("ray.rllib").setLevel(logging.WARN)
    return logger


def setup(level, text_format):
    logger = ensure()
    formatter = logging.Formatter(text_format or FORMAT)
    for handler in logger.handlers:
        handler.setFormatter(formatter)
    if isinstance(level, str):
        level = logging.getLevelName(level.upper())
    logger.setLevel(level)
