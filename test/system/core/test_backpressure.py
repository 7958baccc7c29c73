# SPDX-License-Identifier: Apache-2.0
"""Who sends faster than another daemon takes has to wait: what lies between them is bounded."""
import os
import signal
import subprocess
import sys
import time

from core_session import until
from head import sanitized

CALLS, SIZE = 200, 2 << 20
KEPT = 64 << 20  # calls that gcs has not answered (CROWDED_BYTES), twice: the link keeps them as well

SCRIPT = f"""
import sys
import threading
import ray
from ray.experimental import internal_kv
ray.init(num_cpus=1, include_dashboard=False)

def put(number):
    internal_kv._internal_kv_put(b"key %d" % number, bytes([number]) * {SIZE})

threads = [threading.Thread(target=put, args=(number,)) for number in range({CALLS})]
print("ready", flush=True)
sys.stdin.readline()  # gcs takes nothing from here on
for thread in threads:
    thread.start()
print("sent", flush=True)
for thread in threads:
    thread.join()
print(all(internal_kv._internal_kv_get(b"key %d" % number) == bytes([number]) * {SIZE}
          for number in range({CALLS})))
"""


def memory_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon:"))


def settled(pid):
    """The memory of a process once it has not grown for a second."""
    size, since = memory_of(pid), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.05)
        if memory_of(pid) > size + (1 << 20):
            size, since = memory_of(pid), time.monotonic()
    return size


def test_a_gcs_that_takes_nothing_holds_its_callers_back(ray):
    driver = subprocess.Popen([sys.executable, "-c", SCRIPT], env=ray.environment, cwd=ray.folder,
                              text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stopped = None
    try:
        assert driver.stdout.readline() == "ready\n", ray.logs()
        pids = {line.split()[1]: pid for pid, line in ray.processes().items()
                if line.startswith("mobula ")}
        idle = memory_of(pids["raylet"])
        stopped = pids["gcs"]
        os.kill(stopped, signal.SIGSTOP)
        driver.stdin.write("\n")
        driver.stdin.flush()
        assert driver.stdout.readline() == "sent\n"
        assert until(lambda: memory_of(pids["raylet"]) - idle > KEPT, seconds=30)
        # A sanitizer keeps what is freed from coming back into use.
        assert sanitized() or settled(pids["raylet"]) - idle < 3 * KEPT
        os.kill(stopped, signal.SIGCONT)
        stopped = None
        out, _ = driver.communicate(timeout=60)
        assert out == "True\n", ray.logs()
    finally:
        if stopped:
            os.kill(stopped, signal.SIGCONT)
        driver.kill()
        driver.wait()
