#include "core/schema.h"

#include "core/error.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace quiver {

namespace {

struct Table {
    std::string name;
    std::vector<Column> columns;
    std::vector<std::string> primary_key;  // in its own order
    std::vector<std::vector<std::string>> unique;
    std::string cascading_parent;  // the collection that `id` refers to, deleted with it
};

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

bool starts_with(const std::string& text, const std::string& prefix) {
    return text.compare(0, prefix.size(), prefix) == 0;
}

bool is_date(const std::string& column) {
    return starts_with(column, "date_");
}

std::optional<quiver_core_data_type> data_type(const std::string& declared, const std::string& name) {
    const std::string type = upper(declared);
    if (type == "INTEGER" || type == "INT") {
        return QUIVER_CORE_TYPE_INTEGER;
    }
    if (type == "REAL") {
        return QUIVER_CORE_TYPE_FLOAT;
    }
    if (type == "TEXT") {
        return is_date(name) ? QUIVER_CORE_TYPE_DATE_TIME : QUIVER_CORE_TYPE_STRING;
    }
    return std::nullopt;
}

Table read_table(Connection& connection, const std::string& name,
                 std::vector<std::string>& faults) {
    Table table{name, {}, {}, {}, {}};
    std::map<int64_t, std::string> key;
    Statement columns(connection.get(),
                      "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?)");
    columns.bind(1, name);
    while (columns.step()) {
        Column column;
        column.name = columns.text(0);
        const auto type = data_type(columns.text(1), column.name);
        if (!type) {
            faults.push_back("column " + in_quotes(name + "." + column.name) + " has type " +
                             in_quotes(columns.text(1)) + "; use INTEGER, REAL or TEXT");
            continue;
        }
        column.type = *type;
        const int64_t rank = columns.integer(4);
        column.primary_key = rank > 0;
        column.not_null = columns.integer(2) != 0 || column.primary_key;
        if (!columns.is_null(3)) {
            column.default_value = columns.text(3);
        }
        if (rank > 0) {
            key[rank] = column.name;
        }
        table.columns.push_back(std::move(column));
    }
    for (auto& [rank, column] : key) {
        table.primary_key.push_back(column);
    }

    Statement keys(connection.get(),
                   "SELECT \"table\", \"from\", coalesce(\"to\", 'id'), on_delete"
                   " FROM pragma_foreign_key_list(?)");
    keys.bind(1, name);
    while (keys.step()) {
        const std::string from = keys.text(1);
        if (from == "id" && upper(keys.text(3)) == "CASCADE") {
            table.cascading_parent = keys.text(0);
        }
        for (Column& column : table.columns) {
            if (column.name == from) {
                column.references_collection = keys.text(0);
                column.references_column = keys.text(2);
            }
        }
    }

    Statement indices(connection.get(),
                      "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial");
    indices.bind(1, name);
    while (indices.step()) {
        Statement members(connection.get(), "SELECT name FROM pragma_index_info(?)");
        members.bind(1, indices.text(0));
        std::vector<std::string> names;
        while (members.step()) {
            names.push_back(members.text(0));
        }
        table.unique.push_back(std::move(names));
    }
    return table;
}

const Column* find(const std::vector<Column>& columns, const std::string& name) {
    const auto found = std::find_if(columns.begin(), columns.end(),
                                    [&](const Column& column) { return column.name == name; });
    return found == columns.end() ? nullptr : &*found;
}

Collection make_collection(Table table, std::vector<std::string>& faults) {
    const Column* id = find(table.columns, "id");
    if (id == nullptr || id->type != QUIVER_CORE_TYPE_INTEGER ||
        table.primary_key != std::vector<std::string>{"id"}) {
        faults.push_back("collection " + in_quotes(table.name) + " needs 'id INTEGER PRIMARY KEY'");
    }
    const Column* label = find(table.columns, "label");
    const bool unique = std::find(table.unique.begin(), table.unique.end(),
                                  std::vector<std::string>{"label"}) != table.unique.end();
    if (label == nullptr || label->type != QUIVER_CORE_TYPE_STRING || !label->not_null || !unique) {
        faults.push_back("collection " + in_quotes(table.name) + " needs 'label TEXT UNIQUE NOT NULL'");
    }
    return {table.name, std::move(table.columns), {}};
}

Group make_group(quiver_core_group_kind kind, std::string name, Table table,
                 const std::string& collection, std::vector<std::string>& faults) {
    Group group{kind, std::move(name), table.name, {}, {}};
    const auto fault = [&](const std::string& what) {
        faults.push_back(std::string(kind_name(kind)) + " table " + in_quotes(table.name) + " " + what);
    };
    if (table.cascading_parent != collection) {
        fault("needs 'FOREIGN KEY (id) REFERENCES " + collection + "(id) ON DELETE CASCADE'");
    }
    for (Column& column : table.columns) {
        const bool index = kind == QUIVER_CORE_GROUP_VECTOR && column.name == "vector_index";
        if (column.name == "id" || index) {
            continue;
        }
        if (kind == QUIVER_CORE_GROUP_TIME_SERIES && group.dimension.empty() &&
            column.primary_key && is_date(column.name)) {
            group.dimension = column.name;
            continue;
        }
        group.values.push_back(std::move(column));
    }
    switch (kind) {
        case QUIVER_CORE_GROUP_VECTOR:
            if (table.primary_key != std::vector<std::string>{"id", "vector_index"}) {
                fault("needs 'PRIMARY KEY (id, vector_index)'");
            }
            break;
        case QUIVER_CORE_GROUP_SET:
            if (table.unique.empty()) {
                fault("needs a UNIQUE constraint over its columns");
            }
            break;
        case QUIVER_CORE_GROUP_TIME_SERIES:
            if (group.dimension.empty()) {
                fault("needs a TEXT column 'date_*' in its primary key");
            }
            break;
    }
    if (group.values.empty()) {
        fault("has no column for values");
    }
    return group;
}

struct GroupName {
    quiver_core_group_kind kind;
    std::string collection;
    std::string name;
};

std::optional<GroupName> parse_group(const std::string& table) {
    const size_t first = table.find('_');
    const std::string collection = table.substr(0, first);
    const std::string rest = table.substr(first);
    static const std::pair<const char*, quiver_core_group_kind> prefixes[] = {
        {"_vector_", QUIVER_CORE_GROUP_VECTOR},
        {"_set_", QUIVER_CORE_GROUP_SET},
        {"_time_series_", QUIVER_CORE_GROUP_TIME_SERIES},
    };
    for (const auto& [prefix, kind] : prefixes) {
        if (starts_with(rest, prefix) && rest.size() > std::string(prefix).size()) {
            return GroupName{kind, collection, rest.substr(std::string(prefix).size())};
        }
    }
    return std::nullopt;
}

}  // namespace

