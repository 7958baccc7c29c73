# SPDX-License-Identifier: Apache-2.0
"""Runtime environments on the way out: checked, merged with the job's, in canonical JSON."""
import json

def check(env):
    """Raises unless `env` is a runtime environment in form."""
    variables = env.get("env_vars")
    if variables:
        must = "runtime_env['env_vars'] must be of type Dict[str, str], "
        if not isinstance(variables, dict):
            raise TypeError(f"{must}got {type(variables)}")
        for key, value in variables.items():
            if not isinstance(key, str):
                raise TypeError(f"{must}but the key {key} is of type {type(key)}")
            if not isinstance(value, str):
                raise TypeError(f"{must}but the value {value} is of type {type(value)}")
    if sum(env.get(field) is not None for field in ("pip", "uv", "conda")) > 1:
        raise ValueError(
            "The 'pip' field, 'uv' field, and 'conda' field of "
            "runtime_env cannot be specified at the same time.\n"
            f"specified pip field: {env.get('pip')}\n"
            f"specified conda field: {env.get('conda')}\n"
            f"specified uv field: {env.get('uv')}\n"
            "To use pip with conda, please only set the 'conda'"
            " field, and specify your pip dependencies within the conda YAML "
            "config dict: see https://conda.io/projects/conda/en/latest/"
            "user-guide/tasks/manage-environments.html"
            "#create-env-file-manually"
        )
    return env


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
