// What the binding's own tests cannot see: the core's boundary, called as libquiver_c calls it.

#include "quiver/core.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

int failures = 0;

void expect(bool held, const char* what, int line) {
    if (!held) {
        std::fprintf(stderr, "line %d: expected %s\n", line, what);
        ++failures;
    }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

const char* schema =
    "CREATE TABLE Configuration (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL) STRICT;"
    "CREATE TABLE Plant (id INTEGER PRIMARY KEY, label TEXT UNIQUE NOT NULL, size INTEGER) STRICT;"
    "CREATE TABLE Plant_vector_costs (id INTEGER, vector_index INTEGER, cost REAL,"
    "  PRIMARY KEY (id, vector_index),"
    "  FOREIGN KEY (id) REFERENCES Plant (id) ON DELETE CASCADE) STRICT;";

quiver_core_value text(const char* value) {
    quiver_core_value out{};
    out.kind = QUIVER_CORE_TEXT;
    out.text = value;
    out.size = std::strlen(value);
    return out;
}

quiver_core_value real(double value) {
    quiver_core_value out{};
    out.kind = QUIVER_CORE_FLOAT;
    out.real = value;
    return out;
}

int count_rows(void* context, int64_t, const quiver_core_value*, size_t) {
    ++*static_cast<int*>(context);
    return 0;
}

int stop(void*, int64_t, const quiver_core_value*, size_t) {
    return 1;
}

struct Folder {
    fs::path path = fs::temp_directory_path() / ("quiver-core-test-" + std::to_string(std::rand()));
    Folder() { fs::create_directories(path); }
    ~Folder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

}  // namespace

int main() {
    const Folder folder;
    const std::string sql = (folder.path / "schema.sql").u8string();
    const std::string file = (folder.path / fs::u8path(u8"José 量子.db")).u8string();
    std::ofstream(fs::u8path(sql)) << schema;

    quiver_core_error error{};
    quiver_core_database* db = nullptr;
    const quiver_core_options options{0, 4};

    EXPECT(quiver_core_open(QUIVER_CORE_OPEN, file.c_str(), nullptr, &options, &db, &error) != 0);
    EXPECT(std::strstr(error.message, "no such file") != nullptr);
    EXPECT(db == nullptr);

    if (quiver_core_open(QUIVER_CORE_FROM_SCHEMA, file.c_str(), sql.c_str(), &options, &db,
                         &error) != 0) {
        std::fprintf(stderr, "open: %s\n", error.message);
        return 1;
    }
    EXPECT(fs::exists(fs::u8path(file)));
    EXPECT(fs::exists(folder.path / "quiver_database.log"));
    const char* path = nullptr;
    EXPECT(quiver_core_path(db, &path, &error) == 0);
    EXPECT(path == file);

    const quiver_core_value label = text("one");
    const std::vector<quiver_core_value> costs = {real(1.5), real(2.5)};
    const quiver_core_attribute attributes[] = {{"label", &label, 1, 0},
                                                {"cost", costs.data(), costs.size(), 1}};
    int64_t id = 0;
    EXPECT(quiver_core_create_element(db, "Plant", attributes, 2, &id, &error) == 0);
    EXPECT(id == 1);
    // A failed write leaves neither an element nor a transaction behind.
    EXPECT(quiver_core_create_element(db, "Plant", attributes, 2, &id, &error) != 0);
    EXPECT(std::strstr(error.message, "UNIQUE") != nullptr);
    int active = 1;
    EXPECT(quiver_core_in_transaction(db, &active, &error) == 0);
    EXPECT(active == 0);
    int rows = 0;
    EXPECT(quiver_core_read_ids(db, "Plant", count_rows, &rows, &error) == 0);
    EXPECT(rows == 1);

    EXPECT(quiver_core_read_group_column(db, QUIVER_CORE_GROUP_VECTOR, "Plant", "cost",
                                         QUIVER_CORE_FLOAT, nullptr, stop, nullptr, &error) != 0);
    EXPECT(std::strcmp(error.message, "out of memory") == 0);

    // A long message is cut at a whole character.
    std::string name(1, 'x');
    while (name.size() < 3000) {
        name += u8"é";
    }
    EXPECT(quiver_core_read_ids(db, name.c_str(), count_rows, &rows, &error) != 0);
    const size_t size = std::strlen(error.message);
    EXPECT(size < sizeof error.message);
    EXPECT(size > sizeof error.message - 4);
    EXPECT((static_cast<unsigned char>(error.message[size - 1]) & 0xC0U) == 0x80U);

    quiver_core_close(db);
    quiver_core_close(db);
    EXPECT(quiver_core_read_ids(db, "Plant", count_rows, &rows, &error) != 0);
    EXPECT(std::strstr(error.message, "is closed") != nullptr);
    quiver_core_free(db);

    std::printf("%s\n", failures == 0 ? "ok" : "failed");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
