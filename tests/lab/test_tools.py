"""Tools: only what is missing is installed, official plugins win, and every refusal names the way out."""

import argparse
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import __main__ as command_line
from lab import builds, engine, go, packages, paths, plugins, publishers, tools, virtualenv
from lab.errors import LabError
from lab.exclusive import exclusive


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache and a project of its own, and a network that reaches nobody."""
    for name in ("CACHE", "WORK", "PULUMI_HOME", "PROJECT", "VENV"):
        folder = tmp_path if name == "CACHE" else tmp_path / f".{name.lower()}"
        monkeypatch.setattr(paths, name, folder)
    paths.PROJECT.mkdir()
    monkeypatch.setattr(engine, "BIN", paths.PULUMI_HOME / "bin")
    monkeypatch.setattr(engine, "_STAMP", paths.PULUMI_HOME / "bin" / ".version")
    monkeypatch.setattr(plugins, "SOURCES", tmp_path / "providers")
    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": False})
    return tmp_path


class Recorder:
    """Stands for `go.run`: keeps the commands, and lets chosen ones fail."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.commands: list[list[str]] = []
        self.failing = list(failing)

    def __call__(self, command: Sequence[str], *, purpose: str, **_: object) -> str:
        self.commands.append(list(command))
        if purpose in self.failing:
            self.failing.remove(purpose)
            raise LabError(f"{purpose}: failed")
        if "build" in command:
            Path(command[list(command).index("-o") + 1]).write_text("program")
        return ""


# Debian packages


def test_installed_packages_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Recorder()
    monkeypatch.setattr(go, "run", run)
    monkeypatch.setattr(packages, "missing", lambda _: [])
    assert packages.ensure() == []
    assert run.commands == []


def test_only_the_missing_packages_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Recorder()
    monkeypatch.setattr(go, "run", run)
    monkeypatch.setattr(packages, "missing", lambda _: ["nftables"])
    monkeypatch.setattr(packages, "_require_apt", lambda _: None)
    assert packages.ensure() == ["nftables"]
    assert [command[-2:] for command in run.commands] == [["install", "nftables"]]


def test_a_browser_is_asked_for_only_where_tests_of_pages_will_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def none_missing(names: tuple[str, ...]) -> list[str]:
        asked.append(names)
        return []

    monkeypatch.setattr(packages, "missing", none_missing)
    packages.ensure()
    packages.ensure(browser=True)
    assert asked == [packages.needed(), (*packages.needed(), "chromium")]


def test_package_lists_are_fetched_only_when_an_install_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Recorder(failing=["apt-get install"])
    monkeypatch.setattr(go, "run", run)
    monkeypatch.setattr(packages, "missing", lambda _: ["nftables"])
    monkeypatch.setattr(packages, "_require_apt", lambda _: None)
    packages.ensure()
    assert [command[-1] for command in run.commands] == ["nftables", "update", "nftables"]


def test_a_package_that_was_removed_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "git installed\ncurl config-files\n"
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, stdout=listed, stderr="")
    )
    assert packages.missing(["git", "curl", "make"]) == ["curl", "make"]


def test_a_user_who_is_not_root_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(packages, "missing", lambda _: ["nftables"])
    with pytest.raises(LabError, match="nftables missing and only root may install them"):
        packages.ensure()


def test_a_computer_on_which_the_lab_cannot_run_is_refused_with_all_reasons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(LabError, match=r"(?s)not root.*no apt-get"):
        tools.require_computer()


# Go


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("", ()),
    ],
)
def test_a_go_is_judged_by_its_own_version(tmp_path: Path, printed: str, version: tuple[int, ...]) -> None:
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    assert go._version(str(program)) == version


