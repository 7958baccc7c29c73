# SPDX-License-Identifier: Apache-2.0
"""HTTP as clients of the dashboard need it: any status is an answer."""
import json
import ssl
import urllib.error
import urllib.request

# Of silence on the connection, not of the whole answer: a package may take long to arrive.
TIMEOUT = 300


class Response:
    """An answer, with the names by which `requests` tells it."""

    def __init__(self, status_code, headers, content):
        self.status_code = status_code
        self.headers = headers
        self.content = content

    @property
    def ok(self):
        return self.status_code < 400

    @property
    def text(self):
        return self.content.decode(errors="replace")

    def json(self):
        return json.loads(self.content)


def tls_context(verify):
    """Of `verify`: True, False (no checks), or the path of certificates to trust."""
    import os

    if isinstance(verify, str):
        folder = os.path.isdir(verify)
        return ssl.create_default_context(
            cafile=None if folder else verify, capath=verify if folder else None
        )
    return ssl.create_default_context() if verify else ssl._create_unverified_context()


def request(method, url, headers, data, context, timeout=TIMEOUT):
    """Sends it, by the proxies of the environment; ConnectionError when nobody answers."""
    question = urllib.request.Request(url, data=data, headers=headers, method=method)
    handlers = [urllib.request.HTTPSHandler(context=context)] if url.startswith("https:") else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(question, timeout=timeout) as answer:
            return Response(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as e:
        with e:
            return Response(e.code, e.headers, e.read())
    except urllib.error.URLError as e:
        raise ConnectionError(f"{method} {url}: {e.reason}") from e
    except OSError as e:
        raise ConnectionError(f"{method} {url}: {e}") from e
