"""The kinds of text, number and address that settings are made of, each with its rule in plain words.

The words serve three readers: the error of a wrong value, the editor (through the JSON Schema) and
docs/settings.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from config.versions import ARCHITECTURES, KUBERNETES_DEFAULT, KUBERNETES_MINORS, VERSIONED

_OCTET = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = rf"{_OCTET}(\.{_OCTET}){{3}}"
_ADDRESS_FORM = "an IPv4 address, such as 172.31.0.10"
_NETWORK = rf"{_ADDRESS}/(3[0-2]|[12]?\d)"
_NETWORK_FORM = "an IPv4 network: its first address and its length, such as 172.20.0.0/16"
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"({_DNS_NAME}/)?{_LABEL_NAME}"

FORM = "x-form"
"""Key of the JSON Schema under which a form's words stand for the documentation."""


@dataclass(frozen=True)
class Shape:
    """What a text has to look like.

    Attributes:
        pattern: the whole text matches it.
        form: the same in words, as the end of "has to be ...".
        what: what a wrong value is not, for "is no ...; write <form>" instead.
        longest: most characters, or None.
        check: a further rule that no pattern tells; returns what is wrong, or None.
    """

    pattern: str
    form: str
    what: str | None = None
    longest: int | None = None
    check: Callable[[str], str | None] | None = None

    @property
    def wrong(self) -> str:
        """What to say of a value that does not match."""
        return f"has to be {self.form}" if self.what is None else f"is no {self.what}; write {self.form}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after pydantic has made sure that it is text."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors the rule and its words."""
        schema = {
            **handler(core),
            "pattern": f"^{self.pattern}$",
            "patternErrorMessage": self.wrong,
            FORM: self.form,
        }
        return schema if self.longest is None else {**schema, "maxLength": self.longest}

    def _checked(self, value: str) -> str:
        if self.longest is not None and len(value) > self.longest:
            raise ValueError(f"is too long with {len(value)} characters; the most is {self.longest}")
        if not re.fullmatch(self.pattern, value, re.ASCII):
            raise ValueError(self.wrong)
        further = self.check(value) if self.check else None
        if further:
            raise ValueError(further)
        return value


def _network(value: Any) -> IPv4Network:
    """Read a network, refusing what `ipaddress` would guess: numbers, netmasks, a missing length."""
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str) or not re.fullmatch(_NETWORK, value, re.ASCII):
        raise ValueError(f"has to be {_NETWORK_FORM}")
    network = IPv4Network(value, strict=False)
    if str(network) != value:
        raise ValueError(f"names an address inside of a network; the network itself is {network}, write that")
    return network


def _usable(network: IPv4Network) -> IPv4Network:
    """Refuse ranges that no machine or pod can have (RFC 6890)."""
    special = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
    for text in special:
        if network.overlaps(IPv4Network(text)):
            raise ValueError(
                f"overlaps {text}, which has a special meaning; choose a private range such as 172.20.0.0/16"
            )
    return network


def _address(value: Any) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    if not isinstance(value, str) or not re.fullmatch(_ADDRESS, value, re.ASCII):
        raise ValueError(f"has to be {_ADDRESS_FORM}")
    return IPv4Address(value)


def _kubelet_may_not_set(key: str) -> str | None:
    """What NodeRestriction refuses as a Node's own label (kubernetes.io, "Admission controllers")."""
    domain = key.rpartition("/")[0]
    within = {
        name: domain == name or domain.endswith(f".{name}")
        for name in ("kubernetes.io", "k8s.io", "node.kubernetes.io", "kubelet.kubernetes.io")
    }
    if not (within["kubernetes.io"] or within["k8s.io"]):
        return None
    if within["node.kubernetes.io"] or within["kubelet.kubernetes.io"]:
        return None
    return (
        "is a label that no kubelet may set on its own Node; use node.kubernetes.io/... or a domain of"
        " your own"
    )


def _looks_like_address(value: str) -> str | None:
    if re.fullmatch(r"[\d.]+", value) and not re.fullmatch(_ADDRESS, value, re.ASCII):
        return "has to be a DNS name or a whole IPv4 address, such as api.example.com or 172.31.0.5"
    return None


