# SPDX-License-Identifier: Apache-2.0
"""What @ray.remote makes of a class, and handles of actors."""
from ray import _mobula
from ray._private import actor_methods, calls, signature
from ray._private.actor_methods import method  # noqa: F401


class ActorMethod(_mobula.ActorMethod):
    """A method of an actor: `handle.method.remote(...)` returns the reference of its result."""

    __slots__ = ()

    def __call__(self, *args, **kwargs):
        actor_methods.refuse_direct_call(self._call.spec.name)

    def options(self, **options):
        """The same method with other options."""
        spec = self._call.spec
        checked = actor_methods.check_options(options, bool(spec.options.get("generator")))
        return actor_methods.PlainMethod(self._handle, spec.with_options(checked))

    def _remote(self, args=None, kwargs=None, **options):
        return self.options(**options).remote(*(args or ()), **(kwargs or {}))

    def bind(self, *args, **kwargs):
        """A node of a task graph: see ray.dag."""
        return actor_methods.bind(self._handle, self._call.spec, args, kwargs)

    def __reduce__(self):
        return getattr, (self._handle, self._call.spec.name)


class ActorHandle(_mobula.ActorHandle):
    """The way to one actor. It lives as long as handles of it exist, unless it is detached."""

    def __class_getitem__(cls, item):
        return cls

    def __dir__(self):
        return self._ray_meta.methods.keys()

    def __repr__(self):
        return f"Actor({self._ray_meta.class_name}, {self._actor_id.hex()})"

    @property
    def _ray_method_signatures(self):
        return {name: spec.signature for name, spec in self._ray_meta.specs.items()}

    @property
    def _ray_weak_ref(self):
        return self._ray_counting_ref() is None

    def __reduce__(self):
        return _rebuild_handle, (
            self._actor_id.binary(),
            self._ray_counting_ref(),
            self._ray_meta.bytes,
        )


def _rebuild_handle(actor_id, counting_ref, meta_bytes):
    meta = actor_methods.meta_from_bytes(meta_bytes)
    return _mobula.import_actor(actor_id, counting_ref, meta.unordered, meta)


_mobula.actor_classes(ActorHandle, ActorMethod)


def find_actor(name, namespace):
    """The handle of a named actor, or None."""
    from ray._private.worker import global_worker

    return _mobula.find_actor(name, namespace or global_worker.namespace, actor_methods.meta_from_bytes)


def _raise_stale_handle(handle):
    from ray._private.worker import global_worker
    from ray.exceptions import ActorHandleNotFoundError

    global_worker.check_connected()
    raise ActorHandleNotFoundError(
        f"ActorHandle objects are not valid across Ray sessions. "
        f"The actor handle was created in job {handle._actor_id.job_id.hex()}, "
        f"but the current job is {global_worker.current_job_id.hex()}. "
        f"This typically happens when you try to use an actor handle "
        f"from a previous session after calling ray.shutdown() and ray.init(). "
        f"Please create a new actor handle in the current session."
    )


# ---- actor classes ---------------------------------------------------------------------------------


class ActorClassInheritanceException(TypeError):
    """An actor class was used as a base class."""


def modify_class(cls):
    """The class with the methods that every actor has."""
    if hasattr(cls, "__ray_actor_class__"):
        return cls

    class Class(cls):
        __ray_actor_class__ = cls

        def __ray_ready__(self):
            return True

        def __ray_call__(self, fn, *args, **kwargs):
            """Runs any function on the actor: it gets the instance as its first argument."""
            return fn(self, *args, **kwargs)

        def __ray_terminate__(self):
            exit_actor()

    Class.__module__ = cls.__module__
    Class.__name__ = cls.__name__
    Class.__qualname__ = cls.__qualname__
    if not _is_function(getattr(Class, "__init__", None)):

        def __init__(self):
            pass

        Class.__init__ = __init__
    return Class


def _is_function(thing):
    kind = type(thing).__name__
    return kind in ("function", "method", "cython_function_or_method")


class _ActorClassMetadata:
    """What is known of an actor class: `ActorClass.__ray_metadata__`."""

    def __init__(self, modified_class, options):
        self.modified_class = modified_class
        self.class_name = modified_class.__ray_actor_class__.__name__
        self.export = calls.Export("actor class", modified_class.__ray_actor_class__)
        self.methods = dict(_methods(modified_class))
        self.init_signature = _signature(modified_class, "__init__")
        self.is_async = any(actor_methods.is_async(function) for function in self.methods.values())
        for name, option in _actor_options().items():
            setattr(self, name, options.get(name, option.default_value))
        self._metas = {}

    def check_groups(self):
        for name, function in self.methods.items():
            group = getattr(function, "__ray_concurrency_group__", None)
            assert group is None or group in (self.concurrency_groups or {}), (
                f"The method {name} is of the concurrency group {group!r}, which the actor class "
                "does not have."
            )

    def meta(self, max_task_retries, max_pending_calls, unordered):
        key = (max_task_retries, max_pending_calls, unordered)
        meta = self._metas.get(key)
        if meta is None:
            meta = self._metas[key] = actor_methods.ActorMeta(
                {
                    "module": self.export.module,
                    "class_name": self.class_name,
                    "methods": {
                        name: (
                            _signature(self.modified_class, name).as_tuple(),
                            actor_methods.declared_options(function),
                        )
                        for name, function in self.methods.items()
                    },
                    "max_task_retries": max_task_retries,
                    "max_pending_calls": max_pending_calls,
                    "unordered": unordered,
                }
            )
        return meta


