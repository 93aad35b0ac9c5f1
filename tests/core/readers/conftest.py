"""The scripts that made the fixtures need packages of their own and are not collected."""

collect_ignore_glob = ["fixtures/*"]