def _no_password(value: str) -> str | None:
    if "@" not in value:
        return None
    return (
        "holds a password, which everybody on a machine could read in unit files and process lists; write the URL"
        " without it, and have the proxy know the machines by their addresses, or put another in front of it"
    )


def _not_the_clusters_own(value: str) -> str | None:
    """Refuse what a token's name could continue to one that Kubernetes or Hardway has given rights already."""
    for own in ("system:", "hardway:"):
        if value.startswith(own) or own.startswith(value):
            return f"would let a token name whom '{own}' stands for in this cluster; choose another, such as oidc:"
    return None


Integer = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
NodePort = Annotated[int, Field(strict=True, ge=30000, le=32767)]


def _address_schema(pattern: str, form: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{pattern}$",
            "patternErrorMessage": f"has to be {form}",
            FORM: form,
        }
    )


Network = Annotated[
    IPv4Network,
    BeforeValidator(_network),
    AfterValidator(_usable),
    _address_schema(_NETWORK, _NETWORK_FORM),
]
Address = Annotated[IPv4Address, BeforeValidator(_address), _address_schema(_ADDRESS, _ADDRESS_FORM)]

Name = Annotated[
    str,
    Shape(
        r"[a-z]([-a-z0-9]*[a-z0-9])?",
        "a name of small letters, digits and '-', with a letter first and no '-' at the end",
        longest=30,
    ),
]
Domain = Annotated[str, Shape(_DNS_NAME, "a DNS domain in small letters, such as cluster.local", longest=100)]
Endpoint = Annotated[
    str,
    Shape(
        _DNS_NAME,
        "a DNS name or an IPv4 address without scheme and port, such as api.example.com",
        longest=253,
        check=_looks_like_address,
    ),
]
_NUMBER = r"(0|[1-9]\d{0,4})"
KubernetesVersion = Annotated[
    str,
    Shape(
        rf"1\.({'|'.join(map(str, KUBERNETES_MINORS))})\.{_NUMBER}",
        f"a release of {' or '.join(f'1.{minor}' for minor in KUBERNETES_MINORS)}, such as {KUBERNETES_DEFAULT}",
        what="Kubernetes version that Hardway knows",
    ),
]
_LABEL_KEY_FORM = "name or domain/name, the name of at most 63 letters, digits, '-', '_' and '.'"
LabelKey = Annotated[str, Shape(_LABEL_KEY, _LABEL_KEY_FORM, what="label or taint key", longest=317)]
NodeLabelKey = Annotated[
    str, Shape(_LABEL_KEY, _LABEL_KEY_FORM, what="label key", longest=317, check=_kubelet_may_not_set)
]
LabelValue = Annotated[
    str,
    Shape(
        f"({_LABEL_NAME})?",
        "empty or at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    ),
]
Flag = Annotated[
    str,
    Shape(r"[a-z0-9]+(-[a-z0-9]+)*", "a name without the leading dashes, such as event-ttl", what="flag"),
]
FlagValue = Annotated[
    str,
    # systemd splits, unquotes and expands what stands in a unit's command line.
    Shape(
        r"[^\s\"'\\$]*",
        "text without space, quote, backslash and '$', which systemd would take for itself",
    ),
]
Sha256 = Annotated[str, Shape(r"[0-9a-f]{64}", "a sha256 digest: 64 digits 0-9 and small letters a-f")]
VersionedName = Annotated[
    str,
    Shape("|".join(VERSIONED), f"one of {', '.join(VERSIONED)}", what="artifact with a version of its own"),
]
ReleaseVersion = Annotated[
    str,
    Shape(
        rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}",
        'three numbers without a leading "v", such as 3.6.14',
        what="release",
    ),
]
DigestKey = Annotated[
    str,
    Shape(
        rf"[a-z0-9]+(-[a-z0-9]+)*/\d+(\.\d+){{1,2}}([-+.][0-9A-Za-z.]+)?/({'|'.join(ARCHITECTURES)})",
        "<artifact>/<version>/<architecture>, such as kubelet/1.37.2/amd64",
        what="artifact",
    ),
]
MirrorUrl = Annotated[
    str,
    Shape(
        rf"https?://{_DNS_NAME}(:\d{{1,5}})?(/[^\s/?#]+)*",
        "a URL of http or https without '/' at the end, such as https://mirror.example.com/hardway",
    ),
]
RegistryName = Annotated[
    str,
    Shape(
        rf"{_DNS_NAME}(:\d{{1,5}})?",
        "a registry's name as it stands in front of an image, such as docker.io or registry.example.com:5000",
        what="registry",
    ),
]
HttpsUrl = Annotated[
    str,
    Shape(
        rf"https://{_DNS_NAME}(:\d{{1,5}})?(/[^\s?#]*)?",
        "a URL of https without '?' and '#', such as https://login.example.com/realms/team",
    ),
]
ProxyUrl = Annotated[
    str,
    Shape(
        rf"https?://([^\s/@]*@)?{_DNS_NAME}(:\d{{1,5}})?/?",
        "a URL of http or https with host and port, such as http://proxy.example.com:3128",
        check=_no_password,
    ),
]
NoProxy = Annotated[
    str,
    Shape(
        rf"\.?{_DNS_NAME}|{_NETWORK}",
        "a DNS name, one with '.' in front for all names below it, an IPv4 address or an IPv4 network",
    ),
]
ClaimName = Annotated[
    str, Shape(r"[A-Za-z0-9_:./-]+", "the name of a token's claim, such as groups", what="claim", longest=200)
]
ClaimPrefix = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9][A-Za-z0-9._:/#-]*[:/#]",
        "text that ends with ':', '/' or '#', such as oidc:",
        longest=200,
        check=_not_the_clusters_own,
    ),
]
ClientId = Annotated[str, Shape(r"\S+", "the client's name at the issuer, without spaces", longest=255)]
LoginName = Annotated[
    str,
    Shape(r"[a-z_][a-z0-9_-]*", "a Linux login name of small letters, digits, '_' and '-'", longest=32),
]
FileName = Annotated[str, Shape(r"\S(.*\S)?", "the name of a file, from the project's root")]
SshHost = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?",
        "a DNS name or an IPv4 address without user and port, such as 192.0.2.10",
        longest=253,
    ),
]
HostKey = Annotated[
    str,
    Shape(
        r"(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,}={0,3}( .*)?",
        "a public SSH host key, as ssh-keyscan prints it after the name: ssh-ed25519 AAAA...",
    ),
]
SshPublicKey = Annotated[
    str,
    Shape(
        r"(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,}={0,3}( .*)?",
        "a public SSH key, as it stands in a .pub file: ssh-ed25519 AAAA...",
    ),
]


