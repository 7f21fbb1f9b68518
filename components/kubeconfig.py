"""The administrator's kubeconfig: a pure builder, wrapped as a secret output."""

from __future__ import annotations

import base64

import pulumi

from components.certificate_authority import KeyPair
from components.render import dump_yaml


def build_kubeconfig(
    *, cluster: str, server: str, tls_server_name: str, ca: str, certificate: str, key: str
) -> str:
    """A self-contained kubeconfig.

    Args:
        cluster: name of cluster, context and user's prefix.
        server: URL of the endpoint.
        tls_server_name: the name to expect on the API server's certificate, whatever address stands in
            `server`.
        ca: the authority's certificate, PEM.
        certificate: the client's certificate, PEM.
        key: the client's private key, PEM.
    """

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    user = f"{cluster}-admin"
    endpoint = {
        "server": server,
        "tls-server-name": tls_server_name,
        "certificate-authority-data": encoded(ca),
    }
    return dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [{"name": cluster, "cluster": endpoint}],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": encoded(certificate),
                        "client-key-data": encoded(key),
                    },
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        }
    )


class Kubeconfig(pulumi.ComponentResource):
    """The kubeconfig of one client.

    Attributes:
        text: the file, a secret.
    """

    text: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        server: pulumi.Input[str],
        tls_server_name: str,
        ca: pulumi.Output[str],
        client: KeyPair,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Build it; see `build_kubeconfig` for the arguments."""
        super().__init__("hardway:index:Kubeconfig", name, None, opts)
        self.text = pulumi.Output.secret(
            pulumi.Output.all(
                server=server, ca=ca, certificate=client.certificate, key=client.private_key
            ).apply(
                lambda values: build_kubeconfig(cluster=cluster, tls_server_name=tls_server_name, **values)
            )
        )
        self.register_outputs({"text": self.text})