def _actor_options():
    from ray._private.options import actor_options

    return actor_options


def _methods(cls):
    """(name, function) of what can be called on an actor, sorted by name."""
    for name in sorted(dir(cls)):
        try:
            value = getattr(cls, name)
        except AttributeError:
            continue
        if _is_function(value):
            yield name, value


def _signature(cls, name):
    function = getattr(cls, name)
    bound = hasattr(function, "__self__") or isinstance(_raw(cls, name), staticmethod)
    return signature.of_function(actor_methods.unwrap(function), skip_first=not bound)


def _raw(cls, name):
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


def make_actor(cls, options):
    """The actor class of a class: what @ray.remote returns."""
    if options:
        from ray._private.options import validate_actor_options

        validate_actor_options(options, in_options=False)
    if options.get("max_restarts", -1) != -1:
        options["max_restarts"] = min(options["max_restarts"], 2**31 - 1)
    return ActorClass._from_modified_class(modify_class(cls), options)


class _CreationSpec:
    """What the creations of one class with one set of options have in common."""

    def __init__(self, metadata, options):
        self.metadata = metadata
        self.options = options
        self.signature = metadata.init_signature

    @property
    def full_name(self):
        return self.metadata.export.full_name

    def prepare(self, call):
        from ray._private.options import resources_of, warn_deprecated_placement_group
        from ray._private.runtime_env import for_call

        options, metadata = self.options, self.metadata
        warn_deprecated_placement_group(options, 6)
        resources = resources_of(options)
        placement = None
        if not set(resources) - {"memory", "object_store_memory"}:
            # Nothing asked for: one CPU to be placed, none while it lives.
            placement = {**resources, "CPU": 1}
            resources.setdefault("CPU", 0)
        else:
            resources.setdefault("CPU", 1)
        held = {name: amount for name, amount in resources.items() if amount}
        call.prepare(
            calls.ACTOR_CREATE,
            metadata.export.get(),
            f"{metadata.class_name}.__init__",
            None,
            1,
            held,
            placement,
            calls.strategy(options, held, placement, metadata.class_name),
            for_call(options.get("runtime_env")),
            0,
            False,
            calls.options_text(
                max_concurrency=self.max_concurrency if self.max_concurrency > 1 else None,
                concurrency_groups=metadata.concurrency_groups or None,
                asyncio=True if metadata.is_async else None,
                name=options.get("name"),
            ),
            0, *calls.listing({**options, "name": None}, None),
        )

    @property
    def max_concurrency(self):
        given = self.options.get("max_concurrency")
        if given is not None:
            return given
        return 1000 if self.metadata.is_async else 1

    @property
    def unordered(self):
        """May calls overtake each other? ValueError if the options contradict the class."""
        given = self.options.get("allow_out_of_order_execution")
        concurrent = self.metadata.is_async or self.max_concurrency > 1
        if given is None:
            return bool(concurrent or self.metadata.concurrency_groups)
        if self.metadata.is_async and not given:
            raise ValueError(
                "If you're using async actors, Ray can't execute actor tasks in order. "
                "Set `allow_out_of_order_execution=True` to allow out-of-order "
                "execution."
            )
        if concurrent and not given:
            raise ValueError(
                "If you're using multi-threaded actors, Ray can't execute actor tasks "
                "in order. Set `allow_out_of_order_execution=True` to allow "
                "out-of-order execution."
            )
        return given

    def create(self, call, args, kwargs):
        from ray._private.worker import auto_init, global_worker, validate_namespace

        options = self.options
        name, namespace = options.get("name"), options.get("namespace")
        if name == "":
            raise ValueError("Actor name cannot be an empty string.")
        validate_namespace(namespace)
        self.metadata.check_groups()
        auto_init()
        global_worker.check_connected()
        retries = options.get("max_task_retries", 0) or 0
        pending = options.get("max_pending_calls", -1)
        pending = -1 if pending is None else pending
        meta = self.metadata.meta(retries, pending, self.unordered)
        handle = _mobula.create_actor(
            call,
            args,
            kwargs,
            meta,
            meta.bytes,
            self.metadata.class_name,
            name,
            namespace or (global_worker.namespace if name else None),
            self._is_detached(),
            bool(options.get("get_if_exists")),
            options.get("max_restarts", 0) or 0,
            retries,
            pending,
            meta.unordered,
        )
        if handle is None:
            from ray.exceptions import ActorAlreadyExistsError

            raise ActorAlreadyExistsError(
                f"The name {name} (namespace={namespace}) is already "
                "taken. Please use "
                "a different name or get the existing actor using "
                f"ray.get_actor('{name}', namespace='{namespace}')"
            )
        return handle

    def _is_detached(self):
        lifetime = self.options.get("lifetime")
        if lifetime is None:
            from ray._private.worker import global_worker

            return bool(global_worker.node and global_worker.node.detached_by_default)
        return lifetime == "detached"


