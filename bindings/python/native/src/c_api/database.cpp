#include "c_api/handle.h"
#include "c_api/memory.h"

namespace {

using namespace quiver_c;

quiver_error_t open(quiver_core_open_mode mode, const char* path, const char* source,
                    const quiver_database_options_t* options, quiver_database_t** out_db) {
    return guard([&] {
        require(path, "path");
        require(out_db, "out_db");
        if (mode != QUIVER_CORE_OPEN) {
            require(source, mode == QUIVER_CORE_FROM_SCHEMA ? "schema_path" : "migrations_path");
        }
        const auto chosen = options != nullptr ? *options : quiver_database_options_default();
        const quiver_core_options core_options{chosen.read_only,
                                               static_cast<int32_t>(chosen.console_level)};
        quiver_core_database* core = nullptr;
        Reported error;
        error.check(quiver_core_open(mode, path, source, &core_options, &core, error));
        *out_db = enroll(core);
    });
}

quiver_error_t transact(quiver_database_t* db, quiver_core_transaction what) {
    return guard([&] {
        Reported error;
        error.check(quiver_core_transact(find(db)->core(), what, error));
    });
}

int keep_text(void* context, const char* text, size_t size) noexcept {
    try {
        *static_cast<Owned<char>*>(context) = copy_of(std::string(text, size));
        return 0;
    } catch (...) {
        return 1;
    }
}

}  // namespace

quiver_database_options_t quiver_database_options_default(void) {
    return {0, QUIVER_LOG_WARN};
}

quiver_error_t quiver_database_open(const char* path, const quiver_database_options_t* options,
                                    quiver_database_t** out_db) {
    return open(QUIVER_CORE_OPEN, path, nullptr, options, out_db);
}

quiver_error_t quiver_database_from_schema(const char* path, const char* schema_path,
                                           const quiver_database_options_t* options,
                                           quiver_database_t** out_db) {
    return open(QUIVER_CORE_FROM_SCHEMA, path, schema_path, options, out_db);
}

quiver_error_t quiver_database_from_migrations(const char* path, const char* migrations_path,
                                               const quiver_database_options_t* options,
                                               quiver_database_t** out_db) {
    return open(QUIVER_CORE_FROM_MIGRATIONS, path, migrations_path, options, out_db);
}

quiver_error_t quiver_database_close(quiver_database_t* db) {
    return guard([&] {
        // Closed here, not with the last reference: whoever closes may delete the file afterwards.
        if (const auto handle = withdraw(db)) {
            quiver_core_close(handle->core());
        }
    });
}

quiver_error_t quiver_database_path(quiver_database_t* db, char** out_path) {
    return guard([&] {
        require(out_path, "out_path");
        const auto handle = find(db);
        const char* path = nullptr;
        Reported error;
        error.check(quiver_core_path(handle->core(), &path, error));
        *out_path = copy_of(std::string(path)).release();
    });
}

quiver_error_t quiver_database_current_version(quiver_database_t* db, int64_t* out_version) {
    return guard([&] {
        Reported error;
        error.check(quiver_core_current_version(find(db)->core(),
                                                require(out_version, "out_version"), error));
    });
}

quiver_error_t quiver_database_is_healthy(quiver_database_t* db, int* out_healthy) {
    return guard([&] {
        Reported error;
        error.check(quiver_core_is_healthy(find(db)->core(), require(out_healthy, "out_healthy"),
                                           error));
    });
}

quiver_error_t quiver_database_describe(quiver_database_t* db, char** out_report) {
    return guard([&] {
        Owned<char> text;
        Reported error;
        error.check(quiver_core_describe(find(db)->core(), keep_text, &text, error));
        *require(out_report, "out_report") = text.release();
    });
}

quiver_error_t quiver_database_begin_transaction(quiver_database_t* db) {
    return transact(db, QUIVER_CORE_BEGIN);
}

quiver_error_t quiver_database_commit(quiver_database_t* db) {
    return transact(db, QUIVER_CORE_COMMIT);
}

quiver_error_t quiver_database_rollback(quiver_database_t* db) {
    return transact(db, QUIVER_CORE_ROLLBACK);
}

quiver_error_t quiver_database_in_transaction(quiver_database_t* db, int* out_active) {
    return guard([&] {
        Reported error;
        error.check(
            quiver_core_in_transaction(find(db)->core(), require(out_active, "out_active"), error));
    });
}
