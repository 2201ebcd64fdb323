/* The boundary of libquiver, as libquiver_c sees it.
 *
 * Each of the two libraries may carry its own C++ runtime. So nothing crosses here but plain data:
 *   - every function has C linkage and throws nothing; a failure is a nonzero result and a message
 *     written into the caller's quiver_core_error;
 *   - memory is freed by the library that allocated it: results reach the caller through callbacks,
 *     and what a callback is given lives only until it returns;
 *   - a callback throws nothing; it returns nonzero to stop the work (it ran out of memory).
 *
 * This interface changes with the version. Programs use quiver/c/quiver.h instead.
 *
 * Threads: a database may be used from several threads; a mutex in it lets one call in at a time.
 * A callback runs under that mutex and must not call back into the same database.
 * Paths are UTF-8 on Windows and the file system's own bytes elsewhere.
 */
#ifndef QUIVER_CORE_H
#define QUIVER_CORE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(QUIVER_CORE_BUILD)
#define QUIVER_CORE_API __declspec(dllexport)
#else
#define QUIVER_CORE_API __declspec(dllimport)
#endif
#else
#define QUIVER_CORE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
#define QUIVER_CORE_NOEXCEPT noexcept
extern "C" {
#else
#define QUIVER_CORE_NOEXCEPT
#endif

typedef struct quiver_core_database quiver_core_database;

/* A message is cut at a whole UTF-8 character if it does not fit. Always terminated. */
typedef struct {
    char message[2048];
} quiver_core_error;

typedef enum {
    QUIVER_CORE_NULL = 0,
    QUIVER_CORE_INTEGER = 1,
    QUIVER_CORE_FLOAT = 2,
    QUIVER_CORE_TEXT = 3
} quiver_core_kind;

/* One cell. Only the member that `kind` names is read; `text` is UTF-8, `size` bytes long. */
typedef struct {
    int32_t kind;
    int64_t integer;
    double real;
    const char* text;
    size_t size;
} quiver_core_value;

/* One named attribute to write: a scalar (count is 1), or a column of a group (is_array). */
typedef struct {
    const char* name;
    const quiver_core_value* values;
    size_t count;
    int32_t is_array;
} quiver_core_attribute;

typedef enum {
    QUIVER_CORE_GROUP_VECTOR = 0,
    QUIVER_CORE_GROUP_SET = 1,
    QUIVER_CORE_GROUP_TIME_SERIES = 2
} quiver_core_group_kind;

/* Values as in the C API's quiver_data_type_t. */
typedef enum {
    QUIVER_CORE_TYPE_INTEGER = 0,
    QUIVER_CORE_TYPE_FLOAT = 1,
    QUIVER_CORE_TYPE_STRING = 2,
    QUIVER_CORE_TYPE_DATE_TIME = 3
} quiver_core_data_type;

typedef struct {
    const char* name;
    int32_t data_type;
    int32_t not_null;
    int32_t primary_key;
    const char* default_value;         /* NULL: none */
    const char* references_collection; /* NULL: not a foreign key */
    const char* references_column;     /* NULL: not a foreign key */
} quiver_core_column;

typedef struct {
    int32_t read_only;
    int32_t console_level; /* 0 debug, 1 info, 2 warn, 3 error, 4 off */
} quiver_core_options;

typedef enum {
    QUIVER_CORE_OPEN = 0,
    QUIVER_CORE_FROM_SCHEMA = 1,
    QUIVER_CORE_FROM_MIGRATIONS = 2
} quiver_core_open_mode;

typedef enum {
    QUIVER_CORE_BEGIN = 0,
    QUIVER_CORE_COMMIT = 1,
    QUIVER_CORE_ROLLBACK = 2
} quiver_core_transaction;

/* `element` is the id of the element a row belongs to, 0 where there is none. */
typedef int (*quiver_core_row_fn)(void* context, int64_t element, const quiver_core_value* cells,
                                  size_t count);
typedef int (*quiver_core_column_fn)(void* context, const quiver_core_column* column);
/* `dimension` is "" but for a time series. */
typedef int (*quiver_core_group_fn)(void* context, const char* group, const char* dimension,
                                    const quiver_core_column* columns, size_t count);
typedef int (*quiver_core_text_fn)(void* context, const char* text, size_t size);

QUIVER_CORE_API const char* quiver_core_version(void) QUIVER_CORE_NOEXCEPT;

/* `source` is the schema file or the migrations folder; NULL in mode QUIVER_CORE_OPEN. */
QUIVER_CORE_API int quiver_core_open(quiver_core_open_mode mode, const char* path,
                                     const char* source, const quiver_core_options* options,
                                     quiver_core_database** out,
                                     quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

/* Closes the file; later calls on the database fail. Waits for a call under way. */
QUIVER_CORE_API void quiver_core_close(quiver_core_database* db) QUIVER_CORE_NOEXCEPT;

/* Frees a database that was closed and that nobody uses any more. */
QUIVER_CORE_API void quiver_core_free(quiver_core_database* db) QUIVER_CORE_NOEXCEPT;

/* The path as it was given; lives as long as the database. */
QUIVER_CORE_API int quiver_core_path(quiver_core_database* db, const char** out,
                                     quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

QUIVER_CORE_API int quiver_core_current_version(quiver_core_database* db, int64_t* out,
                                                quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_is_healthy(quiver_core_database* db, int* out,
                                           quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_describe(quiver_core_database* db, quiver_core_text_fn sink,
                                         void* context,
                                         quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

QUIVER_CORE_API int quiver_core_transact(quiver_core_database* db, quiver_core_transaction what,
                                         quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_in_transaction(quiver_core_database* db, int* out,
                                               quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

QUIVER_CORE_API int quiver_core_create_element(quiver_core_database* db, const char* collection,
                                               const quiver_core_attribute* attributes,
                                               size_t count, int64_t* out_id,
                                               quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_update_element(quiver_core_database* db, const char* collection,
                                               int64_t id, const quiver_core_attribute* attributes,
                                               size_t count,
                                               quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_delete_element(quiver_core_database* db, const char* collection,
                                               int64_t id,
                                               quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

/* Reads. `id` NULL means every element, in the order of their ids. A group is read with one row for
 * each of its rows, and for an element without any with one row of no cells. */
QUIVER_CORE_API int quiver_core_read_ids(quiver_core_database* db, const char* collection,
                                         quiver_core_row_fn sink, void* context,
                                         quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_read_scalar(quiver_core_database* db, const char* collection,
                                            const char* attribute, quiver_core_kind kind,
                                            const int64_t* id, quiver_core_row_fn sink,
                                            void* context,
                                            quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_read_group_column(quiver_core_database* db,
                                                  quiver_core_group_kind group,
                                                  const char* collection, const char* attribute,
                                                  quiver_core_kind kind, const int64_t* id,
                                                  quiver_core_row_fn sink, void* context,
                                                  quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
/* Every column of one group's rows for one element; cells in the order of list_groups, a time
 * series' dimension first. */
QUIVER_CORE_API int quiver_core_read_group(quiver_core_database* db, quiver_core_group_kind kind,
                                           const char* collection, const char* group, int64_t id,
                                           quiver_core_row_fn sink, void* context,
                                           quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

QUIVER_CORE_API int quiver_core_list_scalars(quiver_core_database* db, const char* collection,
                                             quiver_core_column_fn sink, void* context,
                                             quiver_core_error* error) QUIVER_CORE_NOEXCEPT;
QUIVER_CORE_API int quiver_core_list_groups(quiver_core_database* db, quiver_core_group_kind kind,
                                            const char* collection, quiver_core_group_fn sink,
                                            void* context,
                                            quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

/* The first cell of the first row of a single statement that reads. No row: the sink is not called. */
QUIVER_CORE_API int quiver_core_query(quiver_core_database* db, const char* sql,
                                      const quiver_core_value* parameters, size_t count,
                                      quiver_core_kind kind, quiver_core_row_fn sink,
                                      void* context,
                                      quiver_core_error* error) QUIVER_CORE_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
