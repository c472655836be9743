#!/usr/bin/env bash
# The first process of a box: makes its file systems and becomes its init. Started by box.sh alone.
set -euo pipefail

root=$BOX_SCRATCH/root
mount --make-rprivate /
mkdir "$BOX_SCRATCH/layer" "$root"
mount -t tmpfs -o mode=755 layer "$BOX_SCRATCH/layer"
mkdir "$BOX_SCRATCH/layer/upper" "$BOX_SCRATCH/layer/work"
mount -t overlay -o "lowerdir=/,upperdir=$BOX_SCRATCH/layer/upper,workdir=$BOX_SCRATCH/layer/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
	: > "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/box" "$root/box/said"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount --bind "$BOX_SCRATCH/said" "$root/box/said"
ip link set lo up
hostname box

# what is to run, as a script of its own: arguments survive as they are
{
	printf '#!/usr/bin/env bash\nexport PATH=%q HOME=/root LC_ALL=C.UTF-8 USER=root\ncd /box\nstatus=0\n' "$PATH"
	printf '%q ' bash "$@"
	printf '> said/out 2>&1 </dev/null || status=$?\necho "$status" > said/status\n'
} > "$root/box/run"
chmod 755 "$root/box/run"

cd "$root"
mkdir -p box/old
pivot_root . box/old
umount -l /box/old
# as on a machine of its own; systemd hands credentials to services by it
mount --make-rshared /
if [ "$BOX_INIT" != systemd ]; then
	exec env -i PATH="$PATH" /box/run
fi
# targets that pull in nothing, so that only what a script asks for is started
for target in sysinit basic multi-user shutdown network network-online; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" > "/box/$target.target"
done
cat > /box/box.target <<-'UNIT'
	[Unit]
	DefaultDependencies=no
	Wants=box.service
UNIT
cat > /box/box.service <<-'UNIT'
	[Unit]
	DefaultDependencies=no
	SuccessAction=exit-force
	FailureAction=exit-force
	[Service]
	Type=oneshot
	ExecStart=/box/run
UNIT
exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/box \
	/lib/systemd/systemd --system --unit=box.target --show-status=0
