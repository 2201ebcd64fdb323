"""The REST API that dispatches workflows, as `gh workflow run` uses it.

The messages are those of the REST API ("Create a workflow dispatch event"), as clients print them.
The host starts the dispatched runs. It reads them from the file ``dispatches.json``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from server.json_reader import Json, JsonObject
from werkzeug.wrappers import Response

from .config import Repository, WorkflowFile, WorkflowInput
from .refs import Refs
from .representations import Representations
from .routing import Problem, Request, Route, json_response, no_content, not_found

_MAX_INPUTS = 25


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A dispatch that was accepted."""

    path: str
    ref: str
    """The full name of the branch or tag."""
    inputs: Mapping[str, str]
    job: str


class ActionsApi:
    """Answers requests for the workflow files, and records dispatches."""

    def __init__(
        self,
        folder: Path,
        repository: Repository,
        workflows: tuple[WorkflowFile, ...],
        refs: Refs,
        representations: Representations,
    ) -> None:
        self._file = folder / "dispatches.json"
        self._repository = repository
        self._workflows = workflows
        self._refs = refs
        self._representations = representations
        self._lock = threading.Lock()
        self._dispatches: list[Dispatch] = []
        self._save()

    def routes(self) -> list[Route]:
        """Return the routes of this module."""
        top = "/repos/<owner>/<repo>/actions/workflows"
        return [
            Route(top, self.list, "actions: read"),
            Route(f"{top}/<workflow>", self.get, "actions: read"),
            Route(
                f"{top}/<workflow>/dispatches", self.dispatch, "actions: write", methods=("POST",)
            ),
        ]

    def list(self, _request: Request) -> Response:
        """Answer with all workflow files."""
        workflows: list[Json] = [self._workflow(file) for file in self._workflows]
        return json_response({"total_count": len(workflows), "workflows": workflows})

    def get(self, _request: Request, workflow: str) -> Response:
        """Answer with a workflow file, by its id or its file name."""
        return json_response(self._workflow(self._find(workflow)))

    def dispatch(self, request: Request, workflow: str) -> Response:
        """Record a dispatch."""
        body = request.body()
        ref, inputs = body.get("ref", str), body.get("inputs", dict) or {}
        if ref is None:
            raise Problem(422, 'Invalid request.\n\n"ref" wasn\'t supplied.')
        file = self._find(workflow)
        name = self._full_ref(ref)
        if not file.dispatchable:
            raise Problem(422, "Workflow does not have 'workflow_dispatch' trigger")
        if len(inputs) > _MAX_INPUTS:
            raise Problem(422, f"Invalid request.\n\nNo more than {_MAX_INPUTS} properties")
        dispatch = Dispatch(
            file.path, name, _complete(file, inputs), str(request.notes.get("job") or "")
        )
        with self._lock:
            self._dispatches.append(dispatch)
            self._save()
        request.notes["dispatched"] = file.path
        return no_content()

    def _full_ref(self, ref: str) -> str:
        """Return the full name of a branch or tag. A branch comes before a tag of the same name.

        Raises:
            Problem: 422: there is none.
        """
        names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        for name in names:
            if self._refs.find(name) is not None:
                return name
        raise Problem(422, f"No ref found for: {ref}")

    def _find(self, workflow: str) -> WorkflowFile:
        """Return a workflow file by its id or its file name.

        Raises:
            Problem: 404: there is none.
        """
        for number, file in enumerate(self._workflows, 1):
            if workflow in (str(number), file.path.rpartition("/")[2], file.path):
                return file
        raise not_found()

    def _workflow(self, file: WorkflowFile) -> JsonObject:
        number = self._workflows.index(file) + 1
        url = f"{self._representations.api}/actions/workflows/{number}"
        branch = self._repository.default_branch
        return {
            "id": number,
            "node_id": f"W_{number}",
            "name": file.name,
            "path": file.path,
            "state": "active",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "url": url,
            "html_url": f"{self._representations.web}/blob/{branch}/{file.path}",
            "badge_url": f"{self._representations.web}/workflows/{number}/badge.svg",
        }

    def _save(self) -> None:
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps([asdict(item) for item in self._dispatches]), "utf-8")
        temporary.replace(self._file)


def _complete(file: WorkflowFile, inputs: Mapping[str, Json]) -> dict[str, str]:
    """Return the inputs with the defaults of the workflow.

    Raises:
        Problem: 422: an input is unknown, a required one is missing, or a value is not allowed.
    """
    known = {declared.name for declared in file.inputs}
    if unknown := [name for name in inputs if name not in known]:
        raise Problem(422, f"Unexpected inputs provided: {json.dumps(unknown)}")
    return dict(_values(file.inputs, inputs))


def _values(
    declared_inputs: tuple[WorkflowInput, ...], inputs: Mapping[str, Json]
) -> Iterator[tuple[str, str]]:
    for declared in declared_inputs:
        value = declared.default
        if declared.name in inputs:
            sent = inputs[declared.name]
            value = sent if isinstance(sent, str) else json.dumps(sent)
        if declared.required and not value:
            raise Problem(422, f"Required input '{declared.name}' not provided")
        allowed = ("true", "false") if declared.type == "boolean" else declared.options
        if allowed and declared.name in inputs and value not in allowed:
            message = f"Provided value '{value}' for input '{declared.name}' not in the list of"
            raise Problem(422, f"{message} allowed values")
        yield declared.name, value
