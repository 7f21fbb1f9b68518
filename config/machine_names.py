"""Names of the machines that a platform makes by number; hosts bring names of their own."""

from __future__ import annotations

from config.models import LabPlatform, Settings, WorkerPoolSettings

LAB_BALANCER = "lb-0"


def control_plane_names(settings: Settings) -> list[str]:
    """The control plane's, in the order of their numbers."""
    return [f"cp-{number}" for number in range(settings.control_plane.count)]


def worker_numbers(pool: WorkerPoolSettings) -> list[int]:
    """The numbers of a pool's machines, without what is excluded."""
    excluded = set(pool.exclude)
    return [number for number in range(pool.count) if number not in excluded]


def worker_name(pool: WorkerPoolSettings, number: int) -> str:
    """A worker's name: of its pool and its number there."""
    return f"worker-{pool.name}-{number}"


def worker_names(pool: WorkerPoolSettings) -> list[str]:
    """A pool's, in the order of their numbers."""
    return [worker_name(pool, number) for number in worker_numbers(pool)]


def balancer_names(settings: Settings) -> list[str]:
    """Machines that balance the API: the lab has one, AWS brings a balancer of its own."""
    return [LAB_BALANCER] if isinstance(settings.platform, LabPlatform) else []
