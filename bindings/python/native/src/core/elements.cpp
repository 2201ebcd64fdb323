#include "core/database.h"
#include "core/error.h"

#include <algorithm>
#include <map>

namespace quiver {

namespace {

using Attribute = quiver_core_attribute;
// The columns written to each group, and the number of rows they make.
struct Rows {
    std::vector<const Attribute*> columns;
    size_t count = 0;
};
using GroupRows = std::map<const Group*, Rows>;

quiver_core_value integer(int64_t number) {
    quiver_core_value value{};
    value.kind = QUIVER_CORE_INTEGER;
    value.integer = number;
    return value;
}

const Column& value_column(const Group& group, const std::string& name) {
    return *std::find_if(group.values.begin(), group.values.end(),
                         [&](const Column& column) { return column.name == name; });
}

// A foreign key may be given as the label of the element it refers to.
quiver_core_value resolve(Connection& connection, const Schema& schema, const Column& column,
                          const quiver_core_value& value) {
    const std::string what = "the value of attribute " + in_quotes(column.name);
    if (value.kind != QUIVER_CORE_TEXT || column.references_collection.empty() ||
        column.type != QUIVER_CORE_TYPE_INTEGER) {
        return as_kind(value, kind_of(column.type), what);
    }
    const Collection& target = schema.collection(column.references_collection);
    const std::string label(value.text, value.size);
    Statement find(connection.get(), "SELECT id FROM " + identifier(target.name) +
                                         " WHERE label = ?");
    find.bind(1, label);
    if (!find.step()) {
        throw Error(what + ": there is no element " + in_quotes(label) + " in collection " +
                    in_quotes(target.name));
    }
    return integer(find.integer(0));
}

// Which group each array goes to. A column that several groups share (a date, as a rule) goes to
// those that another array, theirs alone, leads to.
GroupRows assign(const Collection& collection, const Attribute* attributes, size_t count) {
    const auto owners = [&](const std::string& name) {
        std::vector<const Group*> found;
        for (const Group& group : collection.groups) {
            if (group.has(name)) {
                found.push_back(&group);
            }
        }
        return found;
    };
    GroupRows rows;
    std::vector<const Attribute*> shared;
    for (size_t i = 0; i < count; ++i) {
        if (attributes[i].is_array == 0) {
            continue;
        }
        const auto found = owners(attributes[i].name);
        if (found.empty()) {
            throw Error("collection " + in_quotes(collection.name) +
                        " has no vector, set or time series attribute " +
                        in_quotes(attributes[i].name));
        }
        if (found.size() == 1) {
            rows[found.front()].columns.push_back(&attributes[i]);
        } else {
            shared.push_back(&attributes[i]);
        }
    }
    for (const Attribute* attribute : shared) {
        bool placed = false;
        for (const Group* group : owners(attribute->name)) {
            const auto found = rows.find(group);
            if (found != rows.end()) {
                found->second.columns.push_back(attribute);
                placed = true;
            }
        }
        if (!placed) {
            throw Error("attribute " + in_quotes(attribute->name) + " is in several groups of collection " +
                        in_quotes(collection.name) + "; give another attribute of the group you mean");
        }
    }
    for (auto& [group, its] : rows) {
        its.count = its.columns.front()->count;
        for (const Attribute* column : its.columns) {
            if (column->count != its.count) {
                throw Error(std::string(kind_name(group->kind)) + " group " + in_quotes(group->name) +
                            ": attribute " + in_quotes(column->name) + " has " +
                            std::to_string(column->count) + " values, " +
                            in_quotes(its.columns.front()->name) + " has " +
                            std::to_string(its.count));
            }
        }
    }
    return rows;
}

void insert_rows(Connection& connection, const Schema& schema, const Group& group, int64_t id,
                 const Rows& rows) {
    const bool indexed = group.kind == QUIVER_CORE_GROUP_VECTOR;
    std::string names = indexed ? "id, vector_index" : "id";
    std::string marks = indexed ? "?, ?" : "?";
    for (const Attribute* column : rows.columns) {
        names += ", " + identifier(column->name);
        marks += ", ?";
    }
    Statement insert(connection.get(), "INSERT INTO " + identifier(group.table) + " (" + names +
                                           ") VALUES (" + marks + ")");
    for (size_t row = 0; row < rows.count; ++row) {
        int index = 1;
        insert.bind(index++, id);
        if (indexed) {
            insert.bind(index++, static_cast<int64_t>(row) + 1);
        }
        for (const Attribute* column : rows.columns) {
            const quiver_core_value& value = column->values[row];
            if (column->name == group.dimension) {
                insert.bind(index++, as_kind(value, QUIVER_CORE_TEXT,
                                             "the dimension " + in_quotes(group.dimension)));
            } else {
                insert.bind(index++, resolve(connection, schema,
                                             value_column(group, column->name), value));
            }
        }
        insert.run();
        insert.reset();
    }
}

void require_element(Connection& connection, const Collection& collection, int64_t id) {
    Statement find(connection.get(), "SELECT 1 FROM " + identifier(collection.name) +
                                         " WHERE id = ?");
    find.bind(1, id);
    if (!find.step()) {
        throw Error("there is no element " + std::to_string(id) + " in collection " +
                    in_quotes(collection.name));
    }
}

const Column& scalar_of(const Collection& collection, const Attribute& attribute) {
    const auto& groups = collection.groups;
    const bool grouped = std::any_of(groups.begin(), groups.end(), [&](const Group& group) {
        return group.has(attribute.name);
    });
    const bool scalar = std::any_of(
        collection.scalars.begin(), collection.scalars.end(),
        [&](const Column& column) { return column.name == attribute.name; });
    if (!scalar && grouped) {
        throw Error("attribute " + in_quotes(attribute.name) + " of collection " +
                    in_quotes(collection.name) + " belongs to a group: give it a list");
    }
    return collection.scalar(attribute.name);
}

}  // namespace

int64_t insert_element(Connection& connection, const Schema& schema, const Collection& collection,
                       const Attribute* attributes, size_t count) {
    std::vector<quiver_core_value> values;
    std::string names;
    std::string marks;
    for (size_t i = 0; i < count; ++i) {
        if (attributes[i].is_array != 0) {
            continue;
        }
        const Column& column = scalar_of(collection, attributes[i]);
        values.push_back(resolve(connection, schema, column, attributes[i].values[0]));
        names += (names.empty() ? "" : ", ") + identifier(column.name);
        marks += marks.empty() ? "?" : ", ?";
    }
    const GroupRows groups = assign(collection, attributes, count);
    Statement insert(connection.get(),
                     "INSERT INTO " + identifier(collection.name) +
                         (names.empty() ? " DEFAULT VALUES"
                                        : " (" + names + ") VALUES (" + marks + ")") +
                         " RETURNING id");
    for (size_t i = 0; i < values.size(); ++i) {
        insert.bind(static_cast<int>(i) + 1, values[i]);
    }
    insert.step();
    const int64_t id = insert.integer(0);
    insert.run();
    for (const auto& [group, rows] : groups) {
        insert_rows(connection, schema, *group, id, rows);
    }
    return id;
}

void update_element(Connection& connection, const Schema& schema, const Collection& collection,
                    int64_t id, const Attribute* attributes, size_t count) {
    require_element(connection, collection, id);
    for (size_t i = 0; i < count; ++i) {
        if (attributes[i].is_array != 0) {
            continue;
        }
        const Column& column = scalar_of(collection, attributes[i]);
        if (column.name == "id") {
            throw Error("the id of an element does not change");
        }
        const auto value = resolve(connection, schema, column, attributes[i].values[0]);
        Statement update(connection.get(), "UPDATE " + identifier(collection.name) + " SET " +
                                               identifier(column.name) + " = ? WHERE id = ?");
        update.bind(1, value).bind(2, id).run();
    }
    for (const auto& [group, rows] : assign(collection, attributes, count)) {
        // The rows are replaced as a whole: a column left out would lose its values.
        for (const Column& column : group->values) {
            const bool given = std::any_of(
                rows.columns.begin(), rows.columns.end(),
                [&](const Attribute* attribute) { return attribute->name == column.name; });
            if (!given && rows.count != 0) {
                throw Error(std::string(kind_name(group->kind)) + " group " + in_quotes(group->name) +
                            " is replaced as a whole: give attribute " + in_quotes(column.name) +
                            " too");
            }
        }
        Statement clear(connection.get(), "DELETE FROM " + identifier(group->table) +
                                              " WHERE id = ?");
        clear.bind(1, id).run();
        insert_rows(connection, schema, *group, id, rows);
    }
}

void delete_element(Connection& connection, const Collection& collection, int64_t id) {
    require_element(connection, collection, id);
    Statement remove(connection.get(), "DELETE FROM " + identifier(collection.name) +
                                           " WHERE id = ?");
    remove.bind(1, id).run();
}

}  // namespace quiver
