# SPDX-License-Identifier: Apache-2.0
"""Names for annotations: `def f() -> ray.types.ObjectRef[int]`."""
from typing import Generic, TypeVar

T = TypeVar("T")


class ObjectRef(Generic[T]):
    """Stands for a reference whose object is a T."""
