# SPDX-License-Identifier: Apache-2.0
from ray import __commit__ as commit  # noqa: F401
from ray import __version__ as version  # noqa: F401
