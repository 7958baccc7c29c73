# SPDX-License-Identifier: Apache-2.0
"""Labels of nodes and selectors over them: Kubernetes' syntax, with `!`, `in()` and `!in()`."""
import re

_PART = r"([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)"
_PREFIX = re.compile(rf"^({_PART}?(\.{_PART}?)*)$")
_VALUE = re.compile(_PART)
_SELECTOR = re.compile(rf"^!?(?:in)?\({_PART}(?:, ?{_PART})*\)$|^!?{_PART}$")

_WORDS = (
    "63 chars or less beginning and ending "
    "with an alphanumeric character ([a-z0-9A-Z]) with dashes (-), underscores (_),"
    "dots (.), and alphanumerics between."
)


def label_key_error(key):
    name = key
    if "/" in key:
        prefix, name = key.rsplit("/", 1)
        if len(prefix) > 253 or not _PREFIX.fullmatch(prefix):
            return (
                f"Invalid label key prefix `{prefix}`. Prefix must be a series of DNS labels "
                f"separated by dots (.), not longer than 253 characters in total."
            )
    if len(name) > 63 or not _VALUE.fullmatch(name):
        return f"Invalid label key name `{name}`. Name must be {_WORDS}"


def label_selector_error(selector):
    for key, value in (selector or {}).items():
        sentence = label_key_error(key)
        if not sentence and value and not _SELECTOR.fullmatch(value):
            sentence = (
                f"Invalid label selector value `{value}`. The label selector value should contain "
                "optional operators and a label value. Supported operators are: ! and {'in'}. "
                f"Value must be {_WORDS}"
            )
        if sentence:
            return sentence


def fallback_strategy_error(strategies):
    for strategy in strategies or ():
        if not isinstance(strategy, dict):
            return "Each element in fallback_strategy must be a dictionary."
        if not strategy:
            return "Empty dictionary found in `fallback_strategy`."
        for option in strategy:
            if option != "label_selector":
                return (
                    f"Unsupported option found: '{option}'. "
                    "Only ['label_selector'] is currently supported."
                )
        selector = strategy.get("label_selector")
        if selector:
            if not isinstance(selector, dict):
                return 'The value of "label_selector" must be a dictionary.'
            sentence = label_selector_error(selector)
            if sentence:
                return sentence


def validate_node_labels(labels):
    """Raises ValueError unless every key and value has the syntax of a label."""
    for key, value in (labels or {}).items():
        sentence = label_key_error(key)
        if sentence:
            raise ValueError(sentence)
        if value and (len(value) > 63 or not _VALUE.fullmatch(value)):
            raise ValueError(f"Invalid label key value `{value}`. Value must be {_WORDS}")
