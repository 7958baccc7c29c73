# SPDX-License-Identifier: Apache-2.0
"""Traces of calls by OpenTelemetry: not there yet. Nothing is traced."""