def _cidr(value: Any) -> IPv4Network:
    """Read a range that may be anything on the internet, the whole of it included."""
    return _network(value)


Cidr = Annotated[IPv4Network, BeforeValidator(_cidr), _address_schema(_NETWORK, _NETWORK_FORM)]

Zone = Annotated[
    str,
    Shape(r"[a-d]", "the letter of an availability zone: a, b, c or d", what="zone"),
]
REGION = Shape(r"[a-z]{2,4}(-[a-z]+)+-\d", "an AWS region, such as eu-central-1", what="region")
"""The form of Pulumi's own `aws:region`, which stands beside the settings."""
ImageId = Annotated[
    str, Shape(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a machine image, such as ami-0123456789abcdef0")
]
VpcId = Annotated[
    str, Shape(r"vpc-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a VPC, such as vpc-0123456789abcdef0")
]
SubnetId = Annotated[
    str, Shape(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a subnet, such as subnet-0123456789abcdef0")
]
InstanceType = Annotated[
    str,
    Shape(
        r"[a-z][a-z0-9-]*\d[a-z0-9-]*\.(nano|micro|small|medium|(\d*x)?large|metal(-\d+xl)?)",
        "an EC2 instance type, such as t4g.medium",
    ),
]
BucketName = Annotated[
    str,
    Shape(
        r"[a-z0-9]([a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]",
        "the name of an S3 bucket: 3 to 63 small letters, digits, '-' and '.'",
    ),
]
_TAG = r"[A-Za-z0-9 _.:/=+@-]"
TagKey = Annotated[
    str,
    Shape(
        rf"(?!aws:){_TAG}{{1,128}}",
        "letters, digits, space and _ . : / = + @ -, not beginning with aws:",
        what="tag key",
    ),
]
TagValue = Annotated[
    str, Shape(rf"{_TAG}{{0,256}}", "at most 256 letters, digits, spaces and _ . : / = + @ -")
]
