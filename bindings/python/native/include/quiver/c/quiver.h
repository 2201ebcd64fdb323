/* The whole C API of quiver. */
#ifndef QUIVER_C_QUIVER_H
#define QUIVER_C_QUIVER_H

#include "quiver/c/common.h"
#include "quiver/c/database.h"
#include "quiver/c/options.h"

#endif
