//! What kind of machine this is, with the evidence: it decides whether the drone may ever be rebooted from outside.
//!
//! Pure over a read-only view of files. In doubt the answer is `unknown`, which is treated like bare metal: never
//! rebooted. Called once per start, for the hello.

use std::path::Path;

use fs_err as fs;
use swarm_protocol::machine::DroneType;

/// A read-only view of a machine's files.
pub trait View {
    /// The text of a small file, `None` if it can't be read.
    fn read(&self, path: &str) -> Option<String>;
    /// Whether the path is there.
    fn exists(&self, path: &str) -> bool;
}

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisMachine;

impl View for ThisMachine {
    fn read(&self, path: &str) -> Option<String> {
        fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).exists()
    }
}

/// The type and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The type.
    pub drone_type: DroneType,
    /// One line per thing seen.
    pub evidence: Vec<String>,
}

/// Looks at containers first (a container on a virtual machine is a container), then at hypervisors, then at hardware.
pub fn detect(view: &dyn View) -> Detected {
    container(view).or_else(|| virtual_machine(view)).unwrap_or_else(|| hardware(view))
}

fn found(drone_type: DroneType, evidence: impl Into<String>) -> Option<Detected> {
    Some(Detected { drone_type, evidence: vec![evidence.into()] })
}

/// What PID 1's environment or systemd's notes say the container is. Kinds that are no machine of their own (Docker,
/// Podman) can't be rebooted as one.
fn container(view: &dyn View) -> Option<Detected> {
    let of_name = |name: &str| match name {
        "lxc" | "lxc-libvirt" | "systemd-nspawn" | "incus" => DroneType::Lxc,
        _ => DroneType::Unknown,
    };
    for path in ["/run/systemd/container", "/run/host/container-manager"] {
        if let Some(name) = view.read(path).map(|text| text.trim().to_owned()).filter(|name| !name.is_empty()) {
            return found(of_name(&name), format!("{path} says {name}"));
        }
    }
    let environment = view.read("/proc/1/environ").unwrap_or_default();
    if let Some(name) = environment.split('\0').find_map(|var| var.strip_prefix("container=")) {
        return found(of_name(name), format!("PID 1 runs with container={name}"));
    }
    for path in ["/.dockerenv", "/run/.containerenv"] {
        if view.exists(path) {
            return found(DroneType::Unknown, format!("{path} exists: an application container"));
        }
    }
    let cgroup = view.read("/proc/1/cgroup").unwrap_or_default();
    if cgroup.contains("/lxc.payload") || cgroup.contains("/lxc/") {
        return found(DroneType::Lxc, "PID 1 is in a control group of LXC");
    }
    // Incus and LXD give containers and virtual machines the same socket; only a container shares the host's kernel
    // without seeing a processor's hypervisor flag of its own, so the socket alone proves nothing and is not asked.
    None
}

