#pragma once

#include <stdexcept>
#include <string>

namespace quiver {

// Everything a caller can get wrong or a file can refuse. Never leaves the library: see exports.cpp.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

inline std::string in_quotes(const std::string& name) {
    return "'" + name + "'";
}

}  // namespace quiver
