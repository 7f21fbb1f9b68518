"""What an operator does with a cluster that stands, on any platform: a command each, run from their computer.

Nothing here belongs to the desired state: what a stack file can say is the program's business. The program never
imports this package.
"""
