"""How far a Spark job over byte ranges has come, told while it runs."""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.sql import SparkSession

from serverload.contracts.progress import Progress

_LOOK_SECONDS = 0.5


@contextmanager
def tasks_told(spark: SparkSession, parts: Sequence[int], progress: Progress) -> Iterator[None]:
    """Tell the progress, by the first job that starts in the block, how much of `parts` is done.

    `parts` is what each of that job's tasks reads, in their order. Spark tells how many tasks have ended, not which;
    they start in order, so n ended tasks count as the first n parts. When the block ends well all counts as done.
    """
    context = spark.sparkContext
    told = _Told(list(accumulate(parts, initial=0)), progress)
    group, group_before = f"serverload-{uuid.uuid4().hex}", context.getLocalProperty("spark.jobGroup.id")
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(context, group, told, over), daemon=True)
    context.setLocalProperty("spark.jobGroup.id", group)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        context.setLocalProperty("spark.jobGroup.id", group_before)  # type: ignore[arg-type]  # None takes it away
    told.so_far(len(parts))


class _Told:
    """What has been told already, so that only the rest is added."""

    def __init__(self, sums: list[int], progress: Progress) -> None:
        self._sums, self._progress, self._done = sums, progress, 0

    @property
    def tasks(self) -> int:
        return len(self._sums) - 1

    def so_far(self, tasks: int) -> None:
        """Add what these many ended tasks have read beyond what was told; a retried task takes nothing back."""
        done = self._sums[min(tasks, self.tasks)]
        if done > self._done:
            self._progress.advance(done - self._done)
            self._done = done


def _watch(context: SparkContext, group: str, told: _Told, over: threading.Event) -> None:
    try:
        tracker = context.statusTracker()
        while not over.wait(_LOOK_SECONDS):
            jobs = tracker.getJobIdsForGroup(group)
            job = tracker.getJobInfo(min(jobs)) if jobs else None
            stages = [tracker.getStageInfo(stage) for stage in job.stageIds] if job else []
            ended = [stage.numCompletedTasks for stage in stages if stage and stage.numTasks == told.tasks]
            told.so_far(max(ended, default=0))
    except (Py4JError, OSError):
        return  # Spark is gone; the job itself tells why
