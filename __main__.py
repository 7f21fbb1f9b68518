"""The cluster as one graph: settings, plan, machines, PKI, control plane, workers, gate, exports."""

import pulumi

from components.certificate_authority import CertificateAuthority
from components.control_plane import ControlPlane
from components.gate import gate, stand_by_for_the_end
from components.kubeconfig import Kubeconfig
from components.machine import confirmed_by
from components.platforms import make_ground
from components.stack import load_plan
from components.worker_pool import WorkerPool
from config.certificates import Authority, certificates_for

settings, plan, replacements = load_plan()
specs = certificates_for(plan)
ground = make_ground(settings, plan, replacements)
machines = ground.machines

pki = CertificateAuthority("pki", cluster=plan.name, specs=specs, plan=plan.certificates)
pools = [
    WorkerPool(f"pool-{pool.name}", plan=plan, pool=pool, machines=machines, specs=specs, pki=pki)
    for pool in plan.pools
]
control_plane = ControlPlane(
    "control-plane",
    plan=plan,
    machines=machines,
    specs=specs,
    pki=pki,
    endpoint=ground.endpoint,
    staged=[prepare for pool in pools for prepare in pool.prepared],
)
for pool in pools:
    pool.activate(after=control_plane.activated)
applied = {**control_plane.applied, **{name: done for pool in pools for name, done in pool.applied.items()}}
ready = gate(plan, machines, control_plane, pools, pki, applied)
stand_by_for_the_end(plan, machines, ready)
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
pulumi.export("certificates", confirmed_by(ready.command, pulumi.Output.all(**pki.expires)))
pulumi.export("certificateGeneration", confirmed_by(ready.command, plan.certificates.generation))
pulumi.export("nodeLoss", confirmed_by(ready.command, plan.node_loss.described()))
pulumi.export("ready", ready.result)
pulumi.export("sshPrivateKey", ground.ssh_private_key)
pulumi.export("sshProxy", ground.proxy.described() if ground.proxy else None)
pulumi.export("sshHostKeys", {name: machine.connection.host_key for name, machine in machines.items()})
