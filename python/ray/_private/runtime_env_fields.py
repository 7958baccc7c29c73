# SPDX-License-Identifier: Apache-2.0
"""The fields of a runtime environment: each checked and in its canonical form, in Python where a
user's mistake is nearest to who made it. (src/env does the same to what comes over the wire.)"""
import os
import urllib.parse

_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar.xz")
_PACKAGES = {"working_dir": _ARCHIVES, "py_modules": (".zip", ".whl", ".tar.gz", ".tgz", ".tar.xz")}
_PROTOCOLS = ("gcs", "http", "https", "s3", "gs", "azure", "abfss", "file")


def _place(value, field):
    """A path that is there, or a URI of a kind of package that `field` takes."""
    uri = urllib.parse.urlparse(value)
    if not uri.scheme:
        if not os.path.exists(os.path.expanduser(value)):
            raise ValueError(f"{os.path.normpath(value)} is not a valid path.")
        return
    if uri.scheme == "local":
        return
    if uri.scheme not in _PROTOCOLS:
        raise ValueError(
            f"{value} is not a valid URI. Passing directories or modules to be dynamically uploaded "
            "is only supported at the job level (i.e., passed to `ray.init`)."
        )
    bare = value.split("?", 1)[0]
    if not bare.endswith(_PACKAGES[field]):
        raise ValueError(
            f"Only {', '.join(_PACKAGES[field])} files are supported for {field} URIs; got {bare}."
        )


def _working_dir(value):
    if not isinstance(value, str):
        raise TypeError(f"`working_dir` must be a string, got {type(value)}.")
    _place(value, "working_dir")
    return value


def _py_modules(value):
    if not isinstance(value, list):
        raise TypeError(f"`py_modules` must be a list of strings, got {type(value)}.")
    for module in value:
        if hasattr(module, "__path__"):  # init() takes a module itself and sends its directory
            continue
        if not isinstance(module, str):
            raise TypeError(f"`py_module` must be a string, got {type(module)}.")
        _place(module, "py_modules")
    return value


def _excludes(value):
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise TypeError(f"runtime_env['excludes'] must be of type List[str], got {type(value)}")
    return value or None


def _conda(value):
    if not isinstance(value, (str, dict)):
        raise TypeError(f"runtime_env['conda'] must be of type str or dict, got {type(value)}.")
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and not os.path.isfile(value):
        raise ValueError(f"Can't find conda YAML file {value}.")
    if isinstance(value, str) and os.path.isabs(value) and not os.path.exists(value):
        raise ValueError(f"Can't find conda env directory {value}.")
    return value


def _requirements(path):
    """The lines of a requirements file."""
    if not os.path.isfile(path):
        raise ValueError(f"{path} is not a valid file")
    with open(path) as file:
        return file.read().strip().split("\n")


def _strings(value, name):
    if not isinstance(value, list):
        raise TypeError(f"{name} must be of type list[str] got {type(value)}")
    for number, item in enumerate(value):
        if not isinstance(item, str):
            raise TypeError(f"{name} must be of type list[str] got {type(item)} for {number}-th item.")


def _installer(tool, known, files_in_packages, last):
    """Checks of `pip` and `uv`: a file, a list, or a dict of which `known` says the fields."""

    def check(value):
        name = f"runtime_env['{tool}']"
        if isinstance(value, str):
            result = {"packages": _requirements(value), f"{tool}_check": False}
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            result = {"packages": value, f"{tool}_check": False}
        elif isinstance(value, dict):
            result = _of_dict(value, name)
        else:
            raise TypeError(f"{name} must be of type {last}, got {type(value)}")
        result["packages"] = list(dict.fromkeys(result["packages"]))
        return result if result["packages"] else None

    def _of_dict(value, name):
        if set(value) - set(known):
            fields = ", ".join(known[:-1]) + " and " + known[-1]
            raise ValueError(f"{name} can only have these fields: {fields}, but got: {list(value)}")
        for field, kind in ((f"{tool}_check", bool), (f"{tool}_version", str)):
            if field in value and not isinstance(value[field], kind):
                raise TypeError(
                    f"{name}['{field}'] must be of type {kind.__name__}, got {type(value[field])}"
                )
        if known[-2 if tool == "pip" else -1] in value:
            options = known[-2 if tool == "pip" else -1]
            _strings(value[options], f"{name}['{options}']")
        if "packages" not in value:
            raise ValueError(f"{name} must include field 'packages', but got {value}")
        packages = value["packages"]
        if isinstance(packages, str) and files_in_packages:
            packages = _requirements(packages)
        elif not isinstance(packages, list):
            kinds = "str of list" if files_in_packages else "list"
            raise ValueError(f"{name}['packages'] must be of type {kinds}, got: {type(packages)}")
        result = {**value, "packages": packages, f"{tool}_check": value.get(f"{tool}_check", False)}
        if tool == "uv":
            result.setdefault("uv_pip_install_options", ["--no-cache"])
        return result

    return check


def _env_vars(value):
    must = "runtime_env['env_vars'] must be of type Dict[str, str], "
    if not value:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"{must}got {type(value)}")
    for key, text in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{must}but the key {key} is of type {type(key)}")
        if not isinstance(text, str):
            raise TypeError(f"{must}but the value {text} is of type {type(text)}")
    return value


def _config(value):
    from ray.runtime_env import RuntimeEnvConfig

    return RuntimeEnvConfig.parse_and_validate_runtime_env_config(value)


# In the order in which a RuntimeEnv puts them behind its other fields.
FIELDS = {
    "py_modules": _py_modules,
    "working_dir": _working_dir,
    "excludes": _excludes,
    "conda": _conda,
    "pip": _installer(
        "pip", ("packages", "pip_check", "pip_install_options", "pip_version"), True, "str or List[str]"
    ),
    "uv": _installer(
        "uv", ("packages", "uv_check", "uv_version", "uv_pip_install_options"), False, "List[str], or dict"
    ),
    "env_vars": _env_vars,
    "container": lambda value: value,
    "config": _config,
}


def check_together(env):
    """What can't stand beside what."""
    if sum(env.get(field) is not None for field in ("pip", "uv", "conda")) > 1:
        raise ValueError(
            "The 'pip' field, 'uv' field, and 'conda' field of "
            "runtime_env cannot be specified at the same time.\n"
            f"specified pip field: {env.get('pip')}\n"
            f"specified conda field: {env.get('conda')}\n"
            f"specified uv field: {env.get('uv')}\n"
            "To use pip with conda, please only set the 'conda'"
            "field, and specify your pip dependencies within the conda YAML "
            "config dict: see https://conda.io/projects/conda/en/latest/"
            "user-guide/tasks/manage-environments.html"
            "#create-env-file-manually"
        )
    for field in ("container", "image_uri"):
        others = set(env) - {field, "config", "env_vars"}
        if env.get(field) and others:
            raise ValueError(
                f"The '{field}' field currently cannot be used together with other fields of "
                f"runtime_env. Specified fields: {others}"
            )
