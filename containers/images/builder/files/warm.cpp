// The build of the image compiles this file, so that zig builds its C++ library only once.
#include <stdexcept>
#include <string>

extern "C" int warm(int number) {
    if (number < 0) {
        throw std::runtime_error(std::to_string(number));
    }
    return number;
}
