//! What only root can try: file flags, a full disk, failing system calls. On a real disk.

use super::*;
use crate::kind;
use crate::sys;
use std::process::Command;

mod faults;

/// A log with the append-only flag required. Its flags are taken off again at the end, so that it can be removed.
struct Flagged(Log);

impl Flagged {
    fn new() -> Self {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        assert!(
            root.path().metadata().unwrap().uid() == 0,
            "these tests need root: cargo test -p journal --features root-tests"
        );
        Self(Log::at(root))
    }

    fn try_open(&self) -> Result<(Journal, Recovery), Error> {
        let (dir, head) = (self.0.dir(), self.0.head());
        recover::open(
            &dir,
            &head,
            &now(),
            self.0.sealed.then(identity),
            AppendOnly::Required,
            self.0.limits,
        )
    }

    fn open(&self) -> (Journal, Recovery) {
        self.try_open().unwrap()
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        let _ = Command::new("chattr")
            .args(["-R", "-f", "-a", "-i"])
            .arg(self.0.dir())
            .status();
    }
}

use std::os::unix::fs::MetadataExt;

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn chattr(change: &str, path: &Path) {
    run("chattr", &[change, &path.to_string_lossy()]);
}

/// Append-only, immutable.
fn flags(path: &Path) -> (bool, bool) {
    let stat = sys::stat(path).unwrap();
    (stat.append, stat.immutable)
}

#[test]
fn the_live_file_only_grows_and_closed_ones_are_sealed() {
    let log = Flagged::new();
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery, Recovery::default());
    fill(&mut journal, 0..6);
    let paths = log.0.segments();
    assert_eq!(flags(&paths[0]), (true, true));
    assert_eq!(flags(&paths[1]), (true, false));
    for path in &paths {
        assert!(std::fs::OpenOptions::new().write(true).open(path).is_err());
        assert!(std::fs::remove_file(path).is_err());
        assert!(std::fs::rename(path, log.0.dir().join("x")).is_err());
    }
    assert!(
        std::fs::OpenOptions::new()
            .append(true)
            .open(&paths[0])
            .is_err()
    );
    drop(journal);
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery, Recovery::default());
    fill(&mut journal, 6..7);
    let report = log.0.check();
    assert_eq!((named(&report), report.unprotected), (vec![], vec![]));
    assert_eq!(log.0.segments().len(), 2);
    // A copy has no flags; that is no fault, but it is told.
    assert_eq!(log.0.copy().check().unprotected.len(), 2);
}

#[test]
fn a_torn_tail_is_left_in_a_sealed_file() {
    let log = Flagged::new();
    fill(&mut log.open().0, 0..2);
    let path = log.0.segments()[0].clone();
    std::io::Write::write_all(
        &mut std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap(),
        b"\xffJ\x02torn",
    )
    .unwrap();
    let length = path.metadata().unwrap().len();
    let (mut journal, recovery) = log.open();
    assert_eq!((recovery.torn.len(), recovery.faults), (1, vec![]));
    assert_eq!(fill(&mut journal, 0..1), [3]);
    assert_eq!(flags(&path), (true, true));
    assert_eq!(path.metadata().unwrap().len(), length);
    assert_eq!(named(&log.0.check()), []);
}

#[test]
fn a_cleared_flag_ends_all_receipts_and_is_told_at_open() {
    let log = Flagged::new();
    let (mut journal, _) = log.open();
    fill(&mut journal, 0..2);
    let path = log.0.segments()[0].clone();
    chattr("-a", &path);
    for _ in 0..2 {
        assert!(journal.append(&record(2)).unwrap_err().is_tampered());
    }
    drop(journal);
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery.faults[0].kind, FaultKind::FileChanged);
    fill(&mut journal, 3..4);
    assert_eq!(named(&log.0.check()), [(FaultKind::Noted, None)]);
}

#[test]
fn a_sealed_last_file_is_followed_by_a_new_one() {
    let log = Flagged::new();
    fill(&mut log.open().0, 0..2);
    chattr("+i", &log.0.segments()[0]);
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery, Recovery::default());
    assert_eq!(fill(&mut journal, 2..3), [2]);
    assert_eq!(named(&log.0.check()), []);
}

#[test]
fn a_file_system_without_the_flag_is_refused_and_left_clean() {
    let mount = Mount::new("ramfs", &[]);
    let log = Flagged(Log::at(tempfile::tempdir_in(mount.path()).unwrap()));
    for _ in 0..2 {
        assert!(matches!(log.try_open(), Err(Error::NotAppendOnly { .. })));
    }
    assert_eq!(log.0.segments(), Vec::<PathBuf>::new());
}

#[test]
fn an_overlay_keeps_the_flag() {
    let layers = tempfile::tempdir_in("/var/tmp").unwrap();
    let part = |name: &str| {
        let path = layers.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.to_string_lossy().into_owned()
    };
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        part("l"),
        part("u"),
        part("w")
    );
    let mount = Mount::new("overlay", &["-o", &options]);
    let log = Flagged(Log::at(tempfile::tempdir_in(mount.path()).unwrap()));
    for round in 0..3 {
        let (mut journal, recovery) = log.open();
        assert_eq!(recovery, Recovery::default());
        fill(&mut journal, round * 3..round * 3 + 3);
    }
    let report = log.0.check();
    assert_eq!((named(&report), report.unprotected), (vec![], vec![]));
}

/// A mount of its own, gone at the end.
struct Mount(TempDir);

impl Mount {
    fn new(kind: &str, options: &[&str]) -> Self {
        Self::of("journal-test", kind, options)
    }

