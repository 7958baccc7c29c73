# SPDX-License-Identifier: Apache-2.0
"""JobSubmissionClient of our own Python against our head."""
import subprocess
import sys
import textwrap

from conftest import Cluster

BEGIN = """
import asyncio, json, os, pathlib, sys, time
from ray.job_submission import JobStatus, JobSubmissionClient
URL = {url!r}

def ended(client, job):
    deadline = time.monotonic() + 60
    while not client.get_job_status(job).is_terminal():
        assert time.monotonic() < deadline, client.get_job_info(job)
        time.sleep(0.05)
    return client.get_job_info(job)

async def tail(client, job):
    return "".join([text async for text in client.tail_job_logs(job)])
"""


def run(cluster, script, code=0, **environment):
    env = {**cluster.env, **environment}
    env.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(url=cluster.url) + textwrap.dedent(script)],
        env=env, capture_output=True, text=True, timeout=120, cwd=cluster.home)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_job_from_its_submission_to_its_end(shared_cluster):
    run(shared_cluster, """
        client = JobSubmissionClient(URL)
        assert client.get_version() == "4" and client.get_address() == URL
        job = client.submit_job(entrypoint="echo one; sleep 1; echo zwölf; exit 3", metadata={"a": "b"})
        assert job in [details.submission_id for details in client.list_jobs()]
        text = asyncio.run(tail(client, job))  # while it runs: and it waits for the end
        assert text.endswith("one\\nzwölf\\n"), text
        details = ended(client, job)
        assert details.status is JobStatus.FAILED and details.driver_exit_code == 3
        assert details.metadata == {"a": "b"} and client.get_job_logs(job) == text
        assert client.delete_job(job) is True
        try:
            client.get_job_info(job)
        except RuntimeError as e:
            assert str(e) == f"Request failed with status code 404: Job {job} does not exist."
    """)


def test_what_is_local_is_uploaded(shared_cluster, home):
    folder, module = home / "wd", home / "package"
    folder.mkdir()
    module.mkdir()
    (folder / "main.py").write_text(
        "import glob, one_file, package\n"
        "print('saw', one_file.value, package.value, sorted(glob.glob('*')))\n")
    (folder / "left.out").write_text("no")
    (module / "__init__.py").write_text("value = 2\n")
    (home / "one_file.py").write_text("value = 1\n")
    out = run(shared_cluster, f"""
        home = pathlib.Path({str(home)!r})
        sys.path.insert(0, str(home))
        import package
        client = JobSubmissionClient(URL)
        env = {{"working_dir": home / "wd", "excludes": ["*.out"],
               "py_modules": [package, str(home / "one_file.py")]}}
        for _ in range(2):  # the second time everything is there already
            job = client.submit_job(entrypoint="python main.py", runtime_env=env)
            assert ended(client, job).status == "SUCCEEDED", client.get_job_logs(job)
            print(client.get_job_logs(job))
        assert env["working_dir"] == home / "wd"  # the caller's own is as it was
        assert client.get_job_info(job).runtime_env["excludes"] == ["*.out"]
    """)
    assert out.count("saw 1 2 ['main.py']\n") == 2, out
    assert out.count("Uploading package") == 3 and out.count("skipping upload") == 3, out


def test_addresses(shared_cluster):
    """Of the dashboard, of gcs, of the cluster that runs here: also where the port is not 8265."""
    run(shared_cluster, f"""
        for address in (URL + "/", "127.0.0.1:{shared_cluster.port}", "auto", None):
            assert JobSubmissionClient(address).get_address() == URL, address
        os.environ["RAY_ADDRESS"] = "127.0.0.1:{shared_cluster.port}"
        assert JobSubmissionClient("http://127.0.0.1:1").get_address() == URL
        try:
            JobSubmissionClient("127.0.0.1:1")
        except ConnectionError:
            sys.exit(7)
    """.replace('JobSubmissionClient("127.0.0.1:1")',
                'os.environ.pop("RAY_ADDRESS"); JobSubmissionClient("127.0.0.1:1")'), code=7)


