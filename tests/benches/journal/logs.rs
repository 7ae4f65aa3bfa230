//! A log in a folder of its own, the records that go into it, and a plain file beside it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use jit_tests::bench;
use journal::{AppendOnly, Draft, HostKey, Identity, Journal, Record, Timestamp, kind};
use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

/// Room is reserved in steps of this many bytes, as the journal does it.
const RESERVE: u64 = 256 << 10;

pub struct Log {
    root: TempDir,
    append_only: AppendOnly,
    /// Of the host whose log it is.
    pkcs8: Vec<u8>,
}

impl Log {
    fn at(root: TempDir, append_only: AppendOnly) -> Self {
        let (_, pkcs8) = statement::sign::Signer::generate().expect("a key");
        Self {
            root,
            append_only,
            pkcs8,
        }
    }

    /// On the disk, with the flags that the agent sets.
    pub fn on_disk() -> Self {
        let dir = bench::target().join("bench");
        fs::create_dir_all(&dir).expect("a folder for the log");
        let root = tempfile::tempdir_in(dir).expect("a folder for the log");
        Self::at(root, AppendOnly::Preferred)
    }

    pub fn in_memory() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        Self::at(root, AppendOnly::Off)
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    pub fn head(&self) -> PathBuf {
        self.root.path().join("head")
    }

    pub fn open(&self) -> Journal {
        let identity = Identity {
            host: "bench".into(),
            key: HostKey::from_pkcs8(&self.pkcs8).expect("a key"),
        };
        let opened = Journal::open_with(
            &self.dir(),
            &self.head(),
            &time(0),
            identity,
            self.append_only,
        );
        let (journal, recovery) = opened.expect("the journal opens");
        assert!(recovery.faults.is_empty() && recovery.torn.is_empty());
        journal
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.files()
            .map(|file| file.metadata().unwrap().len())
            .sum()
    }

    pub fn segments(&self) -> usize {
        self.files().count()
    }

    fn files(&self) -> impl Iterator<Item = fs::DirEntry> {
        fs::read_dir(self.dir()).unwrap().map(|e| e.unwrap())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Without the flags the folder can go.
        let _ = Command::new("chattr")
            .args(["-R", "-f", "-i", "-a"])
            .arg(self.dir())
            .status();
    }
}

/// A file that is only appended to.
pub struct Plain {
    file: File,
    length: u64,
    reserved: u64,
}

impl Plain {
    pub fn beside(log: &Log, name: &str) -> Self {
        let path: &Path = log.root.path();
        let mut options = OpenOptions::new();
        options.create_new(true).append(true);
        Self {
            file: options.open(path.join(name)).unwrap(),
            length: 0,
            reserved: 0,
        }
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.length > self.reserved {
            self.reserved = self.length.next_multiple_of(RESERVE);
            fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, self.reserved).unwrap();
        }
        self.file.write_all(bytes).unwrap();
        self.file.sync_data().unwrap();
    }
}

fn time(n: u64) -> Timestamp {
    Timestamp {
        unix_ms: 1_795_182_963_120 + n,
        boot_ns: 5_000_000 * n,
        boot_id: "7b2e6f6e-9a53-4c4e-9d0b-1f0c2b9f3a11".into(),
    }
}

/// A use as the agent records it; about half a kilobyte in the log.
pub fn record(n: u64) -> Record {
    let path = "/srv/www/releases/2026-11-29T07-00-00/public/assets";
    let command = ["/usr/bin/rsync", "--archive", "--delete", path, path];
    let mut record = Record::new(kind::USE, time(n))
        .grant("01JBENCH00000000000000000A")
        .request(format!("01JBENCH00000000{n:010}"))
        .login("alice")
        .uid(1001_u32)
        .decision("allow")
        .reason("the web server hangs")
        .ticket("OPS-17")
        .command(command.map(|w| w.as_bytes().to_vec()));
    record.role = Some("admin".into());
    record.runas = Some("root".into());
    record
}

/// The same, ready to be stored.
pub fn drafts(numbers: std::ops::Range<u64>) -> Vec<Draft> {
    numbers
        .map(|n| Draft::new(&record(n)).expect("a draft"))
        .collect()
}
