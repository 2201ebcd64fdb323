"""How the cells of a run are divided into shards."""

from __future__ import annotations

import pytest

from verification.models.cell import Cell
from verification.models.errors import WrongUse
from verification.models.run import Shard
from verification.scenarios import cells as plan
from verification.scenarios import machines, profiles
from verification.session import shards
from verification.subjects.subject import load as load_subject


def of_profile(name: str) -> list[Cell]:
    """Return the cells of a profile."""
    specs = [spec for spec in machines.load().values() if name in spec.profiles]
    return plan.cells(specs, load_subject(), profiles.load()[name])


@pytest.mark.parametrize("text", ["1/1", "2/3", "12/40"])
def test_shard_is_read(text: str) -> None:
    assert str(shards.parse(text)) == text


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1 /3"])
def test_other_text_is_wrong_use(text: str) -> None:
    with pytest.raises(WrongUse, match=r"^--shard"):
        shards.parse(text)


def test_first_shard_has_the_workflow() -> None:
    assert Shard(number=1, total=2).has_workflow
    assert not Shard(number=2, total=2).has_workflow


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_each_cell_is_in_one_shard_and_each_shard_has_a_cell(total: int) -> None:
    cells = of_profile("gate")
    numbers = shards.assign(cells, total, workflow=True)
    assert numbers.keys() == {cell.id for cell in cells}
    assert set(numbers.values()) == set(range(1, total + 1))


def test_order_of_the_cells_does_not_matter() -> None:
    cells = of_profile("full")
    expected = shards.assign(cells, 5, workflow=False)
    assert shards.assign(cells[::-1], 5, workflow=False) == expected


@pytest.mark.parametrize("total", [2, 4, 8])
def test_shards_of_many_cells_take_similar_times(total: int) -> None:
    cells = of_profile("full")
    numbers = shards.assign(cells, total, workflow=False)
    times = [
        sum(shards.seconds(cell) for cell in cells if numbers[cell.id] == number)
        for number in range(1, total + 1)
    ]
    average = sum(times) / total
    assert max(times) < 1.5 * average


def test_first_shard_has_less_cells_because_of_the_workflow() -> None:
    cells = of_profile("full")
    numbers = shards.assign(cells, 3, workflow=True)

    def time(number: int) -> float:
        return sum(shards.seconds(cell) for cell in cells if numbers[cell.id] == number)

    assert time(1) < min(time(2), time(3))


def test_more_shards_than_cells_are_wrong_use() -> None:
    cells = of_profile("quick")
    with pytest.raises(WrongUse, match=r"^--shard"):
        shards.assign(cells, len(cells) + 1, workflow=False)
