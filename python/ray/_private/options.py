# SPDX-License-Identifier: Apache-2.0
"""The options of @ray.remote and .options(): which exist, their types, their limits, their defaults.

The tables are data; the sentences are part of the API (users' tests match on them).
"""
import warnings

RESOURCE_UNIT = 10000  # resources are counted in ten-thousandths

NoneType = type(None)
NOT_SET = object()

DYNAMIC_NUM_RETURNS_WARNING = (
    "num_returns='dynamic' is deprecated and will be removed in a future "
    "Ray release. Use num_returns='streaming' instead."
)


class Option:
    """One option: what type it must have, a check that returns a sentence or None, its default."""

    __slots__ = ("type_constraint", "value_constraint", "default_value")

    def __init__(self, type_constraint=None, value_constraint=None, default_value=None):
        self.type_constraint = type_constraint
        self.value_constraint = value_constraint
        self.default_value = default_value

    def types(self):
        kinds = self.type_constraint
        return kinds() if callable(kinds) and not isinstance(kinds, type) else kinds

    def validate(self, keyword, value):
        kinds = self.types()
        if kinds is not None and not isinstance(value, kinds):
            raise TypeError(
                f"The type of keyword '{keyword}' must be {kinds}, "
                f"but received type {type(value)}"
            )
        sentence = self.value_constraint(value) if self.value_constraint else None
        if sentence:
            raise ValueError(sentence)


def _count(name, infinite=True, default=None):
    lowest = -1 if infinite else 0
    accepted = (
        "None, 0, -1 or a positive integer, where -1 represents infinity."
        if infinite
        else "None, 0 or a positive integer."
    )

    def check(x):
        if x is not None and x < lowest:
            return f"The keyword '{name}' only accepts {accepted}"

    return Option((int, NoneType), check, default)


def _quantity_error(name, quantity):
    if quantity < 0:
        return f"The quantity of resource {name} cannot be negative"
    if isinstance(quantity, float) and quantity != 0.0 and int(quantity * RESOURCE_UNIT) == 0:
        return (
            f"The precision of the fractional quantity of resource {name}"
            " cannot go beyond 0.0001"
        )


def _resource(name, default=None):
    return Option(
        (float, int, NoneType), lambda x: None if x is None else _quantity_error(name, x), default
    )


def _resources_error(resources):
    if resources is None:
        return None
    if "CPU" in resources or "GPU" in resources:
        return (
            "Use the 'num_cpus' and 'num_gpus' keyword instead of 'CPU' and 'GPU' "
            "in 'resources' keyword"
        )
    for name, quantity in resources.items():
        sentence = _quantity_error(name, quantity)
        if sentence:
            return sentence


def _label_selector_error(selector):
    from ray._private.labels import label_selector_error

    return label_selector_error(selector)


def _fallback_error(strategies):
    from ray._private.labels import fallback_strategy_error

    return fallback_strategy_error(strategies)


def _placement_group_types():
    from ray.util.placement_group import PlacementGroup

    return (NoneType, str, PlacementGroup)


def _strategy_types():
    from ray.util import scheduling_strategies as s

    return (
        NoneType,
        str,
        s.PlacementGroupSchedulingStrategy,
        s.NodeAffinitySchedulingStrategy,
        s.NodeLabelSchedulingStrategy,
    )


def _num_returns_error(x):
    if x is None or x in ("dynamic", "streaming") or x >= 0:
        return None
    return (
        "Default None. When None is passed, "
        "The default value is 1 for a task and actor task, and "
        "'streaming' for generator tasks and generator actor tasks. "
        "The keyword 'num_returns' only accepts None, "
        "a non-negative integer, "
        "'streaming' (for generators), or 'dynamic'. 'dynamic' flag "
        "will be deprecated in the future, and it is recommended to use "
        "'streaming' instead."
    )


def _is_exception_class(x):
    return isinstance(x, type) and issubclass(x, Exception)


def _retry_exceptions_error(x):
    if not isinstance(x, bool) and not all(_is_exception_class(kind) for kind in x):
        return "retry_exceptions must be either a boolean or a list of exceptions"


