# SPDX-License-Identifier: Apache-2.0
"""The dashboard's clients, under the names that programs import. The dashboard itself is no Python."""
