"""What goes into the trees of the example's images, as their Dockerfiles' RUN and COPY have it.

It makes no image: lab/debian_layers.py brings the Debian packages, lab/example_images.py packs.
"""

import os
import shutil
from pathlib import Path

from lab import go, paths, virtualenv
from lab.commands import run

EXAMPLE = paths.PROJECT / "examples" / "tooling"
MYSQL = 10002
"""User and group of the database, as its Dockerfile and manifests have it."""


def _compile(tree: Path, *folders: str) -> None:
    """Compile Python in a tree, by the tree's own Python, into bytecode that no file's time makes invalid."""
    python = ["chroot", str(tree), "env", "-i", "PATH=/usr/bin", "PYTHONHASHSEED=0", "python3"]
    compiling = ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    run([*python, *compiling, *folders], seconds=600)


def compile_library(tree: Path) -> None:
    """Compile Python's own library: its package's bytecode goes by the sources' times, which layers don't keep."""
    _compile(
        tree, "/usr/lib/python3", *(f"/usr/lib/{path.name}" for path in (tree / "usr/lib").glob("python3.*"))
    )


def renumber_mysql(tree: Path) -> None:
    """Give the database its fixed number and an empty data folder: the package took the next free one."""
    old_user, old_group = (
        int(run(["chroot", str(tree), "id", option, "mysql"])) for option in ("--user", "--group")
    )
    run(["chroot", str(tree), "groupmod", "--gid", str(MYSQL), "mysql"])
    run(["chroot", str(tree), "usermod", "--uid", str(MYSQL), "--gid", str(MYSQL), "mysql"])
    shutil.rmtree(tree / "var/lib/mysql")
    for name in ("var/lib/mysql", "run/mysqld"):
        (tree / name).mkdir(mode=0o750)
        os.chown(tree / name, MYSQL, MYSQL)
    for folder, folders, files in os.walk(tree):
        for path in (Path(folder, name) for name in [*folders, *files]):
            facts = path.lstat()
            user = MYSQL if facts.st_uid == old_user else -1
            group = MYSQL if facts.st_gid == old_group else -1
            if (user, group) != (-1, -1):
                mode = facts.st_mode & 0o7777
                os.chown(path, user, group, follow_symlinks=False)
                # Changing the owner clears set-uid and set-gid.
                if not path.is_symlink():
                    path.chmod(mode)
    for name in ("passwd-", "group-", "shadow-", "gshadow-"):
        (tree / "etc" / name).unlink(missing_ok=True)


def fill_web(tree: Path) -> None:
    """Put the site and its packages where the Dockerfile puts them."""
    folder = tree / "opt" / "tooling"
    folder.mkdir(parents=True)
    versions = sorted(path.name.removeprefix("python") for path in (tree / "usr/lib").glob("python3.*"))
    pip = [
        str(virtualenv.ensure() / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    pip += ["--disable-pip-version-check", "--only-binary=:all:", "--python-version", versions[-1]]
    pip += ["--root-user-action=ignore", "--target", str(folder / "packages")]
    go.run([*pip, "--requirement", str(EXAMPLE / "web" / "requirements.txt")], purpose="packages of the site")
    # Scripts begin with the path of this computer's Python; the image starts modules.
    shutil.rmtree(folder / "packages" / "bin", ignore_errors=True)
    for record in (folder / "packages").glob("*.dist-info/RECORD"):
        record.unlink()
    shutil.copytree(
        EXAMPLE / "web" / "tooling", folder / "app" / "tooling", ignore=shutil.ignore_patterns("__pycache__")
    )
    _readable(folder)
    _compile(tree, "/opt/tooling")


def fill_database(tree: Path) -> None:
    """Put the database's settings and its entrypoint where the Dockerfile puts them."""
    settings, program = tree / "etc/mysql/tooling.cnf", tree / "usr/local/bin/entrypoint.sh"
    shutil.copyfile(EXAMPLE / "database" / "tooling.cnf", settings)
    shutil.copyfile(EXAMPLE / "database" / "entrypoint.sh", program)
    settings.chmod(0o644)
    program.chmod(0o755)


def _readable(folder: Path) -> None:
    """Give modes that don't depend on this computer's mask: the container's user is neither owner nor group."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