def test_an_old_go_is_passed_over_for_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "go"
    program.write_text("#!/bin/sh\necho 'go version go1.19.8 linux/amd64'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(go, "_packaged_toolchain", lambda: Path("/packaged/go"))
    go.toolchain.cache_clear()
    try:
        assert go.toolchain() == Path("/packaged/go")
    finally:
        go.toolchain.cache_clear()


def test_a_go_mod_has_what_is_required_and_replaced() -> None:
    module = go.Module({"k8s.io/kubernetes": "v1.37.2"}, {"k8s.io/api": "v0.37.2"})
    assert module.text().splitlines() == [
        "module hardway.lab/build",
        "",
        "go 1.26.6",
        "",
        "require k8s.io/kubernetes v1.37.2",
        "replace k8s.io/api => k8s.io/api v0.37.2",
    ]


def test_only_programs_with_c_code_are_linked_statically_by_the_c_linker() -> None:
    assert "-extldflags=-static" in go.Flags(cgo=True).arguments()[-1]
    assert "-extldflags" not in go.Flags().arguments()[-1]
    assert go.Flags(stamps={"a.b": "v1"}).arguments()[-1] == "-ldflags=-s -w -X=a.b=v1"


def test_builds_keep_the_checksum_database_on() -> None:
    for name in ("GOSUMDB", "GONOSUMDB", "GOFLAGS", "GONOSUMCHECK"):
        assert go.environment().get(name, "") == os.environ.get(name, "") or name == "GOFLAGS"


def test_a_failed_command_ends_with_its_last_lines() -> None:
    with pytest.raises(LabError, match=r"(?s)program: `sh -c .*` ended with 3:\n  no such module"):
        go.run(["sh", "-c", "echo no such module >&2; exit 3"], purpose="program")


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(LabError, match="pause: hardway-no-such-compiler can't be started"):
        go.run(["hardway-no-such-compiler"], purpose="pause")


def test_kubernetes_own_libraries_follow_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    required = {"k8s.io/api": "v0.0.0", "k8s.io/klog/v2": "v2.130.1"}
    monkeypatch.setattr(go, "download", lambda *_: (Path("/"), {}))
    monkeypatch.setattr(go, "required_by", lambda _: required)
    assert builds._staging("1.37.2") == {"k8s.io/api": "v0.37.2"}


# Virtual environment


def requirements(text: str) -> None:
    """Write both requirement files."""
    for name in virtualenv.REQUIREMENTS:
        (paths.PROJECT / name).write_text(text)


def fake_install(folder: Path) -> None:
    """Stand for pip."""
    folder.mkdir(parents=True)
    (folder / ".complete").touch()


def test_other_requirements_get_another_environment_and_old_ones_find_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed: list[Path] = []

    def install(folder: Path) -> None:
        installed.append(folder)
        fake_install(folder)

    monkeypatch.setattr(virtualenv, "_install", install)
    targets = []
    for text in ("pulumi==3.230.0", "pulumi==3.231.0", "pulumi==3.230.0"):
        requirements(text)
        targets.append(virtualenv.ensure().readlink())
    assert len(installed) == 2
    assert targets[0] == targets[2] != targets[1]


def test_a_virtual_environment_of_the_users_own_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements("pulumi==3.230.0")
    monkeypatch.setattr(virtualenv, "_install", fake_install)
    paths.VENV.mkdir()
    with pytest.raises(LabError, match="exists and was not made by the lab; move it away"):
        virtualenv.ensure()


# Engine and plugins


def published_engine(target: Path, programs: Sequence[str] = engine.PROGRAMS) -> None:
    """Write an archive like the engine's release."""
    with tarfile.open(target, "w:gz") as archive:
        for name in (*programs, "pulumi-language-go"):
            entry = tarfile.TarInfo(f"pulumi/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))


def test_the_published_engine_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, _digest: str, target: Path, _step: object, *, checksums: str) -> bool:
        assert url.endswith(f"/pulumi-v{engine.VERSION}-linux-x64.tar.gz")
        assert checksums.endswith(f"/pulumi-{engine.VERSION}-checksums.txt")
        published_engine(target)
        return True

    monkeypatch.setattr(paths, "architecture", lambda: "amd64")
    monkeypatch.setattr(publishers, "fetch", fetch)
    assert engine.ensure().read_text() == "pulumi"
    assert engine.source() == "publisher"
    assert {path.name for path in engine.BIN.iterdir()} == {*engine.PROGRAMS, ".version"}
    monkeypatch.setattr(publishers, "fetch", lambda *_, **__: pytest.fail("asked again"))
    engine.ensure()


def test_an_engine_of_another_version_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_url: str, _digest: str, target: Path, *_: object, **__: object) -> bool:
        published_engine(target)
        return True

    monkeypatch.setattr(publishers, "fetch", fetch)
    engine.ensure()
    (engine.BIN / ".version").write_text("3.0.0 built\n")
    (engine.BIN / "pulumi").write_text("old")
    assert engine.ensure().read_text() == "pulumi"


