# A check: an installer gets a key, boots in a virtual machine by UEFI and from a stick, and lets the key in as root.
{
  lib,
  stdenv,
  runCommand,
  remaster,
  openssh,
  qemu,
  OVMF,
}:
{
  name,
  # A path, or a pattern that one file fits.
  image,
}:
let
  arm = stdenv.hostPlatform.isAarch64;
  machine = if arm then "virt" else "q35";
  program = if arm then "qemu-system-aarch64" else "qemu-system-x86_64";
in
runCommand "remaster-boots-${name}"
  {
    requiredSystemFeatures = [ "kvm" ];
    nativeBuildInputs = [
      remaster
      openssh
      qemu
    ];
  }
  ''
    ssh-keygen -q -t ed25519 -N "" -f key
    remaster ${image} --key key.pub -o custom.iso
    remaster inspect custom.iso

    cp ${OVMF.variables} variables.fd
    chmod +w variables.fd
    ${program} -machine ${machine} -accel kvm -cpu host -smp 2 -m 3072 -display none -no-reboot -serial file:serial.log \
      -drive if=pflash,format=raw,readonly=on,file=${OVMF.firmware} -drive if=pflash,format=raw,file=variables.fd \
      -device qemu-xhci -drive if=none,id=stick,format=raw,readonly=on,file=custom.iso -device usb-storage,drive=stick \
      -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22 -device virtio-net-pci,netdev=net &
    machine=$!

    login() {
      ssh -i key -p 2222 -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null "$@"
    }
    for _ in $(seq 100); do
      kill -0 $machine || { cat serial.log; exit 1; }
      login root@127.0.0.1 true && break
      sleep 3
    done
    [ "$(login root@127.0.0.1 id -un)" = root ] || { cat serial.log; exit 1; }
    [ "$(login nixos@127.0.0.1 id -un)" = nixos ]
    login root@127.0.0.1 cat /etc/os-release | tee os-release
    grep -qx ID=nixos os-release
    cp os-release $out
    kill $machine
  ''
