#!/bin/sh
# Makes the inside of a test node, as process 1 of new namespaces (pid, mount, net, uts, ipc, cgroup), then only waits:
# when it is killed, the kernel ends all processes in here, and with the last one go mounts, interfaces, pods' networks.
#   sandbox.sh FOLDER ADDRESS PAUSE MEMORY
set -eu
folder=$1 address=$2 pause=$3 memory=$4 # in GiB, from which on it may hold images

# Our own view of the control groups: the root is the group that this process was put into.
hierarchies=
for hierarchy in /sys/fs/cgroup/*/; do hierarchies="$hierarchies $(basename "$hierarchy")"; done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2
  umount -l /sys/fs/cgroup
  mount -t cgroup2 cgroup /sys/fs/cgroup
  # Only a group without processes of its own may hand controllers on.
  mkdir -p /sys/fs/cgroup/init
  echo 1 >/sys/fs/cgroup/init/cgroup.procs
  read -r controllers </sys/fs/cgroup/cgroup.controllers
  for controller in $controllers; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
  done
else
  umount -l /sys/fs/cgroup
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for name in $hierarchies; do
    case $name in
      unified) continue ;;
      systemd) options=none,name=systemd ;;
      *) options=$name ;;
    esac
    mkdir "/sys/fs/cgroup/$name"
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$name" || rmdir "/sys/fs/cgroup/$name"
  done
fi

# What programs write to fixed places stays in here.
for place in etc var/lib var/log; do
  name=$(echo "$place" | tr / -)
  mkdir -p "$folder/upper/$name" "$folder/work/$name"
  mount -t overlay -o "lowerdir=/$place,upperdir=$folder/upper/$name,workdir=$folder/work/$name" overlay "/$place"
done
mount -t tmpfs -o mode=755 run /run
# Images and etcd's data in memory, where there is plenty: written and dropped in no time, gone with the namespace.
if [ "$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)" -ge "$memory" ]; then
  for place in containerd etcd; do
    mkdir "$folder/$place"
    mount -t tmpfs -o mode=700 "$place" "$folder/$place"
  done
fi
# A name server that does not answer would cost ten seconds at the start of each program that asks for its own name.
rm -f /etc/hosts /etc/resolv.conf
printf '127.0.0.1 localhost\n%s node\n' "$address" >/etc/hosts
printf 'nameserver %s\n' "$address" >/etc/resolv.conf
hostname node

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

: >"$folder/inside"
exec "$pause"
