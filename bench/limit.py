# SPDX-License-Identifier: Apache-2.0
"""Python's own limit on this machine: a bare loop that pickles a call and its result in one
process, without any transport. Prints JSON."""
import json
import pickle
import time


def small():
    return b"ok"


def main():
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < 1.5:
        for _ in range(1000):
            args = pickle.dumps(((), {}), 5)
            a, k = pickle.loads(args)
            pickle.loads(pickle.dumps(small(*a, **k), 5))
        count += 1000
    print(json.dumps({"calls": count / (time.perf_counter() - start)}))


if __name__ == "__main__":
    main()
