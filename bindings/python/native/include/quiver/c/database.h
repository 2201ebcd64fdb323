/* Databases: opening, transactions, writing, reading. See common.h for the manners. */
#ifndef QUIVER_C_DATABASE_H
#define QUIVER_C_DATABASE_H

#include "quiver/c/common.h"
#include "quiver/c/options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A handle is a name, not an address: one that was closed is never given out again, so using it
 * afterwards is an error that is reported, from any thread. */
typedef struct quiver_database quiver_database_t;

typedef enum {
    QUIVER_DATA_TYPE_INTEGER = 0,
    QUIVER_DATA_TYPE_FLOAT = 1,
    QUIVER_DATA_TYPE_STRING = 2,
    QUIVER_DATA_TYPE_DATE_TIME = 3, /* text in a column named date_* */
    QUIVER_DATA_TYPE_NULL = 4
} quiver_data_type_t;

/* One value to write or to bind. Only the member that data_type names is read. */
typedef struct {
    quiver_data_type_t data_type;
    int64_t integer;
    double real;
    const char* text;
} quiver_value_t;

/* One attribute to write: a scalar (count is 1), or with is_array a column of a group. */
typedef struct {
    const char* name;
    const quiver_value_t* values;
    size_t count;
    int is_array;
} quiver_attribute_t;

/* -- Opening and closing. `options` NULL means the default ones. Free with quiver_database_close. */

/* An existing file. */
QUIVER_C_API quiver_error_t quiver_database_open(const char* path,
                                                 const quiver_database_options_t* options,
                                                 quiver_database_t** out_db);
/* A new database from a file of SQL. Fails if there are tables in it already. */
QUIVER_C_API quiver_error_t quiver_database_from_schema(const char* path, const char* schema_path,
                                                        const quiver_database_options_t* options,
                                                        quiver_database_t** out_db);
/* A new or existing database, brought to the newest version in a folder of n/up.sql. */
QUIVER_C_API quiver_error_t quiver_database_from_migrations(
    const char* path, const char* migrations_path, const quiver_database_options_t* options,
    quiver_database_t** out_db);
/* Waits for a call under way and rolls back an open transaction. Closing again does nothing. */
QUIVER_C_API quiver_error_t quiver_database_close(quiver_database_t* db);

/* -- About the database. */

/* The path as it was given; free with quiver_database_free_string. */
QUIVER_C_API quiver_error_t quiver_database_path(quiver_database_t* db, char** out_path);
/* SQLite's user_version, which migrations set. */
QUIVER_C_API quiver_error_t quiver_database_current_version(quiver_database_t* db,
                                                            int64_t* out_version);
/* 1 if the file passes SQLite's integrity check and no foreign key dangles. */
QUIVER_C_API quiver_error_t quiver_database_is_healthy(quiver_database_t* db, int* out_healthy);
/* A text for people; free with quiver_database_free_string. */
QUIVER_C_API quiver_error_t quiver_database_describe(quiver_database_t* db, char** out_report);

/* -- Transactions. They belong to the database, not to a thread. Outside of one, every write is a
 * transaction of its own; a write that fails leaves nothing of itself behind in either case. */

QUIVER_C_API quiver_error_t quiver_database_begin_transaction(quiver_database_t* db);
QUIVER_C_API quiver_error_t quiver_database_commit(quiver_database_t* db);
QUIVER_C_API quiver_error_t quiver_database_rollback(quiver_database_t* db);
QUIVER_C_API quiver_error_t quiver_database_in_transaction(quiver_database_t* db, int* out_active);

/* -- Elements. A foreign key may be given as the label of the element it refers to. */

QUIVER_C_API quiver_error_t quiver_database_create_element(quiver_database_t* db,
                                                           const char* collection,
                                                           const quiver_attribute_t* attributes,
                                                           size_t count, int64_t* out_id);
/* A group of which an array is given is replaced as a whole; an empty array empties it. */
QUIVER_C_API quiver_error_t quiver_database_update_element(quiver_database_t* db,
                                                           const char* collection, int64_t id,
                                                           const quiver_attribute_t* attributes,
                                                           size_t count);
QUIVER_C_API quiver_error_t quiver_database_delete_element(quiver_database_t* db,
                                                           const char* collection, int64_t id);
/* In ascending order; free with quiver_database_free_integers. */
QUIVER_C_API quiver_error_t quiver_database_read_element_ids(quiver_database_t* db,
                                                             const char* collection,
                                                             int64_t** out_ids, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_number_of_elements(quiver_database_t* db,
                                                               const char* collection,
                                                               int64_t* out_count);

/* -- Scalars of every element, in the order of their ids. */

QUIVER_C_API quiver_error_t quiver_database_read_scalar_integers(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t** out_values,
    uint8_t** out_mask, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_scalar_floats(
    quiver_database_t* db, const char* collection, const char* attribute, double** out_values,
    uint8_t** out_mask, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_scalar_strings(quiver_database_t* db,
                                                                const char* collection,
                                                                const char* attribute,
                                                                char*** out_values,
                                                                size_t* out_count);

/* -- Scalars of one element. out_has_value is 0 for NULL and for an element that is not there. */

QUIVER_C_API quiver_error_t quiver_database_read_scalar_integer_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    int64_t* out_value, int* out_has_value);
QUIVER_C_API quiver_error_t quiver_database_read_scalar_float_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    double* out_value, int* out_has_value);
/* Free with quiver_database_free_string; NULL where there is no value. */
QUIVER_C_API quiver_error_t quiver_database_read_scalar_string_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    char** out_value, int* out_has_value);

/* -- Vectors and sets of every element, one after the other: those of element i are the values from
 * out_offsets[i] up to, not including, out_offsets[i + 1]. out_offsets has out_count + 1 entries;
 * free it with quiver_database_free_offsets. out_offsets[out_count] is the number of values. */

