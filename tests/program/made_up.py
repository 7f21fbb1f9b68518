"""What providers would answer: made-up outputs by type. Every private key holds a sentinel by which a leak is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from components import bundle
from tests.program.wire import Secret

PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
CERT_REQUEST = "tls:index/certRequest:CertRequest"
LOCALLY_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
REMOTE = "command:remote:Command"
LOCAL = "command:local:Command"
AWS_PROVIDER = "pulumi:providers:aws"

KEY_KINDS = ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh")

AWS_OUTPUTS: dict[str, dict[str, str]] = {
    "ebs/volume:Volume": {},
    "ec2/eip:Eip": {"allocationId": "eipalloc-{name}", "publicIp": "public address of {name}"},
    "ec2/instance:Instance": {"publicIp": "public address of {name}"},
    "ec2/internetGateway:InternetGateway": {},
    "ec2/natGateway:NatGateway": {},
    "ec2/route:Route": {},
    "ec2/routeTable:RouteTable": {},
    "ec2/routeTableAssociation:RouteTableAssociation": {},
    "ec2/securityGroup:SecurityGroup": {},
    "ec2/subnet:Subnet": {},
    "ec2/subnetCidrReservation:SubnetCidrReservation": {},
    "ec2/volumeAttachment:VolumeAttachment": {},
    "ec2/vpc:Vpc": {},
    "ec2/vpcDhcpOptions:VpcDhcpOptions": {},
    "ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation": {},
    "ec2/vpcEndpoint:VpcEndpoint": {},
    "iam/instanceProfile:InstanceProfile": {"name": "{name}-1234567"},
    "iam/role:Role": {"name": "{name}-1234567"},
    "iam/rolePolicy:RolePolicy": {},
    "lb/listener:Listener": {},
    "lb/loadBalancer:LoadBalancer": {"dnsName": "{name}.elb.example"},
    "lb/targetGroup:TargetGroup": {},
    "lb/targetGroupAttachment:TargetGroupAttachment": {},
    "vpc/securityGroupEgressRule:SecurityGroupEgressRule": {},
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": {},
}
"""Beside id and ARN what each type of AWS answers, as far as the program reads it."""


def sentinel(name: str, kind: str) -> str:
    """The text of a made-up private key; its middle occurs nowhere else."""
    middle = hashlib.sha512(f"{name} {kind}".encode()).hexdigest()
    return f"-----BEGIN PRIVATE KEY-----\n{middle}\n-----END PRIVATE KEY-----\n"


def facts_of(machine: str) -> dict[str, Any]:
    """What prepare would find on a made-up machine."""
    return {"cgroup_v2": True, "swap": False, "resolver": f"/etc/resolv.conf of {machine}"}


def made_up_id(type_: str, name: str) -> str:
    """The id of a made-up resource: on AWS its kind is in it, so that no id fits in another's place."""
    return f"{type_.rpartition(':')[2]} {name}" if type_.startswith("aws:") else name


def made_up_outputs(type_: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a provider would answer; only what is a secret there is one here."""
    if type_ == PRIVATE_KEY:
        return {
            **{kind: Secret(sentinel(name, kind)) for kind in KEY_KINDS},
            "publicKeyPem": f"public key of {name}",
            "publicKeyOpenssh": f"ssh-ed25519 {name}",
        }
    if type_ == CERT_REQUEST:
        return {"certRequestPem": f"request of {name}"}
    if type_ in (SELF_SIGNED, LOCALLY_SIGNED):
        return {"certPem": f"certificate of {name}", "validityEndTime": "2027-01-02T03:04:05Z"}
    if type_ == LOCAL:
        return {"stdout": Secret(json.dumps({"identity": f"nonce of {name}"}))}
    if type_ == REMOTE:
        return {"stdout": Secret(json.dumps(_answer(name, bundle.decode(inputs["stdin"].value))))}
    if type_ == AWS_PROVIDER:
        return {}
    token = type_.removeprefix("aws:")
    if token in AWS_OUTPUTS:
        fixed = {"arn": f"arn:aws:{made_up_id(type_, name)}"}
        return fixed | {key: text.format(name=name) for key, text in AWS_OUTPUTS[token].items()}
    raise AssertionError(f"the program makes a {type_}, which no test knows")


def _answer(command: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent would print."""
    answer = {key: document.get(key) for key in ("digest", "identity", "versions")}
    if document["phase"] == "prepare":
        answer["facts"] = facts_of(command.removeprefix("prepare-"))
    return answer
