# What the action does. Sourced by bash with -e and pipefail; the inputs are in the environment.

# released FOLDER: the program that was released for this version of the action, checked by the digest beside it.
released() {
  [ -n "$REPOSITORY" ] && [ -n "$REF" ] || return 1
  local name; name="remaster-$(uname -m)-linux"
  local url="$SERVER/$REPOSITORY/releases/download/$REF"
  mkdir -p "$1"
  (
    cd "$1" && curl -fsSL -o "$name" "$url/$name" && curl -fsSL -o "$name.sha256" "$url/$name.sha256" &&
      sha256sum --quiet -c "$name.sha256" && chmod +x "$name" && mv "$name" remaster
  )
}

if ! command -v remaster > /dev/null; then
  if released "$RUNNER_TEMP/remaster"; then
    export PATH="$PATH:$RUNNER_TEMP/remaster"
  else
    echo "no released program for this version of the action: compiling it"
    cargo install --locked --path "$GITHUB_ACTION_PATH/../../.."
  fi
fi

digest=()
if [ -n "$SHA256" ]; then digest=(--sha256 "$SHA256"); fi

if [ -z "$USERS" ]; then
  case $BASE in
    nixos-*)
      [ -e "$BASE" ] || remaster base path "$BASE" 2> /dev/null || remaster base fetch "$BASE"
      [ -e "$BASE" ] || BASE=$(remaster base path "$BASE")
      ;;
  esac
  found=$(sha256sum -- "$BASE")
  found=${found#\\}
  if [ -n "$SHA256" ] && [ "${found%% *}" != "$SHA256" ]; then
    echo "::error::the base has the SHA-256 ${found%% *}, not $SHA256"
    exit 3
  fi
  printf 'sha256=%s\noutcome=success\n' "${found%% *}" >> "$GITHUB_OUTPUT"
  exit 0
fi

made=$(mktemp "$RUNNER_TEMP/made.XXXXXX")
echo "made=$made" >> "$GITHUB_OUTPUT"
# Provenance says who ran the build: this workflow, as GitHub names it in its own attestations.
builder=()
case " $ARGUMENTS " in
  *" --builder-id"*) ;;
  *" --provenance "*) builder=(--builder-id "$SERVER/$WORKFLOW") ;;
esac
set -f
status=0
# shellcheck disable=SC2086  # words are meant to be parted
remaster stamp "$BASE" "$USERS" -o "$OUTPUT" --as "$AS" --shard "$SHARD" "${digest[@]}" "${builder[@]}" --skip-existing --json $ARGUMENTS > "$made" || status=$?
echo "sha256=$(sed -n '/"base":/{s/.*"base":{[^}]*"sha256":"\([0-9a-f]*\)".*/\1/p;q}' "$made")" >> "$GITHUB_OUTPUT"
case $status in
  0) echo "outcome=success" >> "$GITHUB_OUTPUT" ;;
  # Users failed: those of the others are there, and shall be kept.
  11)
    echo "outcome=partial" >> "$GITHUB_OUTPUT"
    echo "::error::users failed: see the log, or the output made"
    ;;
  *) exit "$status" ;;
esac
