#include "core/logger.h"

#include "core/files.h"

#include <chrono>
#include <cstdio>
#include <ctime>

namespace quiver {

namespace {

const char* name_of(Level level) {
    switch (level) {
        case Level::debug:
            return "debug";
        case Level::info:
            return "info";
        case Level::warn:
            return "warning";
        case Level::error:
            return "error";
        case Level::off:
            break;
    }
    return "off";
}

std::string now_utc() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm parts{};
#if defined(_WIN32)
    gmtime_s(&parts, &now);
#else
    gmtime_r(&now, &parts);
#endif
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

}  // namespace

void Logger::open_beside(const std::string& database) {
    const auto file = to_path(database).parent_path() / "quiver_database.log";
    file_.open(file, std::ios::app | std::ios::binary);
    if (!file_.is_open()) {
        write(Level::warn, "no log file: cannot write " + to_bytes(file));
    }
}

void Logger::write(Level level, const std::string& message) {
    if (level >= console_ && console_ != Level::off) {
        std::fprintf(stderr, "quiver: %s: %s\n", name_of(level), message.c_str());
    }
    if (level >= Level::info && file_.is_open()) {
        file_ << now_utc() << " " << name_of(level) << ": " << message << '\n' << std::flush;
    }
}

}  // namespace quiver
