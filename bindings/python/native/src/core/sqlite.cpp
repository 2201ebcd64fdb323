#include "core/sqlite.h"

#include "core/error.h"
#include "sqlite3.h"

namespace quiver {

namespace {

constexpr int busy_timeout_ms = 5000;

// What is left of an SQL text after its first statement: blanks and comments do not count.
bool has_more(const char* tail) {
    while (*tail != '\0') {
        if (tail[0] == '-' && tail[1] == '-') {
            while (*tail != '\0' && *tail != '\n') {
                ++tail;
            }
        } else if (tail[0] == '/' && tail[1] == '*') {
            tail += 2;
            while (*tail != '\0' && !(tail[0] == '*' && tail[1] == '/')) {
                ++tail;
            }
            if (*tail != '\0') {
                tail += 2;
            }
        } else if (*tail == ' ' || *tail == '\t' || *tail == '\n' || *tail == '\r' ||
                   *tail == '\f' || *tail == ';') {
            ++tail;
        } else {
            return true;
        }
    }
    return false;
}

// Lets a query read and nothing else: sqlite3_stmt_readonly() alone would let ATTACH and BEGIN by.
int only_reads(void*, int action, const char*, const char*, const char*, const char*) {
    switch (action) {
        case SQLITE_SELECT:
        case SQLITE_READ:
        case SQLITE_FUNCTION:
        case SQLITE_RECURSIVE:
            return SQLITE_OK;
        default:
            return SQLITE_DENY;
    }
}

}  // namespace

std::string identifier(const std::string& name) {
    std::string out = "\"";
    for (char c : name) {
        if (c == '"') {
            out += '"';
        }
        out += c;
    }
    return out + '"';
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
    sqlite3_finalize(statement);
}

Statement::Statement(sqlite3* handle, const std::string& sql) : handle_(handle) {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v2(handle, sql.c_str(), -1, &raw, nullptr));
    statement_.reset(raw);
    if (raw == nullptr) {
        throw Error("the SQL holds no statement");
    }
}

Statement Statement::reading(sqlite3* handle, const std::string& sql) {
    sqlite3_stmt* raw = nullptr;
    const char* tail = nullptr;
    sqlite3_set_authorizer(handle, only_reads, nullptr);
    const int code = sqlite3_prepare_v2(handle, sql.c_str(), -1, &raw, &tail);
    sqlite3_set_authorizer(handle, nullptr, nullptr);
    sqlite3_finalize(raw);
    if (code == SQLITE_AUTH) {
        throw Error("a query only reads: it cannot write, attach, set a pragma or control transactions");
    }
    if (code == SQLITE_OK && has_more(tail)) {
        throw Error("a query is one single statement");
    }
    // Prepared again: taking the authorizer away expires what was prepared under it.
    return Statement(handle, sql);
}

void Statement::check(int code) const {
    if (code != SQLITE_OK) {
        throw Error(sqlite3_errmsg(handle_));
    }
}

Statement& Statement::bind(int index, const quiver_core_value& value) {
    sqlite3_stmt* s = statement_.get();
    switch (value.kind) {
        case QUIVER_CORE_NULL:
            check(sqlite3_bind_null(s, index));
            break;
        case QUIVER_CORE_INTEGER:
            check(sqlite3_bind_int64(s, index, value.integer));
            break;
        case QUIVER_CORE_FLOAT:
            check(sqlite3_bind_double(s, index, value.real));
            break;
        case QUIVER_CORE_TEXT:
            check(sqlite3_bind_text64(s, index, value.text, value.size, SQLITE_STATIC, SQLITE_UTF8));
            break;
        default:
            throw Error("unknown kind of value: " + std::to_string(value.kind));
    }
    return *this;
}

Statement& Statement::bind(int index, int64_t value) {
    check(sqlite3_bind_int64(statement_.get(), index, value));
    return *this;
}

