#include "c_api/handle.h"
#include "c_api/values.h"

namespace {

using namespace quiver_c;

// What a read gathers: the cells, and where those of each element start.
struct Gathered {
    explicit Gathered(quiver_core_kind kind) : cells(kind) {}

    Cells cells;
    std::vector<size_t> offsets;
    int64_t element = 0;

    static int row(void* context, int64_t element, const quiver_core_value* cells,
                   size_t count) noexcept {
        try {
            auto& self = *static_cast<Gathered*>(context);
            if (self.offsets.empty() || element != self.element) {
                self.offsets.push_back(self.cells.size());
                self.element = element;
            }
            for (size_t i = 0; i < count; ++i) {
                self.cells.add(cells[i]);
            }
            return 0;
        } catch (...) {
            return 1;
        }
    }

    size_t elements() const noexcept { return offsets.size(); }
    size_t* release_offsets() {
        offsets.push_back(cells.size());
        return copy_of(offsets).release();
    }
};

// Where the values go: each kind has its own form.
struct IntegersOut {
    static constexpr quiver_core_kind kind = QUIVER_CORE_INTEGER;
    int64_t** values;
    uint8_t** mask;

    void require_all() const {
        require(values, "out_values");
        require(mask, "out_mask");
    }
    void write(Cells& cells) const {
        auto its_values = copy_of(cells.integers());
        *mask = copy_of(cells.mask()).release();
        *values = its_values.release();
    }
};

struct FloatsOut {
    static constexpr quiver_core_kind kind = QUIVER_CORE_FLOAT;
    double** values;
    uint8_t** mask;

    void require_all() const {
        require(values, "out_values");
        require(mask, "out_mask");
    }
    void write(Cells& cells) const {
        auto its_values = copy_of(cells.floats());
        *mask = copy_of(cells.mask()).release();
        *values = its_values.release();
    }
};

struct StringsOut {
    static constexpr quiver_core_kind kind = QUIVER_CORE_TEXT;
    char*** values;

    void require_all() const { require(values, "out_values"); }
    void write(Cells& cells) const { *values = cells.strings().release(); }
};

template <typename Out>
quiver_error_t scalars(quiver_database_t* db, const char* collection, const char* attribute,
                       Out out, size_t* out_count) {
    return guard([&] {
        out.require_all();
        require(out_count, "out_count");
        Gathered gathered(Out::kind);
        Reported error;
        error.check(quiver_core_read_scalar(find(db)->core(), require(collection, "collection"),
                                            require(attribute, "attribute"), Out::kind, nullptr,
                                            Gathered::row, &gathered, error));
        out.write(gathered.cells);
        *out_count = gathered.cells.size();
    });
}

template <typename Out>
quiver_error_t groups(quiver_core_group_kind group, quiver_database_t* db, const char* collection,
                      const char* attribute, Out out, size_t** out_offsets, size_t* out_count) {
    return guard([&] {
        out.require_all();
        require(out_offsets, "out_offsets");
        require(out_count, "out_count");
        Gathered gathered(Out::kind);
        Reported error;
        error.check(quiver_core_read_group_column(
            find(db)->core(), group, require(collection, "collection"),
            require(attribute, "attribute"), Out::kind, nullptr, Gathered::row, &gathered, error));
        const size_t elements = gathered.elements();
        Owned<size_t> offsets(gathered.release_offsets());
        out.write(gathered.cells);
        *out_offsets = offsets.release();
        *out_count = elements;
    });
}

template <typename Out>
quiver_error_t group_by_id(quiver_core_group_kind group, quiver_database_t* db,
                           const char* collection, const char* attribute, int64_t id, Out out,
                           size_t* out_count) {
    return guard([&] {
        out.require_all();
        require(out_count, "out_count");
        Gathered gathered(Out::kind);
        Reported error;
        error.check(quiver_core_read_group_column(
            find(db)->core(), group, require(collection, "collection"),
            require(attribute, "attribute"), Out::kind, &id, Gathered::row, &gathered, error));
        const size_t count = gathered.cells.size();
        out.write(gathered.cells);
        *out_count = count;
    });
}

int64_t first(const std::vector<int64_t>& values) {
    return values.front();
}
double first(const std::vector<double>& values) {
    return values.front();
}

// One value or none, of a scalar or of a query.
struct Single {
    explicit Single(quiver_core_kind kind) : gathered(kind) {}
    Gathered gathered;

