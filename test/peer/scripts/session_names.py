# SPDX-License-Identifier: Apache-2.0
import warnings

import ray

warnings.simplefilter("ignore")
# Of the rest of __all__: libraries, what is private, and cpp_function, which Ray names but lacks.
LEFT_OUT = {"_config", "autoscaler", "cpp_function", "data", "internal", "widgets", "workflow"}
names = sorted(set(ray.__all__) - LEFT_OUT)
print(names)
for name in names:
    thing = getattr(ray, name)
    kind = "class" if isinstance(thing, type) else type(thing).__name__
    print(name, kind if kind in ("class", "str", "int", "module") else callable(thing))
print(ray.worker.global_worker is ray._private.worker.global_worker)
print(ray.SCRIPT_MODE, ray.WORKER_MODE, [str(k) for k in (ray.Language.PYTHON, ray.Language.JAVA)])
print(issubclass(ray.ObjectID, ray.ObjectRef), ray.ObjectRef.size(), ray.DynamicObjectRefGenerator.__name__)
try:
    ray.nothing_of_the_kind
except AttributeError as e:
    print(e)
