#include "c_api/handle.h"
#include "c_api/values.h"

namespace {

using namespace quiver_c;

// The caller's attributes in the core's form.
class Attributes {
public:
    Attributes(const quiver_attribute_t* attributes, size_t count) {
        values_.reserve(count);
        for (size_t i = 0; i < count; ++i) {
            const quiver_attribute_t& given = require(attributes, "attributes")[i];
            if (given.is_array == 0 && given.count != 1) {
                throw std::invalid_argument("a scalar attribute has exactly one value");
            }
            values_.push_back(to_core(given.values, given.count));
            views_.push_back({require(given.name, "name"), values_.back().data(), given.count,
                              given.is_array});
        }
    }
    const quiver_core_attribute* data() const noexcept { return views_.data(); }
    size_t size() const noexcept { return views_.size(); }

private:
    std::vector<std::vector<quiver_core_value>> values_;
    std::vector<quiver_core_attribute> views_;
};

int keep_id(void* context, int64_t element, const quiver_core_value*, size_t) noexcept {
    try {
        static_cast<std::vector<int64_t>*>(context)->push_back(element);
        return 0;
    } catch (...) {
        return 1;
    }
}

std::vector<int64_t> ids_of(quiver_database_t* db, const char* collection) {
    std::vector<int64_t> ids;
    Reported error;
    error.check(quiver_core_read_ids(find(db)->core(), require(collection, "collection"), keep_id,
                                     &ids, error));
    return ids;
}

}  // namespace

quiver_error_t quiver_database_create_element(quiver_database_t* db, const char* collection,
                                              const quiver_attribute_t* attributes, size_t count,
                                              int64_t* out_id) {
    return guard([&] {
        const Attributes given(attributes, count);
        Reported error;
        error.check(quiver_core_create_element(find(db)->core(), require(collection, "collection"),
                                               given.data(), given.size(),
                                               require(out_id, "out_id"), error));
    });
}

quiver_error_t quiver_database_update_element(quiver_database_t* db, const char* collection,
                                              int64_t id, const quiver_attribute_t* attributes,
                                              size_t count) {
    return guard([&] {
        const Attributes given(attributes, count);
        Reported error;
        error.check(quiver_core_update_element(find(db)->core(), require(collection, "collection"),
                                               id, given.data(), given.size(), error));
    });
}

quiver_error_t quiver_database_delete_element(quiver_database_t* db, const char* collection,
                                              int64_t id) {
    return guard([&] {
        Reported error;
        error.check(quiver_core_delete_element(find(db)->core(), require(collection, "collection"),
                                               id, error));
    });
}

quiver_error_t quiver_database_read_element_ids(quiver_database_t* db, const char* collection,
                                                int64_t** out_ids, size_t* out_count) {
    return guard([&] {
        require(out_ids, "out_ids");
        require(out_count, "out_count");
        const auto ids = ids_of(db, collection);
        *out_ids = copy_of(ids).release();
        *out_count = ids.size();
    });
}

quiver_error_t quiver_database_number_of_elements(quiver_database_t* db, const char* collection,
                                                  int64_t* out_count) {
    return guard([&] {
        require(out_count, "out_count");
        *out_count = static_cast<int64_t>(ids_of(db, collection).size());
    });
}
