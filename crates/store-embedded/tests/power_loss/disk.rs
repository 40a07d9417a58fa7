//! A disk that remembers what was synced: a SQLite VFS in front of the system's.
//!
//! Everything goes to real files, so that the store works as ever. Beside them a model keeps for each file
//! what a power cut would leave: the content at the latest sync, and the writes since then, of which any may be
//! lost, whole or sector by sector. [`Disk::after_power_cut`] draws one such outcome.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char, c_int, c_void},
    path::{Path, PathBuf},
    ptr::null_mut,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
};

use rusqlite::ffi;

/// The name under which SQLite knows this VFS.
pub(crate) const VFS: &str = "forgetful";

const SECTOR_BYTES: usize = 512;

static SYSTEM: AtomicPtr<ffi::sqlite3_vfs> = AtomicPtr::new(null_mut());
static FILES: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());
/// Makes writes or syncs below a directory fail; by test, since tests run side by side.
static FAILING: Mutex<Vec<(PathBuf, Failure)>> = Mutex::new(Vec::new());

/// How the disk can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no room for more.
    Full,
    /// Syncing fails.
    Sync,
}

/// One file as a power cut would find it.
#[derive(Clone, Debug, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
    syncs: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Truncate(size) => content.resize(*size, 0),
        }
    }
}

/// What survives of the writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// Some of them, in parts, in no order.
    Some(u64),
}

/// The files below a directory at one instant.
#[derive(Debug)]
pub(crate) struct Disk(BTreeMap<PathBuf, File>);

impl Disk {
    /// Takes the state of all files below a directory at this instant.
    pub(crate) fn freeze(directory: &Path) -> Self {
        let files = lock(&FILES);
        Self(
            files
                .iter()
                .filter(|(path, _)| path.starts_with(directory))
                .map(|(path, file)| (path.clone(), file.clone()))
                .collect(),
        )
    }

    /// Returns how often the files were synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.values().map(|file| file.syncs).sum()
    }

    /// Writes what a power cut at that instant would leave into another directory.
    pub(crate) fn after_power_cut(&self, survival: Survival, into: &Path) {
        let mut random = fastrand::Rng::with_seed(match survival {
            Survival::Some(seed) => seed,
            _ => 0,
        });
        for (path, file) in &self.0 {
            let mut content = file.synced.clone();
            for change in &file.pending {
                match (survival, change) {
                    (Survival::Nothing, _) => {}
                    (Survival::Everything, change) => change.apply(&mut content),
                    (Survival::Some(_), Change::Truncate(_)) => {
                        if random.bool() {
                            change.apply(&mut content);
                        }
                    }
                    (Survival::Some(_), Change::Write(offset, bytes)) => {
                        let (whole, torn) = (random.u8(0..3), random.u8(..));
                        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                            if whole == 0 || (whole == 1 && random.u8(..) < torn) {
                                Change::Write(offset + index * SECTOR_BYTES, sector.to_vec())
                                    .apply(&mut content);
                            }
                        }
                    }
                }
            }
            std::fs::write(into.join(path.file_name().unwrap()), content).unwrap();
        }
    }
}

/// Makes what is below a directory fail, until the result is dropped.
pub(crate) fn fail(directory: &Path, failure: Failure) -> impl Drop {
    struct Heal(PathBuf);
    impl Drop for Heal {
        fn drop(&mut self) {
            lock(&FAILING).retain(|(path, _)| *path != self.0);
        }
    }
    lock(&FAILING).push((directory.to_owned(), failure));
    Heal(directory.to_owned())
}

fn fails(path: &Path, failure: Failure) -> bool {
    lock(&FAILING).iter().any(|(directory, kind)| *kind == failure && path.starts_with(directory))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers the VFS, once.
pub(crate) fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: SQLite's default VFS lives as long as the process. Its copy, which differs in the name, the
        // size of a file and the two methods that we replace, is leaked and so lives as long. The methods
        // that stay take the VFS as an argument which the system's VFS reads only in xOpen.
        unsafe {
            let system = ffi::sqlite3_vfs_find(null_mut());
            assert!(!system.is_null());
            SYSTEM.store(system, Ordering::Release);
            let ours = Box::leak(Box::new(*system));
            ours.zName = c"forgetful".as_ptr();
            ours.szOsFile = size_of::<Handle>() as c_int;
            ours.pNext = null_mut();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            assert_eq!(ffi::sqlite3_vfs_register(ours, 0), ffi::SQLITE_OK);
        }
    });
}

/// An open file: SQLite allocates it and sees only its first field.
#[repr(C)]
struct Handle {
    base: ffi::sqlite3_file,
    /// The system's file, allocated by us.
    real: *mut ffi::sqlite3_file,
    /// The path, if the file is modelled; a leaked box that `close` takes back.
    path: *mut PathBuf,
}

/// # Safety
/// As SQLite calls it: `name` is null or a C string, `file` has room for a [`Handle`].
unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: `file` has `szOsFile` bytes, which is a Handle; the system's file gets memory of the size that its
    // VFS asks for, zeroed and freed in `close`.
    unsafe {
        let handle = file.cast::<Handle>();
        (*handle).base.pMethods = std::ptr::null();
        let system = SYSTEM.load(Ordering::Acquire);
        let size = (*system).szOsFile as usize;
        let real = ffi::sqlite3_malloc64(size as u64).cast::<ffi::sqlite3_file>();
        if real.is_null() {
            return ffi::SQLITE_NOMEM;
        }
        std::ptr::write_bytes(real.cast::<u8>(), 0, size);
        let path = (!name.is_null() && flags & (ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_WAL) != 0)
            .then(|| PathBuf::from(CStr::from_ptr(name).to_str().unwrap()));
        if let Some(path) = &path {
            let on_disk = std::fs::read(path).unwrap_or_default();
            lock(&FILES).entry(path.clone()).or_insert(File { synced: on_disk, ..File::default() });
        }
        let Some(open) = (*system).xOpen else { return ffi::SQLITE_MISUSE };
        let result = open(system, name, real, flags, out_flags);
        if result != ffi::SQLITE_OK {
            ffi::sqlite3_free(real.cast());
            return result;
        }
        (*handle).real = real;
        (*handle).path = path.map_or(null_mut(), |path| Box::into_raw(Box::new(path)));
        (*handle).base.pMethods = &METHODS;
        ffi::SQLITE_OK
    }
}