def test_servers_that_are_no_dashboard(shared_cluster):
    run(shared_cluster, """
        import socket, threading
        os.environ.pop("RAY_ADDRESS", None)

        def serve(host, reply, seen):
            listener = socket.create_server((host, 0))
            def answer():
                with listener.accept()[0] as connection:
                    seen.append(connection.recv(65536).decode())
                    connection.sendall(reply)
            threading.Thread(target=answer, daemon=True).start()
            return "http://%s:%d" % listener.getsockname()

        def ask(url):
            try:
                JobSubmissionClient(url, headers={"Authorization": "Bearer x"}, cookies={"c": "d"})
            except ConnectionError as e:
                return str(e)

        for reply in (b"", b"\\0\\0 no HTTP", b"HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\n{"):
            url = serve("127.0.0.1", reply, [])
            assert ask(url) == f"Failed to connect to Ray at address: {url}.", reply

        near, far, moved = [], [], "HTTP/1.1 302 Found\\r\\nContent-Length: 0\\r\\nLocation: "
        login = serve("127.0.0.2", b"", far)
        ask(serve("127.0.0.1", f"{moved}{login}/login\\r\\n\\r\\n".encode(), near))
        assert "Bearer x" in near[0] and "c=d" in near[0]
        assert "GET /login" in far[0] and "Bearer" not in far[0] and "c=d" not in far[0], far
    """)


def test_answers_that_are_no_use(shared_cluster):
    """As the peer's client, which asks by `requests`, takes them."""
    run(shared_cluster, """
        import http.server, threading
        os.environ.pop("RAY_ADDRESS", None)
        VERSION = '{"version": "4", "ray_version": "2.60.0"}'
        asked = []

        class Server(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def any(self):
                _, kind, rest = self.path.split("/", 2)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked.append((self.command, kind, len(body) > 0, "content-type" in self.headers))
                status, where, text = 200, None, VERSION
                if kind == "loop":
                    status, where = 302, self.path
                elif kind.startswith("far"):
                    status, where = 302, f"/far{int(kind[3:]) + 1}/{rest}"
                elif kind == "ftp":
                    status, where = 302, "ftp://127.0.0.1/x"
                elif kind.startswith("moved") and rest != "api/version":
                    status, where = int(kind[5:]), "/there/x"
                elif kind.startswith("error"):
                    status, text = int(kind[5:]), "sorry"
                self.send_response(status)
                if where:
                    self.send_header("Location", where)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = do_DELETE = any

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"

        for kind, times, words in (
            ("loop", 31, "Exceeded 30 redirects."),
            ("far0", 31, "Exceeded 30 redirects."),
            ("ftp", 1, "No connection adapters were found for 'ftp://127.0.0.1/x'"),
            ("error500", 1, "500 Server Error: Internal Server Error for url: "),
            ("error418", 1, "418 Client Error: I'm a Teapot for url: "),
        ):
            asked.clear()
            try:
                JobSubmissionClient(f"{here}/{kind}")
                raise SystemExit(kind)
            except OSError as e:
                assert not isinstance(e, ConnectionError) and len(asked) == times, (kind, asked)
                where = f"{here}/{kind}/api/version" if kind.startswith("error") else ""
                assert str(e) == words + where, e

        for status, post, delete, put in (
            (301, "GET", "DELETE", "PUT"), (302, "GET", "GET", "GET"), (303, "GET", "GET", "GET"),
            (307, "POST", "DELETE", "PUT"), (308, "POST", "DELETE", "PUT"),
        ):
            client = JobSubmissionClient(f"{here}/moved{status}")
            kept = status in (307, 308)
            for method, then, data in (("POST", post, b"x"), ("DELETE", delete, None), ("PUT", put, b"x")):
                asked.clear()
                assert client._do_request(method, "/x", data=data).status_code == 200
                body = data is not None
                assert asked == [(method, f"moved{status}", body, body),
                                 (then, "there", body and kept, body and kept)], asked
    """)


def test_a_log_that_nobody_can_follow(shared_cluster):
    run(shared_cluster, """
        from ray._private.websocket import HandshakeError
        client = JobSubmissionClient(URL)
        try:
            asyncio.run(tail(client, "no such job"))
        except HandshakeError as e:
            assert e.status == 404 and "no such job" in str(e), e
            sys.exit(7)
    """, code=7)


def test_tokens(home):
    cluster = Cluster(home, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="s3cret")
    cluster.start()
    try:
        run(cluster, """
            from ray.exceptions import AuthenticationError
            client = JobSubmissionClient(URL)
            job = client.submit_job(entrypoint="echo with a token")
            assert "with a token" in asyncio.run(tail(client, job))
            os.environ["RAY_AUTH_MODE"] = "disabled"
            for headers, words in ((None, "Authentication required"),
                                   ({"Authorization": "Bearer no"}, "Authentication failed")):
                try:
                    JobSubmissionClient(URL, headers=headers)
                    raise SystemExit(1)
                except AuthenticationError as e:
                    assert words in str(e), e
            JobSubmissionClient(URL, cookies={"ray-authentication-token": "s3cret"}).list_jobs()
            JobSubmissionClient(URL, headers={"X-Ray-Authorization": "Bearer s3cret"}).list_jobs()
        """)
    finally:
        cluster.stop()
