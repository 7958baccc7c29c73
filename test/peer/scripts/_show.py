# SPDX-License-Identifier: Apache-2.0
"""Helpers of the scripts: what they print must not depend on which ray runs them."""


def show(label, function):
    """Prints what `function` returns, or what it raises: class, base classes, text, cause."""
    try:
        print(label, "=>", repr(function()))
    except BaseException as e:
        bases = [c.__name__ for c in type(e).__mro__ if not c.__name__.startswith("_")]
        print(label, "->", " < ".join(bases[:-3]))
        print(f"   str: {e}")
        if getattr(e, "cause", None) is not None:
            print(f"   cause: {e.cause!r}")


class Report:
    """The same, kept until end(): for scripts during which Ray says things of its own."""

    def __init__(self):
        self._lines = []

    def print(self, *values):
        self._lines.append(" ".join(str(value) for value in values))

    def show(self, label, function):
        import contextlib
        import io

        text = io.StringIO()
        try:
            value = function()
        except BaseException as e:
            error = e

            def again():
                raise error

            with contextlib.redirect_stdout(text):
                show(label, again)
        else:
            with contextlib.redirect_stdout(text):
                show(label, lambda: value)
        self._lines.append(text.getvalue().rstrip("\n"))

    def end(self):
        print("\n".join(["", "=== begin", *self._lines, "=== end"]), flush=True)
