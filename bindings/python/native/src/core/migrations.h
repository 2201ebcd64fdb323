#pragma once

#include "core/logger.h"
#include "core/sqlite.h"

#include <string>

namespace quiver {

// Brings the database to the newest version in the folder: `n/up.sql` for each n above the
// database's own version, in order, each step in one transaction with the version it sets.
// A read-only database is only checked: it must be at the newest version already.
void migrate(Connection& connection, const std::string& folder, bool read_only, Logger& log);

}  // namespace quiver
