#pragma once

#include "c_api/memory.h"
#include "quiver/c/quiver.h"
#include "quiver/core.h"

#include <cstdint>
#include <string>
#include <vector>

namespace quiver_c {

// Strings on their way to the caller; those not yet handed over are freed.
class Strings {
public:
    Strings() = default;
    Strings(const Strings&) = delete;
    Strings& operator=(const Strings&) = delete;
    ~Strings() {
        for (char* text : texts_) {
            std::free(text);
        }
    }
    void add(Owned<char> text) {
        texts_.push_back(nullptr);
        texts_.back() = text.release();
    }
    size_t size() const noexcept { return texts_.size(); }
    char** release() {
        char** out = copy_of(texts_).release();
        texts_.clear();
        return out;
    }

private:
    std::vector<char*> texts_;
};

// The cells of one column as the core delivers them, of one kind.
class Cells {
public:
    explicit Cells(quiver_core_kind kind) : kind_(kind) {}

    void add(const quiver_core_value& cell) {
        const bool present = cell.kind != QUIVER_CORE_NULL;
        switch (kind_) {
            case QUIVER_CORE_INTEGER:
                integers_.push_back(present ? cell.integer : 0);
                break;
            case QUIVER_CORE_FLOAT:
                floats_.push_back(present ? cell.real : 0.0);
                break;
            default:
                strings_.add(present ? copy_of(std::string(cell.text, cell.size)) : Owned<char>());
        }
        mask_.push_back(present ? 1 : 0);
    }

    size_t size() const noexcept { return mask_.size(); }
    bool has(size_t index) const { return mask_.at(index) != 0; }
    const std::vector<int64_t>& integers() const noexcept { return integers_; }
    const std::vector<double>& floats() const noexcept { return floats_; }
    const std::vector<uint8_t>& mask() const noexcept { return mask_; }
    Strings& strings() noexcept { return strings_; }

private:
    quiver_core_kind kind_;
    std::vector<int64_t> integers_;
    std::vector<double> floats_;
    Strings strings_;
    std::vector<uint8_t> mask_;
};

// The caller's values in the core's form; they point into the caller's text.
std::vector<quiver_core_value> to_core(const quiver_value_t* values, size_t count);

}  // namespace quiver_c
