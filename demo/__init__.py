"""`make demo`: the example of examples/tooling on the running lab, and what an orchestrator promises, shown on it."""
