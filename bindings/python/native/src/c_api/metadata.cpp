#include "c_api/handle.h"
#include "c_api/values.h"

namespace {

using namespace quiver_c;

void clear(quiver_scalar_metadata_t& column) noexcept {
    std::free(column.name);
    std::free(column.default_value);
    std::free(column.references_collection);
    std::free(column.references_column);
}

void clear(quiver_group_metadata_t& group) noexcept {
    std::free(group.group_name);
    std::free(group.dimension_column);
    quiver_database_free_scalar_metadata(group.value_columns, group.value_column_count);
}

// Metadata on its way to the caller; what was not handed over is freed.
template <typename Item>
class Items {
public:
    Items() = default;
    Items(const Items&) = delete;
    Items& operator=(const Items&) = delete;
    ~Items() {
        for (Item& item : items_) {
            clear(item);
        }
    }
    // A zeroed item to fill: whatever is set in it is owned from then on.
    Item& add() {
        items_.push_back(Item{});
        return items_.back();
    }
    const std::vector<Item>& all() const noexcept { return items_; }
    void keep_only(size_t index) {
        for (size_t i = 0; i < items_.size(); ++i) {
            if (i != index) {
                clear(items_[i]);
            }
        }
        items_ = {items_.at(index)};
    }
    Item* release(size_t& count) {
        Item* out = copy_of(items_).release();
        count = items_.size();
        items_.clear();
        return out;
    }

private:
    std::vector<Item> items_;
};

using Columns = Items<quiver_scalar_metadata_t>;
using Groups = Items<quiver_group_metadata_t>;

void fill(quiver_scalar_metadata_t& out, const quiver_core_column& column) {
    out.name = copy_of_nullable(column.name).release();
    out.data_type = static_cast<quiver_data_type_t>(column.data_type);
    out.not_null = column.not_null;
    out.primary_key = column.primary_key;
    out.default_value = copy_of_nullable(column.default_value).release();
    out.is_foreign_key = column.references_collection != nullptr ? 1 : 0;
    out.references_collection = copy_of_nullable(column.references_collection).release();
    out.references_column = copy_of_nullable(column.references_column).release();
}

int keep_column(void* context, const quiver_core_column* column) noexcept {
    try {
        fill(static_cast<Columns*>(context)->add(), *column);
        return 0;
    } catch (...) {
        return 1;
    }
}

int keep_group(void* context, const char* name, const char* dimension,
               const quiver_core_column* columns, size_t count) noexcept {
    try {
        quiver_group_metadata_t& group = static_cast<Groups*>(context)->add();
        group.group_name = copy_of_nullable(name).release();
        group.dimension_column = copy_of_nullable(dimension).release();
        Columns values;
        for (size_t i = 0; i < count; ++i) {
            fill(values.add(), columns[i]);
        }
        group.value_columns = values.release(group.value_column_count);
        return 0;
    } catch (...) {
        return 1;
    }
}

void read_columns(quiver_database_t* db, const char* collection, Columns& columns) {
    Reported error;
    error.check(quiver_core_list_scalars(find(db)->core(), require(collection, "collection"),
                                         keep_column, &columns, error));
}

void read_groups(quiver_core_group_kind kind, quiver_database_t* db, const char* collection,
                 Groups& groups) {
    Reported error;
    error.check(quiver_core_list_groups(find(db)->core(), kind, require(collection, "collection"),
                                        keep_group, &groups, error));
}

quiver_error_t list_groups(quiver_core_group_kind kind, quiver_database_t* db,
                           const char* collection, quiver_group_metadata_t** out_metadata,
                           size_t* out_count) {
    return guard([&] {
        require(out_metadata, "out_metadata");
        require(out_count, "out_count");
        Groups groups;
        read_groups(kind, db, collection, groups);
        *out_metadata = groups.release(*out_count);
    });
}

quiver_core_kind kind_of(quiver_data_type_t type) {
    switch (type) {
        case QUIVER_DATA_TYPE_INTEGER:
            return QUIVER_CORE_INTEGER;
        case QUIVER_DATA_TYPE_FLOAT:
            return QUIVER_CORE_FLOAT;
        default:
            return QUIVER_CORE_TEXT;
    }
}

struct FreeTable {
    void operator()(quiver_table_t* table) const noexcept { quiver_database_free_table(table); }
};

int keep_row(void* context, int64_t, const quiver_core_value* cells, size_t count) noexcept {
    try {
        auto& columns = *static_cast<std::vector<std::unique_ptr<Cells>>*>(context);
        for (size_t i = 0; i < count; ++i) {
            columns.at(i)->add(cells[i]);
        }
        return 0;
    } catch (...) {
        return 1;
    }
}

}  // namespace

