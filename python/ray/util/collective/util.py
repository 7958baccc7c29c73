# SPDX-License-Identifier: Apache-2.0
import ray


@ray.remote
class Info:
    """What create_collective_group() declared, for the actors to ask for; a named actor."""

    def __init__(self):
        self.info = (None, -1, -1, None, 30000)

    def set_info(self, ids, world_size, rank, backend, gloo_timeout):
        self.info = (ids, world_size, rank, backend, gloo_timeout)

    def get_info(self):
        return self.info
