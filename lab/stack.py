"""One stack: its configuration file, the engine's runs on it, and what it last gave out.

Runs inside the virtual environment. Everything here is a plain `pulumi` command, printed before it runs.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from lab import backend, event_log, mirror, paths
from lab.errors import LabError

FILE_SERVER_PORT = 8473
PARALLEL = 32
"""Steps at once: the engine's default of four per processor is too few where steps wait for machines."""

PROXY = "bastion"
"""Name in known_hosts of the machine through which SSH goes; no machine of the plan is called so."""
PARTIAL = ".partial-"
"""In the name of a file that is being written, between the name that it will have and the writer's own mark."""


@dataclass(frozen=True)
class Stack:
    """A stack by its name, with its folder below the state folder."""

    name: str

    @property
    def folder(self) -> Path:
        """Where its generated files lie, for this user only."""
        return paths.STATE / "stacks" / self.name

    @property
    def source(self) -> Path:
        """The committed configuration file."""
        return paths.PROJECT / f"Pulumi.{self.name}.yaml"

    @property
    def config(self) -> Path:
        """The file the engine gets: for `lab` a generated copy, since the engine writes its salt into it."""
        return self.folder / self.source.name if self.is_lab else self.source

    @property
    def outputs_file(self) -> Path:
        """Outputs of the last good run, secrets included."""
        return self.folder / "outputs.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def events(self) -> Path:
        """The engine's event log of the last `up`."""
        return self.folder / "events.json"

    @property
    def timeline(self) -> Path:
        """The page that shows the last `up`."""
        return self.folder / "timeline.html"

    @property
    def engine_output(self) -> Path:
        """What the engine printed in the last `up` that showed a table instead."""
        return self.folder / "up.log"

    @property
    def unfinished(self) -> Path:
        """Exists from the begin of an `up` to its good end."""
        return self.folder / "unfinished"

    @property
    def reboot_round(self) -> Path:
        """What a rolling reboot has still to do; there from its begin to its good end."""
        return self.folder / "reboot.json"

    @property
    def users(self) -> Path:
        """Folder of the kubeconfigs that were made for people."""
        return self.folder / "users"

    @property
    def example(self) -> Path:
        """Folder of the demo's working copy of the example's manifests, passwords among them."""
        return self.folder / "tooling"

    @property
    def example_passwords(self) -> Path:
        """The passwords with which the demo deployed the example."""
        return self.folder / "tooling-passwords.json"

    @property
    def demo_results(self) -> Path:
        """What the last demo saw."""
        return self.folder / "demo.json"

    def remove_files(self) -> None:
        """Remove what tells of a cluster that is gone; the generated configuration stays, with the engine's salt."""
        access = (self.outputs_file, self.kubeconfig, self.folder / "ssh_key", self.folder / "known_hosts")
        run = (
            self.unfinished,
            self.reboot_round,
            self.events,
            event_log.times_file(self.events),
            self.engine_output,
            self.timeline,
        )
        demo = (self.example_passwords, self.demo_results)
        for path in (*access, *run, *demo, *self.folder.glob(f".*{PARTIAL}*")):
            path.unlink(missing_ok=True)
        for folder in (self.example, self.users):
            if folder.exists():
                shutil.rmtree(folder)

    @property
    def kind(self) -> str:
        """The kind of its platform: `aws`, `hosts`, `lab`, or what else its file says."""
        return str(self.settings()["platform"]["kind"])

    @property
    def is_lab(self) -> bool:
        """Whether its machines are made on this computer."""
        return self.kind == "lab"

    @property
    def region(self) -> str:
        """Pulumi's own setting `aws:region`; "" on platforms that have none.

        Raises:
            LabError: it is missing on `aws`, where names and addresses follow from it.
        """
        if self.kind != "aws":
            return ""
        region = self._config().get("aws:region")
        if not isinstance(region, str) or not region:
            raise LabError(
                f"{self.source.name}: config.aws:region is missing; platform aws needs it, write for example "
                "'aws:region: eu-central-1' below 'config:'"
            )
        return region

    def settings(self) -> dict[str, Any]:
        """The structured value of its committed file, unchecked; the program checks it.

        Raises:
            LabError: no such file, or nothing usable in it.
        """
        try:
            return {"platform": {"kind": ""}, **self._config()["hardway:cluster"]}
        except (KeyError, TypeError) as error:
            raise self._unreadable(error) from None

    def _config(self) -> dict[str, Any]:
        """What stands below `config:` in its committed file.

        Raises:
            LabError: no such file, or nothing usable in it.
        """
        try:
            return dict(yaml.safe_load(self.text())["config"])
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise self._unreadable(error) from None

    def text(self) -> str:
        """Its committed file.

        Raises:
            LabError: no such file, or one that is no text.
        """
        try:
            return self.source.read_text()
        except FileNotFoundError:
            raise LabError(
                f"{self.source.name}: no such file; copy Pulumi.lab.yaml, or name another STACK="
            ) from None
        except UnicodeDecodeError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> LabError:
        return LabError(
            f"{self.source.name}: cannot be read as a stack file ({error}); compare Pulumi.lab.yaml"
        )

    def outputs(self) -> dict[str, Any]:
        """What the last good run gave out.

        Raises:
            LabError: there was none.
        """
        try:
            return dict(json.loads(self.outputs_file.read_text()))
        except FileNotFoundError:
            raise LabError(
                f"stack {self.name}: nothing is built yet; run 'make up STACK={self.name}'"
            ) from None

    def write_config(self, entries: dict[str, mirror.LockEntry], address: str) -> None:
        """Generate the lab's configuration: the committed one plus the mirror and the digests of what it serves."""
        document = yaml.safe_load(self.source.read_text())
        artifacts = {
            "mirror": f"http://{address}:{FILE_SERVER_PORT}",
            "preloadImages": True,
            "digests": {key: entry.sha256 for key, entry in sorted(entries.items())},
        }
        own = document["config"]["hardway:cluster"]
        own["artifacts"] = {**artifacts, **own.get("artifacts", {})}
        if self.config.exists():
            old = yaml.safe_load(self.config.read_text()) or {}
            document |= {key: old[key] for key in ("encryptionsalt", "secretsprovider") if key in old}
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mirror.write_atomically(self.config, yaml.safe_dump(document, sort_keys=False))