quiver_error_t quiver_database_get_scalar_metadata(quiver_database_t* db, const char* collection,
                                                   const char* attribute,
                                                   quiver_scalar_metadata_t** out_metadata) {
    return guard([&] {
        require(attribute, "attribute");
        require(out_metadata, "out_metadata");
        Columns columns;
        read_columns(db, collection, columns);
        for (size_t i = 0; i < columns.all().size(); ++i) {
            if (std::strcmp(columns.all()[i].name, attribute) == 0) {
                columns.keep_only(i);
                size_t count = 0;
                *out_metadata = columns.release(count);
                return;
            }
        }
        throw std::invalid_argument("collection '" + std::string(collection) +
                                    "' has no scalar attribute '" + attribute + "'");
    });
}

quiver_error_t quiver_database_list_scalar_attributes(quiver_database_t* db, const char* collection,
                                                      quiver_scalar_metadata_t** out_metadata,
                                                      size_t* out_count) {
    return guard([&] {
        require(out_metadata, "out_metadata");
        require(out_count, "out_count");
        Columns columns;
        read_columns(db, collection, columns);
        *out_metadata = columns.release(*out_count);
    });
}

quiver_error_t quiver_database_list_vector_groups(quiver_database_t* db, const char* collection,
                                                  quiver_group_metadata_t** out_metadata,
                                                  size_t* out_count) {
    return list_groups(QUIVER_CORE_GROUP_VECTOR, db, collection, out_metadata, out_count);
}

quiver_error_t quiver_database_list_set_groups(quiver_database_t* db, const char* collection,
                                               quiver_group_metadata_t** out_metadata,
                                               size_t* out_count) {
    return list_groups(QUIVER_CORE_GROUP_SET, db, collection, out_metadata, out_count);
}

quiver_error_t quiver_database_list_time_series_groups(quiver_database_t* db,
                                                       const char* collection,
                                                       quiver_group_metadata_t** out_metadata,
                                                       size_t* out_count) {
    return list_groups(QUIVER_CORE_GROUP_TIME_SERIES, db, collection, out_metadata, out_count);
}

quiver_error_t quiver_database_read_time_series_group(quiver_database_t* db, const char* collection,
                                                      const char* group, int64_t id,
                                                      quiver_table_t** out_table) {
    return guard([&] {
        require(out_table, "out_table");
        require(group, "group");
        Groups groups;
        read_groups(QUIVER_CORE_GROUP_TIME_SERIES, db, collection, groups);
        const quiver_group_metadata_t* found = nullptr;
        for (const auto& one : groups.all()) {
            if (std::strcmp(one.group_name, group) == 0) {
                found = &one;
            }
        }
        if (found == nullptr) {
            throw std::invalid_argument("collection '" + std::string(collection) +
                                        "' has no time series group '" + group + "'");
        }

        const size_t count = found->value_column_count + 1;
        std::unique_ptr<quiver_table_t, FreeTable> table(allocate<quiver_table_t>(1).release());
        table->columns = allocate<quiver_column_t>(count).release();
        table->column_count = count;
        std::vector<std::unique_ptr<Cells>> cells;
        for (size_t i = 0; i < count; ++i) {
            quiver_column_t& column = table->columns[i];
            const bool date = i == 0;
            column.name = copy_of_nullable(date ? found->dimension_column
                                                : found->value_columns[i - 1].name)
                              .release();
            column.data_type =
                date ? QUIVER_DATA_TYPE_DATE_TIME : found->value_columns[i - 1].data_type;
            cells.push_back(std::make_unique<Cells>(kind_of(column.data_type)));
        }
        Reported error;
        error.check(quiver_core_read_group(find(db)->core(), QUIVER_CORE_GROUP_TIME_SERIES,
                                           collection, group, id, keep_row, &cells, error));
        table->row_count = cells.front()->size();
        for (size_t i = 0; i < count; ++i) {
            quiver_column_t& column = table->columns[i];
            column.mask = copy_of(cells[i]->mask()).release();
            switch (kind_of(column.data_type)) {
                case QUIVER_CORE_INTEGER:
                    column.integers = copy_of(cells[i]->integers()).release();
                    break;
                case QUIVER_CORE_FLOAT:
                    column.floats = copy_of(cells[i]->floats()).release();
                    break;
                default:
                    column.strings = cells[i]->strings().release();
            }
        }
        *out_table = table.release();
    });
}

void quiver_database_free_table(quiver_table_t* table) {
    if (table == nullptr) {
        return;
    }
    for (size_t i = 0; i < table->column_count; ++i) {
        quiver_column_t& column = table->columns[i];
        std::free(column.name);
        std::free(column.integers);
        std::free(column.floats);
        std::free(column.mask);
        quiver_database_free_strings(column.strings, table->row_count);
    }
    std::free(table->columns);
    std::free(table);
}

void quiver_database_free_scalar_metadata(quiver_scalar_metadata_t* metadata, size_t count) {
    if (metadata == nullptr) {
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        clear(metadata[i]);
    }
    std::free(metadata);
}

void quiver_database_free_group_metadata(quiver_group_metadata_t* metadata, size_t count) {
    if (metadata == nullptr) {
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        clear(metadata[i]);
    }
    std::free(metadata);
}
