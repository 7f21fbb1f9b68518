"""Checks of Pulumi: the engine, its Python language host, and the provider plugins that a platform needs."""

from __future__ import annotations

from collections.abc import Iterator

from lab import engine, paths, plugins, publishers
from workstation import programs
from workstation.findings import Finding, doubtful, fetched, good, missing


def engine_and_host() -> Iterator[Finding]:
    """The engine that `make` uses, and the language host beside it."""
    program = engine.BIN / "pulumi"
    version = programs.version_in(programs.output([str(program), "version"])) if program.is_file() else ()
    wanted = programs.version_in(engine.VERSION)
    if version >= wanted:
        yield good("Pulumi", f"{programs.told(version)} ({engine.source() or 'given'})")
        yield _language_host()
    else:
        have = programs.told(version) or "none"
        yield fetched(
            "Pulumi", have, f"{engine.VERSION} or later, from its publisher or built from its modules"
        )
        yield fetched("Pulumi for Python", "none", "comes with Pulumi")


def _language_host() -> Finding:
    absent = [name for name in engine.PROGRAMS[1:] if not (engine.BIN / name).is_file()]
    if absent:
        return fetched("Pulumi for Python", f"without {', '.join(absent)}", "comes with Pulumi")
    return good("Pulumi for Python", "beside it")


def provider_plugins(kind: str) -> Iterator[Finding]:
    """The plugins of a platform: `aws` takes official ones only."""
    for name in plugins.VERSIONS if kind == "aws" else plugins.STAND_INS:
        yield _plugin(name, kind)


def _plugin(name: str, kind: str) -> Finding:
    check = f"plugin {name}"
    if plugins.is_official(name):
        return good(check, f"{plugins.VERSIONS[name]}, official")
    stand_in = name in plugins.stand_ins()
    found = f"{plugins.VERSIONS[name]}, stand-in" if stand_in else "none"
    if publishers.reachable(plugins.url(name)):
        return fetched(check, found, f"{plugins.VERSIONS[name]} from its publisher")
    if kind == "aws":
        return missing(
            check, found, f"no answer from its publisher; fetch it elsewhere: {plugins.by_hand(name)}"
        )
    if stand_in:
        return doubtful(check, found, "serves lab and hosts; the official one is taken where it can be had")
    return fetched(
        check, found, "a stand-in, compiled from lab/providers, since the publisher does not answer"
    )


def virtual_environment() -> Finding:
    """The Python packages of the program."""
    if (paths.VENV / "bin" / "python").exists():
        return good("Python environment", paths.VENV.name)
    return fetched("Python environment", "none", "pip installs requirements.txt")
