//! The few file operations that the log needs, each behind a hook that tests use to make it fail.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

/// An operation on the file system, as told to [`Faults`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Making a directory.
    CreateDirectory,
    /// Listing a directory.
    List,
    /// Creating a segment file.
    Create,
    /// Giving a new segment file its disk space.
    Allocate,
    /// Opening an existing segment file.
    Open,
    /// Mapping a segment file into memory.
    Map,
    /// Renaming a segment file.
    Rename,
    /// Deleting a segment file.
    Remove,
    /// Removing an empty directory.
    RemoveDirectory,
    /// Opening and locking an instance's lock file.
    Lock,
    /// Writing through to the disk.
    Sync,
}

/// Decides, before each file operation, whether it fails. For tests.
pub trait Faults: Send + Sync + std::fmt::Debug {
    /// Called before `operation` on `path`; an error is returned instead of doing it.
    ///
    /// # Errors
    ///
    /// Whatever the test wants the operation to fail with.
    fn before(&self, operation: Operation, path: &Path) -> io::Result<()>;
}

/// The real file system behind the optional faults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filesystem {
    faults: Option<Arc<dyn Faults>>,
}

/// A name in a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) is_directory: bool,
}

impl Filesystem {
    pub(crate) fn new(faults: Option<Arc<dyn Faults>>) -> Self {
        Self { faults }
    }

    pub(crate) fn before(&self, operation: Operation, path: &Path) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.before(operation, path))
    }

    /// Makes a directory that only its owner may enter; `parents` makes what is missing above as well.
    pub(crate) fn create_directory(&self, path: &Path, parents: bool) -> io::Result<()> {
        self.before(Operation::CreateDirectory, path)?;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(parents);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.before(Operation::List, path)?;
        fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok(Entry { name: entry.file_name(), is_directory: entry.file_type()?.is_dir() })
            })
            .collect()
    }

    /// Creates a segment file of this length that begins with `content`, with all its disk space: a store into its mapping
    /// never meets a full disk.
    ///
    /// Nothing is left behind on an error.
    pub(crate) fn create(&self, path: &Path, bytes: u64, content: &[&[u8]]) -> io::Result<File> {
        self.before(Operation::Create, path)?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        }
        let file = options.open(path)?;
        let allocated = self.before(Operation::Allocate, path).and_then(|()| allocate(&file, bytes, content));
        if let Err(error) = allocated {
            drop(file);
            // Nobody knows of the file, and what it was to hold is still in memory.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(file)
    }

    /// Opens a segment file and returns it with its length.
    pub(crate) fn open(&self, path: &Path) -> io::Result<(File, u64)> {
        self.before(Operation::Open, path)?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((file, metadata.len()))
    }

    pub(crate) fn map(&self, file: &File, path: &Path, bytes: usize) -> io::Result<MmapRaw> {
        self.before(Operation::Map, path)?;
        MmapOptions::new().len(bytes).map_raw(file)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(Operation::Rename, from)?;
        fs::rename(from, to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.before(Operation::Remove, path)?;
        fs::remove_file(path)
    }

    pub(crate) fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.before(Operation::RemoveDirectory, path)?;
        fs::remove_dir(path)
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.before(Operation::Sync, path)?;
        File::open(path)?.sync_all()
    }
}

/// Gives a new file its blocks and fills its pages.
///
/// Preallocating tells of a full disk before anything is written. Writing in one go then brings the whole file into
/// the page cache in large folios: for 2 MiB it takes 150 us, and making the mapping writable another 14, where
/// populating a mapping of preallocated but unwritten blocks takes 1350 (Linux 6.18, ext4). File systems without
/// preallocation get their blocks by the write.
fn allocate(file: &File, bytes: u64, content: &[&[u8]]) -> io::Result<()> {
    within_size_limit(bytes)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        loop {
            match fallocate(file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    fill(file, bytes, content)
}

/// Writes `content` and then zeros up to a length, in as few calls as possible.
fn fill(mut file: &File, bytes: u64, content: &[&[u8]]) -> io::Result<()> {
    use std::io::{IoSlice, Write as _};
    const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
    const SLICES: usize = 512;
    let mut written = 0;
    while written < bytes {
        let mut slices = Vec::with_capacity(SLICES);
        let mut planned = written;
        let mut before = 0;
        for piece in content {
            let skipped = usize::try_from(written.saturating_sub(before)).unwrap_or(usize::MAX);
            before += piece.len() as u64;
            if let Some(rest) = piece.get(skipped..).filter(|rest| !rest.is_empty()) {
                slices.push(IoSlice::new(rest));
                planned += rest.len() as u64;
            }
        }
        while planned < bytes && slices.len() < SLICES {
            let chunk = usize::try_from(bytes - planned).unwrap_or(usize::MAX).min(ZEROS.len());
            slices.push(IoSlice::new(ZEROS.get(..chunk).unwrap_or_default()));
            planned += chunk as u64;
        }
        match file.write_vectored(&slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Growing a file beyond `RLIMIT_FSIZE` raises SIGXFSZ, which kills by default: refuse before the kernel does.
fn within_size_limit(bytes: u64) -> io::Result<()> {
    #[cfg(unix)]
    if rustix::process::getrlimit(rustix::process::Resource::Fsize).current.is_some_and(|limit| bytes > limit)
    {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    #[cfg(not(unix))]
    let _ = bytes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_zeros_give_the_file_its_length() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("zeros");
        let file = File::create_new(&path).expect("create");
        fill(&file, 20_000_001, &[b"head", b"", &[7; 100_000]]).expect("write");
        let found = fs::read(&path).expect("read");
        assert_eq!(found.len(), 20_000_001);
        assert_eq!(&found[..4], b"head");
        assert!(found[4..100_004].iter().all(|b| *b == 7));
        assert!(found[100_004..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_failed_allocation_leaves_no_file() {
        #[derive(Debug)]
        struct NoSpace;
        impl Faults for NoSpace {
            fn before(&self, operation: Operation, _: &Path) -> io::Result<()> {
                if operation == Operation::Allocate {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(())
            }
        }
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("segment");
        let files = Filesystem::new(Some(Arc::new(NoSpace)));
        let error = files.create(&path, 4096, &[]).expect_err("no space");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists());
    }
}
