# For squashfs files, which stand on the volume beside the initrds.
root=$1
# Where another volume is looked into.
medium=$root/nix/.remaster-store/medium

there() { [ -e "$1" ] || [ -L "$1" ]; }

# asked WORD: whether the kernel's command line has it.
asked() {
  read -r line < /proc/cmdline
  case " $line " in *" $1 "*) return 0 ;; esac
  return 1
}

# may_hold DEVICE: whether a folder of /sys/class/block is of a disk, disc or partition with a volume on it, or of one
# that udev has not looked at yet.
may_hold() {
  case ${1##*/} in loop* | ram* | zram*) return 1 ;; esac
  read -r number < "$1/dev" || return 1
  for record in "/run/udev/data/b$number" "$root/run/udev/data/b$number"; do
    [ -r "$record" ] || continue
    while read -r line; do
      [ "$line" != E:ID_FS_TYPE=iso9660 ] || return 0
    done < "$record"
    return 1
  done
  return 0
}

# look PATH: mounts the first volume that has this file.
look() {
  [ ! -e "$medium$1" ] || return 0
  mkdir -p "$medium"
  for device in /sys/class/block/*; do
    may_hold "$device" || continue
    mount -t iso9660 -o ro "/dev/${device##*/}" "$medium" 2> /dev/null || continue
    if [ -e "$medium$1" ]; then
      complain "took $1 from /dev/${device##*/}: the volume at /iso does not have it"
      return 0
    fi
    umount "$medium"
  done
  return 1
}

# locate WHAT IMAGE: sets $image to IMAGE, or to the same file of another volume. Every stick with an image of one base has
# one label, so the volume that stage 1 mounted need not be the one that this was loaded from. Its own may be slow to come.
patience=10
locate() {
  image=$2
  [ ! -e "$image" ] || return 0
  path=${2#"$root/iso"}
  while [ "$path" != "$2" ]; do
    if look "$path"; then
      image=$medium$path
      return 0
    fi
    [ "$patience" -gt 0 ] || break
    patience=$((patience - 1))
    sleep 1
  done
  complain "MISSING: $1 of this image. No device has the file $path that belongs to it."
  complain "Is another stick or disc with an image of the same base plugged in, and this one pulled out? Plug in this one alone and start again."
  complain "The system starts without it."
  return 1
}

# unpack IMAGE ROOT: copies a squashfs over the root.
unpack() {
  locate "the overlay" "$1" || return
  mkdir -p /remaster/mounted
  mount -t squashfs -o loop,ro "$image" /remaster/mounted || { complain "could not mount $image"; return; }
  cp -a /remaster/mounted/. "$2"/ || complain "could not copy everything of $image into $2"
  umount /remaster/mounted || complain "could not unmount $image again"
}

# store NUMBER IMAGE ROOT: mounts a squashfs of store paths, for `lay`.
stores=
store() {
  locate "a squashfs of --store" "$2" || return
  at=/nix/.remaster-store/$1
  mkdir -p "$3$at"
  case $image in "$medium"/*)
    # With copytoram the medium may be pulled out.
    if asked copytoram; then
      cp "$image" "$3$at.img" || { complain "could not copy $image into memory"; return; }
      image=$3$at.img
    fi ;;
  esac
  mount -t squashfs -o loop,ro "$image" "$3$at" || { complain "could not mount $image"; return; }
  if [ -d "$3$at/nix/store" ]; then stores=$stores:$3$at/nix/store; else stores=$stores:$3$at; fi
}

# lay ROOT: lays what is mounted below the paths of the store, as folders: Nix takes no links for its own. Where that cannot
# be, links have to do, which programs take.
lay() {
  [ -n "$stores" ] || return 0
  rw=$1/nix/.rw-store/remaster
  mkdir -p "$rw/store" "$rw/work"
  mount -t overlay -o "lowerdir=$1/nix/store$stores,upperdir=$rw/store,workdir=$rw/work" overlay "$1/nix/store" && return
  complain "could not lay --store into the store: its paths are linked there, and Nix does not know them"
  touch "$1/nix/.remaster-store/linked"
  for path in "$1"/nix/.remaster-store/*/*-* "$1"/nix/.remaster-store/*/nix/store/*-*; do
    there "$path" || continue
    name=${path##*/}
    case $name in ????????????????????????????????-*) ;; *) continue ;; esac
    there "$1/nix/store/$name" || ln -s "${path#"$1"}" "$1/nix/store/$name" || complain "could not add $name to the store"
  done
}

# programs NUMBER ROOT: puts the programs of a store on the PATH, but for names that the system has itself.
programs() {
  system=
  # shellcheck disable=SC2013 # words are wanted
  for word in $(cat /proc/cmdline); do
    case $word in init=*) system=${word#init=} system=${system%/init} ;; esac
  done
  own=$(readlink "$2$system/sw")
  mkdir -p "$2/opt/remaster/bin"
  for program in "$2/nix/.remaster-store/$1"/*-*/bin/* "$2/nix/.remaster-store/$1"/nix/store/*-*/bin/*; do
    there "$program" || continue
    name=${program##*/} path=${program%/bin/*}
    if [ -n "$own" ] && there "$2$own/bin/$name"; then continue; fi
    there "$2/opt/remaster/bin/$name" || ln -s "/nix/store/${path##*/}/bin/$name" "$2/opt/remaster/bin/$name"
  done
}

# leave: a volume that a store is on stays mounted.
leave() {
  umount "$medium" 2> /dev/null
}

