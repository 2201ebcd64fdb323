#include "c_api/handle.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace quiver_c {

namespace {

// Plain bytes: nothing to destroy when a thread ends or the library is unloaded.
thread_local char last_error[sizeof(quiver_core_error::message)];

struct Table {
    std::mutex mutex;
    std::map<std::uintptr_t, std::shared_ptr<Handle>> handles;
    std::uintptr_t next = 1;
};

// Never destroyed: a database left open at the end of the process is left to SQLite's journal,
// which is safe, where closing it among dying threads is not.
Table& table() {
    static Table& instance = *[] {
        auto* made = new Table;
#if !defined(_WIN32)
        // A child forked while another thread looks up a handle must not find the table locked.
        pthread_atfork([] { table().mutex.lock(); }, [] { table().mutex.unlock(); },
                       [] { table().mutex.unlock(); });
#endif
        return made;
    }();
    return instance;
}

std::uintptr_t number_of(quiver_database_t* db) noexcept {
    return reinterpret_cast<std::uintptr_t>(db);
}

}  // namespace

quiver_database_t* enroll(quiver_core_database* core) {
    auto handle = std::make_shared<Handle>(core);
    Table& all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const std::uintptr_t number = all.next++;
    all.handles.emplace(number, std::move(handle));
    return reinterpret_cast<quiver_database_t*>(number);
}

std::shared_ptr<Handle> find(quiver_database_t* db) {
    require(db, "db");
    Table& all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto found = all.handles.find(number_of(db));
    if (found == all.handles.end()) {
        throw std::invalid_argument("the database is closed");
    }
    return found->second;
}

std::shared_ptr<Handle> withdraw(quiver_database_t* db) {
    Table& all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto found = all.handles.find(number_of(db));
    if (found == all.handles.end()) {
        return {};
    }
    auto handle = std::move(found->second);
    all.handles.erase(found);
    return handle;
}

void set_last_error(const char* message) noexcept {
    std::strncpy(last_error, message, sizeof last_error - 1);
    last_error[sizeof last_error - 1] = '\0';
}

}  // namespace quiver_c

const char* quiver_get_last_error(void) {
    return quiver_c::last_error;
}

const char* quiver_version(void) {
    return quiver_core_version();
}