fn virtual_machine(view: &dyn View) -> Option<Detected> {
    let dmi = |name: &str| {
        view.read(&format!("/sys/class/dmi/id/{name}")).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    for name in ["sys_vendor", "product_name", "bios_vendor", "board_vendor"] {
        let value = dmi(name);
        if ["QEMU", "KVM", "Standard PC", "SeaBIOS", "Incus", "LXD"].iter().any(|mark| value.contains(mark)) {
            return found(DroneType::Qemu, format!("DMI {name} is {value:?}"));
        }
        let others = ["VMware", "VirtualBox", "innotek", "Xen", "Microsoft Corporation Virtual", "Parallels", "Bochs"];
        if let Some(other) = others.iter().find(|mark| value.contains(**mark)) {
            return found(DroneType::Unknown, format!("DMI {name} is {value:?}: a virtual machine of {other}"));
        }
    }
    if let Some(compatible) = view.read("/proc/device-tree/hypervisor/compatible") {
        let name = compatible.trim_end_matches('\0').to_owned();
        let drone_type = if name.contains("kvm") { DroneType::Qemu } else { DroneType::Unknown };
        return found(drone_type, format!("device tree names the hypervisor {name}"));
    }
    if let Some(kind) = view.read("/sys/hypervisor/type").map(|text| text.trim().to_owned()).filter(|k| !k.is_empty()) {
        return found(DroneType::Unknown, format!("/sys/hypervisor/type is {kind}"));
    }
    if has_hypervisor_flag(view) {
        return found(DroneType::Unknown, "the processor runs under a hypervisor that has no name in DMI");
    }
    None
}

fn has_hypervisor_flag(view: &dyn View) -> bool {
    let info = view.read("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// Neither container nor hypervisor: hardware, if it says so.
fn hardware(view: &dyn View) -> Detected {
    let vendor = view.read("/sys/class/dmi/id/sys_vendor").map(|text| text.trim().to_owned()).unwrap_or_default();
    let model = view.read("/proc/device-tree/model").map(|text| text.trim_end_matches('\0').to_owned());
    if !vendor.is_empty() {
        let evidence = vec![format!("DMI sys_vendor is {vendor:?}"), "no sign of a hypervisor or container".to_owned()];
        return Detected { drone_type: DroneType::BareMetal, evidence };
    }
    if let Some(model) = model.filter(|model| !model.is_empty()) {
        let evidence = vec![format!("device tree model is {model:?}"), "no sign of a hypervisor".to_owned()];
        return Detected { drone_type: DroneType::BareMetal, evidence };
    }
    let evidence = vec!["neither DMI nor device tree nor a container's mark can be read".to_owned()];
    Detected { drone_type: DroneType::Unknown, evidence }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl View for Files {
        fn read(&self, path: &str) -> Option<String> {
            self.0.get(path).map(|text| (*text).to_owned())
        }

        fn exists(&self, path: &str) -> bool {
            self.0.contains_key(path)
        }
    }

    #[test]
    fn each_kind_of_machine_is_told_by_its_marks() {
        const HYPERVISOR: (&str, &str) = ("/proc/cpuinfo", "processor : 0\nflags\t\t: fpu vme hypervisor sse2\n");
        const VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], DroneType);
        let cases: &[Case<'_>] = &[
            ("LXC by PID 1", &[("/proc/1/environ", "TERM=x\0container=lxc\0")], DroneType::Lxc),
            ("LXC by systemd", &[("/run/systemd/container", "lxc\n"), (VENDOR, "QEMU")], DroneType::Lxc),
            ("nspawn", &[("/run/systemd/container", "systemd-nspawn")], DroneType::Lxc),
            ("nspawn seen from inside", &[("/run/host/container-manager", "systemd-nspawn\n")], DroneType::Lxc),
            ("Incus container", &[("/run/systemd/container", "lxc"), ("/dev/incus/sock", "")], DroneType::Lxc),
            ("LXC by control group", &[("/proc/1/cgroup", "0::/lxc.payload.web/init.scope")], DroneType::Lxc),
            ("Docker", &[("/.dockerenv", "")], DroneType::Unknown),
            ("Podman", &[("/run/systemd/container", "podman")], DroneType::Unknown),
            ("QEMU", &[(VENDOR, "QEMU\n"), HYPERVISOR], DroneType::Qemu),
            ("libvirt", &[("/sys/class/dmi/id/product_name", "Standard PC (Q35 + ICH9, 2009)")], DroneType::Qemu),
            ("Incus virtual machine", &[("/dev/incus/sock", ""), (VENDOR, "QEMU")], DroneType::Qemu),
            ("KVM on arm64", &[("/proc/device-tree/hypervisor/compatible", "linux,kvm\0")], DroneType::Qemu),
            ("VMware", &[(VENDOR, "VMware, Inc."), HYPERVISOR], DroneType::Unknown),
            ("Xen", &[("/sys/hypervisor/type", "xen")], DroneType::Unknown),
            ("nameless hypervisor", &[HYPERVISOR], DroneType::Unknown),
            ("nameless hypervisor of a cloud", &[HYPERVISOR, (VENDOR, "Some Cloud")], DroneType::Unknown),
            ("a server", &[(VENDOR, "Supermicro\n"), ("/proc/cpuinfo", "flags : fpu sse2")], DroneType::BareMetal),
            ("a small board", &[("/proc/device-tree/model", "Raspberry Pi 5\0")], DroneType::BareMetal),
            ("nothing to read", &[], DroneType::Unknown),
        ];
        for (name, files, expected) in cases {
            let detected = detect(&Files(files.iter().copied().collect()));
            assert_eq!(detected.drone_type, *expected, "{name}: {:?}", detected.evidence);
            assert!(!detected.evidence.is_empty(), "{name} has no evidence");
        }
    }
}