QUIVER_C_API quiver_error_t quiver_database_read_vector_integers(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t** out_values,
    uint8_t** out_mask, size_t** out_offsets, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_vector_floats(
    quiver_database_t* db, const char* collection, const char* attribute, double** out_values,
    uint8_t** out_mask, size_t** out_offsets, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_vector_strings(
    quiver_database_t* db, const char* collection, const char* attribute, char*** out_values,
    size_t** out_offsets, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_set_integers(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t** out_values,
    uint8_t** out_mask, size_t** out_offsets, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_set_floats(
    quiver_database_t* db, const char* collection, const char* attribute, double** out_values,
    uint8_t** out_mask, size_t** out_offsets, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_set_strings(
    quiver_database_t* db, const char* collection, const char* attribute, char*** out_values,
    size_t** out_offsets, size_t* out_count);

/* -- The vector or set of one element. */

QUIVER_C_API quiver_error_t quiver_database_read_vector_integers_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    int64_t** out_values, uint8_t** out_mask, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_vector_floats_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    double** out_values, uint8_t** out_mask, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_vector_strings_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    char*** out_values, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_set_integers_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    int64_t** out_values, uint8_t** out_mask, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_set_floats_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    double** out_values, uint8_t** out_mask, size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_read_set_strings_by_id(
    quiver_database_t* db, const char* collection, const char* attribute, int64_t id,
    char*** out_values, size_t* out_count);

/* -- A time series: its columns, the date first, one row for each date in ascending order. */

typedef struct {
    char* name;
    quiver_data_type_t data_type;
    int64_t* integers; /* set for INTEGER, else NULL */
    double* floats;    /* set for FLOAT, else NULL */
    char** strings;    /* set for STRING and DATE_TIME, else NULL */
    uint8_t* mask;
} quiver_column_t;

typedef struct {
    quiver_column_t* columns;
    size_t column_count;
    size_t row_count;
} quiver_table_t;

/* Free with quiver_database_free_table. */
QUIVER_C_API quiver_error_t quiver_database_read_time_series_group(quiver_database_t* db,
                                                                   const char* collection,
                                                                   const char* group, int64_t id,
                                                                   quiver_table_t** out_table);

/* -- Metadata. */

typedef struct {
    char* name;
    quiver_data_type_t data_type;
    int not_null;
    int primary_key;
    char* default_value; /* as the schema says it; NULL: none */
    int is_foreign_key;
    char* references_collection; /* NULL: not a foreign key */
    char* references_column;     /* NULL: not a foreign key */
} quiver_scalar_metadata_t;

typedef struct {
    char* group_name;
    char* dimension_column; /* "" but for a time series */
    quiver_scalar_metadata_t* value_columns;
    size_t value_column_count;
} quiver_group_metadata_t;

/* Both: free with quiver_database_free_scalar_metadata; get gives an array of one. */
QUIVER_C_API quiver_error_t quiver_database_get_scalar_metadata(
    quiver_database_t* db, const char* collection, const char* attribute,
    quiver_scalar_metadata_t** out_metadata);
QUIVER_C_API quiver_error_t quiver_database_list_scalar_attributes(
    quiver_database_t* db, const char* collection, quiver_scalar_metadata_t** out_metadata,
    size_t* out_count);
/* All three: free with quiver_database_free_group_metadata. */
QUIVER_C_API quiver_error_t quiver_database_list_vector_groups(
    quiver_database_t* db, const char* collection, quiver_group_metadata_t** out_metadata,
    size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_list_set_groups(quiver_database_t* db,
                                                            const char* collection,
                                                            quiver_group_metadata_t** out_metadata,
                                                            size_t* out_count);
QUIVER_C_API quiver_error_t quiver_database_list_time_series_groups(
    quiver_database_t* db, const char* collection, quiver_group_metadata_t** out_metadata,
    size_t* out_count);

/* -- Queries: one statement that only reads; the first column of its first row. out_has_value is 0
 * for NULL and where there is no row. A value of another type is an error, but an integer is a
 * float where a float is asked for. */

QUIVER_C_API quiver_error_t quiver_database_query_integer(quiver_database_t* db, const char* sql,
                                                          const quiver_value_t* parameters,
                                                          size_t count, int64_t* out_value,
                                                          int* out_has_value);
QUIVER_C_API quiver_error_t quiver_database_query_float(quiver_database_t* db, const char* sql,
                                                        const quiver_value_t* parameters,
                                                        size_t count, double* out_value,
                                                        int* out_has_value);
/* Free with quiver_database_free_string; NULL where there is no value. */
QUIVER_C_API quiver_error_t quiver_database_query_string(quiver_database_t* db, const char* sql,
                                                         const quiver_value_t* parameters,
                                                         size_t count, char** out_value,
                                                         int* out_has_value);

/* -- Giving back. `count` is the number of entries. */

QUIVER_C_API void quiver_database_free_integers(int64_t* values);
QUIVER_C_API void quiver_database_free_floats(double* values);
QUIVER_C_API void quiver_database_free_mask(uint8_t* mask);
QUIVER_C_API void quiver_database_free_offsets(size_t* offsets);
QUIVER_C_API void quiver_database_free_string(char* text);
QUIVER_C_API void quiver_database_free_strings(char** values, size_t count);
QUIVER_C_API void quiver_database_free_table(quiver_table_t* table);
QUIVER_C_API void quiver_database_free_scalar_metadata(quiver_scalar_metadata_t* metadata,
                                                       size_t count);
QUIVER_C_API void quiver_database_free_group_metadata(quiver_group_metadata_t* metadata,
                                                      size_t count);

#ifdef __cplusplus
}
#endif
#endif