    bool present() const { return gathered.cells.size() != 0 && gathered.cells.has(0); }
    void write(int64_t* out) const { *out = present() ? first(gathered.cells.integers()) : 0; }
    void write(double* out) const { *out = present() ? first(gathered.cells.floats()) : 0.0; }
    void write(char** out) {
        *out = nullptr;
        if (present()) {
            const Owned<char*> one(gathered.cells.strings().release());
            *out = one.get()[0];
        }
    }
};

template <typename Value>
quiver_error_t scalar_by_id(quiver_core_kind kind, quiver_database_t* db, const char* collection,
                            const char* attribute, int64_t id, Value* out_value,
                            int* out_has_value) {
    return guard([&] {
        require(out_value, "out_value");
        require(out_has_value, "out_has_value");
        Single single(kind);
        Reported error;
        error.check(quiver_core_read_scalar(find(db)->core(), require(collection, "collection"),
                                            require(attribute, "attribute"), kind, &id,
                                            Gathered::row, &single.gathered, error));
        *out_has_value = single.present() ? 1 : 0;
        single.write(out_value);
    });
}

template <typename Value>
quiver_error_t query(quiver_core_kind kind, quiver_database_t* db, const char* sql,
                     const quiver_value_t* parameters, size_t count, Value* out_value,
                     int* out_has_value) {
    return guard([&] {
        require(out_value, "out_value");
        require(out_has_value, "out_has_value");
        const auto values = to_core(parameters, count);
        Single single(kind);
        Reported error;
        error.check(quiver_core_query(find(db)->core(), require(sql, "sql"), values.data(),
                                      values.size(), kind, Gathered::row, &single.gathered, error));
        *out_has_value = single.present() ? 1 : 0;
        single.write(out_value);
    });
}

}  // namespace

quiver_error_t quiver_database_read_scalar_integers(quiver_database_t* db, const char* collection,
                                                    const char* attribute, int64_t** out_values,
                                                    uint8_t** out_mask, size_t* out_count) {
    return scalars(db, collection, attribute, IntegersOut{out_values, out_mask}, out_count);
}

quiver_error_t quiver_database_read_scalar_floats(quiver_database_t* db, const char* collection,
                                                  const char* attribute, double** out_values,
                                                  uint8_t** out_mask, size_t* out_count) {
    return scalars(db, collection, attribute, FloatsOut{out_values, out_mask}, out_count);
}

quiver_error_t quiver_database_read_scalar_strings(quiver_database_t* db, const char* collection,
                                                   const char* attribute, char*** out_values,
                                                   size_t* out_count) {
    return scalars(db, collection, attribute, StringsOut{out_values}, out_count);
}

quiver_error_t quiver_database_read_scalar_integer_by_id(quiver_database_t* db,
                                                         const char* collection,
                                                         const char* attribute, int64_t id,
                                                         int64_t* out_value, int* out_has_value) {
    return scalar_by_id(QUIVER_CORE_INTEGER, db, collection, attribute, id, out_value,
                        out_has_value);
}

quiver_error_t quiver_database_read_scalar_float_by_id(quiver_database_t* db,
                                                       const char* collection,
                                                       const char* attribute, int64_t id,
                                                       double* out_value, int* out_has_value) {
    return scalar_by_id(QUIVER_CORE_FLOAT, db, collection, attribute, id, out_value, out_has_value);
}

quiver_error_t quiver_database_read_scalar_string_by_id(quiver_database_t* db,
                                                        const char* collection,
                                                        const char* attribute, int64_t id,
                                                        char** out_value, int* out_has_value) {
    return scalar_by_id(QUIVER_CORE_TEXT, db, collection, attribute, id, out_value, out_has_value);
}

