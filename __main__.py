"""The cluster as one graph: settings, plan, machines, PKI, control plane, workers, gate, exports."""

import pulumi

from components.certificate_authority import CertificateAuthority
from components.control_plane import ControlPlane
from components.gate import gate
from components.kubeconfig import Kubeconfig
from components.machine import Machine
from components.network import Network
from components.stack import load_plan
from components.worker_pool import WorkerPool
from config.certificates import Authority, certificates_for
from config.settings import HostsPlatform

settings, plan = load_plan()
specs = certificates_for(plan)

fleet: "HostFleet | LabFleet"
if isinstance(settings.platform, HostsPlatform):
    from components.fleet import HostFleet

    network = Network("network", plan=plan.network, bridge=False)
    fleet = HostFleet("fleet", plan=plan, platform=settings.platform)
else:
    from components.fleet import LabFleet

    network = Network("network", plan=plan.network, bridge=True)
    fleet = LabFleet("fleet", plan=plan, network=network)
machines: dict[str, Machine] = fleet.machines

pki = CertificateAuthority("pki", cluster=plan.name, specs=specs, plan=plan.certificates)
control_plane = ControlPlane("control-plane", plan=plan, machines=machines, specs=specs, pki=pki)
pools = [
    WorkerPool(
        f"pool-{pool.name}",
        plan=plan,
        pool=pool,
        machines=machines,
        specs=specs,
        pki=pki,
        after=control_plane.activated,
    )
    for pool in plan.pools
]
applied = {**control_plane.applied, **{name: done for pool in pools for name, done in pool.applied.items()}}
ready = gate(plan, machines, control_plane, pools, pki, applied)
kubeconfig = Kubeconfig(
    "kubeconfig",
    cluster=plan.name,
    server=control_plane.endpoint,
    tls_server_name=plan.api_name,
    ca=pki.authorities[Authority.KUBERNETES],
    client=pki.leaves["admin"],
)

pulumi.export("endpoint", control_plane.endpoint)
pulumi.export("kubeconfig", kubeconfig.text)
pulumi.export("machines", {machine.name: machine.described() for machine in machines.values()})
pulumi.export("applied", applied)
pulumi.export("certificates", {name: pair.expires for name, pair in pki.leaves.items()})
pulumi.export("ready", ready.result)
pulumi.export("sshPrivateKey", fleet.ssh_private_key)
pulumi.export("sshHostKeys", {name: machine.connection.host_key for name, machine in machines.items()})
