#pragma once

#include "quiver/c/quiver.h"
#include "quiver/core.h"

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

namespace quiver_c {

// A core database that is closed and freed with its last user.
class Handle {
public:
    explicit Handle(quiver_core_database* core) noexcept : core_(core) {}
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
        quiver_core_close(core_);
        quiver_core_free(core_);
    }
    quiver_core_database* core() const noexcept { return core_; }

private:
    quiver_core_database* core_;
};

// Handles given to programs are numbers that are never used twice, kept in one table: so one that
// was closed is recognised, and a database lives until the calls under way on it have ended.
quiver_database_t* enroll(quiver_core_database* core);
// Throws std::invalid_argument where the handle is NULL, closed or none of ours.
std::shared_ptr<Handle> find(quiver_database_t* db);
// Empty where there is nothing to close.
std::shared_ptr<Handle> withdraw(quiver_database_t* db);

void set_last_error(const char* message) noexcept;

// Throws what the core reports.
class Reported {
public:
    operator quiver_core_error*() noexcept { return &error_; }
    void check(int failed) const {
        if (failed != 0) {
            throw std::runtime_error(error_.message);
        }
    }

private:
    quiver_core_error error_{};
};

template <typename T>
T require(T pointer, const char* name) {
    if (pointer == nullptr) {
        throw std::invalid_argument(std::string("argument '") + name + "' is NULL");
    }
    return pointer;
}

// Runs what a function of the API does; turns whatever it throws into an error code and a message.
template <typename Work>
quiver_error_t guard(Work work) noexcept {
    try {
        work();
        return QUIVER_OK;
    } catch (const std::bad_alloc&) {
        set_last_error("out of memory");
    } catch (const std::exception& e) {
        set_last_error(e.what());
    } catch (...) {
        set_last_error("unknown failure");
    }
    return QUIVER_ERROR;
}

}  // namespace quiver_c
