"""The plan of a stack's committed settings, so that the lab's commands tell mistakes before anything is made.

The program does not come here: it plans for itself, by what the engine hands it.
"""

from functools import lru_cache

from config.plan import ClusterPlan, plan_cluster
from config.settings import SettingsError
from config.stack_file import region_of_stack_file, settings_of_stack_file
from lab.errors import LabError
from lab.stack import Stack


def plan_of(chosen: Stack) -> ClusterPlan:
    """The plan of a stack's file as it is now; the same object as long as the file holds the same.

    Raises:
        LabError: there is no such file, or its settings have mistakes; all of them are told.
    """
    try:
        return _planned(chosen.text(), chosen.source.name)
    except SettingsError as error:
        raise LabError(str(error)) from None


@lru_cache(maxsize=8)
def _planned(text: str, source: str) -> ClusterPlan:
    # By content: a file's time may stay the same when it is written twice within a tick of the kernel's clock.
    return plan_cluster(settings_of_stack_file(text, source), region=region_of_stack_file(text, source))
