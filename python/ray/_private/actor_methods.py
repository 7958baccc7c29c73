# SPDX-License-Identifier: Apache-2.0
"""The methods of an actor: their options, and what the calls of each have in common."""
from ray import _mobula
from ray._private import calls, signature

OPTIONS = [
    "num_returns",
    "concurrency_group",
    "max_task_retries",
    "retry_exceptions",
    "_generator_backpressure_num_objects",
    "_num_objects_per_yield",
    "enable_task_events",
    "tensor_transport",
]


def method(*args, **kwargs):
    """Sets options of an actor's method: `@ray.method(num_returns=2)`."""
    if len(args) == 1 and callable(args[0]) and not kwargs:
        return args[0]
    assert not args, (
        "The @ray.method decorator must be applied using no arguments or at "
        f"least one of the arguments in the list {OPTIONS}, for example "
        "'@ray.method(num_returns=2)'."
    )
    for key in kwargs:
        assert key in OPTIONS, (
            f"Unexpected keyword argument to @ray.method: '{key}'. The "
            f"supported keyword arguments are {OPTIONS}"
        )

    def annotate(function):
        from ray._private.options import task_options, validate_num_returns
        from ray.remote_function import is_generator

        if "num_returns" in kwargs:
            validate_num_returns(is_generator(function), kwargs["num_returns"], stacklevel=3)
        if "_num_objects_per_yield" in kwargs:
            task_options["_num_objects_per_yield"].validate(
                "_num_objects_per_yield", kwargs["_num_objects_per_yield"]
            )
        _refuse_transport(kwargs.get("tensor_transport"))
        for key, value in kwargs.items():
            setattr(function, f"__ray_{key.lstrip('_')}__", value)
        return function

    return annotate


# ---- the description of a class that its handles share -------------------------------------------


class MethodSpec:
    """What the calls of one method have in common."""

    def __init__(self, meta, name, method_signature, options):
        self.meta = meta
        self.name = name
        self.signature = method_signature
        self.options = options  # what @ray.method or .options() set

    @property
    def full_name(self):
        return f"{self.meta.module}.{self.meta.class_name}.{self.name}"

    def pending_calls_text(self, actor_id):
        return (
            f"The task {self.name} could not be submitted to "
            f"Actor({self.meta.class_name}, {actor_id}) because more than "
            f"{self.meta.max_pending_calls} tasks are queued on the actor. This limit can be adjusted "
            "with the `max_pending_calls` actor option."
        )

    def prepare(self, call):
        options = self.options
        retries = options.get("max_task_retries")
        if retries is None:
            retries = self.meta.max_task_retries or 0
        retry, allowed = calls.retry_rule(options.get("retry_exceptions") or False)
        call.prepare(
            calls.ACTOR_TASK,
            None,
            options.get("name") or f"{self.meta.class_name}.{self.name}",
            self.name,
            calls.returns(options.get("num_returns"), options.get("generator")),
            {},
            None,
            calls.DEFAULT_STRATEGY,
            None,
            retries,
            retry,
            calls.options_text(
                concurrency_group=options.get("concurrency_group"),
                retry_exceptions=allowed,
                per_yield=calls.per_yield(options),
            ),
            calls.stream_limit(options), *calls.listing(options, f"{self.meta.class_name}.{self.name}"),
        )

    def make_call(self):
        call = _mobula.RemoteCall(self)
        self.signature.apply(call)
        return call

    def with_options(self, options):
        return MethodSpec(self.meta, self.name, self.signature, {**self.options, **options})


class ActorMeta:
    """Of one class with one set of options: what a handle needs, here and after travelling."""

    def __init__(self, state):
        self.state = state
        self.module = state["module"]
        self.class_name = state["class_name"]
        self.max_task_retries = state["max_task_retries"]
        self.max_pending_calls = state["max_pending_calls"]
        self.unordered = state["unordered"]
        self.specs = {
            name: MethodSpec(self, name, signature.Signature(*parameters), options)
            for name, (parameters, options) in state["methods"].items()
        }
        self.methods = {name: _factory(spec) for name, spec in self.specs.items()}
        self._bytes = None

    @property
    def bytes(self):
        if self._bytes is None:
            from ray import cloudpickle

            self._bytes = cloudpickle.dumps(self.state)
        return self._bytes


