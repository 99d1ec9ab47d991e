"""From a configuration to finished run folders: compose, validate, build, plan, execute."""
