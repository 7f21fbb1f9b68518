"""What an EC2 machine is told at its first boot: its SSH host key and who may log in, and nothing else.

User data can be read by whoever may call EC2's DescribeInstanceAttribute, and on the machine through IMDS: the host
key in it is worth as much as that. `rotateHostKeys` gives the machine another one.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.render import dump_yaml


def user_data(
    *, host_key: str, public_host_key: str, user: str, authorized_key: str, files: Mapping[str, str]
) -> str:
    """A cloud-config (cloudinit.readthedocs.io, modules `ssh` and `users_groups`).

    Args:
        host_key: private SSH host key, OpenSSH text; other types are removed and none is generated.
        public_host_key: its public part.
        user: login name, with sudo and without a password.
        authorized_key: public key that logs in.
        files: further files that are needed before sshd starts, content by path; machines have none.
    """
    login = {
        "name": user,
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": True,
        "ssh_authorized_keys": [authorized_key.strip()],
    }
    written = [{"path": path, "content": text} for path, text in files.items()]
    return "#cloud-config\n" + dump_yaml(
        {
            "ssh_deletekeys": True,
            "ssh_keys": {"ed25519_private": host_key, "ed25519_public": public_host_key.strip()},
            "ssh_pwauth": False,
            "disable_root": True,
            "users": [login],
            **({"write_files": written} if written else {}),
        }
    )
