"""A look at the history's first lines: a wrong file is told before anything is committed."""

from collections.abc import Sequence

from serverload.contracts.errors import InputError
from serverload.contracts.lines import REJECT_REASONS
from serverload.steps.event_kernel import EventKernel, LineCounts, LineRules
from serverload.store.byte_ranges import ByteRange, is_compressed, local_path, read_lines

LOOKED_AT_LINES = 1_000_000
_CHUNK_BYTES = 4 * 1024 * 1024


def check_reject_share(uris: Sequence[str], rules: LineRules, max_reject_share: float) -> None:
    """Raise InputError, with the three commonest reasons and an example of each, if too many lines are refused.

    Looks at the first million lines of the files in order, without writing anything.
    """
    counts, examples = _first_lines(uris, rules)
    if counts.rejected <= max_reject_share * counts.read:
        return
    commonest = sorted(counts.rejected_by_reason.items(), key=lambda entry: -entry[1])[:3]
    told = "; ".join(
        f"{lines} x {reason} ({REJECT_REASONS[reason]}), as in {examples[reason][:120]!r}"
        for reason, lines in commonest
    )
    raise InputError(
        f"{counts.rejected} of the first {counts.read} lines would be refused: {told}",
        where=uris[0],
        hint="nothing was committed; check the files, or go on with --force",
    )


def _first_lines(uris: Sequence[str], rules: LineRules) -> tuple[LineCounts, dict[str, str]]:
    kernel = EventKernel(rules)
    counts, examples = LineCounts(), dict[str, str]()
    for uri in uris:
        end = -1 if is_compressed(uri) else local_path(uri).stat().st_size
        for _offset, lines in read_lines(ByteRange(uri, 0, end), _CHUNK_BYTES):
            result = kernel.run(lines)
            counts += result.counts
            for line, reason in zip(*(result.rejects[name].to_pylist() for name in ("line", "reason")), strict=True):
                examples.setdefault(reason, line)
            if counts.read >= LOOKED_AT_LINES:
                return counts, examples
    return counts, examples
