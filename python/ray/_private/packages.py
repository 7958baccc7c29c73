# SPDX-License-Identifier: Apache-2.0
"""Directories of a runtime environment on their way to the cluster, as src/api/packages.h lays out:
a zip named by its content, in pieces, its number of pieces last."""
import fnmatch
import hashlib
import os
import types

_SPACE = "packages"
_PIECE = 4 * 1024 * 1024
_SIZE_MAX = 512 * 1024 * 1024
_DEFAULT_EXCLUDES = ".git,.venv,venv,__pycache__"
_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar.xz")
_NO_DIRECTORY = (
    "directory {} must be an existing directory or a supported archive "
    f"({', '.join(_ARCHIVES)})"
)
_NO_MODULE = "py_modules entry must be a .py file, a directory, or a .whl file; got {}"


class Package:
    """One directory, archive or module: its name, and what it takes to put it there."""

    def __init__(self, path, excludes, module):
        self.path = os.path.abspath(os.path.expanduser(path))
        self._archive, self._prefix = None, ""
        endings = (".whl", *_ARCHIVES) if module else _ARCHIVES
        ending = next((ending for ending in endings if path.endswith(ending)), None)
        if os.path.isdir(self.path):
            self._files = list(_files(self.path, excludes))
            self._prefix = os.path.basename(self.path) + "/" if module else ""
        elif ending and os.path.isfile(self.path):
            self._take_archive(ending)
            return
        elif module and path.endswith(".py") and os.path.isfile(self.path):
            self._files = [(self.path, os.path.basename(self.path))]
        else:
            raise ValueError(_NO_MODULE.format(path) if module else _NO_DIRECTORY.format(path))
        self.uri = f"gcs://{_name(self._files, self._prefix)}"

    def _take_archive(self, ending):
        with open(self.path, "rb") as file:
            self._archive = file.read()
        if len(self._archive) > _SIZE_MAX:
            raise ValueError(_too_large(len(self._archive)))
        digest = hashlib.sha1(self._archive).hexdigest()[:32]
        # A wheel's own name says what it is.
        name = os.path.basename(self.path) if ending == ".whl" else f"_ray_pkg_{digest}{ending}"
        self.uri = f"gcs://{name}"

    def data(self):
        """The bytes of the archive."""
        return _zip(self._files, self._prefix) if self._archive is None else self._archive

    def put(self):
        """Uploads it, unless the cluster has that content already."""
        from ray import _mobula

        if _mobula.kv_get(_SPACE, self.uri.encode()) is not None:
            return
        data = self.data()
        pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]
        for number, piece in enumerate(pieces):
            _mobula.kv_put(_SPACE, f"{self.uri}#{number:06d}".encode(), piece, True)
        _mobula.kv_put(_SPACE, self.uri.encode(), str(len(pieces)).encode(), True)


def named(env):
    """(the environment with gcs:// names where it had directories of this machine, the Packages
    that must be put before anybody uses it)."""
    env, packages = dict(env), []
    excludes = list(env.pop("excludes", None) or ())  # the packages are without them

    def pack(path, module):
        if not _is_local(path):
            return path
        packages.append(Package(path, excludes, module))
        return packages[-1].uri

    if env.get("working_dir"):
        env["working_dir"] = pack(_path_of_directory(env["working_dir"]), False)
    if env.get("py_modules"):
        env["py_modules"] = [pack(_path_of_module(m), True) for m in _list(env["py_modules"])]
    return env, packages


def upload(env):
    """The same, done."""
    env, packages = named(env)
    for package in packages:
        package.put()
    return env


def _path_of_directory(path):
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            "working_dir must be a string or Path (either a local path "
            f"or remote URI), got {type(path)}."
        )
    return os.fspath(path)


def _list(modules):
    if not isinstance(modules, list):
        raise TypeError(
            "py_modules must be a List of local paths, imported modules, or "
            f"URIs, got {type(modules)}."
        )
    return modules


def _path_of_module(module):
    """Of a path, or of an imported module: its directory, or its file."""
    if isinstance(module, (str, os.PathLike)):
        return os.fspath(module)
    if not isinstance(module, types.ModuleType):
        raise TypeError(
            "py_modules must be a list of file paths, URIs, "
            f"or imported modules, got {type(module)}."
        )
    folders = list(getattr(module, "__path__", ()))
    if len(folders) > 1:
        raise ValueError(
            "py_modules only supports modules whose __path__"
            " has length 1 or those who are single-file."
        )
    return folders[0] if folders else module.__file__


def _is_local(path):
    return "://" not in path


class _Ignored:
    """The patterns that keep files out: gitignore's, without its negations."""

    def __init__(self, root, excludes):
        defaults = os.environ.get("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", _DEFAULT_EXCLUDES)
        self._patterns = [p for p in defaults.split(",") if p] + list(excludes)
        names = [".rayignore"]
        if os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE") != "1":
            names.append(".gitignore")
        for name in names:
            self._patterns += self._read(os.path.join(root, name))

    @staticmethod
    def _read(path):
        try:
            with open(path) as file:
                lines = [line.strip() for line in file]
        except OSError:
            return []
        return [line for line in lines if line and line[0] not in "#!"]

    def __contains__(self, relative):
        name = os.path.basename(relative)
        for pattern in self._patterns:
            bare = pattern.strip("/")
            subject = relative if "/" in pattern.rstrip("/") else name
            if fnmatch.fnmatch(subject, bare):
                return True
        return False


def _files(root, excludes):
    """(path, path relative to `root`) of what is packed, in an order of its own."""
    ignored = _Ignored(root, excludes)
    for folder, folders, names in os.walk(root):
        here = os.path.relpath(folder, root)
        prefix = "" if here == "." else here + "/"
        folders[:] = sorted(name for name in folders if prefix + name not in ignored)
        for name in sorted(names):
            if prefix + name not in ignored:
                yield os.path.join(folder, name), prefix + name


def _name(files, prefix):
    """The name that this content has, wherever and whenever it is packed."""
    digest = hashlib.sha1(prefix.encode())
    for path, relative in files:
        mode = os.stat(path).st_mode & 0o111
        digest.update(f"{relative}\0{mode}\0".encode())
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        digest.update(b"\0")
    return f"_ray_pkg_{digest.hexdigest()[:32]}.zip"


def _zip(files, prefix):
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, relative in files:
            info = zipfile.ZipInfo(prefix + relative, (1980, 1, 1, 0, 0, 0))
            info.external_attr = (os.stat(path).st_mode & 0xFFFF) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as file:
                archive.writestr(info, file.read())
            if out.tell() > _SIZE_MAX:
                raise ValueError(_too_large(out.tell()))
    return out.getvalue()


def _too_large(size):
    return (
        f"Package size ({size / 2**20:.2f}MiB) exceeds the maximum size of "
        f"{_SIZE_MAX / 2**20:.2f}MiB. You can exclude large files using the 'excludes' "
        "option to the runtime_env or provide a remote URI of a zip file using protocols "
        "such as 's3://', 'https://' and so on."
    )