def _backpressure_error(x):
    if x == 0:
        return (
            "_generator_backpressure_num_objects=0 is not allowed. "
            "Use a value > 0. If the value is equal to 1, the behavior "
            "is identical to Python generator (generator 1 object "
            "whenever `next` is called). Use -1 to disable this feature. "
        )


def _per_yield_error(x):
    if x is not None and x <= 0:
        return (
            "_num_objects_per_yield is a private streaming generator option "
            "that must be set to a positive integer."
        )


def _lifetime_error(x):
    if x not in (None, "detached", "non_detached"):
        return "actor `lifetime` argument must be one of 'detached', 'non_detached' and 'None'."


def _actor_backpressure_error(x):
    if x is not None and x <= 0 and x != -1:
        return (
            "_actor_generator_backpressure_num_objects must be > 0 to cap the "
            "actor's total unconsumed generator objects, or -1 to disable. "
            f"Got {x}."
        )


_common_options = {
    "label_selector": Option((dict, NoneType), _label_selector_error),
    "fallback_strategy": Option((list, NoneType), _fallback_error),
    "accelerator_type": Option((str, NoneType)),
    "memory": _resource("memory"),
    "name": Option((str, NoneType)),
    "num_cpus": _resource("num_cpus"),
    "num_gpus": _resource("num_gpus"),
    "object_store_memory": _count("object_store_memory", False),
    "placement_group": Option(_placement_group_types, default_value="default"),
    "placement_group_bundle_index": Option(int, default_value=-1),
    "placement_group_capture_child_tasks": Option((bool, NoneType)),
    "resources": Option((dict, NoneType), _resources_error),
    "runtime_env": Option((dict, NoneType)),
    "scheduling_strategy": Option(_strategy_types),
    "enable_task_events": Option(bool, default_value=True),
    "_labels": Option((dict, NoneType)),
}

_task_only_options = {
    "max_calls": _count("max_calls", False, 0),
    "max_retries": _count("max_retries", default=3),
    "num_cpus": _resource("num_cpus", 1),
    "num_returns": Option((int, str, NoneType), _num_returns_error),
    "object_store_memory": Option(
        (int, NoneType),
        lambda x: None
        if x is None
        else "Setting 'object_store_memory' is not implemented for tasks",
    ),
    "retry_exceptions": Option((bool, list, tuple), _retry_exceptions_error, False),
    "_generator_backpressure_num_objects": Option((int, NoneType), _backpressure_error),
    "_num_objects_per_yield": Option((int, NoneType), _per_yield_error, 1),
}

_actor_only_options = {
    "concurrency_groups": Option((list, dict, NoneType)),
    "enable_tensor_transport": Option((bool, NoneType)),
    "lifetime": Option((str, NoneType), _lifetime_error),
    "max_concurrency": _count("max_concurrency", False),
    "max_restarts": _count("max_restarts", default=0),
    "max_task_retries": _count("max_task_retries", default=0),
    "max_pending_calls": _count("max_pending_calls", default=-1),
    "namespace": Option((str, NoneType)),
    "get_if_exists": Option(bool, default_value=False),
    "allow_out_of_order_execution": Option((bool, NoneType)),
    "_actor_generator_backpressure_num_objects": Option((int, NoneType), _actor_backpressure_error),
}

# The order of the keys shows in error texts.
valid_options = {**_task_only_options, **_actor_only_options, **_common_options}
task_options = {**_common_options, **_task_only_options}
actor_options = {**_common_options, **_actor_only_options}


def remote_args_error():
    return (
        "The @ray.remote decorator must be applied either with no arguments and no "
        "parentheses, for example '@ray.remote', or it must be applied using some of "
        f"the arguments in the list {list(valid_options.keys())}, for example "
        "'@ray.remote(num_returns=2, resources={\"CustomResource\": 1})'."
    )


def _check_placement_group(options):
    if (
        options.get("placement_group", "default") not in ("default", None)
        and options.get("scheduling_strategy") is not None
    ):
        raise ValueError(
            "Placement groups should be specified via the "
            "scheduling_strategy option. "
            "The placement_group option is deprecated."
        )


