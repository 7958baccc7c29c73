# SPDX-License-Identifier: Apache-2.0
"""Python's own limits on this machine: bare loops that pickle a call and its result, or only a value, in
one process and without any transport. Prints JSON: a second of each."""
import json
import pickle
import time

VALUE = pickle.dumps(0, 5)


class Reference:
    """What a reference costs to rebuild, at least: an object of its bytes."""

    def __init__(self, binary):
        self.binary = binary

    def __reduce__(self):
        return Reference, (self.binary,)


def small():
    return b"ok"


def call():
    args, kwargs = pickle.loads(pickle.dumps(((), {}), 5))
    pickle.loads(pickle.dumps(small(*args, **kwargs), 5))


def rate(step, count=1000):
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < 1:
        for _ in range(count):
            step()
        done += count
    return done / (time.perf_counter() - start)


def main():
    references = pickle.dumps([Reference(i.to_bytes(28, "little")) for i in range(10000)], 5)
    print(json.dumps({"calls": rate(call), "loads": rate(lambda: pickle.loads(VALUE)),
                      "dumps": rate(lambda: pickle.dumps(0, 5)),
                      "references": rate(lambda: pickle.loads(references), 1)}))


if __name__ == "__main__":
    main()
