//! The trees that hosts are made of: a Debian base, and a layer on it with our packages installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::cache::{self, Cached};
use crate::overlay::Place;
use crate::{command, guest, nspawn, project};

/// What every host brings. Hosts have no network, so the packages may depend on nothing else.
const LIST: &str = "systemd,systemd-sysv,dbus,sudo,libpam-systemd,libnss-systemd,openssh-server,rsyslog,pamtester,procps,\
    iproute2,e2fsprogs,polkitd,strace,python3,less,nano,adduser,libpam-modules,curl,ca-certificates,at,cron";

/// The kernel of a [`crate::Guest`], and what only its own kernel can be told.
const KERNEL: &str = "linux-image-cloud-amd64,initramfs-tools,apparmor";

const CUSTOMIZE: &str = include_str!("../hosts/customize.sh");

/// A Debian release that hosts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12: sudo 1.9.13, systemd 252.
    Bookworm,
    /// Debian 13: sudo 1.9.16, systemd 257, and sudo-rs beside.
    Trixie,
}

impl Release {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    fn packages(self) -> String {
        match self {
            Self::Bookworm => LIST.to_owned(),
            Self::Trixie => format!("{LIST},sudo-rs"),
        }
    }
}

/// Makes every tree that is missing and waits until the disk has them. Hosts that run beside the making would wait
/// seconds for the disk, which tests of time limits take for a fault.
pub fn make_all() {
    let packages = project::packages();
    thread::scope(|scope| {
        scope.spawn(|| guest::image(&packages));
        for release in [Release::Bookworm, Release::Trixie] {
            installed(release, &base(release), &packages);
        }
        for base in [names_base(), more_base(Release::Bookworm), syslog_ng_base()] {
            installed(Release::Bookworm, &base, &packages);
        }
        more_base(Release::Trixie);
    });
    command::must("sync", &[], Duration::from_secs(300));
}

/// The base tree; its first making takes half a minute.
#[track_caller]
pub(crate) fn base(release: Release) -> Cached {
    debian(release.name(), release, &release.packages())
}

/// The base tree with further packages of Debian's, named for what they are: `kind`.
#[track_caller]
fn base_with(release: Release, kind: &str, packages: &str) -> Cached {
    let kind = format!("{}_{kind}", release.name());
    let packages = format!("{},{packages}", release.packages());
    debian(&kind, release, &packages)
}

/// A base tree that brings every cache between a program and the answer of the name service.
#[track_caller]
pub(crate) fn names_base() -> Cached {
    let packages = "nscd,sssd-common,libnss-sss,systemd-userdbd";
    base_with(Release::Bookworm, "names", packages)
}

/// A base tree whose sudo also asks sssd for rules.
#[track_caller]
pub(crate) fn sssd_base() -> Cached {
    let packages = "sssd-common,libnss-sss,libsss-sudo";
    base_with(Release::Bookworm, "sssd", packages)
}

/// A base tree with what single tests need beside: rpm, an rsyslog that can receive over RELP and TLS, cloud-init (which does nothing
/// where no cloud is), and what Ansible asks of a host.
#[track_caller]
pub(crate) fn more_base(release: Release) -> Cached {
    let packages = "rpm,rsyslog-relp,rsyslog-gnutls,openssl,cloud-init,python3-apt";
    base_with(release, "more", packages)
}

/// A base tree whose syslog is syslog-ng: it and rsyslog exclude each other.
#[track_caller]
pub(crate) fn syslog_ng_base() -> Cached {
    let packages = LIST.replace("rsyslog", "syslog-ng-core,openssl");
    debian("bookworm_syslog-ng", Release::Bookworm, &packages)
}

/// The base tree of a virtual machine, which brings a kernel.
#[track_caller]
pub(crate) fn guest_base(release: Release) -> Cached {
    let kind = format!("{}_guest", release.name());
    debian(&kind, release, &format!("{},{KERNEL}", release.packages()))
}

#[track_caller]
fn debian(kind: &str, release: Release, packages: &str) -> Cached {
    project::need(&["mmdebstrap", "chattr"]);
    cache::get(kind, &cache::key((packages, CUSTOMIZE)), |path| {
        let include = format!("--include={packages}");
        let hook = format!(
            "--customize-hook={}",
            project::root().join("tests/hosts/customize.sh").display()
        );
        let path = path.display().to_string();
        let args = ["--variant=minbase", &include, &hook, release.name(), &path];
        command::must("mmdebstrap", &args, Duration::from_secs(600));
    })
}

/// The layer that installing `packages` lays upon `base`. Made without booting, as an image builder would.
#[track_caller]
pub(crate) fn installed(release: Release, base: &Cached, packages: &[PathBuf]) -> Cached {
    let kind = format!("{}_installed", release.name());
    cache::get(&kind, &installed_key(base, packages), |path| {
        let place = Place::new(&[base.path()]);
        install(&place, packages);
        place.unmount();
        fs::rename(place.upper(), path).expect("the layer out of its place");
    })
}

/// A name for `base` with `packages` installed.
pub(crate) fn installed_key(base: &Cached, packages: &[PathBuf]) -> String {
    let contents: Vec<Vec<u8>> = packages
        .iter()
        .map(|p| fs::read(p).expect("a package"))
        .collect();
    cache::key((base.path(), contents))
}

/// Installs `packages` into a place that is not booted.
#[track_caller]
pub(crate) fn install(place: &Place, packages: &[PathBuf]) {
    let mut argv = vec!["dpkg".to_owned(), "--install".to_owned()];
    let mut binds = Vec::new();
    for package in packages {
        let inside = Path::new("/mnt").join(package.file_name().expect("the name of a package"));
        binds.push(format!(
            "--bind-ro={}:{}",
            package.display(),
            inside.display()
        ));
        argv.push(inside.display().to_string());
    }
    nspawn::once(place, &binds, &argv, Duration::from_secs(120)).ok();
    // The mount points of the packages.
    for package in packages {
        cache::remove(
            &place
                .merged()
                .join("mnt")
                .join(package.file_name().expect("the name of a package")),
        );
    }
}
