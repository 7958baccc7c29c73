# SPDX-License-Identifier: Apache-2.0
"""The user's metrics."""


def test_metrics_of_users(ray):
    """From the driver and from a worker, at the node's metrics port."""
    out = ray.run(
        """
        import time
        import urllib.request
        import ray
        from ray.util.metrics import Counter, Gauge, Histogram

        ray.init(num_cpus=1)

        @ray.remote
        class Worker:
            def __init__(self):
                self.calls = Counter("calls", description="what was called", tag_keys=("who",))
                self.times = Histogram("times", boundaries=[1.0, 10.0])

            def record(self):
                self.calls.inc(2, tags={"who": "me"})
                self.times.observe(0.5)
                self.times.observe(5)

        worker = Worker.remote()
        ray.get([worker.record.remote() for _ in range(3)])
        Gauge("level").set(7)
        port = ray.nodes()[0]["MetricsExportPort"]
        wanted = ("ray_calls_total{", "ray_level{", "ray_times_bucket{", "ray_times_count{")
        for _ in range(200):
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            lines = [l for l in text.splitlines() if l.startswith(wanted)]
            if len(lines) == 6 and any("ray_calls_total" in l and l.endswith(" 6") for l in lines):
                break
            time.sleep(0.05)
        for line in sorted(lines, key=lambda l: l.split('{')[0]):
            print(line.split("{")[0], [w for w in ("who", "le") if f'{w}="' in line], line.split()[-1])
        print("# TYPE ray_calls_total counter" in text, "# HELP ray_calls_total what was called" in text)
        """
    )
    assert out.splitlines() == [
        "ray_calls_total ['who'] 6",
        "ray_level [] 7",
        "ray_times_bucket ['le'] 3",
        "ray_times_bucket ['le'] 6",
        "ray_times_bucket ['le'] 6",
        "ray_times_count [] 6",
        "True True",
    ]