Statement& Statement::bind(int index, const std::string& value) {
    check(sqlite3_bind_text64(statement_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT,
                              SQLITE_UTF8));
    return *this;
}

int Statement::parameter_count() const {
    return sqlite3_bind_parameter_count(statement_.get());
}

bool Statement::step() {
    const int code = sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) {
        return true;
    }
    if (code != SQLITE_DONE) {
        throw Error(sqlite3_errmsg(handle_));
    }
    return false;
}

void Statement::run() {
    while (step()) {
    }
}

void Statement::reset() {
    sqlite3_reset(statement_.get());
}

int Statement::columns() const {
    return sqlite3_column_count(statement_.get());
}

int64_t Statement::integer(int column) const {
    return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
    if (bytes == nullptr) {
        return {};
    }
    return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::is_null(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

quiver_core_value Statement::value(int column) const {
    sqlite3_stmt* s = statement_.get();
    quiver_core_value out{};
    switch (sqlite3_column_type(s, column)) {
        case SQLITE_INTEGER:
            out.kind = QUIVER_CORE_INTEGER;
            out.integer = sqlite3_column_int64(s, column);
            break;
        case SQLITE_FLOAT:
            out.kind = QUIVER_CORE_FLOAT;
            out.real = sqlite3_column_double(s, column);
            break;
        case SQLITE_TEXT:
            out.kind = QUIVER_CORE_TEXT;
            out.text = reinterpret_cast<const char*>(sqlite3_column_text(s, column));
            out.size = static_cast<size_t>(sqlite3_column_bytes(s, column));
            break;
        case SQLITE_NULL:
            out.kind = QUIVER_CORE_NULL;
            break;
        default:
            throw Error("a BLOB cannot be read as a value");
    }
    return out;
}

void Connection::Close::operator()(sqlite3* handle) const noexcept {
    sqlite3_close_v2(handle);
}

Connection::Connection(const std::string& path, Mode mode) {
    int flags = SQLITE_OPEN_FULLMUTEX;
    switch (mode) {
        case Mode::create:
            flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
            break;
        case Mode::existing:
            flags |= SQLITE_OPEN_READWRITE;
            break;
        case Mode::read_only:
            flags |= SQLITE_OPEN_READONLY;
            break;
    }
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    handle_.reset(raw);
    if (code != SQLITE_OK) {
        throw Error(raw != nullptr ? sqlite3_errmsg(raw) : "out of memory");
    }
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, busy_timeout_ms);
    execute("PRAGMA foreign_keys = ON");
}

void Connection::execute(const std::string& sql) {
    char* raw = nullptr;
    if (sqlite3_exec(get(), sql.c_str(), nullptr, nullptr, &raw) != SQLITE_OK) {
        std::unique_ptr<char, void (*)(void*)> message(raw, sqlite3_free);
        throw Error(message ? message.get() : sqlite3_errmsg(get()));
    }
}

bool Connection::in_transaction() const {
    return sqlite3_get_autocommit(get()) == 0;
}

int64_t Connection::user_version() {
    Statement statement(get(), "PRAGMA user_version");
    statement.step();
    return statement.integer(0);
}

Scope::Scope(Connection& connection)
    : connection_(connection), nested_(connection.in_transaction()) {
    connection_.execute(nested_ ? "SAVEPOINT quiver_scope" : "BEGIN IMMEDIATE");
}

void Scope::commit() {
    connection_.execute(nested_ ? "RELEASE quiver_scope" : "COMMIT");
    done_ = true;
}

Scope::~Scope() {
    // SQLite itself may have rolled all back already (a full disk); then there is nothing to undo.
    if (done_ || !connection_.in_transaction()) {
        return;
    }
    try {
        connection_.execute(nested_ ? "ROLLBACK TO quiver_scope; RELEASE quiver_scope" : "ROLLBACK");
    } catch (const Error&) {
        // The error that led here is the one to report.
    }
}

}  // namespace quiver
