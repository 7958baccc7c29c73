# SPDX-License-Identifier: Apache-2.0
"""Signatures as data: enough to check a call before it is sent, and small enough to travel."""

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # flags of code objects


class Signature:
    """Names of the parameters, which of them have no default, and what else is taken."""

    __slots__ = ("names", "positional", "positional_only", "required", "varargs", "varkeywords")

    def __init__(self, names, positional, positional_only, required, varargs, varkeywords):
        self.names = names  # positional ones, then keyword-only ones
        self.positional = positional
        self.positional_only = positional_only
        self.required = required  # bit i: names[i] has no default
        self.varargs = varargs
        self.varkeywords = varkeywords

    def as_tuple(self):
        return tuple(getattr(self, name) for name in self.__slots__)

    def apply(self, call):
        """Lets C check the arguments of `call`; a very long signature is checked by bind()."""
        if len(self.names) < 64:
            call.signature(*self.as_tuple())

    def __str__(self):
        return str(self._inspect())

    def bind(self, args, kwargs):
        """TypeError with inspect's words unless the arguments fit."""
        try:
            self._inspect().bind(*args, **kwargs)
        except TypeError as e:
            raise TypeError(str(e)) from None

    def _inspect(self):
        import inspect

        P = inspect.Parameter
        parameters = []
        for i, name in enumerate(self.names):
            default = P.empty if self.required >> i & 1 else ...
            if i < self.positional_only:
                kind = P.POSITIONAL_ONLY
            elif i < self.positional:
                kind = P.POSITIONAL_OR_KEYWORD
            else:
                kind = P.KEYWORD_ONLY
            parameters.append(P(name, kind, default=default))
        if self.varargs:
            parameters.insert(self.positional, P("args_", P.VAR_POSITIONAL))
        if self.varkeywords:
            parameters.append(P("kwargs_", P.VAR_KEYWORD))
        return inspect.Signature(parameters)


def of_function(function, skip_first=False):
    """The Signature of a function; of a method without its first parameter."""
    code = getattr(function, "__code__", None)
    plain = (
        type(function) is type(of_function)
        and not hasattr(function, "__wrapped__")
        and not hasattr(function, "__signature__")
    )
    if not plain or code is None or (skip_first and not code.co_argcount):
        return _inspected(function, skip_first)
    positional, keyword = code.co_argcount, code.co_kwonlyargcount
    names = code.co_varnames[: positional + keyword]
    defaults = len(function.__defaults__ or ())
    required = (1 << (positional - defaults)) - 1
    for i in range(positional, positional + keyword):
        if names[i] not in (function.__kwdefaults__ or ()):
            required |= 1 << i
    positional_only = code.co_posonlyargcount
    if skip_first:
        names, positional, required = names[1:], positional - 1, required >> 1
        positional_only = max(positional_only - 1, 0)
    return Signature(
        names,
        positional,
        positional_only,
        required,
        bool(code.co_flags & _VARARGS),
        bool(code.co_flags & _VARKEYWORDS),
    )


def _inspected(function, skip_first):
    import inspect

    parameters = list(inspect.signature(function).parameters.values())
    if skip_first:
        if not parameters:
            raise ValueError(
                "Methods must take a 'self' argument, but the "
                f"method '{function.__name__}' does not have one."
            )
        if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            parameters = parameters[1:]
    P = inspect.Parameter
    named = [p for p in parameters if p.kind not in (P.VAR_POSITIONAL, P.VAR_KEYWORD)]
    return Signature(
        tuple(p.name for p in named),
        sum(p.kind is not P.KEYWORD_ONLY for p in named),
        sum(p.kind is P.POSITIONAL_ONLY for p in named),
        sum(1 << i for i, p in enumerate(named) if p.default is P.empty),
        any(p.kind is P.VAR_POSITIONAL for p in parameters),
        any(p.kind is P.VAR_KEYWORD for p in parameters),
    )
