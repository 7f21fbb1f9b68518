"""Who the cloud says that this machine is, and the kubelet drop-in that registers its Node as that instance.

The API keeps a Node's provider id for ever: a Node that was registered without one, or by an instance that was
replaced, has to be deleted first.
"""

import json
import re
import urllib.request

from components.agent.evidence import Failure, wait_until

DROP_IN = "/etc/kubernetes/kubelet.conf.d/60-cloud.conf"
METADATA = "http://169.254.169.254"
PATIENCE_SECONDS = 30.0
_REQUEST_SECONDS = 2.0
_TOKEN_SECONDS = 60
_FIELDS = {"instance-id": r"i-[0-9a-f]{8,17}", "placement/availability-zone": r"[a-z0-9-]+"}
# No proxy: the address is the machine's own link, and an environment's proxy would answer as somebody else.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def provider_id(cloud: str | None, metadata: str = METADATA, seconds: float = PATIENCE_SECONDS) -> str | None:
    """The id under which the cloud's own controllers look for this machine; None outside of a cloud.

    Args:
        cloud: `aws` or None.
        metadata: where the instance metadata service answers.
        seconds: how long it may be silent.

    Raises:
        Failure: the cloud is not known here, or its metadata service does not answer.
    """
    if cloud is None:
        return None
    if cloud != "aws":
        raise Failure(f"cloud {cloud} is not known to this agent; it knows aws")
    found: dict[str, str] = {}
    errors: list[str] = []

    def asked() -> bool:
        try:
            found.update(_ask(metadata))
        except (OSError, ValueError) as error:
            errors.append(str(error))
        return bool(found)

    if not wait_until("the instance metadata service", asked, seconds, interval=1):
        raise Failure(
            f"the instance metadata service at {metadata} gave no answer of use for {seconds:.0f} s "
            f"({errors[-1]}). Look at the instance's metadata options (the HTTP endpoint has to be enabled) and at "
            "this machine's route and firewall to that address, then run again"
        )
    return f"aws:///{found['placement/availability-zone']}/{found['instance-id']}"


def _ask(metadata: str) -> dict[str, str]:
    """Instance and zone by IMDSv2: a token first, then the fields with it (AWS EC2 User Guide, IMDSv2)."""
    token = _answer(
        urllib.request.Request(
            f"{metadata}/latest/api/token",
            method="PUT",
            headers={"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)},
        )
    )
    found = {}
    for field, pattern in _FIELDS.items():
        headers = {"X-aws-ec2-metadata-token": token}
        text = _answer(urllib.request.Request(f"{metadata}/latest/meta-data/{field}", headers=headers))
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{field} is {text[:80]!r}")
        found[field] = text
    return found


def _answer(request: urllib.request.Request) -> str:
    with _OPENER.open(request, timeout=_REQUEST_SECONDS) as answer:
        return str(answer.read().decode().strip())


def drop_in(identity: str | None) -> dict[str, str]:
    """Path to content of what a provider id asks for; nothing outside of a cloud.

    Args:
        identity: what `provider_id` gave.
    """
    if identity is None:
        return {}
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "providerID": identity,
    }
    return {DROP_IN: json.dumps(kubelet, indent=2) + "\n"}
