"""The C API: its declarations, and the one place where it is loaded."""

import threading
from typing import Any

from cffi import FFI

from quiverdb._loader import load_library

_CDEF = """
typedef enum { QUIVER_OK = 0, QUIVER_ERROR = 1 } quiver_error_t;
typedef struct { int read_only; int console_level; } quiver_database_options_t;
typedef struct quiver_database quiver_database_t;
typedef struct { int data_type; int64_t integer; double real; const char* text; } quiver_value_t;
typedef struct {
    const char* name; const quiver_value_t* values; size_t count; int is_array;
} quiver_attribute_t;
typedef struct {
    char* name; int data_type; int64_t* integers; double* floats; char** strings; uint8_t* mask;
} quiver_column_t;
typedef struct {
    quiver_column_t* columns; size_t column_count; size_t row_count;
} quiver_table_t;
typedef struct {
    char* name; int data_type; int not_null; int primary_key; char* default_value;
    int is_foreign_key; char* references_collection; char* references_column;
} quiver_scalar_metadata_t;
typedef struct {
    char* group_name; char* dimension_column;
    quiver_scalar_metadata_t* value_columns; size_t value_column_count;
} quiver_group_metadata_t;

const char* quiver_version(void);
const char* quiver_get_last_error(void);

quiver_error_t quiver_database_open(const char*, const quiver_database_options_t*,
    quiver_database_t**);
quiver_error_t quiver_database_from_schema(const char*, const char*,
    const quiver_database_options_t*, quiver_database_t**);
quiver_error_t quiver_database_from_migrations(const char*, const char*,
    const quiver_database_options_t*, quiver_database_t**);
quiver_error_t quiver_database_close(quiver_database_t*);
quiver_database_options_t quiver_database_options_default(void);
quiver_error_t quiver_database_path(quiver_database_t*, char**);
quiver_error_t quiver_database_current_version(quiver_database_t*, int64_t*);
quiver_error_t quiver_database_is_healthy(quiver_database_t*, int*);
quiver_error_t quiver_database_describe(quiver_database_t*, char**);

quiver_error_t quiver_database_begin_transaction(quiver_database_t*);
quiver_error_t quiver_database_commit(quiver_database_t*);
quiver_error_t quiver_database_rollback(quiver_database_t*);
quiver_error_t quiver_database_in_transaction(quiver_database_t*, int*);

quiver_error_t quiver_database_create_element(quiver_database_t*, const char*,
    const quiver_attribute_t*, size_t, int64_t*);
quiver_error_t quiver_database_update_element(quiver_database_t*, const char*, int64_t,
    const quiver_attribute_t*, size_t);
quiver_error_t quiver_database_delete_element(quiver_database_t*, const char*, int64_t);
quiver_error_t quiver_database_read_element_ids(quiver_database_t*, const char*,
    int64_t**, size_t*);
quiver_error_t quiver_database_number_of_elements(quiver_database_t*, const char*, int64_t*);

quiver_error_t quiver_database_read_scalar_integers(quiver_database_t*, const char*, const char*,
    int64_t**, uint8_t**, size_t*);
quiver_error_t quiver_database_read_scalar_floats(quiver_database_t*, const char*, const char*,
    double**, uint8_t**, size_t*);
quiver_error_t quiver_database_read_scalar_strings(quiver_database_t*, const char*, const char*,
    char***, size_t*);
quiver_error_t quiver_database_read_scalar_integer_by_id(quiver_database_t*, const char*,
    const char*, int64_t, int64_t*, int*);
quiver_error_t quiver_database_read_scalar_float_by_id(quiver_database_t*, const char*,
    const char*, int64_t, double*, int*);
quiver_error_t quiver_database_read_scalar_string_by_id(quiver_database_t*, const char*,
    const char*, int64_t, char**, int*);

quiver_error_t quiver_database_read_vector_integers(quiver_database_t*, const char*, const char*,
    int64_t**, uint8_t**, size_t**, size_t*);
quiver_error_t quiver_database_read_vector_floats(quiver_database_t*, const char*, const char*,
    double**, uint8_t**, size_t**, size_t*);
quiver_error_t quiver_database_read_vector_strings(quiver_database_t*, const char*, const char*,
    char***, size_t**, size_t*);
quiver_error_t quiver_database_read_set_integers(quiver_database_t*, const char*, const char*,
    int64_t**, uint8_t**, size_t**, size_t*);
quiver_error_t quiver_database_read_set_floats(quiver_database_t*, const char*, const char*,
    double**, uint8_t**, size_t**, size_t*);
quiver_error_t quiver_database_read_set_strings(quiver_database_t*, const char*, const char*,
    char***, size_t**, size_t*);
quiver_error_t quiver_database_read_vector_integers_by_id(quiver_database_t*, const char*,
    const char*, int64_t, int64_t**, uint8_t**, size_t*);
quiver_error_t quiver_database_read_vector_floats_by_id(quiver_database_t*, const char*,
    const char*, int64_t, double**, uint8_t**, size_t*);
quiver_error_t quiver_database_read_vector_strings_by_id(quiver_database_t*, const char*,
    const char*, int64_t, char***, size_t*);
quiver_error_t quiver_database_read_set_integers_by_id(quiver_database_t*, const char*,
    const char*, int64_t, int64_t**, uint8_t**, size_t*);
quiver_error_t quiver_database_read_set_floats_by_id(quiver_database_t*, const char*,
    const char*, int64_t, double**, uint8_t**, size_t*);
quiver_error_t quiver_database_read_set_strings_by_id(quiver_database_t*, const char*,
    const char*, int64_t, char***, size_t*);
quiver_error_t quiver_database_read_time_series_group(quiver_database_t*, const char*,
    const char*, int64_t, quiver_table_t**);

quiver_error_t quiver_database_get_scalar_metadata(quiver_database_t*, const char*, const char*,
    quiver_scalar_metadata_t**);
quiver_error_t quiver_database_list_scalar_attributes(quiver_database_t*, const char*,
    quiver_scalar_metadata_t**, size_t*);
quiver_error_t quiver_database_list_vector_groups(quiver_database_t*, const char*,
    quiver_group_metadata_t**, size_t*);
quiver_error_t quiver_database_list_set_groups(quiver_database_t*, const char*,
    quiver_group_metadata_t**, size_t*);
quiver_error_t quiver_database_list_time_series_groups(quiver_database_t*, const char*,
    quiver_group_metadata_t**, size_t*);

quiver_error_t quiver_database_query_integer(quiver_database_t*, const char*,
    const quiver_value_t*, size_t, int64_t*, int*);
quiver_error_t quiver_database_query_float(quiver_database_t*, const char*,
    const quiver_value_t*, size_t, double*, int*);
quiver_error_t quiver_database_query_string(quiver_database_t*, const char*,
    const quiver_value_t*, size_t, char**, int*);

void quiver_database_free_integers(int64_t*);
void quiver_database_free_floats(double*);
void quiver_database_free_mask(uint8_t*);
void quiver_database_free_offsets(size_t*);
void quiver_database_free_string(char*);
void quiver_database_free_strings(char**, size_t);
void quiver_database_free_table(quiver_table_t*);
void quiver_database_free_scalar_metadata(quiver_scalar_metadata_t*, size_t);
void quiver_database_free_group_metadata(quiver_group_metadata_t*, size_t);
"""

_lock = threading.Lock()
_loaded: tuple[Any, Any] | None = None


def api() -> tuple[Any, Any]:
    """Return cffi's FFI object and the loaded C API; the first call loads it.

    Raises:
        NativeLibraryError: the native libraries cannot be loaded.

    """
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                ffi = FFI()
                ffi.cdef(_CDEF)
                _loaded = (ffi, load_library(ffi))
    return _loaded
