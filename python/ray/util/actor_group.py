# SPDX-License-Identifier: Apache-2.0
"""Several actors of one class, called together. Deprecated in Ray; kept for who uses it."""
import dataclasses
import warnings
from typing import Any

import ray
from ray.util.annotations import RayDeprecationWarning


@dataclasses.dataclass
class ActorWrapper:
    """An actor, and what its method get_actor_metadata said."""

    actor: Any
    metadata: Any


class ActorGroupMethod:
    """A method of all actors: .remote() gives one reference an actor."""

    def __init__(self, actor_group, method_name):
        self._group = actor_group
        self._name = method_name

    def __call__(self, *args, **kwargs):
        raise TypeError(
            "ActorGroup methods cannot be called directly. Instead "
            f"of running 'object.{self._name}()', try 'object.{self._name}.remote()'."
        )

    def remote(self, *args, **kwargs):
        return [
            getattr(wrapper.actor, self._name).remote(*args, **kwargs)
            for wrapper in self._group.actors
        ]


class ActorGroup:
    """`ActorGroup(Class, num_actors=4).method.remote()`."""

    def __init__(
        self,
        actor_cls,
        num_actors=1,
        num_cpus_per_actor=1,
        num_gpus_per_actor=0,
        resources_per_actor=None,
        init_args=None,
        init_kwargs=None,
    ):
        warnings.warn(
            "ActorGroup is deprecated. Use ray.util.multiprocessing for tasks, or actors of your own.",
            RayDeprecationWarning,
            stacklevel=2,
        )
        if num_actors <= 0:
            raise ValueError(
                "The provided `num_actors` must be greater "
                f"than 0. Received num_actors={num_actors} instead."
            )
        if num_cpus_per_actor < 0 or num_gpus_per_actor < 0:
            raise ValueError(
                "The number of CPUs and GPUs per actor must not be negative. Received "
                f"num_cpus_per_actor={num_cpus_per_actor} and "
                f"num_gpus_per_actor={num_gpus_per_actor}."
            )
        self.actors = []
        self.num_actors = num_actors
        self._create = ray.remote(
            num_cpus=num_cpus_per_actor, num_gpus=num_gpus_per_actor, resources=resources_per_actor
        )(actor_cls)
        self._arguments = (init_args or (), init_kwargs or {})
        self.start()

    def __getattr__(self, item):
        if not self.__dict__.get("actors"):
            raise RuntimeError("This ActorGroup has been shutdown. Please start it again.")
        return ActorGroupMethod(self, item)

    def __len__(self):
        return len(self.actors)

    def __getitem__(self, item):
        return self.actors[item]

    def start(self):
        """Starts all actors; not twice without a shutdown()."""
        if self.actors:
            raise RuntimeError(
                "The actors have already been started. "
                "Please call `shutdown` first if you want to restart them."
            )
        self.add_actors(self.num_actors)

    def shutdown(self, patience_s=5):
        """Ends all actors: gracefully where that takes no longer than `patience_s` seconds."""
        waiting = True
        if patience_s > 0:
            ended = [wrapper.actor.__ray_terminate__.remote() for wrapper in self.actors]
            waiting = ray.wait(ended, num_returns=len(ended), timeout=patience_s)[1]
        if waiting:
            for wrapper in self.actors:
                ray.kill(wrapper.actor)
        self.actors = []

    def remove_actors(self, actor_indexes):
        self.actors = [w for i, w in enumerate(self.actors) if i not in actor_indexes]

    def add_actors(self, num_actors):
        args, kwargs = self._arguments
        new = [self._create.remote(*args, **kwargs) for _ in range(num_actors)]
        asked = [a.get_actor_metadata.remote() for a in new if "get_actor_metadata" in dir(a)]
        told = ray.get(asked) or [None] * len(new)
        self.actors += [ActorWrapper(actor, metadata) for actor, metadata in zip(new, told)]

    @property
    def actor_metadata(self):
        return [wrapper.metadata for wrapper in self.actors]
