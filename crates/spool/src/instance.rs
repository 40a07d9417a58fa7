//! Instance directories: one for each log that spools, with a lock that dies with its process.
//!
//! The lock is a POSIX record lock (`fcntl` F_SETLK) on the file `lock`. Of the locks that Unix offers it alone is
//! released by the death of the very process that took it: `flock` and open-file-description locks are inherited by
//! forked children, so that a long-lived child would keep a dead parent's spool from being adopted. Its two
//! weaknesses are covered here: a process does not conflict with itself, and closing any descriptor of the
//! file releases the lock. Hence a registry of the locks that this process holds is asked before the
//! file is opened, and the consumer takes its own lock again every second, in case other code in the process opened it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use crate::filesystem::{Filesystem, Operation};
use crate::fork::{self, PerProcess};
use crate::format::InstanceId;

const LOCK_NAME: &str = "lock";
const SEGMENT_SUFFIX: &str = ".seg";
/// Prefix of the directory of an instance that is just being made.
const NEW_PREFIX: &str = ".new-";
/// After this time nobody is making it any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Device and inode of every lock file that this process holds.
static HELD: PerProcess<Mutex<Vec<(u64, u64)>>> = PerProcess::new();

/// A locked instance directory.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) directory: PathBuf,
    lock: Option<File>,
    key: (u64, u64),
    generation: u64,
}

/// Makes an id: milliseconds first, so that names sort by age, then random bits.
pub(crate) fn new_id(unix_nanos: u64) -> InstanceId {
    let mut id = [0u8; 16];
    let (time, random) = id.split_at_mut(6);
    for (byte, shift) in time.iter_mut().zip([40u32, 32, 24, 16, 8, 0]) {
        *byte = ((unix_nanos / 1_000_000) >> shift) as u8;
    }
    if getrandom::fill(random).is_err() {
        // No randomness this early in a boot: process id and nanoseconds still tell instances apart.
        let mix = unix_nanos.rotate_left(17) ^ u64::from(std::process::id());
        for (byte, value) in random.iter_mut().zip(mix.to_le_bytes()) {
            *byte = value;
        }
    }
    id
}

