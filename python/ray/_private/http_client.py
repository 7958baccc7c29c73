# SPDX-License-Identifier: Apache-2.0
"""HTTP as clients of the dashboard need it: any status is an answer."""
import http.client
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


class _Redirects(urllib.request.HTTPRedirectHandler):
    """What lets us in is not for another host, to which a login page may lead."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        to = super().redirect_request(req, fp, code, msg, headers, newurl)
        if to is not None and (to.host != req.host or to.type not in (req.type, "https")):
            to.remove_header("Authorization")
            to.remove_header("Cookie")
        return to


def request(method, url, headers, data, context, timeout=TIMEOUT):
    """Sends it, by the proxies of the environment; ConnectionError when nobody answers."""
    question = urllib.request.Request(url, data=data, headers=headers, method=method)
    handlers = [urllib.request.HTTPSHandler(context=context)] if url.startswith("https:") else []
    opener = urllib.request.build_opener(_Redirects, *handlers)
    try:
        with opener.open(question, timeout=timeout) as answer:
            return Response(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as e:
        with e:
            return Response(e.code, e.headers, e.read())
    except urllib.error.URLError as e:
        raise ConnectionError(f"{method} {url}: {e.reason}") from e
    except (OSError, http.client.BadStatusLine, http.client.IncompleteRead) as e:
        raise ConnectionError(f"{method} {url}: {e}") from e
