"""The tables and first rows, as numbered steps, each applied once and in order. Never change one that was released.

While a new version rolls out the old one still runs on the new tables: a step may add, but only a later version may
remove what the earlier one uses. MariaDB commits with each CREATE or ALTER, so those are written to bear a repetition.
"""

from dataclasses import dataclass

FIRST_LINKS = (
    ("Argo CD", "https://argo-cd.readthedocs.io/"),
    ("GitLab", "https://docs.gitlab.com/"),
    ("Grafana", "https://grafana.com/docs/grafana/latest/"),
    ("Harbor", "https://goharbor.io/docs/"),
    ("Jenkins", "https://www.jenkins.io/doc/"),
    ("Kubernetes", "https://kubernetes.io/docs/home/"),
    ("Prometheus", "https://prometheus.io/docs/introduction/overview/"),
    ("SonarQube", "https://docs.sonarsource.com/sonarqube-server/"),
    ("Vault", "https://developer.hashicorp.com/vault/docs"),
)
"""What a new page shows: where the tools of many teams are documented, until the team puts its own there."""

CREATE_STEPS = (
    "CREATE TABLE IF NOT EXISTS steps (number INT PRIMARY KEY, applied TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
)


@dataclass(frozen=True)
class Step:
    """Statements that are recorded under one number, each with the values of its parameters."""

    number: int
    statements: tuple[tuple[str, tuple[str, ...]], ...]


STEPS = (
    Step(
        1,
        (
            (
                "CREATE TABLE IF NOT EXISTS users ("
                "id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, "
                "name VARCHAR(64) COLLATE utf8mb4_bin NOT NULL UNIQUE, "
                "password_hash VARCHAR(255) NOT NULL)",
                (),
            ),
            (
                "CREATE TABLE IF NOT EXISTS links ("
                "id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, "
                "title VARCHAR(80) NOT NULL, "
                "url VARCHAR(2000) NOT NULL)",
                (),
            ),
        ),
    ),
    Step(2, tuple(("INSERT INTO links (title, url) VALUES (%s, %s)", link) for link in FIRST_LINKS)),
)