    fn of(device: &str, kind: &str, options: &[&str]) -> Self {
        let point = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = point.path().to_string_lossy().into_owned();
        run(
            "mount",
            &[&["-t", kind], options, &[device, &path]].concat(),
        );
        Self(point)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .args(["-l"])
            .arg(self.path())
            .status();
    }
}

/// No receipt while the disk is full, whatever the segment's state; afterwards the log goes on and is whole.
#[test]
fn a_full_disk_is_an_error_until_there_is_room() {
    let mount = Mount::new("tmpfs", &["-o", "size=8m"]);
    let mut log = Flagged(Log::at(tempfile::tempdir_in(mount.path()).unwrap()));
    log.0.limits.entries = 5;
    let (mut journal, _) = log.open();
    let mut acknowledged = fill(&mut journal, 0..3);
    for round in 0..4 {
        let ballast = mount.path().join("ballast");
        let mut bytes = vec![b'x'; 8 << 20];
        // What does not fit is cut off: the disk is full to the last page.
        while std::fs::write(&ballast, &bytes).is_err() && bytes.len() > 4096 {
            bytes.truncate(bytes.len() - 4096);
        }
        let large: Vec<_> = (0..6)
            .map(|n| record(n).reason("x".repeat(200_000)))
            .collect();
        for _ in 0..3 {
            let error = journal.append_batch(&drafts(&large)).unwrap_err();
            assert!(error.is_full(), "{round}: {error}");
        }
        assert_eq!(named(&log.0.check()), [], "{round}");
        std::fs::remove_file(&ballast).unwrap();
        acknowledged.extend(fill(&mut journal, 0..4));
        let report = log.0.check();
        assert_eq!(named(&report), [], "{round}: {:?}", report.faults);
    }
    // No heap of dead files from the failed tries.
    assert!(log.0.segments().len() <= 9, "{:?}", log.0.segments());
    let read: Vec<_> = log.0.entries().iter().map(|entry| entry.index).collect();
    assert!(acknowledged.iter().all(|index| read.contains(index)));
    drop(journal);
    assert_eq!(log.open().1, Recovery::default());
}

/// Where the disk is full nothing is given, and what ends goes on record, in the room that is kept for it.
#[test]
fn the_room_that_is_kept_is_for_what_takes_away() {
    let mount = Mount::new("tmpfs", &["-o", "size=8m"]);
    let mut log = Flagged(Log::at(tempfile::tempdir_in(mount.path()).unwrap()));
    log.0.limits = Limits::default();
    let of = |kind: &str| Record::new(kind, record(0).time).reason("x".repeat(4000));
    let (mut journal, _) = log.open();
    let _ = journal.append(&of(kind::USE)).unwrap();
    let ballast = mount.path().join("ballast");
    // Cut off where the disk is full.
    std::fs::write(&ballast, vec![b'x'; 8 << 20]).unwrap_err();
    while journal.append(&of(kind::USE)).is_ok() {}
    // Over a restart, too.
    drop(journal);
    let (mut journal, recovery) = log.open();
    assert_eq!(recovery, Recovery::default());
    for kind in [kind::USE, kind::GRANT, kind::REQUEST, kind::REFUSED] {
        let error = journal.append(&of(kind)).unwrap_err();
        assert!(error.is_full(), "{kind}: {error}");
    }
    let mixed = drafts(&[of(kind::END), of(kind::USE)]);
    assert!(journal.append_batch(&mixed).unwrap_err().is_full());
    for _ in 0..100 {
        let _ = journal.append(&of(kind::END)).unwrap();
        let _ = journal.append(&of(kind::PROOF)).unwrap();
    }
    let more = (0..100).take_while(|_| journal.append(&of(kind::ALERT)).is_ok());
    assert!(more.count() < 100, "it is no more than a mebibyte");
    std::fs::remove_file(&ballast).unwrap();
    let _ = journal.append(&of(kind::USE)).unwrap();
    let report = log.0.check();
    assert_eq!(named(&report), [], "{:?}", report.faults);
}

/// A flag that was cleared on the block device below the kernel: `tests/attacks/journal/device`.
#[test]
fn a_flag_cleared_on_the_device_is_named() {
    let image = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    image.as_file().set_len(16 << 20).unwrap();
    let path = image.path().to_string_lossy().into_owned();
    run("mke2fs", &["-q", "-t", "ext4", &path]);
    let mount = Mount::of(&path, "ext4", &["-o", "loop"]);
    let log = Flagged(Log::at(tempfile::tempdir_in(mount.path()).unwrap()));
    fill(&mut log.open().0, 0..2);
    assert_eq!(crate::protection(&log.0.dir()), []);
    let segment = log.0.segments()[0].clone();
    let inside = Path::new("/").join(segment.strip_prefix(mount.path()).unwrap());
    let devices = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let point = format!(" {} ", mount.path().display());
    let line = devices.lines().find(|line| line.contains(&point)).unwrap();
    let device = line.split(' ').next().unwrap();
    run("sync", &[]);
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/attacks/journal/device/clear-the-flag-by-debugfs.sh"
    );
    run("sh", &[script, device, &inside.to_string_lossy()]);
    assert_eq!(flags(&segment), (false, false));
    let faults = crate::protection(&log.0.dir());
    let kinds: Vec<FaultKind> = faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::FileChanged]);
    let (journal, recovery) = log.open();
    assert_eq!(recovery.faults[0].kind, FaultKind::FileChanged);
    drop(journal);
}