def test_a_pulumi_command_sees_our_engine_and_packages_first() -> None:
    environ = engine.environment()
    assert environ["PATH"].split(":")[:2] == [str(paths.VENV / "bin"), str(engine.BIN)]
    assert environ["PULUMI_HOME"] == str(paths.PULUMI_HOME)


def provider_sources(text: str) -> None:
    """Write the stand-ins' sources."""
    plugins.SOURCES.mkdir(exist_ok=True)
    (plugins.SOURCES / "go.mod").write_text("module hardway.lab/providers\n")
    (plugins.SOURCES / "main.go").write_text(text)


def test_stand_ins_are_built_once_for_the_same_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Recorder()
    monkeypatch.setattr(go, "run", run)
    provider_sources("package one")
    plugins.ensure()
    plugins.ensure()
    assert [command[-1] for command in run.commands] == [
        "./cmd/pulumi-resource-command",
        "./cmd/pulumi-resource-tls",
    ]
    assert plugins.stand_ins() == ["command", "tls"]
    provider_sources("package two")
    plugins.ensure()
    assert len(run.commands) == 4


def test_an_official_plugin_replaces_a_stand_in_as_soon_as_it_can_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(go, "run", Recorder())
    provider_sources("package one")
    plugins.ensure()

    def install(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        name = command[4]
        plugins._program(name).write_text("official")
        return subprocess.CompletedProcess(list(command), 0)

    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": True})
    monkeypatch.setattr(engine, "ensure", lambda: Path("/pulumi"))
    monkeypatch.setattr(subprocess, "run", install)
    plugins.ensure()
    assert plugins.stand_ins() == []
    assert plugins._program("tls").read_text() == "official"


def test_a_failed_official_install_leaves_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go, "run", Recorder())
    provider_sources("package one")

    def install(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(list(command), 1)

    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": True})
    monkeypatch.setattr(engine, "ensure", lambda: Path("/pulumi"))
    monkeypatch.setattr(subprocess, "run", install)
    plugins.ensure()
    assert plugins.stand_ins() == ["command", "tls"]


def test_every_plugin_has_the_version_of_its_python_package() -> None:
    pinned = (Path(tools.__file__).resolve().parent.parent / "requirements.txt").read_text().splitlines()
    assert [f"pulumi-{name}=={version}" for name, version in plugins.VERSIONS.items()] == [
        line for line in pinned if line.startswith("pulumi-")
    ]


def test_the_lab_never_asks_for_the_plugin_that_it_has_no_stand_in_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(go, "run", Recorder())
    provider_sources("package one")
    plugins.ensure()
    assert not plugins._folder("aws").exists()


def test_platform_aws_is_refused_before_anything_is_touched_where_official_plugins_cannot_be_had(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((go, "run"), (virtualenv, "ensure"), (engine, "ensure"), (packages, "ensure")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("touched"))
    plugins._folder("tls").mkdir(parents=True)
    plugins._program("tls").write_text("built")
    plugins._marker("tls").write_text("digest\n")
    before = sorted(cache.rglob("*"))
    with pytest.raises(LabError) as refused:
        tools.ensure("aws")
    lines = str(refused.value).splitlines()
    assert lines[0] == (
        "platform aws needs Pulumi's official plugins, and these are not on this computer, nor does their publisher "
        "answer from here: aws 7.29.0 (not installed), command 1.2.1 (not installed), "
        "tls 5.3.1 (a stand-in of lab/providers)."
    )
    assert lines[1].startswith("Nothing was touched.")
    assert [line.split()[6] for line in lines[3:]] == ["7.29.0", "1.2.1", "5.3.1"]
    assert sorted(cache.rglob("*")) == before


def official(name: str) -> None:
    """Have an official plugin."""
    plugins._folder(name).mkdir(parents=True)
    plugins._program(name).write_text("official")


@pytest.mark.parametrize("spoilt", ["stand-in", "partial", "absent"])
@pytest.mark.parametrize("name", ["aws", "command", "tls"])
def test_each_of_the_three_plugins_has_to_be_whole_and_official(name: str, spoilt: str) -> None:
    for one in plugins.VERSIONS:
        official(one)
    plugins.require_official()
    if spoilt == "stand-in":
        plugins._marker(name).write_text("digest\n")
    elif spoilt == "partial":
        plugins._partial(name).touch()
    else:
        plugins._program(name).unlink()
    with pytest.raises(LabError, match=rf"answer from here: {name} \S+ \("):
        plugins.require_official()


def test_official_plugins_are_installed_where_their_publisher_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed: list[str] = []

    def install(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        installed.append(f"{command[4]} {command[5]}")
        official(command[4])
        return subprocess.CompletedProcess(list(command), 0)

    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": True})
    monkeypatch.setattr(engine, "ensure", lambda: Path("/pulumi"))
    monkeypatch.setattr(subprocess, "run", install)
    official("tls")
    plugins.require_official()
    plugins.require_official()
    assert installed == ["aws 7.29.0", "command 1.2.1"]


def test_a_plugin_whose_download_breaks_off_is_refused_and_not_replaced_by_a_stand_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def install(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.CalledProcessError(1, list(command))

    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": True})
    monkeypatch.setattr(engine, "ensure", lambda: Path("/pulumi"))
    monkeypatch.setattr(subprocess, "run", install)
    monkeypatch.setattr(go, "run", lambda *_, **__: pytest.fail("built a stand-in"))
    with pytest.raises(LabError, match=r"aws 7\.29\.0 \(not installed\)"):
        plugins.require_official()


def test_platform_aws_needs_neither_root_nor_debian_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in plugins.VERSIONS:
        official(name)
    done: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(packages, "ensure", lambda: pytest.fail("asked for packages"))
    monkeypatch.setattr(virtualenv, "ensure", lambda: done.append("environment"))
    monkeypatch.setattr(engine, "ensure", lambda: done.append("engine"))
    tools.ensure("aws")
    assert done == ["environment", "engine"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("config:\n  hardway:cluster:\n    platform:\n      kind: aws\n", "aws"),
        ("config:\n  hardway:cluster:\n    platform: {kind: hosts}\n", "hosts"),
        ("config: [", "lab"),
        (None, "lab"),
    ],
    ids=["aws", "hosts", "unreadable", "absent"],
)
def test_which_tools_are_needed_is_known_before_any_package_is_installed(text: str | None, kind: str) -> None:
    if text is not None:
        (paths.PROJECT / "Pulumi.dev.yaml").write_text(text)
    assert command_line._kind(argparse.Namespace(stack="dev")) == kind


def test_a_command_without_a_stack_gets_the_labs_tools() -> None:
    assert command_line._kind(argparse.Namespace()) == "lab"


def test_missing_provider_sources_are_one_clear_error() -> None:
    with pytest.raises(LabError, match="no Go module there, so plugin command can't be built"):
        plugins.ensure()


# One at a time


def test_a_second_run_waits_for_the_first_and_says_for_whom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock"
    entered: list[float] = []

    def second() -> None:
        with exclusive(lock, "artifacts"):
            entered.append(time.monotonic())

    with exclusive(lock, "artifacts"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert entered == []
    thread.join(timeout=5)
    assert len(entered) == 1
    assert f"waiting for process {os.getpid()}, which is busy with artifacts" in capsys.readouterr().err


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = "from lab.exclusive import exclusive\nfrom pathlib import Path\nimport time\n"
    code += f"with exclusive(Path({str(lock)!r}), 'artifacts'):\n print('held', flush=True)\n time.sleep(60)"
    root = Path(tools.__file__).resolve().parent.parent
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with lock.open() as stream, pytest.raises(BlockingIOError):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.kill()
    process.wait()
    process.stdout.close()
    with exclusive(lock, "artifacts"):
        assert lock.read_text() == f"process {os.getpid()}"


def test_two_clones_have_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARDWAY_INSTANCE", raising=False)
    names = []
    for folder in ("/srv/one", "/srv/two"):
        monkeypatch.setattr(paths, "PROJECT", Path(folder))
        names.append(paths.instance())
    assert names[0] != names[1]
    assert names[0] == hashlib.sha256(b"/srv/one").hexdigest()[:6]
