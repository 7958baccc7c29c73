# SPDX-License-Identifier: Apache-2.0
"""What clients of the dashboard have in common: its address, requests, uploads of packages."""
import dataclasses
import importlib
import json
import logging
import os
from typing import Any, Dict, Optional

from ray._private import http_client, logging_setup
from ray.exceptions import AuthenticationError

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

DEFAULT_DASHBOARD_ADDRESS = "http://localhost:8265"


def parse_runtime_env_args(runtime_env=None, runtime_env_json=None, working_dir=None):
    """The runtime environment of a command line: of a YAML file or of JSON, its `working_dir`
    replaced where one is given."""
    env = {}
    if runtime_env is not None:
        if runtime_env_json is not None:
            raise ValueError("Only one of --runtime_env and --runtime-env-json can be provided.")
        import yaml

        with open(runtime_env) as file:
            env = yaml.safe_load(file)
    elif runtime_env_json is not None:
        env = json.loads(runtime_env_json)
    if working_dir is not None:
        if "working_dir" in env:
            logger.warning("Overriding runtime_env working_dir with --working-dir option")
        env["working_dir"] = working_dir
    return env


@dataclasses.dataclass
class ClusterInfo:
    """Where a cluster's dashboard is, and what to send along."""

    address: str
    cookies: Optional[Dict[str, Any]] = None
    metadata: Optional[Dict[str, Any]] = None
    headers: Optional[Dict[str, Any]] = None


def get_job_submission_client_cluster_info(
    address,
    *,
    create_cluster_if_needed=False,
    cookies=None,
    metadata=None,
    headers=None,
    _use_tls=False,
    **kwargs,
):
    """Of host:port. Modules that make clusters have a function of this name for their addresses."""
    scheme = "https" if _use_tls else "http"
    return ClusterInfo(f"{scheme}://{address}", cookies, metadata, headers)


def parse_cluster_info(
    address=None,
    create_cluster_if_needed=False,
    cookies=None,
    metadata=None,
    headers=None,
    **kwargs,
):
    """Of `http(s)://host:port`, host:port, or `module://..`, of which the module knows more."""
    address = address or _default_address()
    if address == "auto":
        raise ValueError("Internal error: unexpected address 'auto'.")
    if "://" not in address:
        logger.info(
            "No scheme (e.g. 'http://') or module string (e.g. 'ray://') "
            f"provided in address {address}, defaulting to HTTP."
        )
        address = f"http://{address}"
    scheme, inner = address.split("://", maxsplit=1)
    if scheme == "ray":
        raise ValueError(f"Internal error: unexpected Ray Client address {address}.")
    options = dict(
        kwargs,
        create_cluster_if_needed=create_cluster_if_needed,
        cookies=cookies,
        metadata=metadata,
        headers=headers,
    )
    if scheme in ("http", "https"):
        return get_job_submission_client_cluster_info(inner, _use_tls=scheme == "https", **options)
    return _function_of_module(scheme, address)(inner, **options)


def _default_address():
    from ray._private.worker import global_worker

    node = global_worker.node
    if node is not None and node.webui_url:
        address = f"http://{node.webui_url}"
        logger.info(f"No address provided but Ray is running; using address {address}.")
        return address
    logger.info(f"No address provided, defaulting to {DEFAULT_DASHBOARD_ADDRESS}.")
    return DEFAULT_DASHBOARD_ADDRESS


def _function_of_module(name, address):
    parsed = f"This module was parsed from address: {address}"
    try:
        module = importlib.import_module(name)
    except Exception:
        raise RuntimeError(f"Module: {name} does not exist.\n{parsed}") from None
    assert hasattr(module, "get_job_submission_client_cluster_info"), (
        f"Module: {name} does not have `get_job_submission_client_cluster_info`.\n{parsed}"
    )
    return module.get_job_submission_client_cluster_info


def get_address_for_submission_client(address):
    """The dashboard's URL: RAY_API_SERVER_ADDRESS, RAY_ADDRESS or `address`, whichever is set first;
    else that of the cluster that runs here."""
    address = os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or address
    if address and "://" in address:
        if address.startswith("ray://"):
            raise ValueError(
                f"{address}: ray:// addresses can't take jobs. Use the dashboard's http:// address."
            )
        return address
    from ray.util.state.api import ray_address_to_api_server_url

    return ray_address_to_api_server_url(address)


