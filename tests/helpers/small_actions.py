"""Small GitHub actions of each kind, as a folder for ``--actions-from``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CHECKOUT = """\
inputs: {token: {default: "${{ github.token }}"}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {TOKEN: "${{ inputs.token }}"}
      run: |
        git init --quiet .
        git remote add origin "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY"
        login=$(printf 'x-access-token:%s' "$TOKEN" | base64 --wrap=0)
        header="http.$GITHUB_SERVER_URL/.extraheader=AUTHORIZATION: basic $login"
        git -c "$header" fetch --quiet --no-tags --depth=1 origin "+$GITHUB_SHA:$GITHUB_REF"
        git checkout --quiet FETCH_HEAD
        git log --format='checked out %H'
"""
NODE = """\
inputs: {greeting: {default: nothing}}
outputs: {reply: {}}
runs: {using: node24, main: main.js}
"""
NODE_MAIN = """\
const fs = require('fs');
console.log(`node got ${process.env.INPUT_GREETING}`);
fs.appendFileSync(process.env.GITHUB_OUTPUT, `reply=to ${process.env.INPUT_GREETING}\\n`);
"""
COMPOSITE = """\
outputs: {reply: {value: "${{ steps.nested.outputs.reply }}"}}
runs:
  using: composite
  steps:
    - uses: own/node@v1
      id: nested
      with: {greeting: nested}
    - uses: actions/checkout@v7
      with: {path: by-stand-in}
"""
DOCKER = """\
inputs: {greeting: {default: nothing}}
outputs: {reply: {}}
runs:
  using: docker
  image: IMAGE
  entrypoint: /bin/sh
  args: ["-c", "SCRIPT", "sh", "${{ inputs.greeting }}"]
"""
SCRIPT = (
    "echo docker got $1 in $PWD; cat data.txt; echo identity from $ACTIONS_ID_TOKEN_REQUEST_URL; "
    "echo artifacts at $ACTIONS_RESULTS_URL; echo reply=from docker $1 >> $GITHUB_OUTPUT; "
    "if test $1 = fail; then exit 7; fi"
)
GENERATED = """\
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        mkdir -p .github/.generated
        cp "$GITHUB_ACTION_PATH/inner.yml" .github/.generated/action.yml
    - uses: ./.github/.generated
      with: {greeting: generated}
"""


def docker_action(runs_image: str) -> str:
    """Return action.yml of a Docker action with this value of `runs.image`."""
    return DOCKER.replace("IMAGE", runs_image).replace("SCRIPT", SCRIPT)


FILES = {
    "own/checkout/action.yml": CHECKOUT,
    "own/node/action.yml": NODE,
    "own/node/main.js": NODE_MAIN,
    "own/composite/action.yml": COMPOSITE,
    "own/docker/action.yml": docker_action("docker://IMAGE"),
    "own/dockerfile/action.yml": docker_action("Dockerfile"),
    "own/dockerfile/Dockerfile": "FROM IMAGE\nCOPY note.txt /note.txt\nRUN cat /note.txt\n",
    "own/dockerfile/note.txt": "a note\n",
    "own/generated/action.yml": GENERATED,
    "own/generated/inner.yml": docker_action("docker://IMAGE"),
}


def write(folder: Path, image: str) -> Path:
    """Write the actions ``own/*``. Docker actions use ``image``, an image of the engine."""
    write_files(folder, FILES, image)
    return folder


def write_files(folder: Path, files: Mapping[str, str], image: str) -> None:
    """Write files by name. ``image`` replaces the word IMAGE."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("IMAGE", image), "utf-8")
