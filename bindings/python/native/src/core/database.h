#pragma once

#include "core/error.h"
#include "core/logger.h"
#include "core/schema.h"
#include "core/sqlite.h"
#include "quiver/core.h"

#include <mutex>
#include <string>
#include <vector>

namespace quiver {

// What a callback said when it stopped the work.
class Stopped {};

// An open database. Every public function locks, so that threads may share it; a transaction is
// the database's, not a thread's. It serves only the process that opened it.
class Database {
public:
    Database(quiver_core_open_mode mode, std::string path, const char* source,
             const quiver_core_options& options);

    void close() noexcept;

    const std::string& path();
    int64_t current_version();
    bool is_healthy();
    std::string describe();

    void transact(quiver_core_transaction what);
    bool in_transaction();

    int64_t create(const std::string& collection, const quiver_core_attribute* attributes,
                   size_t count);
    void update(const std::string& collection, int64_t id, const quiver_core_attribute* attributes,
                size_t count);
    void remove(const std::string& collection, int64_t id);

    void read_ids(const std::string& collection, quiver_core_row_fn sink, void* context);
    void read_scalar(const std::string& collection, const std::string& attribute,
                     quiver_core_kind kind, const int64_t* id, quiver_core_row_fn sink,
                     void* context);
    void read_group_column(quiver_core_group_kind group, const std::string& collection,
                           const std::string& attribute, quiver_core_kind kind, const int64_t* id,
                           quiver_core_row_fn sink, void* context);
    void read_group(quiver_core_group_kind kind, const std::string& collection,
                    const std::string& group, int64_t id, quiver_core_row_fn sink, void* context);

    void list_scalars(const std::string& collection, quiver_core_column_fn sink, void* context);
    void list_groups(quiver_core_group_kind kind, const std::string& collection,
                     quiver_core_group_fn sink, void* context);

    void query(const std::string& sql, const quiver_core_value* parameters, size_t count,
               quiver_core_kind kind, quiver_core_row_fn sink, void* context);

private:
    std::unique_lock<std::mutex> enter();
    void apply_schema(const std::string& file);
    // Adds what was being done to an error, and logs it.
    template <typename Work>
    auto doing(const std::string& what, Work work) -> decltype(work());

    std::string path_;
    long process_;
    std::mutex mutex_;
    bool closed_ = false;
    Logger log_;
    Connection connection_;
    Schema schema_;
};

template <typename Work>
auto Database::doing(const std::string& what, Work work) -> decltype(work()) {
    try {
        return work();
    } catch (const Error& e) {
        const std::string message = "cannot " + what + ": " + e.what();
        log_.write(Level::debug, message);
        throw Error(message);
    }
}

// elements.cpp: writing, inside the caller's transaction.
int64_t insert_element(Connection& connection, const Schema& schema, const Collection& collection,
                       const quiver_core_attribute* attributes, size_t count);
void update_element(Connection& connection, const Schema& schema, const Collection& collection,
                    int64_t id, const quiver_core_attribute* attributes, size_t count);
void delete_element(Connection& connection, const Collection& collection, int64_t id);

// convert.cpp: the value as this kind of cell, or an Error that calls it `what`. NULL stays NULL,
// and an integer is a float wherever a float is asked for.
quiver_core_value as_kind(const quiver_core_value& value, quiver_core_kind kind,
                          const std::string& what);
quiver_core_kind kind_of(quiver_core_data_type type);
// Refuses an attribute whose column does not hold this kind.
void require_kind(const Column& column, quiver_core_kind kind, const std::string& collection);
const char* sql_name(quiver_core_kind kind);

}  // namespace quiver
