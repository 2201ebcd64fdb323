#include "core/database.h"
#include "core/error.h"

namespace quiver {

const char* sql_name(quiver_core_kind kind) {
    switch (kind) {
        case QUIVER_CORE_NULL:
            return "NULL";
        case QUIVER_CORE_INTEGER:
            return "INTEGER";
        case QUIVER_CORE_FLOAT:
            return "REAL";
        case QUIVER_CORE_TEXT:
            return "TEXT";
    }
    return "?";
}

quiver_core_kind kind_of(quiver_core_data_type type) {
    switch (type) {
        case QUIVER_CORE_TYPE_INTEGER:
            return QUIVER_CORE_INTEGER;
        case QUIVER_CORE_TYPE_FLOAT:
            return QUIVER_CORE_FLOAT;
        case QUIVER_CORE_TYPE_STRING:
        case QUIVER_CORE_TYPE_DATE_TIME:
            break;
    }
    return QUIVER_CORE_TEXT;
}

quiver_core_value as_kind(const quiver_core_value& value, quiver_core_kind kind,
                          const std::string& what) {
    if (value.kind == QUIVER_CORE_NULL || value.kind == kind) {
        return value;
    }
    if (value.kind == QUIVER_CORE_INTEGER && kind == QUIVER_CORE_FLOAT) {
        quiver_core_value out{};
        out.kind = QUIVER_CORE_FLOAT;
        out.real = static_cast<double>(value.integer);
        return out;
    }
    throw Error(what + " is " + sql_name(static_cast<quiver_core_kind>(value.kind)) + ", not " +
                sql_name(kind));
}

void require_kind(const Column& column, quiver_core_kind kind, const std::string& collection) {
    const quiver_core_kind held = kind_of(column.type);
    if (held != kind && !(held == QUIVER_CORE_INTEGER && kind == QUIVER_CORE_FLOAT)) {
        throw Error("attribute " + in_quotes(column.name) + " of collection " + in_quotes(collection) +
                    " is " + sql_name(held) + ", not " + sql_name(kind));
    }
}

}  // namespace quiver
