//! The head file: how far the log has come, kept outside the journal directory so that a cut tail shows.
//!
//! Two slots of 64 bytes, written in turn and in place: `JITHEAD1`, number of entries, chain value of the last
//! one, then the first 16 bytes of the SHA-256 of 32 zero
//! bytes and these 48. In place because a rename for each commit would
//! make the next sync of the log write the new file too (measured: 1.8 times the commit time). Written when everyone has his
//! receipt, before the next commit at the latest, and not synced: after a kill the head may be one commit older than the
//! log, after a power cut more; it is never newer.

use crate::durable;
use crate::frame::Chain;
use crate::merkle::sha256_of;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

const MAGIC: &[u8; 8] = b"JITHEAD1";
const SLOT: usize = 64;

/// How far the log had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Index of the next entry: the log holds the entries below it.
    pub next: u64,
    /// Chain value of entry `next - 1`, or of the first segment's header if there is no entry.
    pub chain: Chain,
}

impl Head {
    fn encode(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&self.next.to_be_bytes());
        slot[16..48].copy_from_slice(&self.chain);
        let sum = sha256_of(&[&[0; 32], &slot[..48]]);
        slot[48..].copy_from_slice(&sum[..16]);
        slot
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let head = Self {
            next: u64::from_be_bytes(*slot.get(8..)?.first_chunk()?),
            chain: *slot.get(16..)?.first_chunk()?,
        };
        (head.encode() == slot).then_some(head)
    }
}

/// What is at the head's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Head(Head),
    Missing,
    /// There is something, but no head can be read from it; the text says why.
    Damaged(String),
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
}

fn slots(file: &File) -> io::Result<Vec<Option<Head>>> {
    let mut bytes = [0; 2 * SLOT];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.chunks(SLOT).map(Head::decode).collect())
}

/// Looks at the file while one slot may be in the middle of its writing: then it is whole at the next look.
const LOOKS: usize = 8;

/// Is one of the two slots spoilt while the other can be read? The older one is believed then, so a cut to its place would
/// show nowhere else. Both lie in one sector: no crash leaves this.
pub fn spoilt(path: &Path) -> Option<&'static str> {
    let file = open(path).ok()?;
    let one = |slots: Vec<Option<Head>>| slots.iter().flatten().count() == 1;
    let spoilt = (0..LOOKS).all(|_| slots(&file).is_ok_and(one));
    spoilt.then_some("one of its two slots is spoilt, a tail cut to the other would not be noticed")
}

/// Reads the head file. Safe while it is written: of the two slots one is always whole.
pub fn load(path: &Path) -> Found {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
        Err(error) => return Found::Damaged(error.to_string()),
    };
    let slots = match slots(&file) {
        Ok(slots) => slots.into_iter().flatten(),
        Err(error) => return Found::Damaged(error.to_string()),
    };
    match slots.max_by_key(|head| head.next) {
        Some(head) => Found::Head(head),
        None => Found::Damaged("neither of its two slots is whole".into()),
    }
}

/// The head file, open for its one writer.
#[derive(Debug)]
pub struct HeadFile {
    file: File,
    second: bool,
}

impl HeadFile {
    /// Goes on with the file that is there, if it is whole: that needs no room, so an agent that starts on a full disk can
    /// record what ends. Else makes it anew.
    pub fn open(path: &Path, head: &Head) -> io::Result<Self> {
        Self::go_on(path, head).or_else(|_| Self::create(path, head))
    }

    fn go_on(path: &Path, head: &Head) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)?;
        let meta = file.metadata()?;
        let ours = meta.is_file() && meta.nlink() == 1 && meta.len() == 2 * SLOT as u64;
        // The owner of this is the one who runs.
        let private = meta.mode() & 0o077 == 0 && meta.uid() == fs::metadata("/proc/self")?.uid();
        if !ours || !private || slots(&file)?.contains(&None) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut file = Self {
            file,
            second: false,
        };
        file.set(head)?;
        file.set(head)?;
        file.file.sync_all()?;
        Ok(file)
    }

    /// Makes the file anew with this value, durably, and keeps it open.
    pub fn create(path: &Path, head: &Head) -> io::Result<Self> {
        let slot = head.encode();
        durable::replace(path, &[slot, slot].concat())?;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)?;
        Ok(Self {
            file,
            second: false,
        })
    }

    /// One that cannot be written.
    #[cfg(test)]
    pub fn full() -> Self {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let second = false;
        Self { file, second }
    }

    /// Notes how far the log has come.
    pub fn set(&mut self, head: &Head) -> io::Result<()> {
        let offset = if self.second { SLOT as u64 } else { 0 };
        self.file.write_all_at(&head.encode(), offset)?;
        self.second = !self.second;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert_eq!(load(&path), Found::Missing);
        let at = |next| Head {
            next,
            chain: [next as u8; 32],
        };
        let mut file = HeadFile::create(&path, &at(1)).unwrap();
        for next in 2..6 {
            file.set(&at(next)).unwrap();
            assert_eq!(load(&path), Found::Head(at(next)));
            assert_eq!(spoilt(&path), None);
        }
        // 5 went to the second slot; damage there leaves 4.
        let mut bytes = std::fs::read(&path).unwrap();
        for at_byte in SLOT..2 * SLOT {
            bytes[at_byte] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(load(&path), Found::Head(at(4)));
            assert!(spoilt(&path).is_some());
            bytes[at_byte] ^= 1;
        }
        std::fs::write(&path, [0; 2 * SLOT]).unwrap();
        assert!(matches!(load(&path), Found::Damaged(_)));
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(load(&path), Found::Damaged(_)));
    }
}
