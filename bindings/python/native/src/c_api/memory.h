#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace quiver_c {

// What is handed to the caller comes from this library's malloc and goes back to its free.
struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// Zeroed, and never NULL, not even for nothing.
template <typename T>
Owned<T> allocate(size_t count) {
    void* memory = std::calloc(count == 0 ? 1 : count, sizeof(T));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return Owned<T>(static_cast<T*>(memory));
}

template <typename T>
Owned<T> copy_of(const std::vector<T>& values) {
    Owned<T> out = allocate<T>(values.size());
    if (!values.empty()) {
        std::memcpy(out.get(), values.data(), values.size() * sizeof(T));
    }
    return out;
}

inline Owned<char> copy_of(const std::string& text) {
    Owned<char> out = allocate<char>(text.size() + 1);
    std::memcpy(out.get(), text.data(), text.size());
    return out;
}

inline Owned<char> copy_of_nullable(const char* text) {
    return text == nullptr ? Owned<char>() : copy_of(std::string(text));
}

}  // namespace quiver_c
