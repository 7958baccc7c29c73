# SPDX-License-Identifier: Apache-2.0
"""What ray.init() returns."""
import collections.abc
import sys

from ray._private import worker


class BaseContext:
    """A connection to a cluster; as a context manager it ends with the block."""

    dashboard_url = None
    python_version = None
    ray_version = None

    def disconnect(self):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.disconnect()

    def _repr_html_(self):
        """For notebooks: a table of what a reader wants to know of the cluster."""
        import html

        url = self.dashboard_url
        rows = [("Python version", self.python_version), ("Ray version", self.ray_version)]
        cells = "".join(
            f'<tr><td style="text-align: left"><b>{name}:</b></td>'
            f'<td style="text-align: left"><b>{html.escape(str(value))}</b></td></tr>'
            for name, value in rows
        )
        if url:
            link = html.escape(url if "://" in url else "http://" + url)
            cells += f'<tr><td><b>Dashboard:</b></td><td><a href="{link}">{link}</a></td></tr>'
        return f"<table>{cells}</table>"


class RayContext(BaseContext, collections.abc.Mapping):
    """Where the cluster is. As a mapping, it is its own address_info."""

    def __init__(self, address_info):
        import ray

        self.dashboard_url = address_info.get("webui_url")
        self.python_version = "{}.{}.{}".format(*sys.version_info[:3])
        self.ray_version = ray.__version__
        self.ray_commit = ray.__commit__
        self.address_info = address_info

    def __repr__(self):
        return (
            f"RayContext(dashboard_url={self.dashboard_url!r}, "
            f"python_version={self.python_version!r}, ray_version={self.ray_version!r}, "
            f"ray_commit={self.ray_commit!r})"
        )

    def _warn(self, text):
        import warnings

        warnings.warn(text, DeprecationWarning, stacklevel=3)

    def __getitem__(self, key):
        self._warn(
            f'Accessing values through ctx["{key}"] is deprecated. '
            f'Use ctx.address_info["{key}"] instead.'
        )
        return self.address_info[key]

    def __len__(self):
        self._warn("len(ctx) is deprecated. Use len(ctx.address_info) instead.")
        return len(self.address_info)

    def __iter__(self):
        self._warn("iter(ctx) is deprecated. Use iter(ctx.address_info) instead.")
        return iter(self.address_info)

    def disconnect(self):
        worker.shutdown()
