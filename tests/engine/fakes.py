"""The three fakes: AWS, commands on machines, keys and certificates.

What replaces a resource is the official provider's word: `terraform-provider-aws` (ForceNew), pulumi-command 1.2.1
(`triggers` and nothing else), pulumi-tls 5.3.1. Only properties that the program sets are listed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from components import bundle
from tests.engine.journal import Journal
from tests.engine.provider import FakeProvider
from tests.providers.wire import Properties, Secret

REPLACING: dict[str, frozenset[str]] = {
    "Instance": frozenset(
        {
            "ami",
            "subnetId",
            "privateIp",
            "associatePublicIpAddress",
            "instanceMarketOptions",
        }
    ),
    "Volume": frozenset({"availabilityZone", "encrypted"}),
    "VolumeAttachment": frozenset({"deviceName", "instanceId", "volumeId"}),
    "Subnet": frozenset({"vpcId", "availabilityZone", "cidrBlock"}),
    "SubnetCidrReservation": frozenset({"subnetId", "cidrBlock", "reservationType", "description"}),
    "Vpc": frozenset({"cidrBlock"}),
    "VpcDhcpOptions": frozenset({"domainName", "domainNameServers"}),
    "VpcDhcpOptionsAssociation": frozenset({"vpcId"}),
    "VpcEndpoint": frozenset({"vpcId", "serviceName", "vpcEndpointType"}),
    "Route": frozenset({"routeTableId", "destinationCidrBlock"}),
    "RouteTable": frozenset({"vpcId"}),
    "RouteTableAssociation": frozenset({"subnetId"}),
    "NatGateway": frozenset({"subnetId", "allocationId", "privateIp"}),
    "Eip": frozenset({"domain"}),
    "SecurityGroup": frozenset({"vpcId", "description"}),
    "SecurityGroupIngressRule": frozenset({"securityGroupId"}),
    "SecurityGroupEgressRule": frozenset({"securityGroupId"}),
    "LoadBalancer": frozenset({"internal", "loadBalancerType"}),
    "TargetGroup": frozenset({"port", "protocol", "targetType", "vpcId"}),
    "TargetGroupAttachment": frozenset({"targetGroupArn", "targetId", "port"}),
    "Listener": frozenset({"loadBalancerArn"}),
    "Role": frozenset({"path"}),
    "RolePolicy": frozenset({"role"}),
    "InstanceProfile": frozenset({"path"}),
    "InternetGateway": frozenset(),
}

FACTS = {"cgroup_v2": True, "swap": False, "resolver": "/run/systemd/resolve/resolv.conf"}
"""What every prepare finds on its machine."""

INVENTED: dict[str, tuple[str, ...]] = {
    "Instance": ("arn", "publicIp"),
    "LoadBalancer": ("arn", "dnsName"),
    "TargetGroup": ("arn",),
    "Eip": ("allocationId", "publicIp"),
    "Role": ("arn", "name"),
    "InstanceProfile": ("arn", "name"),
}


KEY_FORMS = ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh")


def private_key(id_: str, form: str) -> str:
    """A made-up private key, whose middle occurs nowhere else; what holds it is found by `KEY_MARK`."""
    middle = hashlib.sha512(f"{id_} {form}".encode()).hexdigest()
    return f"-----BEGIN PRIVATE KEY-----\n{KEY_MARK}{middle}\n-----END PRIVATE KEY-----\n"


KEY_MARK = "SENTINELofAPRIVATEKEY"


class FakeAws(FakeProvider):
    """EC2, ELBv2 and IAM as far as the program uses them."""

    version = "7.29.0"

    def replacing(self, kind: str) -> Collection[str]:
        return REPLACING[kind]

    def invented(self, kind: str, name: str, id_: str, inputs: Properties) -> Properties:
        return {output: f"{output} of {id_}" for output in INVENTED.get(kind, ())}

    def kept(self, kind: str) -> bool:
        return True


class FakeCommands(FakeProvider):
    """Machines that obey: every phase succeeds and answers as the agent does."""

    version = "1.2.1"

    def replacing(self, kind: str) -> Collection[str]:
        return ("triggers",)

    def invented(self, kind: str, name: str, id_: str, inputs: Properties) -> Properties:
        return {"stdout": Secret(_answer(inputs)), "stderr": Secret("")}

    def kept(self, kind: str) -> bool:
        return False

    def ran(self, method: str, kind: str, inputs: Properties) -> tuple[str, Mapping[str, Any]] | None:
        verb = inputs.get("delete") if method == "delete" else inputs.get(method) or inputs.get("create")
        return (verb, bundle.decode(inputs["stdin"])) if verb else None


def _answer(inputs: Properties) -> str:
    if not inputs or inputs["create"] == "true":
        return ""
    document = bundle.decode(inputs["stdin"])
    answer = {key: document.get(key) for key in ("digest", "identity", "versions")}
    if document["phase"] == "prepare":
        answer["facts"] = FACTS
    return json.dumps(answer)


class FakeKeys(FakeProvider):
    """Keys that hold a sentinel and certificates that hold nothing."""

    version = "5.3.1"

    def replacing(self, kind: str) -> Collection[str]:
        # All that the program sets, but for a certificate's early renewal, which it does not.
        return {
            "PrivateKey": ("algorithm", "ecdsaCurve"),
            "SelfSignedCert": ("allowedUses", "privateKeyPem", "subject", "validityPeriodHours"),
            "CertRequest": ("dnsNames", "ipAddresses", "privateKeyPem", "subject"),
            "LocallySignedCert": (
                "allowedUses",
                "caCertPem",
                "caPrivateKeyPem",
                "certRequestPem",
                "validityPeriodHours",
            ),
        }[kind]

    def invented(self, kind: str, name: str, id_: str, inputs: Properties) -> Properties:
        if kind == "PrivateKey":
            return {
                **{form: Secret(private_key(id_, form)) for form in KEY_FORMS},
                "publicKeyPem": f"public key of {id_}",
                "publicKeyOpenssh": f"ssh-ed25519 {id_}",
            }
        if kind == "CertRequest":
            return {"certRequestPem": f"request of {id_}"}
        end = datetime.now(UTC) + timedelta(hours=inputs["validityPeriodHours"])
        return {"certPem": f"certificate of {id_}", "validityEndTime": f"{end:%Y-%m-%dT%H:%M:%SZ}"}

    def kept(self, kind: str) -> bool:
        return True


def all_fakes(journal: Journal) -> dict[str, FakeProvider]:
    """A fake for each provider of the program."""
    return {"aws": FakeAws(journal), "command": FakeCommands(journal), "tls": FakeKeys(journal)}
