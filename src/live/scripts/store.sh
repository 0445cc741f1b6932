# Tells Nix of the store paths that --store brought, by the list that stands beside them, and keeps them from its garbage
# collection. Takes the folder that stands for / where it is tested.
root=${1-}
stores=$root/nix/.remaster-store
roots=$root/nix/var/nix/gcroots/remaster
if [ -e "$stores/linked" ]; then
  echo "<3>remaster: the paths of --store are linked into the store, so Nix is not told of them"
  exit 1
fi
status=0
for list in "$stores"/*/nix-path-registration; do
  [ -e "$list" ] || continue
  nix-store --load-db < "$list" || { echo "<3>remaster: Nix did not take the list of store paths $list"; status=1; continue; }
  # each path of the list begins an entry; some are named again by those that refer to them
  mkdir -p "$roots"
  grep -x '/nix/store/[^/]*' "$list" | sort -u | xargs ln -sft "$roots" || status=1
done
exit "$status"
