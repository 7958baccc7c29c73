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
