# SPDX-License-Identifier: Apache-2.0
"""Jobs from Python: `JobSubmissionClient("http://head:8265").submit_job(entrypoint="...")`."""
from ray.dashboard.modules.job.common import JobErrorType, JobInfo, JobStatus
from ray.dashboard.modules.job.pydantic_models import DriverInfo, JobDetails, JobType
from ray.dashboard.modules.job.sdk import JobSubmissionClient

__all__ = [
    "JobSubmissionClient",
    "JobStatus",
    "JobErrorType",
    "JobInfo",
    "JobDetails",
    "DriverInfo",
    "JobType",
]
