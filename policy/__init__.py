"""What must never be deployed, as rules over resources: pure functions, a Pulumi policy pack, a command of its own.

The rules know nothing of Pulumi (`policy.rules`); `policy.__main__` serves them to the engine and `policy.check`
is `make policy`. They look at resources only, not at what runs on a machine; that is `tests/e2e`'s business.
"""
