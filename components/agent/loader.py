"""Starts a phase from a bundle that came on standard input.

The bundle's `agent` maps module names to sources. They are imported from memory: a machine keeps no copy that
could be older than the bundle.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
from types import CodeType, ModuleType
from typing import Any


class BundleImporter(importlib.abc.InspectLoader, importlib.abc.MetaPathFinder):
    """Imports modules from a mapping of names to sources."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        """The spec of a module that the bundle has, else None."""
        if name not in self.sources:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))

    def is_package(self, name: str) -> bool:
        """Whether other modules of the bundle lie below."""
        return any(other.startswith(name + ".") for other in self.sources)

    def get_source(self, name: str) -> str:
        """The module's text."""
        return self.sources[name]

    def get_code(self, name: str) -> CodeType:
        """The module, compiled under its own name so that a traceback tells where."""
        return compile(self.sources[name], f"<{name}>", "exec")


def start(bundle: dict[str, Any]) -> None:
    """Run the bundle's phase; print its result as one line of JSON, or its failure and exit 1."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # `timeout` ends a phase with a signal: let what must not stay behind be removed.
        signal.signal(number, lambda *_: sys.exit(1))
    sys.meta_path.insert(0, BundleImporter(bundle["agent"]))
    evidence = importlib.import_module("components.agent.evidence")
    phase = importlib.import_module(f"components.agent.{bundle['phase']}")
    try:
        print(json.dumps(phase.run(bundle), sort_keys=True))
    except evidence.Failure as failure:
        name = bundle.get("machine", {}).get("name") or os.uname().nodename
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(1)
