"""Writing elements and reading them back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from quiverdb import Database, DataType, GroupMetadata, QuiverError, ScalarMetadata


def test_scalars_come_back_as_they_went_in(db: Database):
    first = db.create_element(
        "Plant", label="North", units=-(2**63), capacity=0.1, note="naïve 量子\n'quoted'"
    )
    second = db.create_element("Plant", label="South", units=2**63 - 1, note=None)
    assert (first, second) == (1, 2)
    assert db.read_element_ids("Plant") == [1, 2]
    assert db.number_of_elements("Plant") == 2
    assert db.read_scalar_strings("Plant", "label") == ["North", "South"]
    assert db.read_scalar_integers("Plant", "units") == [-(2**63), 2**63 - 1]
    assert db.read_scalar_floats("Plant", "capacity") == [0.1, 1.5]
    assert db.read_scalar_strings("Plant", "note") == ["naïve 量子\n'quoted'", None]


def test_scalars_by_id(db: Database):
    plant = db.create_element("Plant", label="North", units=0, capacity=2, note="")
    assert db.read_scalar_integer_by_id("Plant", "units", plant) == 0
    assert db.read_scalar_float_by_id("Plant", "capacity", plant) == 2.0
    assert db.read_scalar_string_by_id("Plant", "note", plant) == ""
    assert db.read_scalar_string_by_id("Plant", "date_start", plant) is None
    assert db.read_scalar_integer_by_id("Plant", "units", 99) is None
    assert db.read_scalar_float_by_id("Plant", "capacity", 99) is None
    assert db.read_scalar_string_by_id("Plant", "label", id=99) is None


def test_an_empty_collection_reads_as_nothing(db: Database):
    assert db.read_element_ids("Plant") == []
    assert db.number_of_elements("Plant") == 0
    assert db.read_scalar_floats("Plant", "capacity") == []
    assert db.read_vector_floats("Plant", "cost") == []
    assert db.read_set_strings("Plant", "tag") == []


def test_an_integer_is_a_float_and_a_bool_an_integer(db: Database):
    db.create_element("Plant", label="North", units=True, capacity=3)
    assert db.read_scalar_floats("Plant", "capacity") == [3.0]
    assert db.read_scalar_integers("Plant", "units") == [1]
    assert db.read_scalar_floats("Plant", "units") == [1.0]


def test_vectors(db: Database):
    first = db.create_element(
        "Plant", label="A", cost=[1.5, None, 3], step=[1, 2, None], kind=["x", None, "z"]
    )
    second = db.create_element("Plant", label="B")
    third = db.create_element("Plant", label="C", cost=(9.0,))
    assert db.read_vector_floats("Plant", "cost") == [[1.5, None, 3.0], [], [9.0]]
    assert db.read_vector_integers("Plant", "step") == [[1, 2, None], [], [None]]
    assert db.read_vector_strings("Plant", "kind") == [["x", None, "z"], [], [None]]
    assert db.read_vector_floats_by_id("Plant", "cost", first) == [1.5, None, 3.0]
    assert db.read_vector_integers_by_id("Plant", "step", first) == [1, 2, None]
    assert db.read_vector_strings_by_id("Plant", "kind", first) == ["x", None, "z"]
    assert db.read_vector_floats_by_id("Plant", "cost", second) == []
    assert db.read_vector_floats_by_id("Plant", "cost", third) == [9.0]
    assert db.read_vector_floats_by_id("Plant", "cost", 99) == []


def test_a_long_vector_keeps_its_order(db: Database):
    values = [float(n * 7919 % 1000) for n in range(5000)]
    plant = db.create_element("Plant", label="A", cost=values)
    assert db.read_vector_floats_by_id("Plant", "cost", plant) == values


def test_sets(db: Database):
    first = db.create_element("Plant", label="A", tag=["u", "v"], code=[3, 4], weight=[0.5, None])
    db.create_element("Plant", label="B")
    assert [sorted(tags) for tags in db.read_set_strings("Plant", "tag")] == [["u", "v"], []]
    assert sorted(db.read_set_integers_by_id("Plant", "code", first)) == [3, 4]
    assert db.read_set_integers("Plant", "code")[1] == []
    assert set(db.read_set_floats_by_id("Plant", "weight", first)) == {0.5, None}
    assert set(db.read_set_floats("Plant", "weight")[0]) == {0.5, None}
    assert sorted(db.read_set_strings_by_id("Plant", "tag", first)) == ["u", "v"]
    with pytest.raises(QuiverError, match="UNIQUE constraint failed"):
        db.create_element("Plant", label="C", tag=["u", "u"])


def test_time_series(db: Database):
    january, february = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    plant = db.create_element(
        "Plant",
        label="A",
        date_time=["2024-02-01", datetime(2024, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))],
        flow=[2.5, None],
        gates=[1, 2],
        remark=[None, "dry"],
    )
    assert db.read_time_series_group("Plant", "flow", plant) == {
        "date_time": [january, february],
        "flow": [None, 2.5],
        "gates": [2, 1],
        "remark": ["dry", None],
    }
    assert db.read_time_series_group("Plant", "price", plant) == {}
    both = db.create_element("Plant", label="B", date_time=["2024-01-01"], flow=[1], price=[2])
    assert db.read_time_series_group("Plant", "price", both)["price"] == [2.0]
    assert db.read_time_series_group("Plant", "flow", both)["flow"] == [1.0]
    with pytest.raises(QuiverError, match="in several groups"):
        db.create_element("Plant", label="C", date_time=["2024-01-01"])
    with pytest.raises(QuiverError, match="no time series group 'rain'"):
        db.read_time_series_group("Plant", "rain", plant)


def test_relations_take_an_id_or_a_label(db: Database):
    region = db.create_element("Region", label="Alps")
    db.create_element("Plant", label="A", region_id=region)
    db.create_element("Plant", label="B", region_id="Alps")
    assert db.read_scalar_integers("Plant", "region_id") == [region, region]
    with pytest.raises(QuiverError, match="no element 'Andes' in collection 'Region'"):
        db.create_element("Plant", label="C", region_id="Andes")
    with pytest.raises(QuiverError, match="FOREIGN KEY constraint failed"):
        db.create_element("Plant", label="D", region_id=99)
    db.delete_element("Region", region)
    assert db.read_scalar_integers("Plant", "region_id") == [None, None]


def test_updating_changes_what_is_given_and_nothing_else(db: Database):
    plant = db.create_element(
        "Plant", label="A", units=1, note="old", cost=[1.0], step=[1], kind=["x"], tag=["u"]
    )
    db.update_element("Plant", plant, label="B", note=None, tag=["v", "w"])
    assert db.read_scalar_strings("Plant", "label") == ["B"]
    assert db.read_scalar_integers("Plant", "units") == [1]
    assert db.read_scalar_strings("Plant", "note") == [None]
    assert sorted(db.read_set_strings("Plant", "tag")[0]) == ["v", "w"]
    assert db.read_vector_floats("Plant", "cost") == [[1.0]]
    db.update_element("Plant", plant, cost=[2.0, 3.0], step=[4, 5], kind=["y", "z"])
    assert db.read_vector_integers("Plant", "step") == [[4, 5]]
    with pytest.raises(QuiverError, match="replaced as a whole: give attribute"):
        db.update_element("Plant", plant, cost=[1.0])
    db.update_element("Plant", plant, cost=[])
    assert db.read_vector_strings("Plant", "kind") == [[]]


def test_deleting_takes_groups_along(db: Database):
    plant = db.create_element("Plant", label="A", cost=[1.0], tag=["u"])
    db.delete_element("Plant", plant)
    assert db.read_element_ids("Plant") == []
    assert db.query_integer("SELECT count(*) FROM Plant_vector_costs") == 0
    assert db.query_integer("SELECT count(*) FROM Plant_set_tags") == 0
    assert db.is_healthy()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "NOT NULL constraint failed: Plant.label"),
        ({"label": "taken"}, "UNIQUE constraint failed: Plant.label"),
        ({"label": None}, "NOT NULL constraint failed"),
        ({"label": "x", "colour": 1}, "no scalar attribute 'colour'"),
        ({"label": "x", "colour": [1]}, "no vector, set or time series attribute 'colour'"),
        ({"label": "x", "units": 1.5}, "'units' is REAL, not INTEGER"),
        ({"label": "x", "units": "7"}, "'units' is TEXT, not INTEGER"),
        ({"label": 7}, "'label' is INTEGER, not TEXT"),
        ({"label": "x", "cost": 1.0}, "'cost' .* belongs to a group: give it a list"),
        ({"label": "x", "units": [1]}, "no vector, set or time series attribute 'units'"),
        ({"label": "x", "cost": [1.0], "kind": ["a", "b"]}, "'kind' has 2 values, 'cost' has 1"),
        ({"label": "x", "cost": ["a"]}, "'cost' is TEXT, not REAL"),
        ({"label": "x", "tag": [None]}, "NOT NULL constraint failed"),
    ],
)
def test_what_cannot_be_created_is_named_and_leaves_nothing(
    db: Database, attributes: dict[str, object], message: str
):
    db.create_element("Plant", label="taken")
    with pytest.raises(QuiverError, match=f"cannot create an element in 'Plant': .*{message}"):
        db.create_element("Plant", **attributes)
    assert db.read_scalar_strings("Plant", "label") == ["taken"]
    assert not db.in_transaction()


@pytest.mark.parametrize("value", [b"bytes", object(), {"a": 1}, [b"x"], [[1]]])
def test_a_type_that_cannot_be_stored_is_a_type_error(db: Database, value: object):
    with pytest.raises(TypeError, match="attribute 'note' cannot be a"):
        db.create_element("Plant", label="A", note=value)


def test_numbers_and_text_that_do_not_fit_are_refused(db: Database):
    with pytest.raises(OverflowError):
        db.create_element("Plant", label="A", units=2**63)
    with pytest.raises(ValueError, match="zero character"):
        db.create_element("Plant", label="a\0b")
    assert db.number_of_elements("Plant") == 0


def test_elements_that_are_not_there(db: Database):
    with pytest.raises(QuiverError, match="no element 9 in collection 'Plant'"):
        db.update_element("Plant", 9, units=1)
    with pytest.raises(QuiverError, match="no element 9 in collection 'Plant'"):
        db.delete_element("Plant", 9)
    plant = db.create_element("Plant", label="A")
    with pytest.raises(QuiverError, match="the id of an element does not change"):
        db.update_element("Plant", plant, id=3)


def test_names_that_are_not_in_the_schema(db: Database):
    for read in (db.read_element_ids, db.number_of_elements, db.list_scalar_attributes):
        with pytest.raises(QuiverError, match="no collection 'Plnt'"):
            read("Plnt")
    with pytest.raises(QuiverError, match="no collection 'Plant_set_tags'"):
        db.read_element_ids("Plant_set_tags")
    with pytest.raises(QuiverError, match="no scalar attribute 'x\"; DROP'"):
        db.read_scalar_integers("Plant", 'x"; DROP')
    with pytest.raises(QuiverError, match="no vector attribute 'tag'"):
        db.read_vector_strings("Plant", "tag")
    with pytest.raises(QuiverError, match="no set attribute 'cost'"):
        db.read_set_floats_by_id("Plant", "cost", 1)


def test_reading_as_another_type_is_refused(db: Database):
    with pytest.raises(QuiverError, match=r"'note' .* is TEXT, not INTEGER"):
        db.read_scalar_integers("Plant", "note")
    with pytest.raises(QuiverError, match=r"'units' .* is INTEGER, not TEXT"):
        db.read_scalar_strings("Plant", "units")
    with pytest.raises(QuiverError, match=r"'cost' .* is REAL, not INTEGER"):
        db.read_vector_integers("Plant", "cost")


def test_metadata(db: Database):
    assert db.get_scalar_metadata("Plant", "capacity") == ScalarMetadata(
        name="capacity",
        data_type=DataType.FLOAT,
        not_null=True,
        primary_key=False,
        default_value="1.5",
        is_foreign_key=False,
        references_collection=None,
        references_column=None,
    )
    attributes = {column.name: column for column in db.list_scalar_attributes("Plant")}
    assert list(attributes) == [
        "id", "label", "units", "capacity", "note", "date_start", "region_id",
    ]  # fmt: skip
    assert attributes["id"].primary_key
    assert attributes["id"].not_null
    assert attributes["date_start"].data_type is DataType.DATE_TIME
    assert attributes["note"].data_type is DataType.STRING
    assert attributes["units"].default_value is None
    region = attributes["region_id"]
    assert (region.is_foreign_key, region.references_collection, region.references_column) == (
        True,
        "Region",
        "id",
    )
    with pytest.raises(QuiverError, match="no scalar attribute 'colour'"):
        db.get_scalar_metadata("Plant", "colour")


def test_groups(db: Database):
    def names(groups: list[GroupMetadata]) -> dict[str, tuple[str, list[str]]]:
        return {
            group.group_name: (group.dimension_column, [c.name for c in group.value_columns])
            for group in groups
        }

    assert names(db.list_vector_groups("Plant")) == {"costs": ("", ["cost", "step", "kind"])}
    assert names(db.list_set_groups("Plant")) == {
        "codes": ("", ["code", "weight"]),
        "tags": ("", ["tag"]),
    }
    assert names(db.list_time_series_groups("Plant")) == {
        "flow": ("date_time", ["flow", "gates", "remark"]),
        "price": ("date_time", ["price"]),
    }
    assert db.list_vector_groups("Region") == []
