"""The lab's command line: what make calls. `python3 -m lab --help` lists the commands.

It starts with nothing but Python: `tools` installs what is missing, then commands that need packages run again
inside the virtual environment. Underneath it is plain `pulumi`; this only installs, sets the environment and looks.
"""

import argparse
import os
import shutil
import sys

from lab import paths, tools, virtualenv
from lab.errors import LabError
from workstation import stack_text


def main(arguments: list[str]) -> int:
    """Run one command; gives the exit status. An error is one message, never a traceback."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run it again and it goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m lab", description=__doc__)
    parser.set_defaults(run=lambda chosen: parser.print_help())
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, (function, text) in _ENGINE_COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--stack", default="lab")
        command.add_argument("arguments", nargs="*", help="further arguments for pulumi, after --")
        command.set_defaults(run=function, full=False)
        if name == "preview":
            command.add_argument("--full", action="store_true", help="all that the engine prints")
    tool = commands.add_parser("tools", help="install what the computer lacks")
    tool.add_argument(
        "--python", action="store_true", help="only Python packages, on any system and without root"
    )
    tool.add_argument("--browser", action="store_true", help="also the browser that tests of pages need")
    tool.set_defaults(run=_tools)
    lock = commands.add_parser("lock", help="complete the committed digests from the publishers")
    lock.add_argument(
        "--mirror", action="store_true", help="print the digests of what this computer has built"
    )
    lock.set_defaults(run=_lock)
    artifacts = commands.add_parser("clean-artifacts", help="remove the cached artifacts and images")
    artifacts.set_defaults(run=_clean_artifacts)
    clean = commands.add_parser("clean", help="remove this clone's state folder (after down)")
    clean.set_defaults(run=_clean)
    ssh = commands.add_parser("ssh", help="log in on a machine, or run a command there")
    ssh.add_argument("node")
    ssh.add_argument("remote", nargs="?")
    ssh.add_argument("--stack", default="lab")
    ssh.set_defaults(run=_ssh)
    machine = commands.add_parser("machine", help="one machine of the lab; the program calls this")
    machine.add_argument("verb", choices=["create", "delete", "start", "stop", "kill", "wipe", "list"])
    machine.add_argument("name", nargs="?")
    machine.set_defaults(run=_machine)
    network = commands.add_parser("network", help="the lab's bridge; the program calls this")
    network.add_argument("verb", choices=["create", "delete"])
    network.set_defaults(run=_network)
    return parser


def _tools(chosen: argparse.Namespace) -> None:
    if chosen.python:
        virtualenv.ensure()
    else:
        tools.ensure(browser=chosen.browser)


def _inside(chosen: argparse.Namespace) -> None:
    """Continue inside the virtual environment, with all tools installed; returns when this already is inside."""
    if os.environ.get("HARDWAY_INSIDE") == str(paths.VENV):
        return
    tools.ensure(_kind(chosen))
    _enter()


def _enter() -> None:
    python = str(paths.VENV / "bin" / "python")
    os.environ["HARDWAY_INSIDE"] = str(paths.VENV)
    os.execv(python, [python, "-m", "lab", *sys.argv[1:]])


def _kind(chosen: argparse.Namespace) -> str:
    """The kind of the stack's platform by a first look at its file: the package that reads YAML may be missing yet.

    What is not found out is `lab`; whoever reads the file as YAML later says what is wrong with it.
    """
    file = paths.PROJECT / f"Pulumi.{getattr(chosen, 'stack', 'lab')}.yaml"
    try:
        return stack_text.platform_kind(file.read_text()) or "lab"
    except (OSError, ValueError):
        return "lab"


def _up(chosen: argparse.Namespace) -> int:
    _inside(chosen)
    from lab import bring_up, stack

    return bring_up.up(stack.Stack(chosen.stack), chosen.arguments)


def _down(chosen: argparse.Namespace) -> int:
    _inside(chosen)
    from lab import bring_up, stack

    return bring_up.down(stack.Stack(chosen.stack), chosen.arguments)


def _preview(chosen: argparse.Namespace) -> int:
    _inside(chosen)
    from lab import bring_up, stack

    return bring_up.preview(stack.Stack(chosen.stack), chosen.arguments, whole=chosen.full)


def _timeline(chosen: argparse.Namespace) -> None:
    _inside(chosen)
    from lab import stack, timeline_page

    path = timeline_page.last(stack.Stack(chosen.stack))
    print(path, flush=True)
    timeline_page.show(path)


def _nodes(chosen: argparse.Namespace) -> None:
    _inside(chosen)
    from lab import stack

    for name, machine in stack.Stack(chosen.stack).outputs()["machines"].items():
        print(name, machine["role"], machine["address"])


def _kubeconfig(chosen: argparse.Namespace) -> None:
    _inside(chosen)
    from lab import stack

    one = stack.Stack(chosen.stack)
    one.outputs()
    print(one.kubeconfig)


def _environment(chosen: argparse.Namespace) -> None:
    _inside(chosen)
    from lab import backend, bring_up, stack

    bring_up.refresh(stack.Stack(chosen.stack))
    backend.prepare()
    now = backend.environment()
    for name in ("PATH", "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        if name in now:
            print(f"export {name}='{now[name]}'")


def _ssh(chosen: argparse.Namespace) -> None:
    _inside(chosen)
    from lab import stack

    line = stack.ssh_command(stack.Stack(chosen.stack), chosen.node, chosen.remote or None)
    os.execvp(line[0], line)


def _clean(chosen: argparse.Namespace) -> None:
    from lab import backend, sweep

    left = sweep.leftovers()
    if left:
        raise LabError("the lab still runs (" + "; ".join(left[:3]) + "); 'make down' first")
    holding = backend.stacks_with_resources()
    if holding:
        raise LabError(
            f"{paths.STATE}: holds the keys of stack {', '.join(holding)}; 'make down STACK={holding[0]}' first"
        )
    shutil.rmtree(paths.STATE, ignore_errors=True)
    if paths.VENV.is_symlink():
        paths.VENV.unlink()


def _lock(chosen: argparse.Namespace) -> None:
    if os.environ.get("HARDWAY_INSIDE") != str(paths.VENV):
        virtualenv.ensure()
        _enter()
    from lab import lock

    if chosen.mirror:
        lock.print_mirror()
    else:
        lock.lock()


def _clean_artifacts(_chosen: argparse.Namespace) -> None:
    shutil.rmtree(paths.MIRROR, ignore_errors=True)


def _machine(chosen: argparse.Namespace) -> None:
    from lab import machines

    if chosen.verb == "create":
        machines.create_from_stdin()
    elif chosen.verb == "list":
        for machine in machines.list_machines():
            print(machine.name, machine.address, machine.state)
    elif chosen.name is None:
        raise LabError(f"machine {chosen.verb}: which one? 'python3 -m lab machine list' names them")
    else:
        getattr(machines, chosen.verb)(chosen.name)


def _network(chosen: argparse.Namespace) -> None:
    from lab import network

    if chosen.verb == "create":
        network.create_from_stdin()
    else:
        network.delete()


_ENGINE_COMMANDS = {
    "up": (_up, "build or change the cluster"),
    "down": (_down, "destroy it and leave nothing"),
    "preview": (_preview, "show what up would change, file by file"),
    "timeline": (_timeline, "show where the time of the last up went, as a page"),
    "nodes": (_nodes, "print name, role and address of every machine"),
    "kubeconfig": (_kubeconfig, "print the path of the kubeconfig"),
    "environment": (_environment, "print what to export for plain pulumi commands"),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
