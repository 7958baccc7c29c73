# SPDX-License-Identifier: Apache-2.0
"""The client of the Jobs REST API."""
import logging
import urllib.parse

import ray
from ray._private import packages, websocket
from ray.dashboard.modules.dashboard_sdk import (
    SubmissionClient,
    get_address_for_submission_client,
)
from ray.dashboard.modules.job.common import JobSubmitRequest
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.runtime_env import RuntimeEnv

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


def _check_arguments(address, create_cluster_if_needed, cookies, metadata, headers, verify):
    def check(name, value, kinds, words):
        if not isinstance(value, kinds):
            raise TypeError(f"{name} must be {words}, got {type(value)}")

    if address is not None:
        check("address", address, str, "a string")
    check("create_cluster_if_needed", create_cluster_if_needed, bool, "a bool")
    for name, value in (("cookies", cookies), ("metadata", metadata), ("headers", headers)):
        if value is not None:
            check(name, value, dict, "a dict")
    check("verify", verify, (str, bool), "a str or bool")


class JobSubmissionClient(SubmissionClient):
    """Submits jobs to a cluster and asks for them, by its dashboard at `address`.

    RAY_API_SERVER_ADDRESS and RAY_ADDRESS override `address`. `metadata` is added to each job's;
    `cookies` and `headers` go with each request; `verify` is False, or the path of certificates to
    trust, for https.
    """

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
        _check_arguments(address, create_cluster_if_needed, cookies, metadata, headers, verify)
        super().__init__(
            get_address_for_submission_client(address),
            create_cluster_if_needed=create_cluster_if_needed,
            cookies=cookies,
            metadata=metadata,
            headers=headers,
            verify=verify,
            **kwargs,
        )
        self._check_connection_and_version(
            min_version="1.9",
            version_error_message="Jobs API is not supported on the Ray cluster. Please ensure "
            "the cluster is running Ray 1.9 or higher.",
        )
        self._check_connection_and_version(
            min_version="2.0",
            version_error_message=f"Client Ray version {ray.__version__} is not compatible with the "
            "Ray cluster. Please ensure the cluster is running Ray 2.0 or higher or downgrade the "
            "client Ray version.",
        )

    def submit_job(
        self,
        *,
        entrypoint,
        job_id=None,
        runtime_env=None,
        metadata=None,
        submission_id=None,
        entrypoint_num_cpus=None,
        entrypoint_num_gpus=None,
        entrypoint_memory=None,
        entrypoint_resources=None,
        entrypoint_label_selector=None,
    ):
        """Runs `entrypoint`, a shell command, on the cluster once; returns the submission's id.

        Local directories of `runtime_env` are uploaded first. `job_id` is the old name of
        `submission_id`; what `entrypoint_*` says is taken from a node for the command itself.
        """
        if job_id:
            logger.warning("job_id kwarg is deprecated. Please use submission_id instead.")
        request = JobSubmitRequest(
            entrypoint=entrypoint,
            submission_id=submission_id or job_id,
            runtime_env=self._sent_env(runtime_env),
            metadata={**(metadata or {}), **self._default_metadata},
            entrypoint_num_cpus=entrypoint_num_cpus,
            entrypoint_num_gpus=entrypoint_num_gpus,
            entrypoint_memory=entrypoint_memory,
            entrypoint_resources=entrypoint_resources,
            entrypoint_label_selector=entrypoint_label_selector,
        )
        body = {name: value for name, value in vars(request).items() if value is not None}
        return self._answer("POST", "/api/jobs/", json_data=body)["submission_id"]

    def _sent_env(self, runtime_env):
        """The environment as the cluster takes it, what is local in it uploaded."""
        env = runtime_env or {}
        named, local = packages.named(env)
        if env.get("excludes"):
            named["excludes"] = env["excludes"]
        for package in local:
            self._upload_package_if_needed(package)
        hook = named.get("worker_process_setup_hook")
        if hook and not isinstance(hook, str):
            raise ValueError(
                f"Invalid type {type(hook)} for `worker_process_setup_hook`. "
                "When a job submission API is used, `worker_process_setup_hook` "
                "only allows a string type (module name). "
                "Specify `worker_process_setup_hook` via "
                "ray.init within a driver to use a `Callable` type. "
            )
        return RuntimeEnv(**named).to_dict()

    def _answer(self, method, endpoint, **more):
        answer = self._do_request(method, endpoint, **more)
        if answer.status_code != 200:
            self._raise_error(answer)
        return answer.json()

    def stop_job(self, job_id):
        """Asks a job to end; False if it has ended. It is killed when it does not in time."""
        return self._answer("POST", _path(job_id, "/stop"))["stopped"]

    def delete_job(self, job_id):
        """Forgets a job that has ended. Its logs stay on disk."""
        return self._answer("DELETE", _path(job_id))["deleted"]

    def get_job_info(self, job_id):
        """The JobDetails of a submission's id or of a job's."""
        return JobDetails(**self._answer("GET", _path(job_id)))

    def list_jobs(self):
        """The JobDetails of all jobs, those that have ended too."""
        return [JobDetails(**job) for job in self._answer("GET", "/api/jobs/")]

    def get_job_status(self, job_id):
        """The job's JobStatus."""
        return self.get_job_info(job_id).status

    def get_job_logs(self, job_id):
        """All that the entrypoint has printed so far."""
        return self._answer("GET", _path(job_id, "/logs"))["logs"]

    async def tail_job_logs(self, job_id):
        """Yields what the entrypoint prints, from its beginning until the job ends."""
        url = self._address + _path(job_id, "/logs/tail")
        async with await websocket.WebSocket.connect(
            url, self._request_headers(), self._ssl_context
        ) as connection:
            async for text in connection.texts():
                yield text
        logger.info(f"WebSocket closed for job {job_id} with close code {connection.close_code}")
        if connection.close_code == websocket.ABNORMAL:
            raise RuntimeError(
                "WebSocket connection closed unexpectedly with close code "
                f"{connection.close_code}"
            )


def _path(job_id, rest=""):
    return f"/api/jobs/{urllib.parse.quote(job_id, safe='')}{rest}"
