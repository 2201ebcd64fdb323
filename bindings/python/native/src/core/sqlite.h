#pragma once

#include "quiver/core.h"

#include <memory>
#include <string>

struct sqlite3;
struct sqlite3_stmt;

namespace quiver {

// An SQL identifier in double quotes.
std::string identifier(const std::string& name);

// A prepared statement. Throws Error with SQLite's own words.
class Statement {
public:
    Statement(sqlite3* handle, const std::string& sql);

    // Refuses anything but one single statement that only reads.
    static Statement reading(sqlite3* handle, const std::string& sql);

    // Indices of parameters start at 1 as in SQLite; the text bound must outlive the statement.
    Statement& bind(int index, const quiver_core_value& value);
    Statement& bind(int index, int64_t value);
    Statement& bind(int index, const std::string& value);
    int parameter_count() const;

    // True while there is a row.
    bool step();
    void run();  // to the end, ignoring rows
    void reset();

    int columns() const;
    int64_t integer(int column) const;
    std::string text(int column) const;
    bool is_null(int column) const;
    // What text there is lives until the next step.
    quiver_core_value value(int column) const;

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept;
    };
    void check(int code) const;

    sqlite3* handle_;
    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// An open connection.
class Connection {
public:
    enum class Mode { create, existing, read_only };

    Connection() = default;
    Connection(const std::string& path, Mode mode);

    sqlite3* get() const noexcept { return handle_.get(); }
    void close() noexcept { handle_.reset(); }
    // Forgets the connection without touching the file: all that a forked child may do with it.
    void abandon() noexcept { handle_.release(); }

    void execute(const std::string& sql);
    bool in_transaction() const;
    int64_t user_version();

private:
    struct Close {
        void operator()(sqlite3* handle) const noexcept;
    };
    std::unique_ptr<sqlite3, Close> handle_;
};

// All or nothing: a transaction of its own, or a savepoint inside the caller's.
class Scope {
public:
    explicit Scope(Connection& connection);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();
    void commit();

private:
    Connection& connection_;
    bool nested_;
    bool done_ = false;
};

}  // namespace quiver
