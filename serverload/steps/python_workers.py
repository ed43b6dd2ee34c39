"""Spark's Python workers: each lives for many tasks, and Spark collects its garbage after every one of them."""

import gc

from pyspark import TaskContext

_spared = set[str]()


def spare_what_is_loaded(work: str) -> None:
    """In a worker, after its first task of a kind: leave out of all later collections what libraries have loaded.

    Going through all of it cost a short task more than its own work. Does nothing in a driver.
    """
    if work not in _spared and TaskContext.get() is not None:
        gc.collect()
        gc.freeze()
        _spared.add(work)
