// The boundary of the library: nothing thrown gets past it.

#include "core/database.h"
#include "core/error.h"

#include <cstring>
#include <exception>
#include <new>

#if !defined(QUIVER_VERSION)
#error "the build defines QUIVER_VERSION"
#endif

struct quiver_core_database {
    quiver::Database database;

    quiver_core_database(quiver_core_open_mode mode, const char* path, const char* source,
                         const quiver_core_options& options)
        : database(mode, path, source, options) {}
};

namespace {

void report(quiver_core_error* error, const char* message) noexcept {
    if (error == nullptr) {
        return;
    }
    size_t size = std::strlen(message);
    if (size >= sizeof error->message) {
        size = sizeof error->message - 1;
        // Not in the middle of a character: back to its first byte.
        while (size > 0 && (static_cast<unsigned char>(message[size]) & 0xC0U) == 0x80U) {
            --size;
        }
    }
    std::memcpy(error->message, message, size);
    error->message[size] = '\0';
}

template <typename Work>
int guard(quiver_core_error* error, Work work) noexcept {
    try {
        work();
        return 0;
    } catch (const quiver::Stopped&) {
        report(error, "out of memory");
    } catch (const std::bad_alloc&) {
        report(error, "out of memory");
    } catch (const std::exception& e) {
        report(error, e.what());
    } catch (...) {
        report(error, "unknown failure");
    }
    return 1;
}

}  // namespace

const char* quiver_core_version(void) noexcept {
    return QUIVER_VERSION;
}

int quiver_core_open(quiver_core_open_mode mode, const char* path, const char* source,
                     const quiver_core_options* options, quiver_core_database** out,
                     quiver_core_error* error) noexcept {
    return guard(error, [&] { *out = new quiver_core_database(mode, path, source, *options); });
}

void quiver_core_close(quiver_core_database* db) noexcept {
    db->database.close();
}

void quiver_core_free(quiver_core_database* db) noexcept {
    delete db;
}

int quiver_core_path(quiver_core_database* db, const char** out,
                     quiver_core_error* error) noexcept {
    return guard(error, [&] { *out = db->database.path().c_str(); });
}

int quiver_core_current_version(quiver_core_database* db, int64_t* out,
                                quiver_core_error* error) noexcept {
    return guard(error, [&] { *out = db->database.current_version(); });
}

int quiver_core_is_healthy(quiver_core_database* db, int* out, quiver_core_error* error) noexcept {
    return guard(error, [&] { *out = db->database.is_healthy() ? 1 : 0; });
}

int quiver_core_describe(quiver_core_database* db, quiver_core_text_fn sink, void* context,
                         quiver_core_error* error) noexcept {
    return guard(error, [&] {
        const std::string text = db->database.describe();
        if (sink(context, text.data(), text.size()) != 0) {
            throw quiver::Stopped();
        }
    });
}

int quiver_core_transact(quiver_core_database* db, quiver_core_transaction what,
                         quiver_core_error* error) noexcept {
    return guard(error, [&] { db->database.transact(what); });
}

int quiver_core_in_transaction(quiver_core_database* db, int* out,
                               quiver_core_error* error) noexcept {
    return guard(error, [&] { *out = db->database.in_transaction() ? 1 : 0; });
}

int quiver_core_create_element(quiver_core_database* db, const char* collection,
                               const quiver_core_attribute* attributes, size_t count,
                               int64_t* out_id, quiver_core_error* error) noexcept {
    return guard(error, [&] { *out_id = db->database.create(collection, attributes, count); });
}

int quiver_core_update_element(quiver_core_database* db, const char* collection, int64_t id,
                               const quiver_core_attribute* attributes, size_t count,
                               quiver_core_error* error) noexcept {
    return guard(error, [&] { db->database.update(collection, id, attributes, count); });
}

int quiver_core_delete_element(quiver_core_database* db, const char* collection, int64_t id,
                               quiver_core_error* error) noexcept {
    return guard(error, [&] { db->database.remove(collection, id); });
}

int quiver_core_read_ids(quiver_core_database* db, const char* collection, quiver_core_row_fn sink,
                         void* context, quiver_core_error* error) noexcept {
    return guard(error, [&] { db->database.read_ids(collection, sink, context); });
}

int quiver_core_read_scalar(quiver_core_database* db, const char* collection,
                            const char* attribute, quiver_core_kind kind, const int64_t* id,
                            quiver_core_row_fn sink, void* context,
                            quiver_core_error* error) noexcept {
    return guard(error, [&] {
        db->database.read_scalar(collection, attribute, kind, id, sink, context);
    });
}

int quiver_core_read_group_column(quiver_core_database* db, quiver_core_group_kind group,
                                  const char* collection, const char* attribute,
                                  quiver_core_kind kind, const int64_t* id,
                                  quiver_core_row_fn sink, void* context,
                                  quiver_core_error* error) noexcept {
    return guard(error, [&] {
        db->database.read_group_column(group, collection, attribute, kind, id, sink, context);
    });
}

int quiver_core_read_group(quiver_core_database* db, quiver_core_group_kind kind,
                           const char* collection, const char* group, int64_t id,
                           quiver_core_row_fn sink, void* context,
                           quiver_core_error* error) noexcept {
    return guard(error,
                 [&] { db->database.read_group(kind, collection, group, id, sink, context); });
}

int quiver_core_list_scalars(quiver_core_database* db, const char* collection,
                             quiver_core_column_fn sink, void* context,
                             quiver_core_error* error) noexcept {
    return guard(error, [&] { db->database.list_scalars(collection, sink, context); });
}

int quiver_core_list_groups(quiver_core_database* db, quiver_core_group_kind kind,
                            const char* collection, quiver_core_group_fn sink, void* context,
                            quiver_core_error* error) noexcept {
    return guard(error, [&] { db->database.list_groups(kind, collection, sink, context); });
}

int quiver_core_query(quiver_core_database* db, const char* sql,
                      const quiver_core_value* parameters, size_t count, quiver_core_kind kind,
                      quiver_core_row_fn sink, void* context, quiver_core_error* error) noexcept {
    return guard(error,
                 [&] { db->database.query(sql, parameters, count, kind, sink, context); });
}
