#pragma once

#include <filesystem>
#include <string>

namespace quiver {

// Paths arrive as bytes: UTF-8 on Windows, where they become UTF-16; as they are elsewhere.
std::filesystem::path to_path(const std::string& bytes);
std::string to_bytes(const std::filesystem::path& path);

// A whole file of SQL, without a byte order mark. `what` names it in the Error.
std::string read_text(const std::filesystem::path& path, const std::string& what);

}  // namespace quiver
