"""What ended a command, as one line: what, where, what next."""

import errno
import re
import tempfile
from collections.abc import Iterator
from traceback import walk_tb

from serverload.cli.spark_log import complaints, log_in_use
from serverload.contracts.errors import ServerloadError

_FROM_SPARK = ("pyspark.", "py4j.")
_RAISED_IN_A_WORKER = re.compile(rf"^{re.escape(ServerloadError.__module__)}\.\w+: (.+)$", re.MULTILINE)
"""Our own error, as the stack trace of a Python worker ends in it."""
_CUT_SHORT = re.compile(r"An error occurred while calling \S+")
"""What py4j says, and no more, where Java ended before it could answer."""
_NO_ROOM = "No space left on device"
_LONGEST = 400
_SEE_STACK = "see the stack trace with --debug"
_NEXT = dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "mend its permissions, or choose another place")


def line_of(error: BaseException) -> str:
    """The line for a failure; where Spark has a part in it, with the file that holds Spark's own words."""
    chain = list(_chain(error))
    from_spark = any(type(link).__module__.startswith(_FROM_SPARK) for link in chain)
    log = log_in_use() if from_spark else complaints()
    told = f"; Spark's own words are in {log}" if log else ""
    if isinstance(error, ServerloadError):
        line = str(error)
    elif from_worker := _RAISED_IN_A_WORKER.search(_words(error)):
        line = from_worker[1]
    elif any(_is_full_disk(link) for link in chain):
        line = f"no room left on the disk of {_place(chain)}; free some space and run it again: nothing needs repair"
    elif any(_is_java_gone(link) for link in chain):
        line = (
            "Spark's Java process has ended; start again, nothing is lost: `serverload doctor` tells of memory and disk"
        )
    elif isinstance(error, OSError) and error.filename and error.strerror:
        line = f"{error.filename}: {error.strerror}; {_NEXT.get(error.errno or 0, _SEE_STACK)}"
    else:
        line = f"{type(error).__name__}: {_said(error)}; {_SEE_STACK}"
    return line if log and str(log) in line else line + told


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _words(error: BaseException) -> str:
    """What an error says; nothing where py4j would ask for it a Java process that has ended."""
    try:
        return str(error)
    except Exception as unheard:
        if isinstance(unheard, ConnectionError) or type(unheard).__module__ == "py4j.protocol":
            return ""
        raise


def _is_java_gone(error: BaseException) -> bool:
    if type(error).__name__ == "Py4JNetworkError" or (type(error).__name__ == "Py4JJavaError" and not _words(error)):
        return True
    if type(error).__name__ == "Py4JError" and _CUT_SHORT.fullmatch(_words(error).strip()):
        return True
    modules = (frame.f_globals.get("__name__", "") for frame, _line in walk_tb(error.__traceback__))
    return isinstance(error, ConnectionError) and any(module.startswith("py4j.") for module in modules)


def _is_full_disk(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or _NO_ROOM in _words(error)


def _place(chain: list[BaseException]) -> str:
    """The file that could not be written, if anyone tells; else the two places that a job writes to."""
    named = [str(link.filename) for link in chain if isinstance(link, OSError) and link.filename]
    return named[0] if named else f"the folder written to, or of {tempfile.gettempdir()}"


def _said(error: BaseException) -> str:
    """The line of an error that tells most: Spark's begin with the call that failed and end with the cause."""
    from serverload.store.broker_setup import telling_line

    text = str(error).partition("JVM stacktrace:")[0]
    if not text.strip():
        return "no message"
    if type(error).__module__.startswith("py4j.") or "Traceback (most recent call last)" in text:
        return telling_line(re.sub(r"^(: |\s+at .*)", "", text, flags=re.MULTILINE))
    return next(line.strip() for line in text.splitlines() if line.strip())[:_LONGEST]
