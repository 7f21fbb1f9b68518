"""docs/topology.svg from the plan of Pulumi.lab.yaml: `python -m docs.draw_topology` writes it.

The picture takes names, addresses, ranges and ports from the plan and decides nothing but where they stand. Where the
plan forwards the example's NodePort, the example stands on the workers: as its manifests want it spread, not as it was
seen on a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from config.plan import ETCD_CLIENT_PORT, ETCD_PEER_PORT, ClusterPlan, MachinePlan, plan_cluster
from config.settings import Cni
from config.stack_file import settings_of_stack_file

PROJECT = Path(__file__).parents[1]
STACK_FILE = PROJECT / "Pulumi.lab.yaml"
TOPOLOGY_FILE = PROJECT / "docs" / "topology.svg"

EXAMPLE_PORT = 30080
"""NodePort of examples/tooling."""

WIDTH, HEIGHT = 1080, 922
LEFT, RIGHT = 84, 996
GAP = 24
RAIL, USERS_RAIL = 58, 1022
"""Where the line between the nodes' own balancers and the API runs up, and users' line to the workers down."""
BALANCER_TOP, BUS, CONTROL_TOP, LOWER_BUS, WORKER_TOP, FOOT_TOP = 132, 240, 274, 540, 592, 836
CONTROL_HEIGHT, WORKER_HEIGHT = 238, 174
USERS_BUS = WORKER_TOP + WORKER_HEIGHT + 28

LIGHT = {
    "page": "#ffffff", "network": "#f6f8fa", "card": "#ffffff", "edge": "#d1d9e0", "text": "#1f2328",
    "quiet": "#59636e", "agent": "#eff2f5", "api": "#0969da", "api_fill": "#ddf4ff", "etcd": "#8250df",
    "etcd_fill": "#fbefff", "control": "#1a7f37", "control_fill": "#dafbe1", "door": "#bc4c00",
    "door_fill": "#fff1e5", "site": "#9a6700", "site_fill": "#fff8c5",
}  # fmt: skip
DARK = {
    "page": "#0d1117", "network": "#11161d", "card": "#161b22", "edge": "#3d444d", "text": "#f0f6fc",
    "quiet": "#9198a1", "agent": "#21262d", "api": "#58a6ff", "api_fill": "#12263f", "etcd": "#bc8cff",
    "etcd_fill": "#271f3d", "control": "#56d364", "control_fill": "#12261a", "door": "#f0883e",
    "door_fill": "#33200f", "site": "#d29922", "site_fill": "#2e2404",
}  # fmt: skip
SHAPES = """\
text { font-size: 13px;
  font-family: -apple-system, BlinkMacSystemFont, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
.title { font-size: 20px; font-weight: 600; }
.name { font-size: 15px; font-weight: 600; }
.quiet, .words-api, .words-door, .words-site { font-size: 12px; }
.address { font-size: 12.5px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.network { stroke-dasharray: 5 5; }
.line { fill: none; stroke-width: 1.8; }
"""


def colours(palette: Mapping[str, str]) -> str:
    """Rules of one palette. Written out for each, since not every viewer knows variables of CSS."""
    rules = [
        f"text {{ fill: {palette['text']}; }}",
        f".quiet, .address {{ fill: {palette['quiet']}; }}",
        f".page {{ fill: {palette['page']}; }}",
        f".agent {{ fill: {palette['agent']}; }}",
        f".network {{ fill: {palette['network']}; stroke: {palette['edge']}; }}",
        f".card {{ fill: {palette['card']}; stroke: {palette['edge']}; }}",
    ]
    for name in ("api", "etcd", "control", "door", "site"):
        rules += [
            f"rect.{name} {{ fill: {palette[name + '_fill']}; stroke: {palette[name]}; }}",
            f"polyline.{name} {{ stroke: {palette[name]}; }}",
            f".words-{name}, .head-{name} {{ fill: {palette[name]}; }}",
        ]
    return "\n".join(rules)


def style() -> str:
    """The style sheet: light, and dark where the reader's system asks for it."""
    return f"{SHAPES}{colours(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{colours(DARK)}\n}}"


@dataclass
class Drawing:
    """SVG elements in the order in which they cover each other."""

    elements: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, style: str, radius: int = 8) -> None:
        """A rounded rectangle."""
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" class="{style}"/>'
        )

    def text(self, x: float, y: float, words: str, style: str = "") -> None:
        """One line of text; `y` is its base line."""
        self.elements.append(f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(words)}</text>')

    def chip(self, x: float, y: float, width: float, words: str, style: str) -> None:
        """A process: a small box with its name in the middle."""
        self.box(x, y, width, 28, style, 6)
        self.text(x + width / 2, y + 18.5, words, "middle")

    def line(self, points: Sequence[tuple[float, float]], style: str, arrow: bool = False) -> None:
        """A line through points, with an arrow's head at its end if wanted."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        end = f' marker-end="url(#head-{style})"' if arrow else ""
        self.elements.append(f'<polyline points="{path}" class="line {style}"{end}/>')

    def svg(self, label: str) -> str:
        """The whole picture."""
        heads = "".join(
            f'<marker id="head-{style}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0,0.6 L8,4 L0,7.4 z" class="head-{style}"/></marker>'
            for style in ("api", "door", "site")
        )
        lines = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                f'height="{HEIGHT}" role="img" aria-label="{escape(label)}">'
            ),
            f"<style>\n{style()}\n</style>",
            f"<defs>{heads}</defs>",
            *self.elements,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"


def columns(count: int) -> list[tuple[float, float]]:
    """Left edge and width of that many cards side by side."""
    width = (RIGHT - LEFT - GAP * (count - 1)) / max(count, 1)
    return [(LEFT + number * (width + GAP), width) for number in range(count)]


def topology(plan: ClusterPlan) -> str:
    """The picture of a plan as SVG."""
    drawing = Drawing()
    network = plan.network
    drawing.box(0, 0, WIDTH, HEIGHT, "page", 12)
    drawing.text(28, 42, f"Cluster {plan.name}", "title")
    drawing.text(28, 64, f"Kubernetes {plan.kubernetes_version}", "quiet")
    drawing.box(28, 104, WIDTH - 56, FOOT_TOP - 18 - 104, "network", 12)
    drawing.text(44, 130, f"machines {network.machines}", "quiet")
    _client(drawing, plan)
    _control_plane(drawing, plan)
    _workers(drawing, plan)
    _ranges(drawing, plan)
    members = len(plan.control_plane)
    return drawing.svg(
        f"Cluster {plan.name}: a balancer, {members} control-plane machines, {len(plan.workers)} workers"
    )


def _forwarded(plan: ClusterPlan) -> tuple[int, ...]:
    """NodePorts that a balancer forwards to the workers."""
    return plan.network.forwarded_node_ports if plan.load_balancers else ()


def _client(drawing: Drawing, plan: ClusterPlan) -> None:
    """Who comes from outside, the balancer, and the API's line that it and all nodes lead to."""
    ports = _forwarded(plan)
    middle = (LEFT + RIGHT) / 2
    left, half = (middle - 162, 150) if ports else (middle, 136)
    drawing.box(left - 130, 22, 260, 46, "card")
    drawing.text(left, 42, "kubectl, pipelines, people", "middle name")
    drawing.text(left, 59, f"verify {plan.api_name}", "middle quiet")
    drawing.line([(left, 68), (left, BALANCER_TOP - 2)], "door", arrow=True)
    drawing.text(left + 10, 93, f"https://{plan.endpoint}:{plan.network.api_port}", "words-door")
    for balancer in plan.load_balancers[:1]:
        edge = left - half - 14
        width = 2 * (middle - edge)
        drawing.box(edge, BALANCER_TOP, width, 74, "card")
        drawing.text(edge + 14, BALANCER_TOP + 24, balancer.name, "name")
        drawing.text(edge + width - 14, BALANCER_TOP + 24, str(balancer.address), "address end")
        drawing.chip(left - half, BALANCER_TOP + 36, 2 * half, "HAProxy, TLS passes through", "door")
        drawing.line([(left, BALANCER_TOP + 74), (left, BUS)], "api")
        if ports:
            _visitors(drawing, plan, middle + 162, half)


