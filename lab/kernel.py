"""The few settings of this computer that the lab raises, saved before and put back by the last lab that goes.

They are global: a machine finds them set and never writes them (its /proc/sys is read-only but for net).
What was saved lies under /run, like the settings themselves gone after a reboot, and is shared by all clones.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.commands import attempt
from lab.errors import LabError
from lab.shared import FOLDER, one_at_a_time

PROC_SYS = Path("/proc/sys")
MODULES = Path("/lib/modules")

AT_LEAST = {"fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}
"""Every kubelet and containerd watches files, all from the one allowance of this computer."""

AT_LEAST_KEYS = {"kernel.keys.root_maxkeys": 1000000, "kernel.keys.root_maxbytes": 25000000}
EXACTLY = {"vm.overcommit_memory": 1, "vm.panic_on_oom": 0, "kernel.panic": 10, "kernel.panic_on_oops": 1}
"""With the keys above, what the kubelet's protectKernelDefaults wants (cm/container_manager_linux.go)."""

WANTED_MODULES = (
    "overlay",
    "br_netfilter",
    "vxlan",
    "nf_tables",
    "nf_conntrack",
    "nfnetlink_queue",
    "xt_NFQUEUE",
)
"""Machines have no modules of their own to load."""


@dataclass
class Shared:
    """What all labs of this computer know together: values before the first one, and who still needs ours."""

    saved: dict[str, int] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)


def acquire(instance: str, project: str) -> None:
    """Set what the lab needs, where it is not so already, and note that this instance needs it.

    Raises:
        LabError: if the kernel refuses a setting.
    """
    _load_modules()
    with _shared() as shared:
        shared.instances[instance] = project
        changes = _changes()
        for name in changes:
            shared.saved.setdefault(name, read(name))
        _store(shared)  # before the first change: a lab killed in between can still be undone
        for name, value in changes.items():
            _write(name, value)


def _changes() -> dict[str, int]:
    """Return the settings that are not yet as the lab needs them, with the value to set."""
    least = {**AT_LEAST, **AT_LEAST_KEYS}
    changes = {name: value for name, value in least.items() if read(name) < value}
    return changes | {name: value for name, value in EXACTLY.items() if read(name) != value}


def release(instance: str) -> list[str]:
    """Note that this instance is gone; if it was the last, put back what was saved and return those settings.

    A setting that somebody else changed in the meantime is left as it is.
    """
    with _shared() as shared:
        shared.instances.pop(instance, None)
        for other in [name for name in shared.instances if not _alive(name)]:
            del shared.instances[other]
        if shared.instances:
            return []
        ours = {**AT_LEAST, **AT_LEAST_KEYS, **EXACTLY}
        restored = [name for name in shared.saved if read(name) == ours.get(name)]
        for name in restored:
            _write(name, shared.saved[name])
        shared.saved.clear()
        return restored


def instances() -> dict[str, str]:
    """Return the labs alive on this computer: the project folder by instance."""
    if not _record().exists():
        return {}
    with _shared() as shared:
        return {name: project for name, project in shared.instances.items() if _alive(name)}


def read(name: str) -> int:
    """Return the present value of a kernel setting, by its dotted name.

    Raises:
        LabError: if this kernel has no such setting.
    """
    try:
        return int(_file(name).read_text())
    except OSError as error:
        raise LabError(
            f"kernel setting {name}: {error.strerror}; the lab needs a kernel that has it"
        ) from None


def _write(name: str, value: int) -> None:
    try:
        _file(name).write_text(f"{value}\n")
    except OSError as error:
        raise LabError(
            f"kernel setting {name}: cannot be set to {value}: {error.strerror}; "
            f"the lab needs root on the computer itself (or set it there: sysctl -w {name}={value})"
        ) from None


def _file(name: str) -> Path:
    return PROC_SYS / name.replace(".", "/")


def _alive(instance: str) -> bool:
    """A lab without its bridge is gone, even if nobody was left to say so."""
    return Path(f"/sys/class/net/hw-{instance}").exists()


def _load_modules() -> None:
    """Load what is a module on this computer. What is built in, or not to be had, shows when it is used."""
    if MODULES.is_dir() and any(MODULES.iterdir()):
        attempt(["modprobe", "--all", "--quiet", *WANTED_MODULES])


@contextmanager
def _shared() -> Iterator[Shared]:
    with one_at_a_time("kernel"):
        shared = _parse(_record().read_text()) if _record().exists() else Shared()
        yield shared
        _store(shared)


def _record() -> Path:
    return FOLDER / "kernel.json"


def _store(shared: Shared) -> None:
    file = _record()
    if not shared.instances and not shared.saved:
        file.unlink(missing_ok=True)
        return
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(shared), indent=2))
    unfinished.replace(file)


def _parse(text: str) -> Shared:
    content = json.loads(text)
    saved = {str(name): int(value) for name, value in content["saved"].items()}
    return Shared(saved, {str(name): str(project) for name, project in content["instances"].items()})
