# SPDX-License-Identifier: Apache-2.0
"""joblib's backend "ray": `register_ray()`, then `with joblib.parallel_backend("ray"):`."""


def register_ray():
    try:
        from joblib.parallel import register_parallel_backend
    except ModuleNotFoundError as e:
        raise ImportError(
            "To use the ray backend you must install joblib. Try running 'pip install joblib'. See "
            "https://joblib.readthedocs.io/en/latest/installing.html for more information."
        ) from e
    from ray.util.joblib.ray_backend import RayBackend

    register_parallel_backend("ray", RayBackend)


__all__ = ["register_ray"]
