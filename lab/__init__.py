"""What makes the lab: tools, artifacts, images, machines. Standard library only: it runs before any venv exists."""
