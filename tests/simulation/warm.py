"""What a server computes at its start from the program's own files: done once, before servers are forked from here."""

from __future__ import annotations

from counterfoil.config import Config
from counterfoil.web.apps import Apps

Apps(Config())
