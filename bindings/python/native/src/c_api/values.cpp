#include "c_api/values.h"

#include "c_api/handle.h"

namespace quiver_c {

std::vector<quiver_core_value> to_core(const quiver_value_t* values, size_t count) {
    std::vector<quiver_core_value> out(count);
    for (size_t i = 0; i < count; ++i) {
        const quiver_value_t& value = require(values, "values")[i];
        switch (value.data_type) {
            case QUIVER_DATA_TYPE_INTEGER:
                out[i].kind = QUIVER_CORE_INTEGER;
                out[i].integer = value.integer;
                break;
            case QUIVER_DATA_TYPE_FLOAT:
                out[i].kind = QUIVER_CORE_FLOAT;
                out[i].real = value.real;
                break;
            case QUIVER_DATA_TYPE_STRING:
            case QUIVER_DATA_TYPE_DATE_TIME:
                out[i].kind = QUIVER_CORE_TEXT;
                out[i].text = require(value.text, "text");
                out[i].size = std::strlen(value.text);
                break;
            case QUIVER_DATA_TYPE_NULL:
                out[i].kind = QUIVER_CORE_NULL;
                break;
            default:
                throw std::invalid_argument("unknown data type of a value");
        }
    }
    return out;
}

}  // namespace quiver_c