def _visitors(drawing: Drawing, plan: ClusterPlan, x: float, half: float) -> None:
    """Users of the forwarded NodePorts, and their way to the workers."""
    ports = _forwarded(plan)
    drawing.box(x - 130, 22, 260, 46, "card")
    drawing.text(x, 42, "visitors' browsers", "middle name")
    drawing.text(x, 59, "of what runs on the workers", "middle quiet")
    drawing.line([(x, 68), (x, BALANCER_TOP - 2)], "site", arrow=True)
    drawing.text(x + 10, 93, f"http://{plan.load_balancers[0].address}:{ports[0]}", "words-site")
    drawing.chip(x - half, BALANCER_TOP + 36, 2 * half, "a HAProxy of its own for NodePorts", "site")
    drawing.line(
        [(x + half, BALANCER_TOP + 50), (USERS_RAIL, BALANCER_TOP + 50), (USERS_RAIL, USERS_BUS)], "site"
    )


def _control_plane(drawing: Drawing, plan: ClusterPlan) -> None:
    cards = list(zip(plan.control_plane, columns(len(plan.control_plane)), strict=True))
    last = cards[-1][1]
    drawing.line([(RAIL, BUS), (last[0] + last[1] / 2, BUS)], "api")
    drawing.text(
        LEFT, BUS - 8, f"every API server, port {plan.network.api_port}, TLS, by health", "words-api"
    )
    for _, (x, width) in cards:
        drawing.box(x, CONTROL_TOP, width, CONTROL_HEIGHT, "card")
    first_etcd, last_etcd = cards[0][1][0] + 20, last[0] + last[1] - 20
    etcd_line = CONTROL_TOP + 122
    drawing.line([(first_etcd, etcd_line), (last_etcd, etcd_line)], "etcd")
    for machine, (x, width) in cards:
        _control_plane_machine(drawing, plan, machine, x, width)


