# SPDX-License-Identifier: Apache-2.0
"""The cluster's token: where it comes from, and the modes of RAY_AUTH_MODE."""
import os

_MORE = "see https://docs.ray.io/en/latest/ray-security/token-auth.html"


def _logger():
    import logging

    from ray._private import init

    init.set_up()
    return logging.getLogger(__name__)


def default_path():
    return os.path.join(os.path.expanduser("~"), ".ray", "auth_token")


def find():
    """The token: of RAY_AUTH_TOKEN, of the file of RAY_AUTH_TOKEN_PATH, of ~/.ray/auth_token."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    if token:
        return token.strip()
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        with open(path or default_path()) as file:
            token = file.read().strip()
    except OSError:
        token = None
    if path and not token:
        from ray.exceptions import AuthenticationError

        raise AuthenticationError(
            f"RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty: {path}"
        )
    return token or None


def _generate():
    import secrets

    token, path = secrets.token_hex(32), default_path()
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(token)
    except OSError as e:
        # A user without a home, as in many containers: this cluster can do without the file.
        _logger().warning(
            f"The new authentication token could not be saved to {path} ({e.strerror}): only this "
            "process can use its cluster. Set RAY_AUTH_TOKEN to share it."
        )
        return token
    _logger().info(f"Generated new authentication token and saved to {path}")
    return token


def _mode():
    mode = os.environ.get("RAY_AUTH_MODE")
    return mode if mode is None else mode.lower()


def for_requests():
    """The token that a request to a dashboard carries, where there is one and tokens are not disabled."""
    return None if _mode() == "disabled" else find()


def required():
    """Did the user say that clusters have tokens?"""
    return _mode() == "token"


def for_new_cluster(say):
    """The token of a cluster that init() starts: on unless the user said otherwise. `say` gets a
    warning."""
    if _mode() is None:
        os.environ["RAY_AUTH_MODE"] = "token"
        say(
            "Token authentication is enabled for this Ray cluster. Set "
            f"RAY_AUTH_MODE=disabled to opt out. For more information, {_MORE}"
        )
    if _mode() != "token":
        return None
    return find() or _generate()


def for_existing_cluster(found_automatically):
    """The token to show to a running cluster. A local one, found by itself, may turn it on."""
    if _mode() is None and found_automatically and find():
        os.environ["RAY_AUTH_MODE"] = "token"
        _logger().warning(
            "Token authentication is enabled for this Ray cluster. Set "
            f"RAY_AUTH_MODE=disabled to opt out. For more information, {_MORE}"
        )
    if _mode() != "token":
        return None
    token = find()
    if token is None:
        from ray.exceptions import AuthenticationError

        raise AuthenticationError("Token authentication is enabled but no authentication token was found")
    return token
