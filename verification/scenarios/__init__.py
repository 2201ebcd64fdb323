"""Ways of installing and using a package: scenarios, installers, profiles, machines."""
