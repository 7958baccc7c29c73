# SPDX-License-Identifier: Apache-2.0
"""HTTP as clients of the dashboard need it: any status is an answer."""
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request

# Of silence on the connection, not of the whole answer: a package may take long to arrive.
TIMEOUT = 300


class RequestError(OSError):
    """Somebody answers, but nothing that could be used; in the words of `requests`."""


class Response:
    """An answer, with the names by which `requests` tells it."""

    def __init__(self, answer):
        self.status_code = answer.status
        self.headers = answer.headers
        self.reason = answer.reason
        self.url = answer.url
        self.content = answer.read()

    def raise_for_status(self):
        if 400 <= self.status_code < 600:
            whose = "Client" if self.status_code < 500 else "Server"
            raise RequestError(
                f"{self.status_code} {whose} Error: {self.reason} for url: {self.url}"
            )

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
    """As `requests` follows them: also of a PUT or a DELETE, and with the body where the answer says
    so. What lets us in is not for another host, to which a login page may lead."""

    MOST = 30
    max_redirections = max_repeats = MOST + 1  # urllib's own limits: ours comes first

    def http_error_302(self, req, fp, code, msg, headers):
        to = urllib.parse.urljoin(req.full_url, headers.get("location", ""))
        if urllib.parse.urlsplit(to).scheme not in ("http", "https"):
            raise RequestError(f"No connection adapters were found for {to!r}")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        followed = getattr(req, "followed", 0) + 1
        if followed > self.MOST:
            raise RequestError(f"Exceeded {self.MOST} redirects.")
        method, sent = req.get_method(), dict(req.header_items())
        if code in (302, 303) or (code == 301 and method == "POST"):
            method = "GET"
        keeps_body = code in (307, 308)
        if not keeps_body:
            sent = {name: value for name, value in sent.items() if name != "Content-type"}
        for name in ("Host", "Content-length"):
            sent.pop(name, None)
        to = urllib.request.Request(
            newurl,
            data=req.data if keeps_body else None,
            headers=sent,
            origin_req_host=req.origin_req_host,
            unverifiable=True,
            method=method,
        )
        to.followed = followed
        if to.host != req.host or to.type not in (req.type, "https"):
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
            return Response(answer)
    except urllib.error.HTTPError as e:
        with e:
            return Response(e)
    except RequestError:
        raise
    except urllib.error.URLError as e:
        raise ConnectionError(f"{method} {url}: {e.reason}") from e
    except (OSError, http.client.BadStatusLine, http.client.IncompleteRead) as e:
        raise ConnectionError(f"{method} {url}: {e}") from e