// Vectors and sets are read alike; only the names of the functions differ.
#define QUIVER_GROUP_READERS(name, group)                                                          \
    quiver_error_t quiver_database_read_##name##_integers(                                         \
        quiver_database_t* db, const char* collection, const char* attribute,                      \
        int64_t** out_values, uint8_t** out_mask, size_t** out_offsets, size_t* out_count) {       \
        return groups(group, db, collection, attribute, IntegersOut{out_values, out_mask},         \
                      out_offsets, out_count);                                                     \
    }                                                                                              \
    quiver_error_t quiver_database_read_##name##_floats(                                           \
        quiver_database_t* db, const char* collection, const char* attribute, double** out_values, \
        uint8_t** out_mask, size_t** out_offsets, size_t* out_count) {                             \
        return groups(group, db, collection, attribute, FloatsOut{out_values, out_mask},           \
                      out_offsets, out_count);                                                     \
    }                                                                                              \
    quiver_error_t quiver_database_read_##name##_strings(                                          \
        quiver_database_t* db, const char* collection, const char* attribute, char*** out_values,  \
        size_t** out_offsets, size_t* out_count) {                                                 \
        return groups(group, db, collection, attribute, StringsOut{out_values}, out_offsets,       \
                      out_count);                                                                  \
    }                                                                                              \
    quiver_error_t quiver_database_read_##name##_integers_by_id(                                   \
        quiver_database_t* db, const char* collection, const char* attribute, int64_t id,          \
        int64_t** out_values, uint8_t** out_mask, size_t* out_count) {                             \
        return group_by_id(group, db, collection, attribute, id,                                   \
                           IntegersOut{out_values, out_mask}, out_count);                          \
    }                                                                                              \
    quiver_error_t quiver_database_read_##name##_floats_by_id(                                     \
        quiver_database_t* db, const char* collection, const char* attribute, int64_t id,          \
        double** out_values, uint8_t** out_mask, size_t* out_count) {                              \
        return group_by_id(group, db, collection, attribute, id, FloatsOut{out_values, out_mask},  \
                           out_count);                                                             \
    }                                                                                              \
    quiver_error_t quiver_database_read_##name##_strings_by_id(                                    \
        quiver_database_t* db, const char* collection, const char* attribute, int64_t id,          \
        char*** out_values, size_t* out_count) {                                                   \
        return group_by_id(group, db, collection, attribute, id, StringsOut{out_values},           \
                           out_count);                                                             \
    }

QUIVER_GROUP_READERS(vector, QUIVER_CORE_GROUP_VECTOR)
QUIVER_GROUP_READERS(set, QUIVER_CORE_GROUP_SET)

#undef QUIVER_GROUP_READERS

quiver_error_t quiver_database_query_integer(quiver_database_t* db, const char* sql,
                                             const quiver_value_t* parameters, size_t count,
                                             int64_t* out_value, int* out_has_value) {
    return query(QUIVER_CORE_INTEGER, db, sql, parameters, count, out_value, out_has_value);
}

quiver_error_t quiver_database_query_float(quiver_database_t* db, const char* sql,
                                           const quiver_value_t* parameters, size_t count,
                                           double* out_value, int* out_has_value) {
    return query(QUIVER_CORE_FLOAT, db, sql, parameters, count, out_value, out_has_value);
}

quiver_error_t quiver_database_query_string(quiver_database_t* db, const char* sql,
                                            const quiver_value_t* parameters, size_t count,
                                            char** out_value, int* out_has_value) {
    return query(QUIVER_CORE_TEXT, db, sql, parameters, count, out_value, out_has_value);
}

void quiver_database_free_integers(int64_t* values) {
    std::free(values);
}

void quiver_database_free_floats(double* values) {
    std::free(values);
}

void quiver_database_free_mask(uint8_t* mask) {
    std::free(mask);
}

void quiver_database_free_offsets(size_t* offsets) {
    std::free(offsets);
}

void quiver_database_free_string(char* text) {
    std::free(text);
}

void quiver_database_free_strings(char** values, size_t count) {
    if (values == nullptr) {
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        std::free(values[i]);
    }
    std::free(values);
}