def _control_plane_machine(
    drawing: Drawing, plan: ClusterPlan, machine: MachinePlan, x: float, width: float
) -> None:
    top, inner = CONTROL_TOP, width - 28
    drawing.text(x + 14, top + 25, machine.name, "name")
    drawing.text(x + width - 14, top + 25, str(machine.address), "address end")
    drawing.chip(x + 14, top + 38, inner, "API server", "api")
    drawing.line([(x + width / 2, BUS), (x + width / 2, top + 36)], "api", arrow=True)
    half = (inner - 8) / 2
    drawing.chip(x + 14, top + 72, half, "controller manager", "control")
    drawing.chip(x + 22 + half, top + 72, half, "scheduler", "control")
    drawing.chip(x + 14, top + 108, inner, f"etcd :{ETCD_CLIENT_PORT}, peers :{ETCD_PEER_PORT}", "etcd")
    _agents(drawing, plan, x, top + 148, width, upwards=False)


def _agents(
    drawing: Drawing, plan: ClusterPlan, x: float, top: float, width: float, *, upwards: bool
) -> None:
    """The node agents of a machine and the balancer of its own through which they reach the API."""
    inner = width - 28
    network = ["flannel", "network policies"] if plan.network.cni is Cni.FLANNEL else ["a CNI of your own"]
    balancer = f"own balancer 127.0.0.1:{plan.network.local_api_port}"
    lists, chip = (top + 38, top) if upwards else (top, top + 48)
    drawing.box(x + 14, lists, inner, 42, "agent", 6)
    drawing.text(x + width / 2, lists + 17, "kubelet, kube-proxy, containerd", "middle quiet")
    drawing.text(x + width / 2, lists + 33, ", ".join(network), "middle quiet")
    drawing.chip(x + 14, chip, inner, balancer, "door")
    edge = chip if upwards else chip + 28
    drawing.line([(x + width / 2, edge), (x + width / 2, LOWER_BUS)], "api")


