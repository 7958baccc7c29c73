# SPDX-License-Identifier: Apache-2.0
"""Parallel iterators (deprecated in Ray): the items of several actors, transformed where they are.

A shard is an actor that produces items and the steps that each item goes through there. A step is a
function from iterator to iterator, so that a chain of them is lazy, and pickled by value. What is
gathered is a LocalIterator, whose further steps run in the process that reads it.
"""
import collections
import functools
import itertools
import random
import time

import ray

# ---- steps ------------------------------------------------------------------------------------


def _mapped(function, items):
    return map(function, items)


def _mapped_by_tasks(function, limit, options, items):
    """By tasks, at most `limit` at a time (0: any number), as they become ready."""
    task = ray.remote(function).options(**(options or {}))
    running = []
    for item in items:
        if limit and len(running) >= limit:
            ready, running = ray.wait(running)
            yield from ray.get(ready)
        running.append(task.remote(item))
    while running:
        ready, running = ray.wait(running)
        yield from ray.get(ready)


def _batched(size, items):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _shuffled(size, seed, items):
    """Each item waits in a buffer of `size` of which one leaves by chance."""
    chance, buffer = random.Random(seed), []
    for item in items:
        buffer.append(item)
        if len(buffer) >= size:
            yield buffer.pop(chance.randrange(len(buffer)))
    while buffer:
        yield buffer.pop(chance.randrange(len(buffer)))


def _through(steps, items):
    for step in steps:
        items = step(items)
    return iter(items)


class _Steps:
    """What parallel and local iterators have in common: each method adds a step."""

    def _with(self, step, name):
        raise NotImplementedError

    def transform(self, fn):
        """`fn` is a function from iterator to iterator."""
        return self._with(fn, ".transform()")

    def for_each(self, fn, max_concurrency=1, resources=None):
        assert max_concurrency >= 0, "max_concurrency must be non-negative."
        if max_concurrency == 1:
            step = functools.partial(_mapped, fn)
        else:
            step = functools.partial(_mapped_by_tasks, fn, max_concurrency, resources)
        return self._with(step, ".for_each()")

    def filter(self, fn):
        return self._with(functools.partial(filter, fn), ".filter()")

    def batch(self, n):
        return self._with(functools.partial(_batched, n), f".batch({n})")

    def flatten(self):
        return self._with(itertools.chain.from_iterable, ".flatten()")

    def combine(self, fn):
        """for_each(fn).flatten()"""
        combined = self.for_each(fn).flatten()
        combined.name = self.name + ".combine()"
        return combined

    def __str__(self):
        return repr(self)

    def __repr__(self):
        return f"{type(self).__name__}[{self.name}]"


# ---- where the items come from ------------------------------------------------------------------


def from_items(items, num_shards=2, repeat=False):
    """The items, dealt out to the shards in turn."""
    kind = type(items[0]).__name__ if items else "None"
    name = f"from_items[{kind}, {len(items)}, shards={num_shards}{_repeats(repeat)}]"
    return from_iterators([items[i::num_shards] for i in range(num_shards)], repeat, name)


def from_range(n, num_shards=2, repeat=False):
    """0 to n - 1, a run of them for each shard; the last one takes the rest."""
    size = n // num_shards
    starts = [i * size for i in range(num_shards)]
    ranges = [range(*ends) for ends in zip(starts, [*starts[1:], n])]
    return from_iterators(ranges, repeat, f"from_range[{n}, shards={num_shards}{_repeats(repeat)}]")


def from_iterators(generators, repeat=False, name=None):
    """An actor for each; what can't be pickled comes as a function that makes it."""
    worker = ray.remote(ParallelIteratorWorker)
    name = name or f"from_iterators[shards={len(generators)}{_repeats(repeat)}]"
    return from_actors([worker.remote(generator, repeat) for generator in generators], name)


def from_actors(actors, name=None):
    """Actors of subclasses of ParallelIteratorWorker."""
    return ParallelIterator([(actor, ()) for actor in actors], name or f"from_actors[shards={len(actors)}]")


def _repeats(repeat):
    return ", repeat=True" if repeat else ""


