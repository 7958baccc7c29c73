# SPDX-License-Identifier: Apache-2.0
"""What @ray.remote makes of a function."""
import os

from ray import _mobula
from ray._private import calls, signature

_GENERATOR_FLAGS = 0x20 | 0x200  # CO_GENERATOR, CO_ASYNC_GENERATOR
_COROUTINE_FLAG = 0x80


def is_generator(function):
    code = getattr(function, "__code__", None)
    return bool(code and code.co_flags & _GENERATOR_FLAGS)


class _TaskSpec:
    """What the calls of one function with one set of options have in common."""

    def __init__(self, export, options, function_signature):
        self.export = export
        self.options = options
        self.signature = function_signature

    @property
    def full_name(self):
        return self.export.full_name

    def prepare(self, call):
        from ray._private import worker

        worker.auto_init()
        worker.global_worker.check_connected()
        from ray._private.options import resources_of, task_options, warn_deprecated_placement_group
        from ray._private.runtime_env import for_call

        options = self.options
        warn_deprecated_placement_group(options, 6)
        retries = options.get("max_retries")
        if "max_retries" not in options:
            retries = int(os.environ.get("RAY_TASK_MAX_RETRIES", 3))
        retry, allowed = calls.retry_rule(options.get("retry_exceptions", False))
        max_calls = options.get("max_calls") or None
        resources = resources_of({"num_cpus": task_options["num_cpus"].default_value, **options})
        call.prepare(
            calls.TASK,
            self.export.get(),
            options.get("name") or self.export.thing.__name__,
            None,
            calls.returns(options.get("num_returns"), is_generator(self.export.thing)),
            resources,
            None,
            calls.strategy(options, resources, None, self.export.thing.__name__),
            for_call(options.get("runtime_env")),
            retries if retries is not None else 0,
            retry,
            calls.options_text(
                max_calls=max_calls, retry_exceptions=allowed, per_yield=calls.per_yield(options)
            ),
            calls.stream_limit(options),
            *calls.listing(options, self.export.thing.__name__),
        )

    def make_call(self):
        call = _mobula.RemoteCall(self)
        self.signature.apply(call)
        return call


class RemoteFunction:
    """A function that runs as a task: `f.remote(...)` returns the reference of its result."""

    def __init__(self, function, options):
        code = getattr(function, "__code__", None)
        if code and code.co_flags & _COROUTINE_FLAG:
            raise ValueError(
                "'async def' should not be used for remote tasks. You can wrap the "
                "async function with `asyncio.run(f())`. See more at:"
                "https://docs.ray.io/en/latest/ray-core/actors/async_api.html "
            )
        if (options.get("num_gpus") or 0) > 0 and options.get("max_calls") is None:
            options = {**options, "max_calls": 1}  # so that the GPU's memory is given back
        self._default_options = options
        self._function = function
        self._function_name = f"{function.__module__}.{function.__name__}"
        self._is_generator = is_generator(function)
        self._decorator = getattr(function, "__ray_invocation_decorator__", None)
        self._export = calls.Export("function", function)
        self._function_signature = signature.of_function(function)
        self._publish()

    def _publish(self):
        self.remote = self._submitter(self._default_options)

    def _submitter(self, options):
        """The callable behind `.remote`."""
        call = _TaskSpec(self._export, options, self._function_signature).make_call()
        if self._decorator is not None:
            submit = self._decorator(lambda args, kwargs: call(*args, **kwargs))

            def remote(*args, **kwargs):
                return submit(args, kwargs)

            call = remote
        function = self._function
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(call, name, getattr(function, name, None))
        call.__wrapped__ = function
        return call

    def __call__(self, *args, **kwargs):
        raise TypeError(
            "Remote functions cannot be called directly. Instead "
            f"of running '{self._function_name}()', "
            f"try '{self._function_name}.remote()'."
        )

    def options(self, **task_options):
        """The same function with other options: `f.options(num_cpus=2).remote()`."""
        from ray._private.options import validate_task_options

        per_yield = self._default_options.get("_num_objects_per_yield") or 1
        if task_options.get("_num_objects_per_yield", per_yield) != per_yield:
            raise ValueError(
                "_num_objects_per_yield cannot be overridden per task call. "
                "Use @ray.remote(_num_objects_per_yield=...) instead."
            )
        defaults = {k: v for k, v in self._default_options.items() if k != "max_calls"}
        options = {**defaults, **task_options}
        generator = self._is_generator if "num_returns" in task_options else None
        validate_task_options(options, in_options=True, is_generator=generator)
        if "max_calls" in self._default_options:
            options["max_calls"] = self._default_options["max_calls"]
        return _FunctionWithOptions(self, options)

    def _remote(self, args=None, kwargs=None, **task_options):
        task_options.pop("serialized_runtime_env_info", None)
        task_options.pop("max_calls", None)
        # These options and no others: what the decorator says does not count here.
        call = _FunctionWithOptions(self, task_options)
        return call.remote(*(args or ()), **(kwargs or {}))

    def bind(self, *args, **kwargs):
        """A node of a task graph: see ray.dag."""
        return self._node(args, kwargs, self._default_options, self)

    def _node(self, args, kwargs, options, sender):
        from ray.dag import FunctionNode

        return FunctionNode(self._function, args, kwargs, options, remote_function=sender)

    def __getstate__(self):
        state = self.__dict__.copy()
        del state["remote"], state["_export"]
        state["_function_signature"] = self._function_signature.as_tuple()
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._function_signature = signature.Signature(*state["_function_signature"])
        self._export = calls.Export("function", self._function)
        self._publish()


class _FunctionWithOptions:
    """What .options() gives."""

    def __init__(self, remote_function, options):
        self._remote_function = remote_function
        self._options = options
        self.remote = remote_function._submitter(options)

    def bind(self, *args, **kwargs):
        return self._remote_function._node(args, kwargs, self._options, self)

    def __reduce__(self):
        return _FunctionWithOptions, (self._remote_function, self._options)
