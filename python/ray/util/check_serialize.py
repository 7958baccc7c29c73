# SPDX-License-Identifier: Apache-2.0
"""Finds the part of an object that can't be pickled."""
import inspect

from ray import cloudpickle

_RED, _FORE_RESET, _BRIGHT, _RESET = "\x1b[31m", "\x1b[39m", "\x1b[1m", "\x1b[0m"


class FailureTuple:
    """A part that failed: the object, the names that lead to it, and whose part it is."""

    def __init__(self, obj, path, parent):
        self.obj = obj
        self.path = path
        self.parent = parent

    def __repr__(self):
        names = [str(name) if name is not None else "unknown" for name in self.path]
        return (
            f"FailTuple({names[-1] if names else 'unknown'} [path={' -> '.join(names)}, "
            f"obj={self.obj}, parent={self.parent}])"
        )


class _Search:
    """One search: where it prints, and what it found."""

    def __init__(self, file):
        self.file = file
        self.level = 0
        self.failures = set()

    def say(self, text):
        print("    " * self.level + text, file=self.file)

    def picklable(self, obj, name, depth, parent, path):
        """Looks at one part and, if it fails, at its own parts. False if it fails."""
        try:
            cloudpickle.dumps(obj)
            return True
        except Exception as e:
            self.say(f"{_RED}!!! FAIL{_FORE_RESET} serialization: {e}")
        path = path + ((name,) if name is not None else ())
        if depth <= 0:
            self._add(obj, path, parent)
            return False
        if inspect.isfunction(obj):
            self._closure(obj, depth, path)
        else:
            self._members(obj, depth, path)
        if not self.failures:
            self._add(obj, path, parent)
        return False

    def _add(self, obj, path, parent):
        try:
            self.failures.add(FailureTuple(obj, path, parent))
        except Exception:  # its repr or hash may fail as well
            pass

    def _first_failure(self, parts, depth, parent, path):
        for name, obj in parts:
            self.say(f"Serializing '{name}' {obj}...")
            if not self.picklable(obj, name, depth - 1, parent, path):
                return True
        return False

    def _indented(self, parts, depth, parent, path):
        self.level += 1
        try:
            return self._first_failure(parts, depth, parent, path)
        finally:
            self.level -= 1

    def _closure(self, function, depth, path):
        self.say(f"Inspecting closure of '{function.__qualname__}':")
        variables = inspect.getclosurevars(function)
        found = False
        for kind, parts in (("global", variables.globals), ("nonlocal", variables.nonlocals)):
            if parts:
                self.say(
                    f"Detected {len(parts)} {kind} variables. Checking serializability..."
                )
                found = self._indented(parts.items(), depth, function, path) or found
        if not found:
            self.say(
                f"WARNING: Did not find non-serializable object in {function.__qualname__}. "
                "This may be because the object is only non-serializable when combined with "
                "other objects, or because cloudpickle and the traversal disagree on which "
                "object causes the failure. Try calling `ray.util.inspect_serializability` "
                "directly on the suspected object, or simplify the closure to isolate the cause."
            )

    def _members(self, obj, depth, path):
        functions = inspect.getmembers(obj, predicate=inspect.isfunction)
        others = [
            (name, value)
            for name, value in inspect.getmembers(obj)
            if not (name.startswith("__") and name.endswith("__")) and not inspect.isbuiltin(value)
        ]
        found = self._indented(functions, depth, obj, path)
        found = self._indented(others, depth, obj, path) or found
        if not found:
            name = obj.__name__ if inspect.isclass(obj) else f"{type(obj).__name__} instance"
            self.say(
                f"WARNING: Did not find non-serializable object in {name}. This may be "
                "because the object is only non-serializable when combined with other objects, "
                "or because cloudpickle and the traversal disagree. Try calling "
                "`ray.util.inspect_serializability` on individual attributes to isolate the cause."
            )


def inspect_serializability(base_obj, name=None, depth=3, print_file=None):
    """(can it be pickled?, {FailureTuples}); prints how it came to that."""
    search = _Search(print_file)
    title = f"Checking Serializability of {base_obj}"
    rule = "=" * min(len(title), 80)
    for line in (rule, title, rule):
        search.say(line)
    if search.picklable(base_obj, name, depth, None, ()):
        return True, search.failures
    names = "\n".join(str(failure) for failure in search.failures)
    search.say(rule)
    search.say(
        f"Variable: \n\n\t{_BRIGHT}{names}{_RESET}\n\nwas found to be non-serializable. "
        "There may be multiple other undetected variables that were non-serializable. "
    )
    search.say(
        "Consider either removing the instantiation/imports of these variables or moving the "
        "instantiation into the scope of the function/class. "
    )
    search.say(rule)
    search.say(
        "Check https://docs.ray.io/en/master/ray-core/objects/serialization.html#troubleshooting "
        "for more information."
    )
    search.say(
        "If you have any suggestions on how to improve this error message, please reach out to the "
        "Ray developers on github.com/ray-project/ray/issues/"
    )
    search.say(rule)
    return False, search.failures
