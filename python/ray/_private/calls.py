# SPDX-License-Identifier: Apache-2.0
"""What the extension asks of Python about a call, and what tasks and actors share in preparing one."""
from ray import _mobula

TASK, ACTOR_CREATE, ACTOR_TASK = 0, 1, 2  # CallKind
DEFAULT, SPREAD, NODE_AFFINITY, PLACEMENT_GROUP, NODE_LABEL = range(5)  # StrategyKind



def _strategy(
    kind=DEFAULT,
    node=None,
    soft=False,
    group=None,
    bundle=-1,
    labels=None,
    spill=False,
    fail=False,
    capture=False,
    fallback=(),
):
    return (kind, node, soft, group, bundle, labels, spill, fail, capture, list(fallback))


DEFAULT_STRATEGY = _strategy()

# Exported things larger than this are an error, from a tenth of it on a warning.
_EXPORT_MAX = 10**8


def prepare(call):
    call.spec.prepare(call)


def bind(call, args, kwargs):
    call.spec.signature.bind(args, kwargs)


def argument(call, value, error):
    """An argument of `call` can't be pickled."""
    from ray._private.worker import _unserializable

    text = f"Could not serialize the argument {value!r} for a task or actor {call.spec.full_name}:\n"
    raise _unserializable(text, value) from error


def module_name(thing):
    """The module of a function or class; a script's is its file's name."""
    if thing.__module__ != "__main__":
        return thing.__module__
    import os
    import sys

    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.splitext(os.path.basename(path))[0] if path else "__main__"


class Export:
    """A function or class that workers load by the hash of its pickle; exported once a session."""

    def __init__(self, kind, thing):
        self.kind = kind  # "function" or "actor class", for messages
        self.thing = thing
        self.module = module_name(thing)
        self.session = None
        self.hash = None

    @property
    def full_name(self):
        """For messages: what of the thing runs."""
        if self.kind == "function":
            return f"{self.module}.{self.thing.__qualname__}"
        return f"{self.module}.{self.thing.__name__}.__init__"

    def get(self):
        if self.session != _mobula.session():
            self.hash = _mobula.export(self._pickled())
            self.session = _mobula.session()
        return self.hash

    def _pickled(self):
        from ray import cloudpickle

        try:
            data = cloudpickle.dumps((self.kind, self.module, self.thing))
        except TypeError as e:
            from ray._private.worker import _unserializable

            text = f"Could not serialize the {self.kind} {self.full_name}:\n"
            raise _unserializable(text, self.thing) from e
        if len(data) > _EXPORT_MAX // 10:
            self._complain(len(data))
        return data

    def _complain(self, size):
        import logging

        what = "remote function" if self.kind == "function" else "actor"
        name = f"{self.thing.__module__}.{self.thing.__name__}"
        advice = (
            "Check that its definition is not implicitly capturing a large "
            "array or other object in scope. Tip: use ray.put() to put large "
            "objects in the Ray object store."
        )
        size_mib, most = size // 2**20, _EXPORT_MAX // 2**20
        if size >= _EXPORT_MAX:
            raise ValueError(
                f"The {what} {name} is too large ({size_mib} MiB > "
                f"FUNCTION_SIZE_ERROR_THRESHOLD={most} MiB). {advice}"
            )
        logging.getLogger(__name__).warning(f"The {what} {name} is very large ({size_mib} MiB). {advice}")


def listing(options, function):
    """The end of prepare()'s arguments: how calls appear among the tasks that users list."""
    title = function if options.get("name") not in (None, function) else None
    return title, options.get("enable_task_events", True) is not False


def strategy(options, resources, placement, name):
    """The Strategy of a task or actor with these options, as RemoteCall.prepare() takes it.

    `placement` is what an actor needs to be placed, if more than `resources`; `name` is for messages.
    """
    wanted = options.get("scheduling_strategy")
    labels = options.get("label_selector") or None
    fallback = [s.get("label_selector") or {} for s in options.get("fallback_strategy") or ()]
    if _may_have_group(options, wanted):
        from ray.util.placement_group import group_of_call

        group, index, capture = group_of_call(options, resources, placement, name)
        if group is not None:
            return _strategy(
                PLACEMENT_GROUP, group=group.id.binary(), bundle=index, capture=capture
            )
    if wanted in (None, "DEFAULT"):
        return _strategy(labels=labels, fallback=fallback) if labels else DEFAULT_STRATEGY
    if wanted == "SPREAD":
        return _strategy(SPREAD, labels=labels, fallback=fallback)
    from ray.util import scheduling_strategies as strategies

    if isinstance(wanted, strategies.NodeAffinitySchedulingStrategy):
        return _strategy(
            NODE_AFFINITY,
            bytes.fromhex(wanted.node_id),
            wanted.soft,
            labels=labels,
            spill=wanted._spill_on_unavailable,
            fail=wanted._fail_on_unavailable,
        )
    if isinstance(wanted, strategies.PlacementGroupSchedulingStrategy):
        return DEFAULT_STRATEGY  # an empty group
    if isinstance(wanted, strategies.NodeLabelSchedulingStrategy):
        hard = _label_terms(wanted.hard)
        if not wanted.soft:
            return _strategy(NODE_LABEL, labels=hard)
        return _strategy(NODE_LABEL, labels=hard + _label_terms(wanted.soft), fallback=[hard])
    raise ValueError(
        f"Invalid scheduling_strategy value {wanted}. "
        'Valid values are ["DEFAULT" | "SPREAD" | PlacementGroupSchedulingStrategy | '
        "NodeAffinitySchedulingStrategy]"
    )


def _may_have_group(options, wanted):
    if wanted is not None:
        return not isinstance(wanted, str)
    if "placement_group" in options or "placement_group_bundle_index" in options:
        return True
    from ray._private.worker import WORKER_MODE, global_worker

    return global_worker.mode == WORKER_MODE


def _label_terms(expressions):
    return [(e.key, _label_condition(e.operator)) for e in expressions]


def _label_condition(operator):
    from ray.util.scheduling_strategies import Exists, In, NotIn

    if isinstance(operator, In):
        return f"in({','.join(operator.values)})"
    if isinstance(operator, NotIn):
        return f"!in({','.join(operator.values)})"
    return "*" if isinstance(operator, Exists) else "!*"


def returns(num_returns, generator):
    """num_returns as RemoteCall.prepare() takes it."""
    if num_returns is None:
        num_returns = "streaming" if generator else 1
    return {"streaming": -1, "dynamic": -2}.get(num_returns, num_returns)


def stream_limit(options):
    """How many unread values hold a generator up; 0: none do."""
    return max(options.get("_generator_backpressure_num_objects") or 0, 0)


def per_yield(options):
    """How many values one `yield` gives, where that is not one."""
    count = options.get("_num_objects_per_yield") or 1
    return count if count > 1 else None


def retry_rule(retry_exceptions):
    """(does the executor's verdict count?, what the executor needs to give one)."""
    if not isinstance(retry_exceptions, (list, tuple)):
        return bool(retry_exceptions), None
    import base64

    from ray import cloudpickle

    return True, base64.b64encode(cloudpickle.dumps(tuple(retry_exceptions))).decode()


def options_text(**options):
    """JSON of what is set, or None."""
    given = {key: value for key, value in options.items() if value is not None}
    if not given:
        return None
    import json

    return json.dumps(given, sort_keys=True)