def command(stack: Stack, verb: str, *arguments: str) -> list[str]:
    """A `pulumi` command line for a stack."""
    config = ["--config-file", str(stack.config)] if verb in ("up", "preview", "destroy", "refresh") else []
    return ["pulumi", verb, "--stack", stack.name, *config, *arguments]


INTERRUPTED = 130
"""Exit status of a run that Ctrl-C ended, as shells count."""


def run(
    arguments: list[str], *, output: IO[bytes] | None = None, on_interrupt: Callable[[], None] = lambda: None
) -> int:
    """Run the engine in the foreground and give its exit status; Ctrl-C reaches it and it ends its work cleanly.

    Args:
        arguments: the command line.
        output: where all that it prints goes, errors too; None for the terminal.
        on_interrupt: called at each Ctrl-C; a further one may cut it short, and it is called again.
    """
    errors = subprocess.STDOUT if output else None
    engine = subprocess.Popen(
        arguments, cwd=paths.PROJECT, env=backend.environment(), stdout=output, stderr=errors
    )
    pressed = told = 0
    while True:
        try:
            while told < pressed:
                told += 1
                on_interrupt()
            status = engine.wait()
        except KeyboardInterrupt:
            pressed += 1
            continue
        return INTERRUPTED if pressed and status else status


def run_filtered(
    arguments: list[str],
    keep: Callable[[Iterable[str]], Iterator[str]],
    *,
    errors_without: tuple[str, ...] = (),
) -> int:
    """Run the engine and print only the lines of its output that `keep` yields; gives its exit status.

    Args:
        arguments: the command line.
        keep: yields the lines of its standard output that are printed.
        errors_without: begins of lines of its standard error that are not.
    """
    colour = "always" if sys.stdout.isatty() else "never"
    engine = subprocess.Popen(
        [*arguments, "--color", colour],
        cwd=paths.PROJECT,
        env=backend.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout is not None
    assert engine.stderr is not None
    beside = threading.Thread(target=_pass_on, args=(engine.stderr, errors_without), daemon=True)
    beside.start()
    for line in keep(engine.stdout):
        print(line, end="", flush=True)
    beside.join()
    return engine.wait()


def _pass_on(lines: Iterable[str], without: tuple[str, ...]) -> None:
    for line in lines:
        if not (without and line.lstrip().startswith(without)):
            print(line, end="", file=sys.stderr, flush=True)


def capture(arguments: list[str]) -> str:
    """Run the engine silently and give its standard output.

    Raises:
        LabError: it failed, with its words.
    """
    done = subprocess.run(
        arguments, cwd=paths.PROJECT, env=backend.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"'{' '.join(arguments)}' failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def exists(stack: Stack) -> bool:
    """Whether the backend has the stack; asked of the state folder when it is ours, which takes no time."""
    if "PULUMI_BACKEND_URL" in os.environ:
        listed = json.loads(capture(["pulumi", "stack", "ls", "--json"]))
        return any(entry["name"].split("/")[-1] == stack.name for entry in listed)
    return (backend.STATE / ".pulumi" / "stacks" / backend.PROJECT_NAME / f"{stack.name}.json").exists()


def confirmable(stack: Stack) -> list[str]:
    """URNs of the commands on machines that may be repeated at any time.

    One with a `delete` is none of them: the engine would run that first, and a Node that stays would be drained and
    deleted. Nor is one with `triggers`, which is done once for each machine.
    """
    if not exists(stack):
        return []
    return [
        str(resource["urn"])
        for resource in exported(stack)
        if resource["type"] == "command:remote:Command"
        and not {"delete", "triggers"} & set(resource.get("inputs", {}))
    ]


def exported(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    """The resources in the stack's state, as `pulumi stack export` tells them with further arguments."""
    text = capture(["pulumi", "stack", "export", *arguments, "--stack", stack.name])
    return (json.loads(text).get("deployment") or {}).get("resources") or []


def pending(stack: Stack) -> list[str]:
    """Commands that the engine would still run, by their logical names; none when it cannot tell."""
    try:
        told = json.loads(capture(command(stack, "preview", "--json")))
    except (LabError, ValueError):
        return []
    steps = [step for step in told.get("steps", []) if step["op"] != "same"]
    return [
        str(step["urn"]).rsplit("::", 1)[1] for step in steps if "command:remote:Command::" in step["urn"]
    ]


def recorded_machines(stack: Stack) -> dict[str, tuple[str, str]]:
    """URN and identity, as the state has them, of each machine that the engine has made; by the machine's name."""
    machines = {}
    for resource in exported(stack, "--show-secrets"):
        name = str(resource["urn"]).rsplit("::", 1)[1]
        if resource["type"] == "command:local:Command" and name.startswith("machine-"):
            told = resource["outputs"]["stdout"]
            text = json.loads(told["plaintext"]) if isinstance(told, dict) else told
            machines[name.removeprefix("machine-")] = (
                str(resource["urn"]),
                str(json.loads(text)["identity"]),
            )
    return machines


def ensure(stack: Stack) -> None:
    """Have the stack in the backend."""
    backend.prepare()
    backend.release_dead_locks(stack.name)
    if exists(stack):
        return
    committed = stack.source.read_bytes()
    try:
        capture(["pulumi", "stack", "init", stack.name])
    finally:
        # `init` knows no --config-file and writes the salt of this computer's passphrase into the committed one.
        if stack.is_lab and stack.source.read_bytes() != committed:
            stack.source.write_bytes(committed)


def save_outputs(stack: Stack) -> dict[str, Any]:
    """Read the stack's outputs and keep them with kubeconfig, SSH key and known hosts, for this user only."""
    text = capture(["pulumi", "stack", "output", "--stack", stack.name, "--json", "--show-secrets"])
    outputs: dict[str, Any] = json.loads(text)
    stack.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(stack.outputs_file, text)
    write_private(stack.kubeconfig, outputs["kubeconfig"])
    write_private(stack.folder / "ssh_key", outputs["sshPrivateKey"])
    # Entries go by the machine's name (HostKeyAlias), whatever address and port reach it.
    proxy = outputs.get("sshProxy")
    keys = {**outputs["sshHostKeys"], **({PROXY: proxy["hostKey"]} if proxy else {})}
    known = [f"{name} {key.strip()}" for name, key in keys.items()]
    write_private(stack.folder / "known_hosts", "\n".join(known) + "\n")
    return outputs


def write_private(path: Path, text: str) -> None:
    """Replace a text file by one for this user only; a reader sees the old or the new one, never a part.

    Args:
        path: the file, whose folder exists.
        text: its new content.
    """
    # Made with mode 0600 from the start, under a name that nobody had before.
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}{PARTIAL}", dir=path.parent)
    try:
        with open(descriptor, "w") as file:
            file.write(text)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def ssh_command(stack: Stack, name: str, remote_command: str | None) -> list[str]:
    """The `ssh` command for a machine: the stack's key, the pinned host key and nothing of the user's own setup.

    Raises:
        LabError: the stack has no machine of that name.
    """
    machines = stack.outputs()["machines"]
    if name not in machines:
        raise LabError(f"NODE={name}: no such machine in stack {stack.name}; there are {', '.join(machines)}")
    machine = machines[name]
    through = [f"ProxyCommand={_proxy_command(stack)}"] if stack.outputs().get("sshProxy") else []
    return [
        *_ssh(stack, name),
        *(word for option in through for word in ("-o", option)),
        "-p",
        f"{machine['sshPort']:.0f}",
        f"{machine['sshUser']}@{machine['sshHost']}",
        *([remote_command] if remote_command else []),
    ]


def _proxy_command(stack: Stack) -> str:
    """The command by which ssh reaches a machine through the stack's bastion, which sees no content."""
    proxy = stack.outputs()["sshProxy"]
    line = shlex.join(_ssh(stack, PROXY))
    # ssh replaces what begins with a percent sign: the machine's own address and port, and nothing in our paths.
    return f"{line.replace('%', '%%')} -W %h:%p {shlex.quote(proxy['user'] + '@' + proxy['host'])}"


def _ssh(stack: Stack, alias: str) -> list[str]:
    """`ssh` with the stack's key and the host key pinned under a name."""
    options = [
        f"UserKnownHostsFile={stack.folder / 'known_hosts'}",
        "StrictHostKeyChecking=yes",
        f"HostKeyAlias={alias}",
        "IdentitiesOnly=yes",
        "LogLevel=ERROR",
        "ConnectTimeout=10",
        # A machine that went silent ends the connection within a minute.
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
    ]
    return [
        "ssh",
        "-F",
        "none",
        "-i",
        str(stack.folder / "ssh_key"),
        *(word for option in options for word in ("-o", option)),
    ]
