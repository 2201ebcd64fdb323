"""Databases."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any, Self, TypeAlias

from quiverdb._c_api import api
from quiverdb._marshal import (
    Attributes,
    Values,
    check,
    decode,
    decode_or_none,
    encode,
    encode_path,
    group_metadata,
    numbers,
    scalar_metadata,
    strings,
    to_datetime,
)
from quiverdb.exceptions import QuiverError
from quiverdb.metadata import GroupMetadata, LogLevel, ScalarMetadata

Path: TypeAlias = str | os.PathLike[str]
Value: TypeAlias = int | float | str | None


class Database:
    """An open database.

    Made by `open`, `from_schema` or `from_migrations`, and to be closed: use it in a ``with``
    statement, or call `close`.

    Threads may share a database; their calls take turns, and a transaction belongs to the
    database, not to a thread. A process that is forked cannot use its parent's database: every
    call raises there, and closing only forgets it. Open it again in the child, and do not fork
    inside a transaction.

    Every method raises QuiverError if the database is closed, if a name is not in its schema, or
    if SQLite refuses; a write that fails leaves nothing of itself behind.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    # -- Opening and closing ----------------------------------------------------------------------

    @classmethod
    def open(
        cls, db_path: Path, *, read_only: bool = False, console_level: int | None = None
    ) -> Self:
        """Open an existing database.

        Args:
            db_path: its file, or ":memory:".
            read_only: write nothing, not even the log file beside the database.
            console_level: a `LogLevel`, from which on to speak on standard error; WARN if None.

        Raises:
            QuiverError: there is no such file, or it does not follow the schema conventions.
            NativeLibraryError: the native libraries cannot be loaded.

        """
        return cls._open("quiver_database_open", [db_path], read_only, console_level)

    @classmethod
    def from_schema(
        cls,
        db_path: Path,
        schema_path: Path,
        *,
        read_only: bool = False,
        console_level: int | None = None,
    ) -> Self:
        """Create a database from a file of SQL.

        Args:
            db_path: the file to create, or ":memory:".
            schema_path: the SQL; it is applied as a whole or not at all.
            read_only: refused here, since creating writes.
            console_level: as in `open`.

        Raises:
            QuiverError: there are tables in the database already, or the schema is not valid.
            NativeLibraryError: the native libraries cannot be loaded.

        """
        paths = [db_path, schema_path]
        return cls._open("quiver_database_from_schema", paths, read_only, console_level)

    @classmethod
    def from_migrations(
        cls,
        db_path: Path,
        migrations_path: Path,
        *,
        read_only: bool = False,
        console_level: int | None = None,
    ) -> Self:
        """Create a database, or bring one up to date, by a folder of ``n/up.sql``.

        Args:
            db_path: the file, created if it is not there, or ":memory:".
            migrations_path: the folder; each step is applied as a whole or not at all.
            read_only: only check that the database is at the newest version.
            console_level: as in `open`.

        Raises:
            QuiverError: a step fails, or the database is newer than the newest step.
            NativeLibraryError: the native libraries cannot be loaded.

        """
        paths = [db_path, migrations_path]
        return cls._open("quiver_database_from_migrations", paths, read_only, console_level)

    @classmethod
    def _open(
        cls, function: str, paths: Sequence[Path], read_only: bool, console_level: int | None
    ) -> Self:
        ffi, lib = api()
        options = ffi.new("quiver_database_options_t*", lib.quiver_database_options_default())
        options.read_only = read_only
        if console_level is not None:
            options.console_level = LogLevel(console_level)
        out = ffi.new("quiver_database_t**")
        check(getattr(lib, function)(*map(encode_path, paths), options, out))
        return cls(out[0])

    def close(self) -> None:
        """Close the database; roll back an open transaction. Closing again does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _, lib = api()
            check(lib.quiver_database_close(handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            warnings.warn("a quiverdb.Database was not closed", ResourceWarning, stacklevel=2)
            with suppress(Exception):  # the interpreter may be half gone
                self.close()

    def __repr__(self) -> str:
        if self._handle is None:
            return "<quiverdb.Database, closed>"
        try:
            return f"<quiverdb.Database {self.path()!r}>"
        except QuiverError:
            return "<quiverdb.Database, of another process>"

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a function of the C API on this database."""
        handle = self._handle
        if handle is None:
            raise QuiverError("the database is closed")
        _, lib = api()
        check(getattr(lib, f"quiver_database_{name}")(handle, *arguments))

    def _get(self, name: str, c_type: str) -> Any:
        ffi, _ = api()
        out = ffi.new(f"{c_type}*")
        self._call(name, out)
        return out[0]

    # -- About the database -----------------------------------------------------------------------

    def path(self) -> str:
        """Return the path as it was given."""
        ffi, lib = api()
        text = self._get("path", "char*")
        try:
            return os.fsdecode(ffi.string(text))
        finally:
            lib.quiver_database_free_string(text)

    def current_version(self) -> int:
        """Return the version that the schema or the last migration has set (``user_version``)."""
        return int(self._get("current_version", "int64_t"))

    def is_healthy(self) -> bool:
        """Tell whether the file is intact and no foreign key dangles."""
        return bool(self._get("is_healthy", "int"))

    def describe(self) -> str:
        """Return a report for people: the collections, their attributes and groups."""
        ffi, lib = api()
        text = self._get("describe", "char*")
        try:
            return str(ffi.string(text).decode("utf-8", "replace"))
        finally:
            lib.quiver_database_free_string(text)

    # -- Transactions -----------------------------------------------------------------------------

    def begin_transaction(self) -> None:
        """Begin a transaction; raise QuiverError if one is active."""
        self._call("begin_transaction")

    def commit(self) -> None:
        """Commit the transaction; raise QuiverError if none is active."""
        self._call("commit")

    def rollback(self) -> None:
        """Roll the transaction back; raise QuiverError if none is active."""
        self._call("rollback")

    def in_transaction(self) -> bool:
        """Tell whether a transaction is active."""
        return bool(self._get("in_transaction", "int"))

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Commit what the ``with`` block writes, or roll it back if the block raises."""
        self.begin_transaction()
        try:
            yield self
            self.commit()
        except BaseException:
            with suppress(QuiverError):  # the first error is the one to raise
                self.rollback()
            raise

    # -- Writing ----------------------------------------------------------------------------------

    def create_element(self, collection: str, /, **attributes: object) -> int:
        """Create an element and return its id.

        Args:
            collection: the collection's name.
            attributes: a scalar attribute with its value, or a column of a vector, set or time
                series with the list of its values. None is NULL, a bool is 0 or 1, a datetime is
                stored in UTC. A foreign key takes an id, or the label of the element it refers to.

        Raises:
            TypeError: a value is of a type that cannot be stored.
            QuiverError: as for every method.

        """
        ffi, _ = api()
        given = Attributes(attributes)
        out = ffi.new("int64_t*")
        self._call("create_element", encode(collection), given.pointer, given.count, out)
        return int(out[0])

    def update_element(self, collection: str, id: int, /, **attributes: object) -> None:  # noqa: A002
        """Change attributes of an element; they are given as in `create_element`.

        A vector, set or time series is replaced as a whole, by all of its columns; an empty list
        empties it.
        """
        given = Attributes(attributes)
        self._call("update_element", encode(collection), id, given.pointer, given.count)

    def delete_element(self, collection: str, id: int) -> None:  # noqa: A002
        """Delete an element with its vectors, sets and time series."""
        self._call("delete_element", encode(collection), id)

    # -- Elements ---------------------------------------------------------------------------------

    def read_element_ids(self, collection: str) -> list[int]:
        """Return the ids of all elements, in ascending order."""
        ffi, lib = api()
        values, count = ffi.new("int64_t**"), ffi.new("size_t*")
        self._call("read_element_ids", encode(collection), values, count)
        try:
            return list(ffi.unpack(values[0], count[0])) if count[0] else []
        finally:
            lib.quiver_database_free_integers(values[0])

    def number_of_elements(self, collection: str) -> int:
        """Return how many elements a collection has."""
        ffi, _ = api()
        out = ffi.new("int64_t*")
        self._call("number_of_elements", encode(collection), out)
        return int(out[0])

    # -- Scalars ----------------------------------------------------------------------------------

    def read_scalar_integers(self, collection: str, attribute: str) -> list[int | None]:
        """Return an attribute of all elements, in the order of their ids; NULL is None."""
        return self._list("read_scalar_integers", "int64_t", collection, attribute)

    def read_scalar_floats(self, collection: str, attribute: str) -> list[float | None]:
        """Return an attribute of all elements, in the order of their ids; NULL is None."""
        return self._list("read_scalar_floats", "double", collection, attribute)

    def read_scalar_strings(self, collection: str, attribute: str) -> list[str | None]:
        """Return an attribute of all elements, in the order of their ids; NULL is None."""
        return self._list("read_scalar_strings", "char*", collection, attribute)

    def read_scalar_integer_by_id(self, collection: str, attribute: str, id: int) -> int | None:  # noqa: A002
        """Return an attribute of one element; None for NULL, and if there is no such element."""
        arguments = (encode(collection), encode(attribute), id)
        value = self._maybe("read_scalar_integer_by_id", "int64_t", *arguments)
        return None if value is None else int(value)

    def read_scalar_float_by_id(self, collection: str, attribute: str, id: int) -> float | None:  # noqa: A002
        """Return an attribute of one element; None for NULL, and if there is no such element."""
        arguments = (encode(collection), encode(attribute), id)
        value = self._maybe("read_scalar_float_by_id", "double", *arguments)
        return None if value is None else float(value)

    def read_scalar_string_by_id(self, collection: str, attribute: str, id: int) -> str | None:  # noqa: A002
        """Return an attribute of one element; None for NULL, and if there is no such element."""
        arguments = (encode(collection), encode(attribute), id)
        return self._maybe_string("read_scalar_string_by_id", *arguments)

    # -- Vectors ----------------------------------------------------------------------------------

    def read_vector_integers(self, collection: str, attribute: str) -> list[list[int | None]]:
        """Return the vectors of all elements, in the order of their ids."""
        return self._lists("read_vector_integers", "int64_t", collection, attribute)

    def read_vector_floats(self, collection: str, attribute: str) -> list[list[float | None]]:
        """Return the vectors of all elements, in the order of their ids."""
        return self._lists("read_vector_floats", "double", collection, attribute)

    def read_vector_strings(self, collection: str, attribute: str) -> list[list[str | None]]:
        """Return the vectors of all elements, in the order of their ids."""
        return self._lists("read_vector_strings", "char*", collection, attribute)

    def read_vector_integers_by_id(
        self,
        collection: str,
        attribute: str,
        id: int,  # noqa: A002
    ) -> list[int | None]:
        """Return the vector of one element; empty if there is no such element."""
        return self._list("read_vector_integers_by_id", "int64_t", collection, attribute, id)

    def read_vector_floats_by_id(
        self,
        collection: str,
        attribute: str,
        id: int,  # noqa: A002
    ) -> list[float | None]:
        """Return the vector of one element; empty if there is no such element."""
        return self._list("read_vector_floats_by_id", "double", collection, attribute, id)

    def read_vector_strings_by_id(
        self,
        collection: str,
        attribute: str,
        id: int,  # noqa: A002
    ) -> list[str | None]:
        """Return the vector of one element; empty if there is no such element."""
        return self._list("read_vector_strings_by_id", "char*", collection, attribute, id)

    # -- Sets -------------------------------------------------------------------------------------

    def read_set_integers(self, collection: str, attribute: str) -> list[list[int | None]]:
        """Return the sets of all elements, in the order of their ids."""
        return self._lists("read_set_integers", "int64_t", collection, attribute)

    def read_set_floats(self, collection: str, attribute: str) -> list[list[float | None]]:
        """Return the sets of all elements, in the order of their ids."""
        return self._lists("read_set_floats", "double", collection, attribute)

    def read_set_strings(self, collection: str, attribute: str) -> list[list[str | None]]:
        """Return the sets of all elements, in the order of their ids."""
        return self._lists("read_set_strings", "char*", collection, attribute)

    def read_set_integers_by_id(
        self,
        collection: str,
        attribute: str,
        id: int,  # noqa: A002
    ) -> list[int | None]:
        """Return the set of one element; empty if there is no such element."""
        return self._list("read_set_integers_by_id", "int64_t", collection, attribute, id)

    def read_set_floats_by_id(
        self,
        collection: str,
        attribute: str,
        id: int,  # noqa: A002
    ) -> list[float | None]:
        """Return the set of one element; empty if there is no such element."""
        return self._list("read_set_floats_by_id", "double", collection, attribute, id)

    def read_set_strings_by_id(
        self,
        collection: str,
        attribute: str,
        id: int,  # noqa: A002
    ) -> list[str | None]:
        """Return the set of one element; empty if there is no such element."""
        return self._list("read_set_strings_by_id", "char*", collection, attribute, id)

    # -- Time series ------------------------------------------------------------------------------

    def read_time_series_group(
        self,
        collection: str,
        group: str,
        id: int,  # noqa: A002
    ) -> dict[str, list[Any]]:
        """Return a time series of one element as its columns, by name; {} if it has no rows.

        The date column comes first, as datetimes in UTC, in ascending order.
        """
        ffi, lib = api()
        out = ffi.new("quiver_table_t**")
        self._call("read_time_series_group", encode(collection), encode(group), id, out)
        table = out[0]
        try:
            if not table.row_count:
                return {}
            return {
                decode(column.name): self._column(column, table.row_count, is_date=index == 0)
                for index, column in enumerate(table.columns[0 : table.column_count])
            }
        finally:
            lib.quiver_database_free_table(table)

    @staticmethod
    def _column(column: Any, rows: int, *, is_date: bool) -> list[Any]:
        ffi, _ = api()
        if column.strings != ffi.NULL:
            texts = strings(column.strings, 0, rows)
            return [to_datetime(text) for text in texts if text] if is_date else texts
        values = column.integers if column.integers != ffi.NULL else column.floats
        return numbers(values, column.mask, 0, rows)

    # -- Metadata ---------------------------------------------------------------------------------

    def get_scalar_metadata(self, collection: str, attribute: str) -> ScalarMetadata:
        """Return what the schema says about one scalar attribute."""
        ffi, lib = api()
        out = ffi.new("quiver_scalar_metadata_t**")
        self._call("get_scalar_metadata", encode(collection), encode(attribute), out)
        try:
            return scalar_metadata(out[0])
        finally:
            lib.quiver_database_free_scalar_metadata(out[0], 1)

    def list_scalar_attributes(self, collection: str) -> list[ScalarMetadata]:
        """Return the scalar attributes in the order of the schema, ``id`` and ``label`` too."""
        ffi, lib = api()
        out, count = ffi.new("quiver_scalar_metadata_t**"), ffi.new("size_t*")
        self._call("list_scalar_attributes", encode(collection), out, count)
        try:
            return [scalar_metadata(out[0][index]) for index in range(count[0])]
        finally:
            lib.quiver_database_free_scalar_metadata(out[0], count[0])

    def list_vector_groups(self, collection: str) -> list[GroupMetadata]:
        """Return the vector groups, by name."""
        return self._groups("list_vector_groups", collection)

    def list_set_groups(self, collection: str) -> list[GroupMetadata]:
        """Return the set groups, by name."""
        return self._groups("list_set_groups", collection)

    def list_time_series_groups(self, collection: str) -> list[GroupMetadata]:
        """Return the time series groups, by name."""
        return self._groups("list_time_series_groups", collection)

    def _groups(self, function: str, collection: str) -> list[GroupMetadata]:
        ffi, lib = api()
        out, count = ffi.new("quiver_group_metadata_t**"), ffi.new("size_t*")
        self._call(function, encode(collection), out, count)
        try:
            return [group_metadata(out[0][index]) for index in range(count[0])]
        finally:
            lib.quiver_database_free_group_metadata(out[0], count[0])

    # -- Queries ----------------------------------------------------------------------------------

    def query_string(self, sql: str, *, parameters: Sequence[Value] | None = None) -> str | None:
        """Return the first column of a query's first row.

        Args:
            sql: one statement that only reads.
            parameters: the values of its ``?`` marks, in order.

        Returns:
            None for NULL, and if there is no row.

        Raises:
            QuiverError: the value is of another type, or as for every method.

        """
        values = Values(parameters or [], "a parameter")
        return self._maybe_string("query_string", encode(sql), values.pointer, values.count)

    def query_integer(self, sql: str, *, parameters: Sequence[Value] | None = None) -> int | None:
        """Return the first column of a query's first row, as `query_string` does."""
        values = Values(parameters or [], "a parameter")
        arguments = (encode(sql), values.pointer, values.count)
        value = self._maybe("query_integer", "int64_t", *arguments)
        return None if value is None else int(value)

    def query_float(self, sql: str, *, parameters: Sequence[Value] | None = None) -> float | None:
        """Return the first column of a query's first row, as `query_string` does."""
        values = Values(parameters or [], "a parameter")
        arguments = (encode(sql), values.pointer, values.count)
        value = self._maybe("query_float", "double", *arguments)
        return None if value is None else float(value)

    # -- Reading C results: each copies what it was given, and gives it back -----------------------

    def _maybe(self, function: str, c_type: str, *arguments: Any) -> Any:
        ffi, _ = api()
        value, present = ffi.new(f"{c_type}*"), ffi.new("int*")
        self._call(function, *arguments, value, present)
        return value[0] if present[0] else None

    def _maybe_string(self, function: str, *arguments: Any) -> str | None:
        _, lib = api()
        text = self._maybe(function, "char*", *arguments)
        if text is None:
            return None
        try:
            return decode_or_none(text)
        finally:
            lib.quiver_database_free_string(text)

    def _list(
        self, function: str, c_type: str, collection: str, attribute: str, *element: int
    ) -> list[Any]:
        ffi, lib = api()
        arguments = (encode(collection), encode(attribute), *element)
        values, count = ffi.new(f"{c_type}**"), ffi.new("size_t*")
        if c_type == "char*":
            self._call(function, *arguments, values, count)
            try:
                return strings(values[0], 0, count[0])
            finally:
                lib.quiver_database_free_strings(values[0], count[0])
        mask = ffi.new("uint8_t**")
        self._call(function, *arguments, values, mask, count)
        try:
            return numbers(values[0], mask[0], 0, count[0])
        finally:
            _free_numbers(c_type, values[0], mask[0])

    def _lists(
        self, function: str, c_type: str, collection: str, attribute: str
    ) -> list[list[Any]]:
        ffi, lib = api()
        arguments = (encode(collection), encode(attribute))
        values, mask = ffi.new(f"{c_type}**"), ffi.new("uint8_t**")
        offsets, count = ffi.new("size_t**"), ffi.new("size_t*")
        is_text = c_type == "char*"
        outputs = (values, offsets, count) if is_text else (values, mask, offsets, count)
        self._call(function, *arguments, *outputs)
        bounds = ffi.unpack(offsets[0], count[0] + 1)
        try:
            return [
                strings(values[0], start, stop)
                if is_text
                else numbers(values[0], mask[0], start, stop)
                for start, stop in pairwise(bounds)
            ]
        finally:
            lib.quiver_database_free_offsets(offsets[0])
            if is_text:
                lib.quiver_database_free_strings(values[0], bounds[-1])
            else:
                _free_numbers(c_type, values[0], mask[0])


def _free_numbers(c_type: str, values: Any, mask: Any) -> None:
    _, lib = api()
    free = (
        lib.quiver_database_free_integers
        if c_type == "int64_t"
        else lib.quiver_database_free_floats
    )
    free(values)
    lib.quiver_database_free_mask(mask)
