# Images of release folders that `nix flake check` stamps and boots, by system. None is listed here, as a channel moves on
# with every release: `remaster base fetch NAME` and `remaster base show NAME --json` give URL and SHA-256 of today's.
#
#     x86_64-linux."25.11" = {
#       url = "…";
#       sha256 = "…";
#     };
system: { }.${system} or { }
