#include "core/files.h"

#include "core/error.h"

#include <fstream>
#include <iterator>
#include <system_error>

namespace quiver {

std::filesystem::path to_path(const std::string& bytes) {
    return std::filesystem::u8path(bytes);
}

std::string to_bytes(const std::filesystem::path& path) {
    return path.u8string();
}

std::string read_text(const std::filesystem::path& path, const std::string& what) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) {
        throw Error(what + " not found: " + to_bytes(path));
    }
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file.is_open() || file.bad()) {
        throw Error(what + " cannot be read: " + to_bytes(path));
    }
    if (text.compare(0, 3, "\xEF\xBB\xBF") == 0) {
        text.erase(0, 3);
    }
    if (text.find('\0') != std::string::npos) {
        throw Error(what + " is not plain UTF-8 text: " + to_bytes(path));
    }
    return text;
}

}  // namespace quiver