/// Returns the directory name of an instance: 32 hexadecimal digits.
pub(crate) fn name_of(id: &InstanceId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an instance's directory name.
pub(crate) fn id_of(name: &str) -> Option<InstanceId> {
    if name.len() != 32 || !name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    Some(u128::from_str_radix(name, 16).ok()?.to_be_bytes())
}

/// Returns the file name of a segment.
pub(crate) fn segment_name(sequence: u64) -> String {
    format!("{sequence:016x}{SEGMENT_SUFFIX}")
}

/// Reads the sequence number in a segment's file name.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Returns whether a directory entry is the lock file.
pub(crate) fn is_lock(name: &str) -> bool {
    name == LOCK_NAME
}

/// Removes the directory of an instance whose process died while making it: there are no records in it.
pub(crate) fn remove_if_abandoned(files: &Filesystem, directory: &Path, name: &str) {
    let age = || std::fs::metadata(directory).ok()?.modified().ok()?.elapsed().ok();
    if name.strip_prefix(NEW_PREFIX).and_then(id_of).is_some()
        && age().is_some_and(|age| age > ABANDONED_AFTER)
    {
        let _ = files.remove(&directory.join(LOCK_NAME));
        let _ = files.remove_directory(directory);
    }
}

impl Instance {
    /// Makes the directory of a new instance under `base` and locks it.
    ///
    /// It gets its name once it is locked: nobody can take it for an orphan in between.
    pub(crate) fn create(files: &Filesystem, base: &Path, id: &InstanceId) -> io::Result<Self> {
        files.create_directory(base, true)?;
        let name = name_of(id);
        let directory = base.join(format!("{NEW_PREFIX}{name}"));
        match files.create_directory(&directory, false) {
            Ok(()) => {}
            // An earlier attempt of this same instance got this far.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let mut instance = Self::lock(files, &directory)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::WouldBlock, "instance directory is locked by another process")
        })?;
        let target = base.join(name);
        files.rename(&directory, &target)?;
        instance.directory = target;
        Ok(instance)
    }

    /// Locks an instance directory. `None` when its process lives (this one included), or when it is gone.
    #[cfg(unix)]
    pub(crate) fn lock(files: &Filesystem, directory: &Path) -> io::Result<Option<Self>> {
        use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

        let path = directory.join(LOCK_NAME);
        files.before(Operation::Lock, &path)?;
        // Held throughout: between the look at the inode and the lock nobody else in this process may do the same.
        let mut held = HELD.get().lock();
        let key_at = |path: &Path| std::fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()));
        match key_at(&path) {
            Ok(key) if held.contains(&key) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // The owner may have finished, and deleted the file, between our open and our lock.
        let metadata = file.metadata()?;
        let key = (metadata.dev(), metadata.ino());
        if key_at(&path).ok() != Some(key) {
            return Ok(None);
        }
        held.push(key);
        Ok(Some(Self {
            directory: directory.to_path_buf(),
            lock: Some(file),
            key,
            generation: fork::generation(),
        }))
    }

    /// Takes the lock again if it was released by accident. Returns false when another process has it.
    #[cfg(unix)]
    pub(crate) fn reassert(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;

        // Taking a lock that this process holds changes nothing.
        let found = std::fs::symlink_metadata(self.directory.join(LOCK_NAME)).map(|m| (m.dev(), m.ino()));
        found.is_ok_and(|key| key == self.key)
            && self.lock.as_ref().is_some_and(|file| {
                rustix::fs::fcntl_lock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
            })
    }

    #[cfg(not(unix))]
    pub(crate) fn reassert(&self) -> bool {
        self.lock.is_some()
    }

    /// There are no such locks here: the log stays in memory.
    #[cfg(not(unix))]
    pub(crate) fn lock(_: &Filesystem, _: &Path) -> io::Result<Option<Self>> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Returns the path of a segment in this directory.
    pub(crate) fn segment_path(&self, sequence: u64) -> PathBuf {
        self.directory.join(segment_name(sequence))
    }

    /// Removes lock file and directory if nothing else is left in it. The lock itself goes with the value.
    pub(crate) fn remove_if_empty(&self, files: &Filesystem) {
        let Ok(entries) = files.list(&self.directory) else { return };
        if entries.iter().any(|entry| entry.name.to_str().is_none_or(|name| !is_lock(name))) {
            return;
        }
        // A failure leaves an empty directory, which the next process removes.
        let _ = files.remove(&self.directory.join(LOCK_NAME));
        let _ = files.remove_directory(&self.directory);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // A forked child owns neither the lock nor the entry.
        if self.generation == fork::generation() {
            let mut held = HELD.get().lock();
            self.lock = None;
            held.retain(|key| *key != self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let id = new_id(1_700_000_000_123_456_789);
        assert_eq!(id_of(&name_of(&id)), Some(id));
        assert_eq!(sequence_of(&segment_name(0xabc)), Some(0xabc));
        assert_eq!(id_of("lost+found"), None);
        assert_eq!(sequence_of("1.seg"), None);
    }

    #[test]
    fn later_instances_sort_later() {
        assert!(name_of(&new_id(1_700_000_000_000_000_000)) < name_of(&new_id(1_700_000_000_001_000_000)));
    }

    #[test]
    fn only_old_beginnings_are_removed() {
        let base = tempfile::tempdir().expect("temporary directory");
        let name = format!("{NEW_PREFIX}{}", name_of(&new_id(1)));
        let directory = base.path().join(&name);
        std::fs::create_dir(&directory).expect("create");
        remove_if_abandoned(&Filesystem::default(), &directory, &name);
        assert!(directory.exists());
        let old = std::time::SystemTime::now() - 2 * ABANDONED_AFTER;
        std::fs::File::open(&directory).expect("open").set_modified(old).expect("set time");
        remove_if_abandoned(&Filesystem::default(), &directory, "other");
        assert!(directory.exists());
        remove_if_abandoned(&Filesystem::default(), &directory, &name);
        assert!(!directory.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_excludes_a_second_one_in_the_same_process() {
        let base = tempfile::tempdir().expect("temporary directory");
        let files = Filesystem::default();
        let first = Instance::create(&files, base.path(), &new_id(1)).expect("create");
        assert!(Instance::lock(&files, &first.directory).expect("lock").is_none());
        let directory = first.directory.clone();
        drop(first);
        assert!(Instance::lock(&files, &directory).expect("lock").is_some());
    }
}
