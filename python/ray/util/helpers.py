# SPDX-License-Identifier: Apache-2.0
"""Iterating over results as they come."""
import ray


def _check(chunk_size, options, name):
    if chunk_size < 1:
        raise ValueError("`chunk_size` must be >= 1")
    if "num_returns" in options:
        raise ValueError(f"Use the `{name}` argument instead of `num_returns`.")


def _next_chunk(refs, chunk_size, yield_obj_refs, options):
    ready, rest = ray.wait(refs, num_returns=min(chunk_size, len(refs)), **options)
    return (ready if yield_obj_refs else ray.get(ready)), rest


def as_completed(refs, *, chunk_size=10, yield_obj_refs=False, **kwargs):
    """The values (or the references) of `refs` in the order in which they are ready."""
    _check(chunk_size, kwargs, "chunksize")
    refs = list(refs)
    while refs:
        results, refs = _next_chunk(refs, chunk_size, yield_obj_refs, kwargs)
        yield from results


def map_unordered(
    fn, items, *, backpressure_size=100, chunk_size=10, yield_obj_refs=False, **kwargs
):
    """The results of fn.remote(item), as they come; at most `backpressure_size` are under way."""
    if backpressure_size is not None and backpressure_size <= 0:
        raise ValueError("backpressure_size must be positive.")
    _check(chunk_size, kwargs, "chunk_size")
    refs = []
    for item in items:
        refs.append(fn.remote(item))
        if backpressure_size is not None and len(refs) >= backpressure_size:
            results, refs = _next_chunk(refs, chunk_size, yield_obj_refs, kwargs)
            yield from results
    yield from as_completed(
        refs, chunk_size=chunk_size, yield_obj_refs=yield_obj_refs, **kwargs
    )
