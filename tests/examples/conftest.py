"""Makes the example importable as `tooling`, as its image's PYTHONPATH does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "tooling" / "web"))
