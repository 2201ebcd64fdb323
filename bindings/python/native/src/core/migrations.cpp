#include "core/migrations.h"

#include "core/error.h"
#include "core/files.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <system_error>

namespace quiver {

namespace {

namespace fs = std::filesystem;

std::map<int64_t, fs::path> steps_in(const std::string& folder) {
    std::error_code failed;
    std::map<int64_t, fs::path> steps;
    for (fs::directory_iterator it(to_path(folder), failed), end; !failed && it != end;
         it.increment(failed)) {
        std::error_code ignored;
        const std::string name = to_bytes(it->path().filename());
        const bool numeric = !name.empty() && name.size() < 10 &&
                             std::all_of(name.begin(), name.end(),
                                         [](unsigned char c) { return std::isdigit(c) != 0; });
        if (!numeric || !it->is_directory(ignored)) {
            continue;
        }
        const int64_t version = std::stoll(name);
        if (version == 0) {
            throw Error("migrations are numbered from 1: " + to_bytes(it->path()));
        }
        if (!steps.emplace(version, it->path() / "up.sql").second) {
            throw Error("migration " + std::to_string(version) + " is there twice in " + folder);
        }
    }
    if (failed) {
        throw Error("migrations folder cannot be read: " + folder + " (" + failed.message() + ")");
    }
    if (steps.empty()) {
        throw Error("there is no migration (1/up.sql, 2/up.sql ...) in " + folder);
    }
    return steps;
}

}  // namespace

void migrate(Connection& connection, const std::string& folder, bool read_only, Logger& log) {
    const auto steps = steps_in(folder);
    const int64_t newest = steps.rbegin()->first;
    const int64_t version = connection.user_version();
    if (version > newest) {
        throw Error("the database is at version " + std::to_string(version) +
                    ", newer than the newest migration, " + std::to_string(newest));
    }
    if (read_only && version < newest) {
        throw Error("the database is at version " + std::to_string(version) +
                    " and read-only; migrating it to " + std::to_string(newest) +
                    " needs it writable");
    }
    for (const auto& [step, file] : steps) {
        if (step <= version) {
            continue;
        }
        const std::string sql = read_text(file, "migration " + std::to_string(step));
        try {
            Scope scope(connection);
            connection.execute(sql);
            connection.execute("PRAGMA user_version = " + std::to_string(step));
            scope.commit();
        } catch (const Error& e) {
            throw Error("migration " + std::to_string(step) + " failed: " + e.what());
        }
        log.write(Level::info, "migrated to version " + std::to_string(step));
    }
}

}  // namespace quiver
