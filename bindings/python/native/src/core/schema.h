#pragma once

#include "core/sqlite.h"
#include "quiver/core.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace quiver {

struct Column {
    std::string name;
    quiver_core_data_type type;
    bool not_null = false;
    bool primary_key = false;
    std::optional<std::string> default_value;
    std::string references_collection;  // "" if it is no foreign key
    std::string references_column;
};

// A table `Collection_vector_name`, `Collection_set_name` or `Collection_time_series_name`.
struct Group {
    quiver_core_group_kind kind;
    std::string name;
    std::string table;
    std::string dimension;  // the date column of a time series, else ""
    std::vector<Column> values;

    bool has(const std::string& column) const;
    // What the rows of one element are ordered by.
    std::string order() const;
};

struct Collection {
    std::string name;
    std::vector<Column> scalars;
    std::vector<Group> groups;

    const Column& scalar(const std::string& attribute) const;
    const Group& group(quiver_core_group_kind kind, const std::string& name) const;
    // The one group of this kind that has this column.
    const Group& group_with(quiver_core_group_kind kind, const std::string& attribute) const;
};

// The shape of a database, read from its tables. Reading it is what checks the conventions:
// every breach found is reported, in one Error.
class Schema {
public:
    Schema() = default;
    explicit Schema(Connection& connection);

    const Collection& collection(const std::string& name) const;
    const std::map<std::string, Collection>& collections() const noexcept { return collections_; }

private:
    std::map<std::string, Collection> collections_;
};

const char* sql_name(quiver_core_data_type type);
const char* kind_name(quiver_core_group_kind kind);

}  // namespace quiver