/// # Safety
/// As SQLite calls it: `name` is a C string.
unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: forwarded unchanged to the system's VFS.
    unsafe {
        let system = SYSTEM.load(Ordering::Acquire);
        lock(&FILES).remove(Path::new(CStr::from_ptr(name).to_str().unwrap()));
        (*system).xDelete.map_or(ffi::SQLITE_MISUSE, |delete| delete(system, name, sync))
    }
}

/// Forwards a method to the system's file.
macro_rules! forward {
    ($($ours:ident = $theirs:ident($($argument:ident: $type:ty),*) -> $result:ty, $missing:expr;)*) => {
        $(
            /// # Safety
            /// As SQLite calls it: the file is a [`Handle`] that `open` made.
            unsafe extern "C" fn $ours(file: *mut ffi::sqlite3_file $(, $argument: $type)*) -> $result {
                // SAFETY: the file is a Handle whose real file is open; arguments go on unchanged.
                unsafe {
                    let real = (*file.cast::<Handle>()).real;
                    (*(*real).pMethods).$theirs.map_or($missing, |method| method(real $(, $argument)*))
                }
            }
        )*
    };
}

forward! {
    read = xRead(buffer: *mut c_void, amount: c_int, offset: i64) -> c_int, ffi::SQLITE_MISUSE;
    file_size = xFileSize(size: *mut i64) -> c_int, ffi::SQLITE_MISUSE;
    lock_file = xLock(level: c_int) -> c_int, ffi::SQLITE_MISUSE;
    unlock_file = xUnlock(level: c_int) -> c_int, ffi::SQLITE_MISUSE;
    check_reserved_lock = xCheckReservedLock(result: *mut c_int) -> c_int, ffi::SQLITE_MISUSE;
    file_control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int, ffi::SQLITE_NOTFOUND;
    sector_size = xSectorSize() -> c_int, 0;
    device_characteristics = xDeviceCharacteristics() -> c_int, 0;
    shm_map = xShmMap(region: c_int, size: c_int, extend: c_int, result: *mut *mut c_void) -> c_int, ffi::SQLITE_MISUSE;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int, ffi::SQLITE_MISUSE;
    shm_barrier = xShmBarrier() -> (), ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int, ffi::SQLITE_MISUSE;
    forward_close = xClose() -> c_int, ffi::SQLITE_MISUSE;
    forward_write = xWrite(buffer: *const c_void, amount: c_int, offset: i64) -> c_int, ffi::SQLITE_MISUSE;
    forward_truncate = xTruncate(size: i64) -> c_int, ffi::SQLITE_MISUSE;
}

/// Runs a change on the real file and in the model as one instant.
///
/// # Safety
/// The file is a [`Handle`] that `open` made.
unsafe fn modelled(
    file: *mut ffi::sqlite3_file,
    failure: Failure,
    forward: impl FnOnce() -> c_int,
    model: impl FnOnce(&mut File),
) -> c_int {
    // SAFETY: the path is null or a box that lives until `close`.
    let path = unsafe { (*file.cast::<Handle>()).path.as_ref() };
    let Some(path) = path else { return forward() };
    if fails(path, failure) {
        return match failure {
            Failure::Full => ffi::SQLITE_FULL,
            Failure::Sync => ffi::SQLITE_IOERR_FSYNC,
        };
    }
    let mut files = lock(&FILES);
    let result = forward();
    if result == ffi::SQLITE_OK {
        model(files.entry(path.clone()).or_default());
    }
    result
}

/// # Safety
/// As SQLite calls it: the buffer has `amount` bytes.
unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: the buffer has `amount` bytes, the file is ours.
    unsafe {
        let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), amount as usize);
        modelled(
            file,
            Failure::Full,
            || forward_write(file, buffer, amount, offset),
            |model| model.pending.push(Change::Write(offset as usize, bytes.to_vec())),
        )
    }
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: the file is ours.
    unsafe {
        modelled(
            file,
            Failure::Full,
            || forward_truncate(file, size),
            |model| model.pending.push(Change::Truncate(size as usize)),
        )
    }
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is ours. The real sync is left out: the model says what is durable, and tests stay fast.
    unsafe {
        let _ = flags;
        modelled(
            file,
            Failure::Sync,
            || ffi::SQLITE_OK,
            |model| {
                model.syncs += 1;
                for change in std::mem::take(&mut model.pending) {
                    change.apply(&mut model.synced);
                }
            },
        )
    }
}

/// # Safety
/// As SQLite calls it, once for each open file.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the real file was allocated and the path leaked by `open`; both are used no more.
    unsafe {
        let result = forward_close(file);
        let handle = file.cast::<Handle>();
        ffi::sqlite3_free((*handle).real.cast());
        if !(*handle).path.is_null() {
            drop(Box::from_raw((*handle).path));
        }
        result
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 2 has shared memory, and leaves out the mapping of files, which no model would see.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