class ParallelIteratorWorker:
    """The actor behind a shard."""

    def __init__(self, item_generator, repeat):
        """`item_generator`: an iterable, or a function that makes one."""
        self._source = item_generator
        self._repeat = repeat
        self._items = None
        self._parts = collections.defaultdict(collections.deque)  # by par_iter_slice's start

    def _produced(self):
        while True:
            items = self._source() if callable(self._source) else self._source
            if self._repeat and iter(items) is self._source:
                raise ValueError(
                    f"Cannot iterate over {self._source} multiple times. Please pass in the base "
                    f"iterable or a function that returns it instead."
                )
            yield from items
            if not self._repeat:
                return

    def par_iter_init(self, transforms):
        """Begins anew, with these steps."""
        self._items = _through(transforms, self._produced())
        self._parts.clear()

    def par_iter_next(self):
        assert self._items is not None, "must call par_iter_init()"
        return next(self._items)

    def par_iter_next_batch(self, batch_ms):
        """What comes within that time, at least one item; empty at the end."""
        return self._batch(self.par_iter_next, batch_ms)

    def par_iter_slice(self, step, start):
        """The next item of those numbered start, start + step, start + 2 step, .."""
        part = self._parts[start]
        if not part:
            for number in range(step):
                for item in itertools.islice(self._items, 1):
                    self._parts[number].append(item)
        if not part:
            raise StopIteration
        return part.popleft()

    def par_iter_slice_batch(self, step, start, batch_ms):
        return self._batch(functools.partial(self.par_iter_slice, step, start), batch_ms)

    def _batch(self, take, batch_ms):
        end = time.monotonic() + batch_ms / 1000
        batch = []
        try:
            while not batch or time.monotonic() < end:
                batch.append(take())
        except StopIteration:
            pass
        return batch


def _start(shards):
    """Lets the shards begin; their actors."""
    ray.get([actor.par_iter_init.remote(steps) for actor, steps in shards])
    return [actor for actor, _ in shards]


def _as_ready(actors, ask, reading=None, depth=1):
    """Items of all, whoever has some: `ask(actor)` refers to an actor's next batch."""
    asked = {ask(actor): actor for _ in range(depth) for actor in actors}
    while asked:
        ready, _ = ray.wait(list(asked), num_returns=1)
        actor = asked.pop(ready[0])
        batch = ray.get(ready[0])
        if batch:
            asked[ask(actor)] = actor
        if reading is not None:
            reading.actor = actor
        yield from batch


def _in_rounds(shards):
    """An item of each shard that still has one."""
    actors = _start(shards)
    while actors:
        batches = ray.get([actor.par_iter_next_batch.remote(0) for actor in actors])
        actors = [actor for actor, batch in zip(actors, batches) if batch]
        if actors:
            yield list(itertools.chain.from_iterable(batches))


def _in_order(shard, batch_ms, depth):
    """The items of one shard, `depth` batches asked for in advance."""
    (actor,) = _start([shard])
    asked = collections.deque(actor.par_iter_next_batch.remote(batch_ms) for _ in range(depth))
    while batch := ray.get(asked.popleft()):
        asked.append(actor.par_iter_next_batch.remote(batch_ms))
        yield from batch


def _part(actors, step, start, batch_ms):
    """Of a repartition: every step-th item of each actor."""
    return _as_ready(actors, lambda actor: actor.par_iter_slice_batch.remote(step, start, batch_ms))


def _gathered(shards, batch_ms, depth, reading):
    return _as_ready(
        _start(shards), lambda actor: actor.par_iter_next_batch.remote(batch_ms), reading, depth
    )


# ---- iterators ------------------------------------------------------------------------------------


class ParallelIterator(_Steps):
    """Iterates in all its shards at once. Can be passed to tasks and actors."""

    def __init__(self, shards, name, united=False):
        self._shards = shards  # (actor, steps)
        self._united = united
        self.name = name

    def __iter__(self):
        raise TypeError(
            "You must use it.gather_sync() or it.gather_async() to "
            "iterate over the results of a ParallelIterator."
        )

    def _with(self, step, name):
        shards = [(actor, (*steps, step)) for actor, steps in self._shards]
        return ParallelIterator(shards, self.name + name, self._united)

    def local_shuffle(self, shuffle_buffer_size, seed=None):
        """Each shard for itself."""
        name = f".local_shuffle(shuffle_buffer_size={shuffle_buffer_size}, seed={seed})"
        return self._with(functools.partial(_shuffled, shuffle_buffer_size, seed), name)

    def repartition(self, num_partitions, batch_ms=0):
        """The same items in so many shards, dealt out in turn."""
        actors = _start(self._shards)
        parts = [
            functools.partial(_part, actors, num_partitions, i, batch_ms)
            for i in range(num_partitions)
        ]
        return from_iterators(
            parts, name=f"{self.name}.repartition[num_partitions={num_partitions}]"
        )

    def batch_across_shards(self):
        """Lists of an item of each shard."""
        return LocalIterator(
            functools.partial(_in_rounds, self._shards), name=f"{self}.batch_across_shards()"
        )

    def gather_sync(self):
        """The shards in turn."""
        gathered = self.batch_across_shards().flatten()
        gathered.name = f"{self}.gather_sync()"
        return gathered

    def gather_async(self, batch_ms=0, num_async=1):
        """Items as they become ready, of whichever shard."""
        _check_depth("queue depth", num_async, batch_ms)
        reading = _Reading()
        return LocalIterator(
            functools.partial(_gathered, self._shards, batch_ms, num_async, reading),
            name=f"{self}.gather_async()",
            reading=reading,
        )

    def take(self, n):
        return self.gather_sync().take(n)

    def show(self, n=20):
        self.gather_sync().show(n)

    def union(self, other):
        if not isinstance(other, ParallelIterator):
            raise TypeError(f"other must be of type ParallelIterator, got {type(other)}")
        shards = [*self._shards, *other._shards]
        return ParallelIterator(shards, f"ParallelUnion[{self}, {other}]", united=True)

    def select_shards(self, shards_to_keep):
        """Only these, by number."""
        if self._united:
            raise ValueError("select_shards() is not allowed after union()")
        if not shards_to_keep:
            raise ValueError("at least one shard must be selected")
        kept = [shard for i, shard in enumerate(self._shards) if i in shards_to_keep]
        assert len(kept) == len(shards_to_keep), "Invalid actor index"
        return ParallelIterator(kept, f"{self}.select_shards({len(shards_to_keep)} total)")

    def num_shards(self):
        return len(self._shards)

    def shards(self):
        return [self.get_shard(i) for i in range(self.num_shards())]

    def get_shard(self, shard_index, batch_ms=0, num_async=1):
        """One shard's items, in their order."""
        _check_depth("num async", num_async, batch_ms)
        if shard_index >= len(self._shards):
            raise ValueError("Shard index out of range", shard_index, self.num_shards())
        return LocalIterator(
            functools.partial(_in_order, self._shards[shard_index], batch_ms, num_async),
            name=f"{self.name}.shard[{shard_index}]",
        )


