"""Run the release workflow: the unmodified file, started by a pushed tag, on the engine."""

from containers.runner.origin import Origin
from containers.runner.runs import Runner, Site, with_forge
from verification.models.pipeline import ActionUse, Artifact, JobRun, PipelineRun, Push, StepRun

__all__ = [
    "ActionUse",
    "Artifact",
    "JobRun",
    "Origin",
    "PipelineRun",
    "Push",
    "Runner",
    "Site",
    "StepRun",
    "with_forge",
]
