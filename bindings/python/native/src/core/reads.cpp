#include "core/database.h"
#include "core/error.h"

#include <algorithm>

namespace quiver {

namespace {

void deliver(quiver_core_row_fn sink, void* context, int64_t element,
             const quiver_core_value* cells, size_t count) {
    if (sink(context, element, cells, count) != 0) {
        throw Stopped();
    }
}

std::string of_element(const int64_t* id) {
    return id == nullptr ? std::string() : " WHERE e.id = ?1";
}

// Plain C structs that point into the Columns given.
std::vector<quiver_core_column> views(const std::vector<Column>& columns) {
    std::vector<quiver_core_column> out;
    for (const Column& column : columns) {
        const bool key = !column.references_collection.empty();
        out.push_back({column.name.c_str(), column.type, column.not_null ? 1 : 0,
                       column.primary_key ? 1 : 0,
                       column.default_value ? column.default_value->c_str() : nullptr,
                       key ? column.references_collection.c_str() : nullptr,
                       key ? column.references_column.c_str() : nullptr});
    }
    return out;
}

}  // namespace

void Database::read_ids(const std::string& collection, quiver_core_row_fn sink, void* context) {
    const auto lock = enter();
    const Collection& source = schema_.collection(collection);
    Statement rows(connection_.get(), "SELECT id FROM " + identifier(source.name) + " ORDER BY id");
    while (rows.step()) {
        deliver(sink, context, rows.integer(0), nullptr, 0);
    }
}

void Database::read_scalar(const std::string& collection, const std::string& attribute,
                           quiver_core_kind kind, const int64_t* id, quiver_core_row_fn sink,
                           void* context) {
    const auto lock = enter();
    const Collection& source = schema_.collection(collection);
    const Column& column = source.scalar(attribute);
    require_kind(column, kind, collection);
    Statement rows(connection_.get(), "SELECT e.id, e." + identifier(column.name) + " FROM " +
                                          identifier(source.name) + " AS e" + of_element(id) +
                                          " ORDER BY e.id");
    if (id != nullptr) {
        rows.bind(1, *id);
    }
    const std::string what = "attribute " + in_quotes(collection + "." + attribute);
    while (rows.step()) {
        const auto cell = as_kind(rows.value(1), kind, what);
        deliver(sink, context, rows.integer(0), &cell, 1);
    }
}

void Database::read_group_column(quiver_core_group_kind group, const std::string& collection,
                                 const std::string& attribute, quiver_core_kind kind,
                                 const int64_t* id, quiver_core_row_fn sink, void* context) {
    const auto lock = enter();
    const Collection& source = schema_.collection(collection);
    const Group& table = source.group_with(group, attribute);
    for (const Column& column : table.values) {
        if (column.name == attribute) {
            require_kind(column, kind, collection);
        }
    }
    // The outer join gives an element without rows one row, whose group id is NULL.
    Statement rows(connection_.get(),
                   "SELECT e.id, g.id, g." + identifier(attribute) + " FROM " +
                       identifier(source.name) + " AS e LEFT JOIN " + identifier(table.table) +
                       " AS g ON g.id = e.id" + of_element(id) + " ORDER BY e.id, g." +
                       table.order());
    if (id != nullptr) {
        rows.bind(1, *id);
    }
    const std::string what = "attribute " + in_quotes(collection + "." + attribute);
    while (rows.step()) {
        if (rows.is_null(1)) {
            deliver(sink, context, rows.integer(0), nullptr, 0);
            continue;
        }
        const auto cell = as_kind(rows.value(2), kind, what);
        deliver(sink, context, rows.integer(0), &cell, 1);
    }
}

void Database::read_group(quiver_core_group_kind kind, const std::string& collection,
                          const std::string& group, int64_t id, quiver_core_row_fn sink,
                          void* context) {
    const auto lock = enter();
    const Group& table = schema_.collection(collection).group(kind, group);
    std::vector<quiver_core_kind> kinds;
    std::string names;
    const auto add = [&](const std::string& name, quiver_core_kind its) {
        names += (names.empty() ? "" : ", ") + identifier(name);
        kinds.push_back(its);
    };
    if (!table.dimension.empty()) {
        add(table.dimension, QUIVER_CORE_TEXT);
    }
    for (const Column& column : table.values) {
        add(column.name, kind_of(column.type));
    }
    Statement rows(connection_.get(), "SELECT " + names + " FROM " + identifier(table.table) +
                                          " WHERE id = ? ORDER BY " + table.order());
    rows.bind(1, id);
    std::vector<quiver_core_value> cells(kinds.size());
    while (rows.step()) {
        for (size_t i = 0; i < kinds.size(); ++i) {
            cells[i] = as_kind(rows.value(static_cast<int>(i)), kinds[i],
                               "a cell of group " + in_quotes(group));
        }
        deliver(sink, context, id, cells.data(), cells.size());
    }
}

void Database::list_scalars(const std::string& collection, quiver_core_column_fn sink,
                            void* context) {
    const auto lock = enter();
    for (const quiver_core_column& column : views(schema_.collection(collection).scalars)) {
        if (sink(context, &column) != 0) {
            throw Stopped();
        }
    }
}

void Database::list_groups(quiver_core_group_kind kind, const std::string& collection,
                           quiver_core_group_fn sink, void* context) {
    const auto lock = enter();
    for (const Group& group : schema_.collection(collection).groups) {
        if (group.kind != kind) {
            continue;
        }
        const auto columns = views(group.values);
        if (sink(context, group.name.c_str(), group.dimension.c_str(), columns.data(),
                 columns.size()) != 0) {
            throw Stopped();
        }
    }
}

void Database::query(const std::string& sql, const quiver_core_value* parameters, size_t count,
                     quiver_core_kind kind, quiver_core_row_fn sink, void* context) {
    const auto lock = enter();
    doing("query", [&] {
        Statement statement = Statement::reading(connection_.get(), sql);
        if (static_cast<size_t>(statement.parameter_count()) != count) {
            throw Error("the SQL takes " + std::to_string(statement.parameter_count()) +
                        " parameters, " + std::to_string(count) + " were given");
        }
        for (size_t i = 0; i < count; ++i) {
            statement.bind(static_cast<int>(i) + 1, parameters[i]);
        }
        if (statement.step()) {
            const auto cell = as_kind(statement.value(0), kind, "the first column");
            deliver(sink, context, 0, &cell, 1);
        }
    });
}

}  // namespace quiver