def _token_headers(headers):
    """The token of this user, unless the caller brings one."""
    from ray._private import auth

    if any(name.lower() == "authorization" for name in headers):
        return {}
    token = auth.for_requests()
    if token is None and auth.required():
        logger.warning(
            "Token authentication is enabled but no token was found. "
            "Requests to authenticated clusters will fail."
        )
    return {"authorization": f"Bearer {token}"} if token else {}


class SubmissionClient:
    """Requests to one cluster's dashboard."""

    def __init__(
        self,
        address=None,
        create_cluster_if_needed=False,
        cookies=None,
        metadata=None,
        headers=None,
        verify=True,
        **kwargs,
    ):
        logging_setup.ensure()
        info = parse_cluster_info(
            address and address.rstrip("/"),
            create_cluster_if_needed,
            cookies,
            metadata,
            headers,
            **kwargs,
        )
        self._address = info.address
        self._cookies = info.cookies
        self._default_metadata = info.metadata or {}
        self._headers = info.headers or {}
        self._headers.update(_token_headers(self._headers))
        self._verify = verify
        if isinstance(verify, str) and not os.path.exists(verify):
            raise FileNotFoundError(f"Path to CA certificates: '{verify}', does not exist.")
        self._ssl_context = (
            http_client.tls_context(verify) if self._address.startswith("https:") else None
        )
        self._server_ray_version = None

    def _check_connection_and_version(self, min_version="1.9", version_error_message=None):
        self._check_connection_and_version_with_url(min_version, version_error_message)

    def _check_connection_and_version_with_url(
        self, min_version="1.9", version_error_message=None, url="/api/version"
    ):
        if version_error_message is None:
            version_error_message = (
                f"Please ensure the cluster is running Ray {min_version} or higher."
            )
        try:
            answer = self._do_request("GET", url)
        except ConnectionError:
            raise ConnectionError(
                f"Failed to connect to Ray at address: {self._address}."
            ) from None
        if answer.status_code == 404:
            raise RuntimeError("Version check returned 404. " + version_error_message)
        answer.raise_for_status()
        version = self._server_ray_version = answer.json()["ray_version"]
        if _version(version) < _version(min_version):
            raise RuntimeError(
                f"Ray version {version} is running on the cluster. " + version_error_message
            )

    def _raise_error(self, r):
        raise RuntimeError(f"Request failed with status code {r.status_code}: {r.text}.")

    def _do_request(self, method, endpoint, *, data=None, json_data=None):
        """Any status is an answer, but one that is about the token is an AuthenticationError."""
        headers = self._request_headers()
        if json_data is not None:
            data = json.dumps(json_data).encode()
            headers.setdefault("Content-Type", "application/json")
        elif data is not None:
            headers.setdefault("Content-Type", "application/octet-stream")
        answer = http_client.request(
            method, self._address + endpoint, headers, data, self._ssl_context
        )
        refused = _refusal(answer)
        if refused:
            raise AuthenticationError(refused)
        return answer

    def _request_headers(self):
        headers = {name: str(value) for name, value in self._headers.items()}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
        return headers

    def _upload_package_if_needed(self, package):
        """Of a `ray._private.packages.Package`."""
        endpoint = f"/api/packages/{package.uri.replace('://', '/')}"
        known = self._do_request("GET", endpoint)
        if known.status_code == 200:
            logger.info(f"Package {package.uri} already exists, skipping upload.")
            return
        if known.status_code != 404:
            self._raise_error(known)
        logger.info(f"Uploading package {package.uri}.")
        answer = self._do_request("PUT", endpoint, data=package.data())
        if answer.status_code != 200:
            self._raise_error(answer)

    def get_version(self):
        """Of the Jobs API."""
        answer = self._do_request("GET", "/api/version")
        if answer.status_code != 200:
            self._raise_error(answer)
        return answer.json().get("version")

    def get_address(self):
        return self._address


def _refusal(answer):
    if answer.status_code == 401:
        return (
            f"Authentication required: {answer.text}\n\n"
            "Token authentication is enabled but no authentication token was found"
        )
    if answer.status_code == 403:
        return (
            f"Authentication failed: {answer.text}\n\nToken authentication is enabled but the "
            "authentication token is invalid or incorrect."
        )
    return None


def _version(text):
    """What can be compared of "2.60.0" or "3.0.0.dev0"."""
    parts = []
    for part in text.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return parts
