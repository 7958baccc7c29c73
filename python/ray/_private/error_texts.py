# SPDX-License-Identifier: Apache-2.0
"""Texts of exceptions that take more than a sentence: tracebacks without our frames, how an actor died."""

ACTOR_DIED = "The actor died unexpectedly before finishing this task."

# Frames of these paths are ours: a user's traceback is shorter and clearer without them.
_HIDDEN_PATHS = ("ray/worker.py", "ray/_private/", "ray/util/tracing/", "ray/_raylet.pyx")
_HIDDEN_DATA_PATHS = ("ray/data/_internal/",)


def user_lines(traceback_str, header, hide_data):
    """The traceback with `header` for its first line and without internal frames."""
    hidden = _HIDDEN_PATHS + (_HIDDEN_DATA_PATHS if hide_data else ())
    skipping = False  # inside the source lines of a hidden frame
    for line in traceback_str.strip().split("\n"):
        if line.startswith("Traceback "):
            skipping = False
            yield header
        elif line.startswith("  File ") and any(path in line for path in hidden):
            skipping = True
        elif not (skipping and line.startswith("    ")):
            skipping = False
            yield line


class ActorDeath:
    """How an actor died, as its record in the GCS says it."""

    __slots__ = (
        "class_name",
        "actor_id",
        "pid",
        "name",
        "ray_namespace",
        "node_ip_address",
        "error_message",
        "never_started",
        "preempted",
    )

    def __init__(self, **fields):
        for name in self.__slots__:
            setattr(self, name, fields.get(name))

    def __str__(self):
        lines = [ACTOR_DIED]
        shown = (
            ("class_name", self.class_name or ""),
            ("actor_id", self.actor_id),
            ("pid", self.pid),
            ("name", self.name),
            ("namespace", self.ray_namespace),
            ("ip", self.node_ip_address),
        )
        for label, value in shown:
            if value or label == "class_name":
                lines.append(f"\t{label}: {value}")
        lines.append(self.error_message or "")
        if self.never_started:
            lines.append(
                "The actor never ran - it was cancelled before it started running."
            )
        return "\n".join(lines)
