"""Which pods a drain moves, and which PodDisruptionBudget would not let one go.

Pure: lists of API objects in, sentences out. That the API server evicts by these rules is its own doing.
"""

from typing import Any

Object = dict[str, Any]

_MIRROR = "kubernetes.io/config.mirror"
_FINISHED = ("Succeeded", "Failed")


def movable(pods: list[Object]) -> list[Object]:
    """The pods that a drain has to get rid of: neither a DaemonSet's, nor the kubelet's own, nor finished."""
    return [
        pod
        for pod in pods
        if _controller(pod) != "DaemonSet"
        and _MIRROR not in pod["metadata"].get("annotations", {})
        and pod.get("status", {}).get("phase") not in _FINISHED
    ]


def lone(pods: list[Object]) -> list[str]:
    """Names of the movable pods without a controller: nobody makes them again elsewhere."""
    return [name_of(pod) for pod in movable(pods) if _controller(pod) is None]


def name_of(thing: Object) -> str:
    """Namespace and name, as in default/web-0."""
    return f"{thing['metadata']['namespace']}/{thing['metadata']['name']}"


def _controller(pod: Object) -> str | None:
    references = pod["metadata"].get("ownerReferences", [])
    return next((str(one["kind"]) for one in references if one.get("controller")), None)


def describe(pods: list[Object], budgets: list[Object]) -> list[str]:
    """One line for each movable pod that is left: the budget that holds it, or what it is waited for.

    Args:
        pods: all pods of a Node.
        budgets: all PodDisruptionBudgets.
    """
    return [f"{name_of(pod)}: {_reason(pod, budgets)}" for pod in movable(pods)]


def held(pods: list[Object], budgets: list[Object]) -> list[str]:
    """One line for each movable pod that a budget would not let go now.

    Args:
        pods: all pods of a Node.
        budgets: all PodDisruptionBudgets.
    """
    reasons = {name_of(pod): _hold(pod, budgets) for pod in movable(pods)}
    return [f"{name}: {reason}" for name, reason in reasons.items() if reason]


def _reason(pod: Object, budgets: list[Object]) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 0)
        return f"was evicted and has not ended yet (it may take {grace} s)"
    return _hold(pod, budgets) or "was not evicted yet"


def _hold(pod: Object, budgets: list[Object]) -> str:
    """Why no eviction of a pod would be granted now; empty where one would."""
    matching = [budget for budget in budgets if selects(budget, pod)]
    if len(matching) > 1:
        names = ", ".join(name_of(budget) for budget in matching)
        return f"has more than one PodDisruptionBudget ({names}), which no eviction can satisfy"
    for budget in matching:
        status = budget.get("status", {})
        if status.get("disruptionsAllowed", 0) < 1:
            return (
                f"PodDisruptionBudget {name_of(budget)} allows {status.get('disruptionsAllowed', 0)} disruptions "
                f"({status.get('currentHealthy', 0)} healthy, {status.get('desiredHealthy', 0)} wanted)"
            )
    return ""


def selects(budget: Object, pod: Object) -> bool:
    """Whether a budget covers a pod (policy/v1: an empty selector covers its whole namespace, none covers nothing)."""
    selector = budget["spec"].get("selector")
    if selector is None or budget["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    labels = pod["metadata"].get("labels", {})
    same = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return same and all(_meets(labels, expression) for expression in selector.get("matchExpressions", []))


def _meets(labels: dict[str, str], expression: Object) -> bool:
    key, values = expression["key"], expression.get("values", [])
    return {
        "In": key in labels and labels[key] in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]
