//! The live segment file.

use crate::durable;
use crate::error::Error;
use crate::frame::Chain;
use crate::header::{Name, Prev};
use crate::journal::AppendOnly;
use crate::sys::{self, Stat};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Behind what is written, room for so many bytes is kept for what takes away and what tells: some two thousand ends with
/// their proofs.
const KEPT: u64 = 1 << 20;
/// Room is reserved in steps of this many bytes.
const RESERVE: u64 = 256 * 1024;

/// A segment file that this process made or took over, and what it knows about it.
#[derive(Debug)]
pub struct Live {
    file: File,
    path: PathBuf,
    name: String,
    dev: (u32, u32),
    ino: u64,
    /// The append-only flag was on.
    flagged: bool,
    /// Bytes written and synced.
    length: u64,
    reserved: u64,
    /// First index of this segment.
    pub first: u64,
}

impl Live {
    /// Makes a new, empty file.
    pub fn create(dir: &Path, name: Name) -> Result<Self, Error> {
        let path = dir.join(name.file());
        let file = durable::create_log(&path).map_err(|error| Error::io("make", &path, error))?;
        Ok(Self::new(file, path, name))
    }

    /// Sets the append-only flag, before the first byte, and notes which file it is.
    pub fn protect(&mut self, append_only: AppendOnly) -> Result<(), Error> {
        let path = self.path.clone();
        let set = match append_only {
            AppendOnly::Off => Ok(()),
            AppendOnly::Required | AppendOnly::Preferred => sys::add_flags(&self.file, sys::APPEND),
        };
        let stat = sys::stat(&path).map_err(|error| Error::io("look at", &path, error))?;
        self.remember(&stat);
        match set {
            Ok(()) if stat.append => Ok(()),
            _ if append_only != AppendOnly::Required => Ok(()),
            Ok(()) => {
                let source = io::ErrorKind::Unsupported.into();
                Err(Error::NotAppendOnly { path, source })
            }
            Err(source) => Err(Error::NotAppendOnly { path, source }),
        }
    }

    /// Takes over the last segment of an earlier run, whose content was read up to its end.
    pub fn take_over(dir: &Path, name: Name, length: u64) -> Result<Self, Error> {
        let path = dir.join(name.file());
        let fail = |error| Error::io("open", &path, error);
        let file = durable::open_log(&path).map_err(fail)?;
        // The last run may have died between its write and its sync.
        file.sync_all().map_err(fail)?;
        let stat = sys::stat(&path).map_err(fail)?;
        let mut live = Self::new(file, path.clone(), name);
        live.remember(&stat);
        live.length = length;
        live.verify()?;
        Ok(live)
    }

    fn remember(&mut self, stat: &Stat) {
        (self.dev, self.ino, self.flagged) = (stat.dev, stat.ino, stat.append);
    }

    fn new(file: File, path: PathBuf, name: Name) -> Self {
        Self {
            file,
            path,
            name: name.file(),
            dev: (0, 0),
            ino: 0,
            flagged: false,
            length: 0,
            reserved: 0,
            first: name.first,
        }
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// This segment as its successor's header names it.
    pub fn as_prev(&self, next: u64, chain: Chain) -> Prev {
        Prev {
            file: self.name.clone(),
            length: self.length,
            next,
            chain,
        }
    }

    /// Makes sure that there is room for so many bytes, and behind them for [`KEPT`] more, without touching the content: a full
    /// disk shows here, where it does no harm. What `may_use_kept` needs only its own.
    pub fn reserve(&mut self, bytes: usize, may_use_kept: bool) -> Result<(), Error> {
        let need = self.length + bytes as u64;
        if need + KEPT <= self.reserved {
            return Ok(());
        }
        match self.reserve_to((need + KEPT).next_multiple_of(RESERVE)) {
            Err(error) if error.is_full() && may_use_kept => match need <= self.reserved {
                true => Ok(()),
                false => self.reserve_to(need),
            },
            result => result,
        }
    }

    fn reserve_to(&mut self, length: u64) -> Result<(), Error> {
        durable::reserve(&self.file, length)
            .map_err(|error| Error::io("reserve room in", &self.path, error))?;
        self.reserved = length;
        Ok(())
    }

    /// Writes and syncs; `meanwhile` runs while the disk works. After an error this file is done with.
    pub fn append(&mut self, bytes: &[u8], meanwhile: impl FnOnce()) -> Result<(), Error> {
        durable::append(&self.file, bytes, meanwhile)
            .map_err(|error| Error::io("write to", &self.path, error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes and syncs the first frame, and the file's name.
    pub fn append_first(&mut self, bytes: &[u8], dir: &Path) -> Result<(), Error> {
        durable::append_first(&self.file, bytes, dir)
            .map_err(|error| Error::io("write to", &self.path, error))?;
        self.length = bytes.len() as u64;
        Ok(())
    }

    /// No byte has reached the file: after a full disk it can still become a segment.
    pub fn is_empty(&self) -> bool {
        sys::stat(&self.path).is_ok_and(|stat| stat.size == 0)
    }

    /// Is the file under our name still ours, whole, append-only and without a second name?
    pub fn verify(&self) -> Result<(), Error> {
        let tampered = |what| {
            Err(Error::Tampered {
                path: self.path.clone(),
                what,
            })
        };
        let stat = match sys::stat(&self.path) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return tampered("it was removed or renamed");
            }
            Err(error) => return Err(Error::io("look at", &self.path, error)),
        };
        if (stat.dev, stat.ino) != (self.dev, self.ino) {
            return tampered("another file has its name");
        }
        if stat.nlink != 1 {
            return tampered("it has a second name");
        }
        if stat.size != self.length {
            return tampered("its size is not what was written");
        }
        if self.flagged && !stat.append {
            return tampered("its append-only flag was cleared");
        }
        Ok(())
    }

    /// Closes the file, then makes it immutable.
    pub fn seal(self) {
        let Self {
            file,
            path,
            flagged,
            ..
        } = self;
        // An open descriptor would still append on xfs and btrfs.
        drop(file);
        if flagged {
            seal(&path);
        }
    }
}

/// Makes a finished segment immutable. Where that fails it stays append-only, and `check` lists it.
pub fn seal(path: &Path) {
    if let Ok(file) = crate::scan::open(path) {
        let _ = sys::add_flags(&file, sys::IMMUTABLE);
    }
}
