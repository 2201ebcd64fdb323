// Compiled while the image is made, so that zig builds its C++ library once, not in every build.
#include <stdexcept>
#include <string>

extern "C" int warm(int number) {
    if (number < 0) {
        throw std::runtime_error(std::to_string(number));
    }
    return number;
}
