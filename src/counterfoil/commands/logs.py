"""Logs of the command line and the server: one JSON object a line on stderr, with nothing in it that must stay secret.

Code that logs leaves secrets out in the first place; the redaction here is the second fence, for what slips through.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_NAMES = frozenset({"pin", "token", "secret", "password", "authorization", "cookie", "signature", "seed", "private_key", "body"})
"""Names whose values never stand in a log, whatever they are. A `code` is redacted when it is digits: errors have codes, too."""
REDACTED = "[redacted]"
_NUMBER = re.compile(r"\+[0-9]{4,12}([0-9]{3})(?![0-9])", re.ASCII)


def configure(*, level: int = logging.INFO) -> None:
    """From here on, whatever is logged with structlog goes to stderr as JSON, redacted; below `level` nothing does."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A log entry without secrets: values of SECRET_NAMES are taken out, phone numbers keep their last three digits."""
    for name, value in event.items():
        if name.lower() in SECRET_NAMES or (name == "code" and str(value).isdigit()):
            event[name] = REDACTED
        elif isinstance(value, str):
            event[name] = _NUMBER.sub(r"…\1", value)
    return event
