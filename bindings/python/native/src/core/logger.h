#pragma once

#include <fstream>
#include <string>

namespace quiver {

// Values as in the C API's quiver_log_level_t.
enum class Level { debug = 0, info = 1, warn = 2, error = 3, off = 4 };

// Writes to stderr from a given level on, and to a file from `info` on. Never throws for want of a
// place to write: a database is usable where its folder is not writable.
class Logger {
public:
    explicit Logger(Level console) : console_(console) {}

    // Starts `quiver_database.log` beside the database.
    void open_beside(const std::string& database);
    void write(Level level, const std::string& message);
    void close() { file_.close(); }

private:
    Level console_;
    std::ofstream file_;
};

}  // namespace quiver