def _workers(drawing: Drawing, plan: ClusterPlan) -> None:
    cards = list(zip(plan.workers, columns(len(plan.workers)), strict=True))
    nodes = [x + width / 2 for x, width in (*columns(len(plan.control_plane)), *columns(len(plan.workers)))]
    drawing.line([(max(nodes), LOWER_BUS), (RAIL, LOWER_BUS), (RAIL, BUS)], "api")
    drawing.text(LEFT, LOWER_BUS + 18, "each machine's own balancer", "words-api")
    drawing.text(LEFT, LOWER_BUS + 34, "checks and uses every API server", "words-api")
    for machine, (x, width) in cards:
        drawing.box(x, WORKER_TOP, width, WORKER_HEIGHT, "card")
        drawing.text(x + 14, WORKER_TOP + 25, machine.name, "name")
        drawing.text(x + width - 14, WORKER_TOP + 25, str(machine.address), "address end")
        _agents(drawing, plan, x, WORKER_TOP + 38, width, upwards=True)
        if not _forwarded(plan):
            drawing.text(x + width / 2, WORKER_TOP + 150, f"pool {machine.pool}", "middle quiet")
    if _forwarded(plan):
        _pods(drawing, plan)


def _pods(drawing: Drawing, plan: ClusterPlan) -> None:
    """What the forwarded NodePorts lead to, and the example where its port is among them."""
    ports = _forwarded(plan)
    listed = ", ".join(str(port) for port in ports)
    cards = list(zip(plan.workers, columns(len(plan.workers)), strict=True))
    drawing.line([(USERS_RAIL, USERS_BUS), (cards[0][1][0] + 40, USERS_BUS)], "site")
    drawing.text(LEFT + 52, USERS_BUS + 18, f"port {listed} of every worker that answers on it", "words-site")
    for number, (_, (x, width)) in enumerate(cards):
        drawing.line([(x + 40, USERS_BUS), (x + 40, WORKER_TOP + WORKER_HEIGHT - 12)], "site", arrow=True)
        if EXAMPLE_PORT in ports and number < 2:
            _example(drawing, x, width, with_database=number == 1)


def _example(drawing: Drawing, x: float, width: float, *, with_database: bool) -> None:
    """The example's pods on a worker: a replica of the site on each of two, its database on one of them."""
    top, half = WORKER_TOP + 132, (width - 36) / 2
    drawing.chip(x + 14, top, half, "pod web", "site")
    if with_database:
        drawing.chip(x + 22 + half, top, half, "pod database-0", "etcd")


def _ranges(drawing: Drawing, plan: ClusterPlan) -> None:
    """The ranges that live on the machines' network."""
    network = plan.network
    boxes = (
        (f"pods {network.pods}", f"a /{network.node_prefix_length} for each Node"),
        (
            f"services {network.services}",
            f"API {network.api_service_address}, DNS {network.dns_service_address} ({network.domain})",
        ),
    )
    width = (WIDTH - 56 - GAP) / 2
    for number, (name, detail) in enumerate(boxes):
        x = 28 + number * (width + GAP)
        drawing.box(x, FOOT_TOP, width, 60, "card")
        drawing.text(x + width / 2, FOOT_TOP + 26, name, "middle name")
        drawing.text(x + width / 2, FOOT_TOP + 46, detail, "middle quiet")


def topology_text() -> str:
    """The committed picture's text."""
    return topology(plan_cluster(settings_of_stack_file(STACK_FILE.read_text(), STACK_FILE.name)))


if __name__ == "__main__":
    TOPOLOGY_FILE.write_text(topology_text())
    print(f"wrote docs/{TOPOLOGY_FILE.name}")
