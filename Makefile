# make only installs and sets the environment; underneath it is plain `pulumi`. STACK= chooses the stack everywhere.
STACK ?= lab
NODE  ?=
CMD   ?=
ARGS  ?=
LAB   := python3 -m lab
TOOLS := $(LAB) tools
PYTHON_ONLY := $(LAB) tools --python
RUN   := .venv/bin/python -m
TYPED := config components lab operations bench workstation policy demo examples/tooling/web/tooling __main__.py

.DEFAULT_GOAL := help
.PHONY: help up down preview nodes ssh kubeconfig env doctor ami cost policy graph timeline
.PHONY: verify repair
.PHONY: defragment reboot user
.PHONY: backup restore restore-drill recover
.PHONY: demo check test golden bench soak lock clean clean-artifacts

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

up: ## build the cluster, or change it to what the stack file says
	@$(LAB) up --stack $(STACK) -- $(ARGS)

down: ## destroy the cluster; on the lab nothing is left on this computer
	@$(LAB) down --stack $(STACK) -- $(ARGS)

preview: ## show what `up` would change, file by file and line by line (FULL=1: all that the engine prints)
	@$(LAB) preview --stack $(STACK) $(if $(FULL),--full) -- $(ARGS)

timeline: ## show where the time of the last `up` went: a page, opened where there is a display
	@$(LAB) timeline --stack $(STACK)

verify: ## compare every machine with what the state says of it; changes nothing (JSON=1: for machines)
	@python3 -m operations verify --stack $(STACK) $(if $(JSON),--json) $(ARGS)

repair: ## verify, show which steps would put the drift right, and do it (YES=1: without asking)
	@python3 -m operations repair --stack $(STACK) $(if $(YES),--yes) $(ARGS)

nodes: ## print the machines: name, role, address
	@$(LAB) nodes --stack $(STACK)

ssh: ## log in on a machine as root: NODE=cp-0, with CMD='...' run that
	@$(LAB) ssh --stack $(STACK) $(NODE) $(if $(value CMD),'$(subst ','\'',$(value CMD))')

kubeconfig: ## print the path of the kubeconfig and nothing else
	@$(LAB) kubeconfig --stack $(STACK)

env: ## print what to export for plain `pulumi` commands: eval "$(make --no-print-directory env)"
	@$(LAB) environment --stack $(STACK)

doctor: ## look whether this computer has what a stack needs, and say how to get what is missing
	@python3 -m workstation.doctor --stack $(STACK)

ami: ## write the newest Ubuntu LTS images of the stack's region into its file: STACK=dev
	@$(PYTHON_ONLY)
	@$(RUN) workstation.ami --stack $(STACK)

cost: ## what a stack costs in a month by AWS' list prices: STACK=dev
	@$(PYTHON_ONLY)
	@$(RUN) workstation.cost --stack $(STACK)

policy: ## check every stack against what must never be (world-open SSH, IMDSv1, unencrypted disks, ...)
	@$(PYTHON_ONLY)
	@$(RUN) policy.check --stack $(STACK)

graph: ## print a stack's resources, and the longest chain of waits in its graph: STACK=dev
	@$(PYTHON_ONLY)
	@$(RUN) bench.graph --stack $(STACK)

defragment: ## give the holes in etcd's database back to the disk, member by member (COMPACT=1: forget old revisions first)
	@python3 -m operations defragment --stack $(STACK) $(if $(COMPACT),--compact)

reboot: ## reboot the machines one after the other, drained (NODE=a,b: those; ONLY_REQUIRED=1: those that ask for it)
	@python3 -m operations reboot --stack $(STACK) $(if $(NODE),--node '$(NODE)') $(if $(ONLY_REQUIRED),--only-required)

user: ## make a certificate and kubeconfig for a person: NAME=jane GROUP=developers (DAYS=90)
	@python3 -m operations user --stack $(STACK) --name '$(NAME)' --group '$(GROUP)' $(if $(DAYS),--days $(DAYS)) $(if $(ADMIN),--admin)

backup: ## take a snapshot of etcd and an encrypted export of the stack, into a folder on this computer
	@python3 -m operations backup --stack $(STACK)

restore: ## have all of etcd begin anew from a snapshot: SNAPSHOT=<file or folder of `backup`> (YES=1: don't ask)
	@python3 -m operations restore --stack $(STACK) $(if $(YES),--yes) -- "$(SNAPSHOT)"

restore-drill: ## restore the newest snapshot beside the living etcd, compare, and take it away again (NODE=: of one machine)
	@python3 -m operations restore-drill --stack $(STACK) $(if $(NODE),--node '$(NODE)')

recover: ## put a stack's lost state back: BACKUP=<folder of `backup`>
	@python3 -m operations recover --stack $(STACK) -- "$(BACKUP)"

demo: ## deploy the example on the running lab and show what an orchestrator promises (ARGS=--help)
	@$(TOOLS)
	@$(RUN) demo --stack $(STACK) $(ARGS)

check: ## lint, types and unit tests, in under two minutes
	@$(TOOLS)
	$(RUN) ruff check .
	$(RUN) mypy $(TYPED)
	$(RUN) pytest -m "not lab and not engine and not providers" -q --numprocesses=2

test: ## everything, the lab included
	@$(TOOLS) --browser
	$(RUN) ruff check .
	$(RUN) mypy $(TYPED)
	$(RUN) pytest --durations=25

golden: ## rewrite the golden files; still fails when any differed, so that nobody updates by accident
	@$(TOOLS)
	HARDWAY_UPDATE_GOLDEN=1 $(RUN) pytest -q tests/config tests/components tests/program

bench: ## bring the lab up from nothing and time the phases
	@$(TOOLS)
	$(RUN) bench.bring_up

soak: ## what is too long for `test`, hours: all built from nothing, the bench, long tests (ARGS=--plan: only say so)
	@$(TOOLS)
	@$(RUN) bench.soak $(ARGS)

lock: ## complete config/artifacts.lock.json with the publishers' digests (ARGS=--mirror: print this computer's own)
	@$(LAB) lock $(ARGS)

clean: ## remove this clone's state folder, after `down`
	@$(LAB) clean

clean-artifacts: ## remove cached artifacts, which the next `up` fetches or builds anew
	@$(LAB) clean-artifacts
