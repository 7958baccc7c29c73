# SPDX-License-Identifier: Apache-2.0
"""Under the old name of ray.util.state."""
