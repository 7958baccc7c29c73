# SPDX-License-Identifier: Apache-2.0
"""worker_process_setup_hook: what each worker of a job calls before its first task."""
import os

# In a worker's environment: `module.name` of the hook, or _MARK and the key of one that was sent.
VARIABLE = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
_MARK = "ray_runtime_env_func::"
_SPACE = "setup_hooks"


class _SentHook:
    """A function on its way to the cluster, under the hash of its pickle."""

    def __init__(self, function):
        import hashlib

        from ray import cloudpickle
        from ray.exceptions import RuntimeEnvSetupError

        try:
            self._data = cloudpickle.dumps(function)
        except Exception as e:
            raise RuntimeEnvSetupError("Failed to export the setup function.") from e
        self.key = hashlib.sha1(self._data).hexdigest()

    def put(self):
        from ray import _mobula

        _mobula.kv_put(_SPACE, self.key.encode(), self._data, True)


def named(env):
    """(the environment with the hook's name for the hook, what must be put before workers start)."""
    hook = env.get("worker_process_setup_hook")
    if hook is None:
        return env, []
    sent = []
    if callable(hook):
        sent = [_SentHook(hook)]
        value, name = _MARK + sent[0].key, hook.__name__
    elif isinstance(hook, str):
        value = name = hook
    else:
        raise TypeError(f"worker_process_setup_hook must be a function, got {type(hook)}.")
    variables = {**(env.get("env_vars") or {}), VARIABLE: value}
    return {**env, "env_vars": variables, "worker_process_setup_hook": name}, sent


def run():
    """In a worker that begins: calls its hook, if it has one."""
    value = os.environ.get(VARIABLE)
    if not value:
        return
    from ray.exceptions import RuntimeEnvSetupError

    hook = None
    try:
        hook = _sent(value) if value.startswith(_MARK) else _imported(value)
        hook()
    except Exception:
        import traceback

        raise RuntimeEnvSetupError(f"{_failed(value, hook)}\n{traceback.format_exc()}") from None


def _failed(value, hook):
    text = "Failed to execute the setup hook method"
    if value.startswith(_MARK):
        return f"{text}. Function name:{getattr(hook, '__name__', None)}"
    return (
        f"{text}, {value} from ``ray.init(runtime_env={{'worker_process_setup_hook': {value}}})``. "
        "Please make sure the given module exists and is available from ray workers. "
        "For more details, see the error trace below."
    )


def _imported(value):
    import importlib

    module, dot, name = value.rpartition(".")
    if not dot:
        raise ValueError("You need to pass a valid path like mymodule.provider_class")
    return getattr(importlib.import_module(module), name)


def _sent(value):
    from ray import _mobula, cloudpickle

    data = _mobula.kv_get(_SPACE, value[len(_MARK) :].encode())
    if data is None:
        raise RuntimeError("the cluster doesn't have it")
    return cloudpickle.loads(data)