def _check_depth(name, depth, batch_ms):
    if depth < 1:
        raise ValueError(f"{name} must be positive")
    if batch_ms < 0:
        raise ValueError("batch time must be positive")


class _Reading:
    """Whose item a chain of iterators handles now."""

    actor = None


class LocalIterator(_Steps):
    """Iterates here. Can be passed to one task or actor before its first item is taken."""

    def __init__(self, source, steps=(), name=None, reading=None):
        self._source = source
        self._steps = steps
        self._reading = reading or _Reading()
        self._items = None
        self.name = name or "unknown"

    def _with(self, step, name):
        return LocalIterator(self._source, (*self._steps, step), self.name + name, self._reading)

    def __iter__(self):
        if self._items is None:
            self._items = _through(self._steps, self._source())
        return self._items

    def __next__(self):
        return next(iter(self))

    def shuffle(self, shuffle_buffer_size, seed=None):
        name = f".shuffle(shuffle_buffer_size={shuffle_buffer_size}, seed={seed})"
        return self._with(functools.partial(_shuffled, shuffle_buffer_size, seed), name)

    def zip_with_source_actor(self):
        """(actor, item); only of what gather_async() made."""
        reading = self._reading

        def with_actor(item):
            if reading.actor is None:
                raise ValueError("Could not identify source actor of item")
            return reading.actor, item

        return self._with(functools.partial(_mapped, with_actor), ".zip_with_source_actor()")

    def take(self, n):
        return list(itertools.islice(self, n))

    def show(self, n=20):
        for item in itertools.islice(self, n):
            print(item)

    def duplicate(self, n):
        """So many iterators over the same items; what one is ahead is kept for the others."""
        if n < 2:
            raise ValueError("Number of copies must be >= 2")
        copies = itertools.tee(self, n)
        return [
            LocalIterator(functools.partial(iter, copy), name=f"{self.name}.duplicate[{i}]")
            for i, copy in enumerate(copies)
        ]

    def union(self, *others, deterministic=False, round_robin_weights=None):
        """All in turn; so many items of each at a time as its weight says ("*": one)."""
        for other in others:
            if not isinstance(other, LocalIterator):
                raise ValueError(f"other must be of type LocalIterator, got {type(other)}")
        parents = [self, *others]
        weights = round_robin_weights or [1] * len(parents)
        if len(weights) != len(parents):
            raise ValueError("Length of round robin weights must equal number of iterators total.")
        name = f"LocalUnion[{', '.join(map(str, parents))}]"
        return LocalIterator(functools.partial(_in_turn, parents, weights), name=name)


def _in_turn(parents, weights):
    """A weight's fraction is saved up for later turns."""
    turns = [[iter(parent), 1 if weight == "*" else weight, 0] for parent, weight in zip(parents, weights)]
    while turns:
        for turn in list(turns):
            items, weight, saved = turn
            count = int(weight + saved)
            turn[2] = weight + saved - count
            taken = list(itertools.islice(items, count))
            yield from taken
            if len(taken) < count:
                turns.remove(turn)
