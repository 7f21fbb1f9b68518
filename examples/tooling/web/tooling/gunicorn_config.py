"""How gunicorn runs the site. Used as `--config python:tooling.gunicorn_config`."""

bind = "0.0.0.0:8080"
# Two processes so that one may hang or die; threads because a request mostly waits for the database.
workers = 2
worker_class = "gthread"
threads = 4
# The application is read once and shared with the workers: half the memory, and a wrong setting ends the start.
preload_app = True
# After SIGTERM, requests under way have this long; it fits into Kubernetes' and Compose's 20 s.
graceful_timeout = 15
keepalive = 2
# A container's /dev/shm may be missing or tiny; /tmp is the one place that is writable here.
worker_tmp_dir = "/tmp"
# gunicorn's remote control; its socket would need a writable home and a reader.
control_socket_disable = True
# What stands in front counts requests; errors and lost databases still go to standard error.
accesslog = None
errorlog = "-"
