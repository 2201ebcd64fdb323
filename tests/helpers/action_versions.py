"""Write the version table of a stand-in action from clones of the action.

Usage: python -m tests.helpers.action_versions FOLDER CLONE

FOLDER is the folder of the stand-in. The table keeps versions that the clone does not have.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from verification.models.action import ActionVersions, version_number


def main(folder: Path, clone: Path) -> None:
    """Add the tags of ``clone`` to ``versions.txt`` in ``folder``."""
    versions = ActionVersions.load(folder)
    field = "%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    command = ("git", "-C", clone, "for-each-ref", f"--format=%(refname:strip=2) {field}")
    listed = subprocess.run((*command, "refs/tags"), capture_output=True, text=True, check=True)
    tags = dict(line.split(" ") for line in listed.stdout.splitlines())
    known = {
        tag: commit
        for tag, commit in {**versions.tags, **tags}.items()
        if (number := version_number(tag)) and number[0] in versions.majors
    }
    lines = (
        f"{tag} {known[tag]}\n" for tag in sorted(known, key=lambda tag: (version_number(tag), tag))
    )
    (folder / "versions.txt").write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
