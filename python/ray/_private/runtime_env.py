# SPDX-License-Identifier: Apache-2.0
"""Runtime environments on the way out: checked, merged with the job's, in canonical JSON."""
import json


def check(env):
    """The environment with its fields in canonical form; raises unless they are right.

    Directories stay as they are: what packs them looks at them.
    """
    from ray._private.runtime_env_fields import FIELDS, check_together

    check_together(env)
    checked = dict(env)
    for field, value in env.items():
        if value is not None and field in FIELDS and field not in ("working_dir", "py_modules"):
            checked[field] = FIELDS[field](value)
    return {field: value for field, value in checked.items() if value is not None}


def merged(parent, child):
    """A child's environment: its own fields over its parent's, env_vars merged key by key."""
    env = {**(parent or {}), **(child or {})}
    variables = {**((parent or {}).get("env_vars") or {}), **((child or {}).get("env_vars") or {})}
    if variables:
        env["env_vars"] = variables
    return {key: value for key, value in env.items() if value is not None}


def canonical(env):
    """The JSON by whose hash workers are kept apart; "" for none."""
    return json.dumps(env, sort_keys=True, separators=(",", ":")) if env else ""


# How a worker knows the environment that it was made for, which its own tasks inherit.
VARIABLE = "MOBULA_RUNTIME_ENV"


def own():
    """The environment of this process, as a dict."""
    from ray._private.worker import global_worker

    return json.loads(global_worker.runtime_env or "{}")


def for_call(env):
    """What a task or actor with option runtime_env=`env` asks for: JSON, or None for nothing."""
    if env:
        from ray._private import packages

        env = packages.upload(check(dict(env)))
    env = merged(own(), env)
    if not env:
        return None
    variables = {**(env.get("env_vars") or {}), VARIABLE: canonical(env)}
    return canonical({**env, "env_vars": variables})


def merge_for_driver(injected, own, override):
    """The environment of a submitted job's driver; None if both set the same thing."""
    injected, own = injected or {}, own or {}
    variables = [dict(env.get("env_vars") or {}) for env in (injected, own)]
    if not override:
        rest = [set(env) - {"env_vars"} for env in (injected, own)]
        if rest[0] & rest[1] or set(variables[0]) & set(variables[1]):
            return None
    env = {**injected, **own}
    if variables[0] or variables[1]:
        env["env_vars"] = {**variables[0], **variables[1]}
    return env