class ActorClass:
    """A class whose instances are actors: `A.remote(...)` starts one and returns its handle."""

    def __class_getitem__(cls, item):
        return cls

    def __init__(cls, name, bases, attr):
        # Python comes here when an actor class is used as a base class.
        for base in bases:
            if isinstance(base, ActorClass):
                raise ActorClassInheritanceException(
                    f"Attempted to define subclass '{name}' of actor "
                    f"class '{base.__ray_metadata__.class_name}'. "
                    "Inheriting from actor classes is "
                    "not currently supported. You can instead "
                    "inherit from a non-actor base class and make "
                    "the derived class an actor class (with "
                    "@ray.remote)."
                )
        raise AssertionError(
            "ActorClass.__init__ should not be called. Please use "
            "the @ray.remote decorator instead."
        )

    def __call__(self, *args, **kwargs):
        raise TypeError(
            "Actors cannot be instantiated directly. "
            f"Instead of '{self.__ray_metadata__.class_name}()', "
            f"use '{self.__ray_metadata__.class_name}.remote()'."
        )

    @classmethod
    def _from_modified_class(cls, modified_class, options):
        for attribute in ("remote", "_remote"):
            if hasattr(modified_class, attribute):
                import logging

                logging.getLogger(__name__).warning(
                    "Creating an actor from class "
                    f"{modified_class.__name__} overwrites "
                    f"attribute {attribute} of that class"
                )

        class DerivedActorClass(cls, modified_class):
            def __init__(self, *args, **kwargs):
                try:
                    cls.__init__(self, *args, **kwargs)
                except ActorClassInheritanceException:
                    raise
                except TypeError:
                    # The user's class calls super().__init__() in an instance of its own.
                    modified_class.__init__(self, *args, **kwargs)

        name = f"ActorClass({modified_class.__name__})"
        DerivedActorClass.__module__ = modified_class.__module__
        DerivedActorClass.__name__ = DerivedActorClass.__qualname__ = name
        self = DerivedActorClass.__new__(DerivedActorClass)
        self.__ray_metadata__ = _ActorClassMetadata(modified_class, options)
        self._default_options = options
        self._plain = None
        return self

    def _creator(self, options):
        spec = _CreationSpec(self.__ray_metadata__, options)
        call = _mobula.RemoteCall(spec)
        spec.signature.apply(call)
        return lambda args, kwargs: spec.create(call, args, kwargs)

    def remote(self, *args, **kwargs):
        """Starts an actor; returns its handle."""
        if self._plain is None:
            self._plain = self._creator(self._default_options)
        return self._plain(args, kwargs)

    def options(self, **actor_options):
        """The same class with other options: `A.options(name="a").remote()`."""
        from ray._private.options import validate_actor_options

        defaults = {k: v for k, v in self._default_options.items() if k != "concurrency_groups"}
        options = {**defaults, **actor_options}
        validate_actor_options(options, in_options=True)
        return _ActorClassWithOptions(self, options)

    def _remote(self, args=None, kwargs=None, **actor_options):
        # These options and no others: what the decorator says does not count here.
        creation = _ActorClassWithOptions(self, actor_options)
        return creation.remote(*(args or ()), **(kwargs or {}))

    def bind(self, *args, **kwargs):
        """A node of a task graph: see ray.dag."""
        return self._node(args, kwargs, self._default_options, self)

    def _node(self, args, kwargs, options, creator):
        from ray.dag import ClassNode

        modified_class = self.__ray_metadata__.modified_class
        return ClassNode(modified_class, args, kwargs, options, actor_class=creator)

    def __reduce__(self):
        original = self.__ray_metadata__.modified_class.__ray_actor_class__
        return make_actor, (original, self._default_options)


class _ActorClassWithOptions:
    """What .options() gives."""

    def __init__(self, actor_class, options):
        self._actor_class = actor_class
        self._options = options
        self._create = actor_class._creator(options)

    def remote(self, *args, **kwargs):
        return self._create(args, kwargs)

    def bind(self, *args, **kwargs):
        return self._actor_class._node(args, kwargs, self._options, self)

    def __reduce__(self):
        return _ActorClassWithOptions, (self._actor_class, self._options)


def exit_actor():
    """Ends the actor that calls it, after the call that runs: its caller sees an ActorDiedError."""
    from ray._private.worker import WORKER_MODE, global_worker

    if global_worker.mode != WORKER_MODE or global_worker.actor_id.is_nil():
        raise TypeError(
            "exit_actor API is called on a non-actor worker, "
            f"{global_worker.mode}. Call this API inside an actor methods"
            "if you'd like to exit the actor gracefully."
        )
    from ray._private import execution

    execution.exit_actor()
