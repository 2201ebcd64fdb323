#include "core/database.h"

#include "core/error.h"
#include "core/files.h"
#include "core/migrations.h"

#include <system_error>
#include <utility>

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif

namespace quiver {

namespace {

long current_process() {
#if defined(_WIN32)
    return _getpid();
#else
    return getpid();
#endif
}

bool in_memory(const std::string& path) {
    return path == ":memory:";
}

bool exists(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(to_path(path), ignored);
}

Level level_of(int32_t value) {
    if (value < static_cast<int32_t>(Level::debug) || value > static_cast<int32_t>(Level::off)) {
        throw Error("unknown console level: " + std::to_string(value));
    }
    return static_cast<Level>(value);
}

Connection connect(quiver_core_open_mode mode, const std::string& path, bool read_only) {
    if (path.empty()) {
        throw Error("the path of a database is empty");
    }
    if (read_only && mode == QUIVER_CORE_FROM_SCHEMA) {
        throw Error("a schema cannot be applied to a read-only database; open it instead");
    }
    const bool create = mode != QUIVER_CORE_OPEN && !read_only;
    if (!create && !in_memory(path) && !exists(path)) {
        throw Error("there is no such file");
    }
    return {path, read_only ? Connection::Mode::read_only
                  : create  ? Connection::Mode::create
                            : Connection::Mode::existing};
}

// Takes back a file that a failed creation left behind.
class FreshFile {
public:
    explicit FreshFile(const std::string& path)
        : path_(path), fresh_(!in_memory(path) && !exists(path)) {}
    void keep() noexcept { fresh_ = false; }
    void discard() const noexcept {
        if (fresh_) {
            std::error_code ignored;
            std::filesystem::remove(to_path(path_), ignored);
        }
    }

private:
    std::string path_;
    bool fresh_;
};

}  // namespace

Database::Database(quiver_core_open_mode mode, std::string path, const char* source,
                   const quiver_core_options& options)
    : path_(std::move(path)),
      process_(current_process()),
      log_(level_of(options.console_level)) {
    const bool read_only = options.read_only != 0;
    FreshFile fresh(path_);
    doing("open database " + in_quotes(path_), [&] {
        try {
            connection_ = connect(mode, path_, read_only);
            if (!read_only && !in_memory(path_)) {
                log_.open_beside(path_);
            }
            if (mode == QUIVER_CORE_FROM_SCHEMA) {
                apply_schema(source);
            } else if (mode == QUIVER_CORE_FROM_MIGRATIONS) {
                migrate(connection_, source, read_only, log_);
                schema_ = Schema(connection_);
            } else {
                schema_ = Schema(connection_);
            }
        } catch (const Error& e) {
            log_.write(Level::error, "cannot open database " + in_quotes(path_) + ": " + e.what());
            connection_.close();
            fresh.discard();
            throw;
        }
    });
    log_.write(Level::info, "opened " + path_ + (read_only ? " (read-only)" : ""));
}

void Database::apply_schema(const std::string& file) {
    const std::string sql = read_text(to_path(file), "schema file");
    {
        Statement tables(connection_.get(), "SELECT count(*) FROM sqlite_schema");
        tables.step();
        if (tables.integer(0) != 0) {
            throw Error("it holds tables already; open it, or give another path");
        }
    }
    Scope scope(connection_);
    connection_.execute(sql);
    schema_ = Schema(connection_);
    scope.commit();
}

std::unique_lock<std::mutex> Database::enter() {
    // Before the lock: in a forked child another thread of the parent may hold it for ever.
    if (process_ != current_process()) {
        throw Error("the database " + in_quotes(path_) + " was opened in process " +
                    std::to_string(process_) +
                    " and cannot be used in a process forked from it; open it again there");
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (closed_) {
        throw Error("the database " + in_quotes(path_) + " is closed");
    }
    return lock;
}

void Database::close() noexcept {
    if (process_ != current_process()) {
        connection_.abandon();
        return;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) {
        return;
    }
    closed_ = true;
    connection_.close();
    try {
        log_.write(Level::info, "closed " + path_);
        log_.close();
    } catch (...) {
        // Closing does not fail for want of a log.
    }
}

const std::string& Database::path() {
    const auto lock = enter();
    return path_;
}

int64_t Database::current_version() {
    const auto lock = enter();
    return doing("read the version", [&] { return connection_.user_version(); });
}

bool Database::is_healthy() {
    const auto lock = enter();
    try {
        Statement integrity(connection_.get(), "PRAGMA integrity_check(1)");
        if (!integrity.step() || integrity.text(0) != "ok") {
            return false;
        }
        Statement keys(connection_.get(), "PRAGMA foreign_key_check");
        return !keys.step();
    } catch (const Error& e) {
        log_.write(Level::error, std::string("health check failed: ") + e.what());
        return false;
    }
}

std::string Database::describe() {
    const auto lock = enter();
    return doing("describe the database", [&] {
        std::string out = "Database: " + path_ + "\nVersion: " +
                          std::to_string(connection_.user_version()) + "\n";
        for (const auto& [name, collection] : schema_.collections()) {
            Statement count(connection_.get(), "SELECT count(*) FROM " + identifier(name));
            count.step();
            const int64_t elements = count.integer(0);
            out += "\nCollection: " + name + " (" + std::to_string(elements) +
                   (elements == 1 ? " element)\n" : " elements)\n") + "  scalars:\n";
            for (const Column& column : collection.scalars) {
                out += "    " + column.name + " " + sql_name(column.type);
                out += column.primary_key ? " PRIMARY KEY" : column.not_null ? " NOT NULL" : "";
                if (!column.references_collection.empty()) {
                    out += " -> " + column.references_collection;
                }
                out += "\n";
            }
            for (const Group& group : collection.groups) {
                out += "  " + std::string(kind_name(group.kind)) + " " + group.name + ":";
                if (!group.dimension.empty()) {
                    out += " [" + group.dimension + "]";
                }
                for (const Column& column : group.values) {
                    out += " " + column.name + " " + sql_name(column.type);
                }
                out += "\n";
            }
        }
        return out;
    });
}

void Database::transact(quiver_core_transaction what) {
    const auto lock = enter();
    const bool active = connection_.in_transaction();
    switch (what) {
        case QUIVER_CORE_BEGIN:
            doing("begin a transaction", [&] {
                if (active) {
                    throw Error("one is active already");
                }
                connection_.execute("BEGIN");
            });
            break;
        case QUIVER_CORE_COMMIT:
            doing("commit", [&] {
                if (!active) {
                    throw Error("no transaction is active");
                }
                connection_.execute("COMMIT");
            });
            break;
        case QUIVER_CORE_ROLLBACK:
            doing("roll back", [&] {
                if (!active) {
                    throw Error("no transaction is active");
                }
                connection_.execute("ROLLBACK");
            });
            break;
    }
}

bool Database::in_transaction() {
    const auto lock = enter();
    return connection_.in_transaction();
}

int64_t Database::create(const std::string& collection, const quiver_core_attribute* attributes,
                         size_t count) {
    const auto lock = enter();
    return doing("create an element in " + in_quotes(collection), [&] {
        const Collection& target = schema_.collection(collection);
        Scope scope(connection_);
        const int64_t id = insert_element(connection_, schema_, target, attributes, count);
        scope.commit();
        return id;
    });
}

void Database::update(const std::string& collection, int64_t id,
                      const quiver_core_attribute* attributes, size_t count) {
    const auto lock = enter();
    doing("update element " + std::to_string(id) + " of " + in_quotes(collection), [&] {
        const Collection& target = schema_.collection(collection);
        Scope scope(connection_);
        update_element(connection_, schema_, target, id, attributes, count);
        scope.commit();
    });
}

void Database::remove(const std::string& collection, int64_t id) {
    const auto lock = enter();
    doing("delete element " + std::to_string(id) + " of " + in_quotes(collection), [&] {
        const Collection& target = schema_.collection(collection);
        Scope scope(connection_);
        delete_element(connection_, target, id);
        scope.commit();
    });
}

}  // namespace quiver
