# SPDX-License-Identifier: Apache-2.0
"""What a program may ask of the autoscaler. The wish is kept where one reads it."""
import json

_KEY = "autoscaler_resource_request"


def request_resources(num_cpus=None, bundles=None, bundle_label_selectors=None):
    """Asks for a cluster that has these at once, until the next call says otherwise."""
    if num_cpus is not None and not isinstance(num_cpus, int):
        raise TypeError("num_cpus should be of type int.")
    _check_bundles(bundles)
    _check_selectors(bundles, bundle_label_selectors)
    from ray.experimental import internal_kv

    if not internal_kv._internal_kv_initialized():
        raise RuntimeError("Ray is not initialized yet")
    selectors = bundle_label_selectors or [{}] * len(bundles or [])
    wanted = [{"resources": {"CPU": 1}, "label_selector": {}}] * (num_cpus or 0)
    for bundle, selector in zip(bundles or [], selectors):
        wanted.append({"resources": bundle, "label_selector": selector})
    internal_kv._internal_kv_put(_KEY, json.dumps(wanted), overwrite=True)


def _check_bundles(bundles):
    if bundles is None:
        return
    if not isinstance(bundles, list):
        raise TypeError("bundles should be of type List")
    for bundle in bundles:
        if not isinstance(bundle, dict):
            raise TypeError("each bundle should be a Dict.")
        for key, value in bundle.items():
            if not isinstance(key, str):
                raise TypeError("each bundle key should be str.")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError("each bundle value should be a number (int or float).")


def _check_selectors(bundles, selectors):
    from ray._private.labels import label_selector_error

    if selectors is None:
        return
    if bundles is None:
        raise ValueError("`bundles` must be provided when `bundle_label_selectors` is specified.")
    if len(selectors) != len(bundles):
        raise ValueError(
            "`bundle_label_selector` must be a list with length equal to the number of bundles."
        )
    for selector in selectors:
        if not isinstance(selector, dict) or not all(
            isinstance(text, str) for pair in selector.items() for text in pair
        ):
            raise ValueError(
                "Bundle label selector must be a list of string dictionary label selectors. "
                'For example: `[{ray.io/market_type": "spot"}, {"ray.io/accelerator-type": "A100"}]`.'
            )
        error = label_selector_error(selector)
        if error:
            raise ValueError(
                "Invalid label selector provided in bundle_label_selectors list. "
                f"Detailed error: '{error}'"
            )
