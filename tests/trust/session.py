"""``python -m tests.trust.session FILE``: several commands of svlm in one process, to be traced as one.

The file holds lists of arguments, as JSON; the first that does not end with 0 ends it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from svlm_cli.cli import run

if __name__ == "__main__":
    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        if code := run(arguments):
            sys.exit(f"{arguments} ended with {code}")