_received = {}  # bytes -> ActorMeta: handles of one class share their prepared calls


def meta_from_bytes(data):
    meta = _received.get(data)
    if meta is None:
        from ray import cloudpickle

        meta = _received[data] = ActorMeta(cloudpickle.loads(data))
        meta._bytes = data
    return meta


def _factory(spec):
    """A RemoteCall; or where the class decorates invocations, what makes a method of a handle."""
    decorator = spec.options.get("decorator")
    if decorator is None:
        return spec.make_call()
    return lambda handle: _DecoratedMethod(handle, spec, decorator)


class _DecoratedMethod:
    """A method with a `__ray_invocation_decorator__`."""

    def __init__(self, handle, spec, decorator):
        self._plain = PlainMethod(handle, spec)
        self._decorator = decorator

    def remote(self, *args, **kwargs):
        return self._decorator(lambda args, kwargs: self._plain.remote(*args, **kwargs))(
            args, kwargs
        )

    def options(self, **options):
        return self._plain.options(**options)

    def bind(self, *args, **kwargs):
        return self._plain.bind(*args, **kwargs)

    def __call__(self, *args, **kwargs):
        return self._plain(*args, **kwargs)


class PlainMethod:
    """A method that is sent by a call of its own."""

    def __init__(self, handle, spec):
        self._handle = handle
        self._spec = spec
        # Any method of the handle can send: the call says which.
        self._sender = handle.__ray_ready__
        self._call = spec.make_call()

    def remote(self, *args, **kwargs):
        return self._sender._send(self._call, args, kwargs)

    def options(self, **options):
        return PlainMethod(self._handle, self._spec.with_options(check_options(options)))

    def bind(self, *args, **kwargs):
        return bind(self._handle, self._spec, args, kwargs)

    def __call__(self, *args, **kwargs):
        refuse_direct_call(self._spec.name)


def _refuse_transport(name):
    if name is None:
        return
    if name.upper() not in ("CUDA_IPC", "GLOO", "NCCL", "NIXL"):
        raise ValueError(f"Invalid tensor transport: {name.upper()}")
    raise NotImplementedError("Tensor transports are not supported by Mobula yet.")


def bind(handle, spec, args, kwargs):
    """What `handle.method.bind(...)` gives."""
    from ray.dag.class_node import bind_method

    return bind_method(handle, spec, args, kwargs)


def refuse_direct_call(name):
    raise TypeError(
        "Actor methods cannot be called directly. Instead "
        f"of running 'object.{name}()', try "
        f"'object.{name}.remote()'."
    )


def check_options(options, generator=False):
    """Checks the arguments of ActorMethod.options()."""
    if "_num_objects_per_yield" in options:
        raise ValueError(
            "_num_objects_per_yield cannot be overridden per actor method "
            "call. Use @ray.method(_num_objects_per_yield=...) instead."
        )
    for key in options:
        if key not in OPTIONS and key not in ("name", "_labels"):
            raise TypeError(f"ActorMethod._remote() got an unexpected keyword argument '{key}'")
    if "num_returns" in options:
        from ray._private.options import validate_num_returns

        validate_num_returns(generator, options["num_returns"], stacklevel=3)
    _refuse_transport(options.get("tensor_transport"))
    return {key: value for key, value in options.items() if value is not None}


# ---- of a class that becomes an actor's --------------------------------------------------------


def unwrap(function):
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def is_async(function):
    code = getattr(unwrap(function), "__code__", None)
    return bool(code and code.co_flags & (0x80 | 0x200))  # CO_COROUTINE, CO_ASYNC_GENERATOR


def declared_options(function):
    """What @ray.method set on a function."""
    from ray.remote_function import is_generator

    function = unwrap(function)
    options = {}
    for name in OPTIONS:
        value = getattr(function, f"__ray_{name.lstrip('_')}__", None)
        if value is not None:
            options[name] = value
    if is_generator(function):
        options["generator"] = True
    decorator = getattr(function, "__ray_invocation_decorator__", None)
    if decorator is not None:
        options["decorator"] = decorator
    return options