const char* sql_name(quiver_core_data_type type) {
    switch (type) {
        case QUIVER_CORE_TYPE_INTEGER:
            return "INTEGER";
        case QUIVER_CORE_TYPE_FLOAT:
            return "REAL";
        case QUIVER_CORE_TYPE_STRING:
            return "TEXT";
        case QUIVER_CORE_TYPE_DATE_TIME:
            return "DATE_TIME";
    }
    return "?";
}

const char* kind_name(quiver_core_group_kind kind) {
    switch (kind) {
        case QUIVER_CORE_GROUP_VECTOR:
            return "vector";
        case QUIVER_CORE_GROUP_SET:
            return "set";
        case QUIVER_CORE_GROUP_TIME_SERIES:
            return "time series";
    }
    return "?";
}

bool Group::has(const std::string& column) const {
    return column == dimension || find(values, column) != nullptr;
}

std::string Group::order() const {
    switch (kind) {
        case QUIVER_CORE_GROUP_VECTOR:
            return "vector_index";
        case QUIVER_CORE_GROUP_TIME_SERIES:
            return identifier(dimension);
        case QUIVER_CORE_GROUP_SET:
            break;
    }
    return "rowid";
}

const Column& Collection::scalar(const std::string& attribute) const {
    const Column* column = find(scalars, attribute);
    if (column == nullptr) {
        throw Error("collection " + in_quotes(name) + " has no scalar attribute " + in_quotes(attribute));
    }
    return *column;
}

const Group& Collection::group(quiver_core_group_kind kind, const std::string& wanted) const {
    for (const Group& group : groups) {
        if (group.kind == kind && group.name == wanted) {
            return group;
        }
    }
    throw Error("collection " + in_quotes(name) + " has no " + kind_name(kind) + " group " +
                in_quotes(wanted));
}

const Group& Collection::group_with(quiver_core_group_kind kind,
                                    const std::string& attribute) const {
    const Group* found = nullptr;
    for (const Group& group : groups) {
        if (group.kind == kind && group.has(attribute)) {
            if (found != nullptr) {
                throw Error("attribute " + in_quotes(attribute) + " is in more than one " +
                            kind_name(kind) + " group of collection " + in_quotes(name));
            }
            found = &group;
        }
    }
    if (found == nullptr) {
        throw Error("collection " + in_quotes(name) + " has no " + kind_name(kind) + " attribute " +
                    in_quotes(attribute));
    }
    return *found;
}

Schema::Schema(Connection& connection) {
    std::vector<std::string> faults;
    std::vector<std::pair<GroupName, Table>> groups;

    Statement tables(connection.get(),
                     "SELECT name FROM sqlite_schema WHERE type = 'table'"
                     " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name");
    while (tables.step()) {
        const std::string name = tables.text(0);
        if (name.find('_') == std::string::npos) {
            collections_.emplace(name,
                                 make_collection(read_table(connection, name, faults), faults));
        } else if (const auto parsed = parse_group(name)) {
            // `Name_time_series_files` lists files beside the database; it is no group.
            if (parsed->kind == QUIVER_CORE_GROUP_TIME_SERIES && parsed->name == "files") {
                continue;
            }
            groups.emplace_back(*parsed, read_table(connection, name, faults));
        } else {
            faults.push_back("table " + in_quotes(name) +
                             " is neither a collection (no underscore in its name) nor a group "
                             "(Name_vector_x, Name_set_x, Name_time_series_x)");
        }
    }
    for (auto& [parsed, table] : groups) {
        const auto owner = collections_.find(parsed.collection);
        if (owner == collections_.end()) {
            faults.push_back("table " + in_quotes(table.name) + " belongs to no collection: there is no table " +
                             in_quotes(parsed.collection));
            continue;
        }
        owner->second.groups.push_back(
            make_group(parsed.kind, parsed.name, std::move(table), parsed.collection, faults));
    }
    if (collections_.count("Configuration") == 0) {
        faults.insert(faults.begin(), "there is no table 'Configuration'");
    }
    if (!faults.empty()) {
        std::string all = "the schema breaks the conventions: ";
        for (size_t i = 0; i < faults.size(); ++i) {
            all += (i == 0 ? "" : "; ") + faults[i];
        }
        throw Error(all);
    }
}

const Collection& Schema::collection(const std::string& name) const {
    const auto found = collections_.find(name);
    if (found == collections_.end()) {
        throw Error("there is no collection " + in_quotes(name));
    }
    return found->second;
}

}  // namespace quiver
