"""The one event kernel: a buffer of session lines becomes window sums, refused lines and counts.

For files and for Kafka values alike; needs no Spark. `EventKernel(rules).run(buffer)` is all there is to call.
"""

from serverload.steps.event_kernel.kernel import EventKernel
from serverload.steps.event_kernel.results import REJECTS_SCHEMA, KernelResult, LineCounts
from serverload.steps.event_kernel.rules import LineRules

__all__ = ["REJECTS_SCHEMA", "EventKernel", "KernelResult", "LineCounts", "LineRules"]
