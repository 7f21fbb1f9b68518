"""All scenarios, in the order in which they are told."""

from demo.scenarios import healing, limiting, losing, placing, releasing, routing, scaling, securing
from demo.show import Promise, Scenario

ALL: tuple[Scenario, ...] = (
    Scenario(
        "separate-nodes",
        Promise.SCHEDULING,
        "The web site on one worker talks to its database on another.",
        placing.web_and_database_on_separate_nodes,
    ),
    Scenario(
        "by-name",
        Promise.ROUTING,
        "The site finds its database by name, wherever that is.",
        routing.found_by_name,
    ),
    Scenario(
        "load-spread", Promise.ROUTING, "Requests are spread over the replicas.", routing.spread_over_replicas
    ),
    Scenario(
        "node-port",
        Promise.ROUTING,
        "Requests through a Service's port on a node, against requests to the pod itself.",
        routing.node_port_against_pod,
    ),
    Scenario(
        "container-dies",
        Promise.HEALTH,
        "A container that dies is started again where it is.",
        healing.container_dies,
    ),
    Scenario(
        "unhealthy", Promise.HEALTH, "A replica that is not well gets no requests.", healing.unhealthy_leaves
    ),
    Scenario(
        "memory-limit",
        Promise.RESOURCES,
        "A pod that takes more memory than its limit is killed; its neighbour is not.",
        limiting.memory_hog,
    ),
    Scenario(
        "stranger",
        Promise.SECURITY,
        "Only the site's own pods reach the database.",
        securing.stranger_is_kept_out,
    ),
    Scenario(
        "rolling-update",
        Promise.AVAILABILITY,
        "A new version (the same image, told another one) is rolled out, and back, without a failed request.",
        releasing.update_and_rollback,
    ),
    Scenario("scale", Promise.SCALING, "Two replicas become six, and two again, by hand.", scaling.by_hand),
    Scenario(
        "autoscale",
        Promise.SCALING,
        "Under load the autoscaler adds replicas, and takes them away afterwards.",
        scaling.by_load,
    ),
    Scenario(
        "node-dies",
        Promise.AVAILABILITY,
        "A node loses its power: its replica comes up on another one, and visitors are served.",
        losing.node_with_a_replica,
    ),
    Scenario(
        "node-dies-default",
        Promise.AVAILABILITY,
        "The same with Kubernetes' own patience: a pod leaves a lost node after 300 seconds.",
        losing.node_with_a_replica_by_default,
        long=True,
    ),
    Scenario(
        "database-node-dies",
        Promise.AVAILABILITY,
        "The database's node loses its power: its pod does not move by itself, and its data come back with the node.",
        losing.node_with_the_database,
    ),
)
