"""The whole thing on the real lab: brought up once, looked at, disturbed, repaired and taken down."""