def _validate(table, kind, options):
    for key, value in options.items():
        option = table.get(key)
        if option is None:
            raise ValueError(
                f"Invalid option keyword {key} for {kind}. Valid ones are {list(table)}."
            )
        option.validate(key, value)


def validate_task_options(options, in_options, is_generator=None, stacklevel=4):
    """`is_generator` is None where num_returns need not be looked at again."""
    _validate(task_options, "remote functions", options)
    if in_options and "max_calls" in options:
        raise ValueError("Setting 'max_calls' is not supported in '.options()'.")
    _check_placement_group(options)
    if is_generator is not None and options.get("num_returns") is not None:
        validate_num_returns(is_generator, options["num_returns"], stacklevel)


def validate_actor_options(options, in_options):
    _validate(actor_options, "actors", options)
    if in_options and "concurrency_groups" in options:
        raise ValueError("Setting 'concurrency_groups' is not supported in '.options()'.")
    if options.get("get_if_exists") and not options.get("name"):
        raise ValueError("The actor name must be specified to use `get_if_exists`.")
    if "object_store_memory" in options:
        warnings.warn(
            "Setting 'object_store_memory'"
            " for actors is deprecated since it doesn't actually"
            " reserve the required object store memory."
            " Use object spilling that's enabled by default (https://docs.ray.io/en/releases-2.60.0/ray-core/objects/object-spilling.html) "
            "instead to bypass the object store memory size limitation.",
            DeprecationWarning,
            stacklevel=1,
        )
    _check_placement_group(options)


def validate_num_returns(is_generator, num_returns, stacklevel):
    if num_returns is None:
        return
    if isinstance(num_returns, int) and num_returns < 0:
        raise ValueError(f"num_returns must be >= 0, but got {num_returns}.")
    if num_returns == "dynamic":
        from ray.util.annotations import RayDeprecationWarning

        warnings.warn(DYNAMIC_NUM_RETURNS_WARNING, RayDeprecationWarning, stacklevel=stacklevel)
    if num_returns in ("streaming", "dynamic") and not is_generator:
        raise ValueError(
            f"num_returns='{num_returns}' can only be used with generator functions "
            f"(functions that use 'yield'). "
            f"The decorated function is not a generator function."
        )


_DEPRECATED_PLACEMENT = (
    ("placement_group", lambda x: x != "default"),
    ("placement_group_bundle_index", lambda x: x != -1),
    ("placement_group_capture_child_tasks", bool),
)


def warn_deprecated_placement_group(options, stacklevel):
    for name, is_set in _DEPRECATED_PLACEMENT:
        if name in options and is_set(options[name]):
            warnings.warn(
                f"{name} parameter is deprecated. Use "
                "scheduling_strategy=PlacementGroupSchedulingStrategy(...) "
                "instead, see the usage at "
                "https://docs.ray.io/en/releases-2.60.0/ray-core/package-ref.html#ray-remote.",
                DeprecationWarning,
                stacklevel=stacklevel + 1,
            )


def resources_of(options):
    """The resources that a task or an actor with these options asks for, by name."""
    resources = dict(options.get("resources") or {})
    if "CPU" in resources or "GPU" in resources:
        raise ValueError("The resources dictionary must not contain the key 'CPU' or 'GPU'")
    if "memory" in resources or "object_store_memory" in resources:
        raise ValueError(
            "The resources dictionary must not contain the key 'memory' or 'object_store_memory'"
        )
    if "bundle" in resources:
        raise ValueError(
            "The resource should not include `bundle` which "
            f"is reserved for Ray. resources: {resources}"
        )
    named = (("CPU", "num_cpus"), ("GPU", "num_gpus"), ("object_store_memory",) * 2)
    for name, key in named:
        if options.get(key) is not None:
            resources[name] = options[key]
    if options.get("memory") is not None:
        resources["memory"] = int(options["memory"])
    if options.get("accelerator_type") is not None:
        resources[f"accelerator_type:{options['accelerator_type']}"] = 0.001
    return resources
