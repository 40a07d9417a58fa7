//! What dead processes left: adopting their directories and reading their segments, damaged ones included.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::filesystem::Filesystem;
use crate::format::{
    self, FIXED_HEADER_BYTES, HeaderFault, MAX_USER_HEADER_BYTES, ORDER_AT, ORDER_CHECK_AT, SegmentHeader,
};
use crate::instance::{self, Instance};
use crate::memory::Region;
use crate::record::{Evicted, Record};
use crate::scan::{scan, walk};
use crate::segment::{Identity, Segment};
use crate::shared::Shared;
use crate::slots;
use crate::stats::Notice;

/// One piece of damage found while recovering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file it starts.
    pub offset: u64,
    /// How many bytes it concerns.
    pub bytes: u64,
    /// How many records are known to be lost by it. Zero where that cannot be known.
    pub records: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong with a piece of a spool. Intact records around it are recovered all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// The segment header does not match its checksum, or is none. Records are read with what the names of file and
    /// directory say.
    Header,
    /// The process died while it wrote the record; its `append` never returned.
    Torn,
    /// The record does not match its checksum.
    Checksum,
    /// The two copies of the record's marks differ. The record is recovered with the marks of which both agree.
    Marks,
    /// Bytes that are no record.
    Garbage,
    /// Zeros where records should be.
    Gap,
    /// The file ends before its records do.
    Truncated,
    /// Written by another version of the format. The file stays where it is.
    UnknownVersion {
        /// That version.
        version: u16,
    },
    /// The file could not be read now. It stays where it is.
    Unreadable {
        /// What the system said.
        reason: String,
    },
    /// Not a file of a spool. It stays where it is.
    ForeignFile,
}

/// What recovery found since the last report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Directories of dead processes that were adopted.
    pub instances: u64,
    /// Unresolved records found intact.
    pub records: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Everything that was not intact.
    pub damage: Vec<Damage>,
}

/// The adopted directories of one log.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    adopted: Vec<Adopted>,
    ready: VecDeque<Record>,
    pub(crate) report: RecoveryReport,
    /// Directories with files that stay: reported once.
    left_alone: HashSet<PathBuf>,
    failed_once: bool,
}

#[derive(Debug)]
struct Adopted {
    instance: Instance,
    /// From an intact header of the same instance: what segments with a damaged one go by.
    identity: Arc<Identity>,
    pending: VecDeque<Pending>,
    live: Vec<Arc<Segment>>,
    leftover: bool,
}

#[derive(Debug)]
struct Pending {
    path: PathBuf,
    bytes: u64,
    sequence: u64,
    order: u64,
    header: Option<SegmentHeader>,
    /// No header because the beginning is all zero: no damage if the rest is, too.
    blank: bool,
}

impl Recovery {
    /// Adopts every orphaned instance directory under `base`. Returns how many.
    pub(crate) fn adopt(&mut self, shared: &Shared, base: &Path) -> usize {
        let mut adopted = 0;
        let entries = match shared.context.files.list(base) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
            Err(error) => {
                self.failed(shared, base, &error);
                return 0;
            }
        };
        let mut names: Vec<String> = entries
            .into_iter()
            .filter(|entry| entry.is_directory)
            .filter_map(|entry| entry.name.into_string().ok())
            .collect();
        names.sort_unstable();
        for name in names {
            let directory = base.join(&name);
            let Some(id) = instance::id_of(&name) else {
                instance::remove_if_abandoned(&shared.context.files, &directory, &name);
                continue;
            };
            // Our own, if it could not be locked yet, is no orphan.
            if self.left_alone.contains(&directory) || id == shared.identity.instance {
                continue;
            }
            match Instance::lock(&shared.context.files, &directory) {
                Ok(Some(instance)) => adopted += usize::from(self.take(shared, instance, id)),
                Ok(None) => {}
                Err(error) => self.failed(shared, &directory, &error),
            }
        }
        adopted
    }

    fn failed(&mut self, shared: &Shared, path: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.failed_once, true) {
            let (path, reason) = (path.to_path_buf(), error.to_string());
            shared.context.notices.lock().push(Notice::AdoptionFailed { path, reason });
        }
    }

    /// Reads the headers in a directory that is ours now. Returns whether anything is in it.
    fn take(&mut self, shared: &Shared, instance: Instance, id: format::InstanceId) -> bool {
        let files = &shared.context.files;
        let mut pending = Vec::new();
        let mut leftover = false;
        let entries = match files.list(&instance.directory) {
            Ok(entries) => entries,
            // Its process finished between our list and our lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                self.failed(shared, &instance.directory, &error);
                return false;
            }
        };
        for entry in entries {
            let path = instance.directory.join(&entry.name);
            let name = entry.name.to_str().unwrap_or_default();
            if instance::is_lock(name) {
                continue;
            }
            let Some(sequence) = instance::sequence_of(name).filter(|_| !entry.is_directory) else {
                self.damage(&path, 0, 0, 0, DamageKind::ForeignFile);
                leftover = true;
                continue;
            };
            match read_header(files, &path) {
                Ok((bytes, header, order)) => match header {
                    Ok(header) => {
                        // What was held comes before what may have taken its place.
                        let order = if header.slot_bytes == 0 { order.unwrap_or(header.sequence) } else { 0 };
                        pending.push(Pending {
                            path,
                            bytes,
                            sequence: header.sequence,
                            order,
                            header: Some(header),
                            blank: false,
                        });
                    }
                    Err(HeaderFault::Free) => remove(files, &path),
                    Err(HeaderFault::Short) if bytes == 0 => remove(files, &path),
                    Err(HeaderFault::Version(version)) => {
                        self.damage(&path, 0, bytes, 0, DamageKind::UnknownVersion { version });
                        leftover = true;
                    }
                    Err(fault) => {
                        if fault != HeaderFault::Blank {
                            let kind = match fault {
                                HeaderFault::Short => DamageKind::Truncated,
                                _ => DamageKind::Header,
                            };
                            self.damage(&path, 0, bytes.min(FIXED_HEADER_BYTES as u64), 0, kind);
                        }
                        let order = order.unwrap_or(sequence);
                        let blank = fault == HeaderFault::Blank;
                        pending.push(Pending { path, bytes, sequence, order, header: None, blank });
                    }
                },
                Err(error) => {
                    self.damage(&path, 0, 0, 0, DamageKind::Unreadable { reason: error.to_string() });
                    leftover = true;
                }
            }
        }
        if pending.is_empty() {
            instance.remove_if_empty(files);
            if leftover {
                self.left_alone.insert(instance.directory.clone());
            }
            return leftover;
        }
        pending.sort_by_key(|p| (p.order, p.sequence));
        let identity = pending.iter().find_map(|p| p.header.as_ref()).map_or_else(
            || Identity {
                instance: id,
                process_id: 0,
                required_marks: shared.options.required_marks,
                user_header: Vec::new(),
                recovered: true,
            },
            identity_of,
        );
        let bytes = pending.iter().map(|p| p.bytes).sum();
        shared.context.counters.disk_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.report.instances += 1;
        self.adopted.push(Adopted {
            instance,
            identity: Arc::new(identity),
            pending: pending.into(),
            live: Vec::new(),
            leftover,
        });
        true
    }

    /// Appends at most `max_records` recovered records to `out`.
    pub(crate) fn recover(&mut self, shared: &Shared, max_records: usize, out: &mut Vec<Record>) -> usize {
        let mut taken = 0;
        while taken < max_records {
            match self.ready.pop_front() {
                Some(record) if record.segment.is_gone() => {}
                Some(record) => {
                    out.push(record);
                    taken += 1;
                }
                None if self.read_next(shared) => {}
                None => break,
            }
        }
        taken
    }

    /// Whether recovered records wait to be read.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.ready.is_empty() || self.adopted.iter().any(|adopted| !adopted.pending.is_empty())
    }

    /// Reads the oldest segment that was not read. Returns false when there is none.
    fn read_next(&mut self, shared: &Shared) -> bool {
        let Some(index) = self.adopted.iter().position(|adopted| !adopted.pending.is_empty()) else {
            return false;
        };
        let Some(adopted) = self.adopted.get_mut(index) else { return false };
        let Some(pending) = adopted.pending.pop_front() else { return false };
        let context = &shared.context;
        let mapped = usize::try_from(pending.bytes)
            .ok()
            .filter(|bytes| u32::try_from(*bytes).is_ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))
            .and_then(|len| {
                let (file, now) = context.files.open(&pending.path)?;
                if now < pending.bytes {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was truncated"));
                }
                let map = context.files.map(&file, &pending.path, len)?;
                Ok(Region::mapped(map, len, &context.counters.resident_bytes))
            });
        let region = match mapped {
            Ok(region) => region,
            Err(error) => {
                adopted.leftover = true;
                context.counters.disk_bytes.fetch_sub(pending.bytes, Ordering::Relaxed);
                let kind = DamageKind::Unreadable { reason: error.to_string() };
                self.damage(&pending.path, 0, pending.bytes, 0, kind);
                return true;
            }
        };
        let identity = match &pending.header {
            Some(header) => Arc::new(identity_of(header)),
            None => Arc::clone(&adopted.identity),
        };
        let salt = format::salt(&identity.instance, pending.sequence);
        let mut scan = match &pending.header {
            Some(header) if header.slot_bytes != 0 => {
                slots::scan(&region, header, salt, &context.files, &adopted.instance.directory)
            }
            header => scan(&region, header.as_ref(), pending.blank, salt),
        };
        let doubtful = scan.records.iter().filter(|(at, _)| !region.marks_agree(*at as usize));
        scan.damage.extend(doubtful.map(|(at, _)| (*at as usize + 8, 4, 0, DamageKind::Marks)));
        for (offset, bytes, records, kind) in &scan.damage {
            self.report.damage.push(Damage {
                path: pending.path.clone(),
                offset: *offset as u64,
                bytes: *bytes as u64,
                records: *records,
                kind: kind.clone(),
            });
        }
        let required = identity.required_marks;
        let unresolved: Vec<_> =
            scan.records.iter().filter(|(_, head)| head.marks & required != required).collect();
        if unresolved.is_empty() {
            drop(region);
            remove(&context.files, &pending.path);
            context.counters.disk_bytes.fetch_sub(pending.bytes, Ordering::Relaxed);
            return true;
        }
        let segment = Segment::new(
            context,
            &identity,
            pending.sequence,
            FIXED_HEADER_BYTES,
            Arc::new(region),
            Some(pending.path),
        );
        segment.ordinal.store(shared.next_ordinal(), Ordering::Relaxed);
        segment.adopt(unresolved.len() as u32);
        let segment = Arc::new(segment);
        context.counters.recovered_records.fetch_add(unresolved.len() as u64, Ordering::Relaxed);
        for (offset, head) in unresolved {
            self.report.records += 1;
            self.report.bytes += u64::from(head.payload_bytes);
            self.ready.push_back(Record::new(&segment, *offset, head));
        }
        // Its records may wait for long; their payloads need no memory meanwhile.
        if context.counters.resident_bytes.load(Ordering::Relaxed) > shared.options.max_resident_bytes {
            segment.unmap();
        }
        if let Some(adopted) = self.adopted.get_mut(index) {
            adopted.live.push(segment);
        }
        true
    }

    /// Deletes the files of segments whose records are all resolved, and directories without segments.
    pub(crate) fn free_complete(&mut self, shared: &Shared) -> usize {
        let context = &shared.context;
        let mut freed = 0;
        for adopted in &mut self.adopted {
            adopted.live.retain(|segment| {
                let complete = segment.is_complete();
                if complete {
                    freed += 1;
                    let len = segment.len() as u64;
                    if let (_, Some(path)) = segment.free() {
                        remove(&context.files, &path);
                    }
                    context.counters.disk_bytes.fetch_sub(len, Ordering::Relaxed);
                }
                !complete
            });
        }
        let left_alone = &mut self.left_alone;
        self.adopted.retain(|adopted| {
            let done = adopted.live.is_empty() && adopted.pending.is_empty();
            if done {
                adopted.instance.remove_if_empty(&context.files);
                if adopted.leftover {
                    left_alone.insert(adopted.instance.directory.clone());
                }
            }
            !done
        });
        freed
    }

    /// Evicts the oldest adopted segments until the rest fits.
    pub(crate) fn evict(
        &mut self,
        shared: &Shared,
        max_bytes: u64,
        out: &mut Vec<Evicted>,
        segments: &mut Vec<Arc<Segment>>,
    ) {
        loop {
            let total: u64 = self
                .adopted
                .iter()
                .map(|a| {
                    a.pending.iter().map(|p| p.bytes).sum::<u64>()
                        + a.live.iter().map(|s| s.len() as u64).sum::<u64>()
                })
                .sum();
            if total <= max_bytes {
                return;
            }
            let oldest = self.adopted.iter_mut().find(|a| !a.live.is_empty());
            let Some(adopted) = oldest else {
                if self.read_next(shared) {
                    continue;
                }
                return;
            };
            let segment = adopted.live.remove(0);
            let context = &shared.context;
            let walked = segment.evict(|region| Some(walk(region, &segment)), out);
            if let Ok((len, path)) = walked {
                if let Some(path) = path {
                    remove(&context.files, &path);
                }
                context.counters.disk_bytes.fetch_sub(len as u64, Ordering::Relaxed);
                segments.push(segment);
            } else {
                // Unreadable now: it stays on disk for a later process.
                adopted.leftover = true;
                segment.free();
            }
        }
    }

    /// The adopted segments that are in memory or may be.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.adopted.iter().flat_map(|adopted| &adopted.live)
    }

    /// Lets everything go that is not resolved: files stay, locks are released.
    pub(crate) fn close(&mut self, shared: &Shared) {
        self.free_complete(shared);
        self.ready.clear();
        for adopted in self.adopted.drain(..) {
            for segment in &adopted.live {
                segment.free();
            }
        }
    }

    fn damage(&mut self, path: &Path, offset: u64, bytes: u64, records: u64, kind: DamageKind) {
        self.report.damage.push(Damage { path: path.to_path_buf(), offset, bytes, records, kind });
    }
}

/// Deletes a file that has nothing left to say. If that fails, the next process does it.
fn remove(files: &Filesystem, path: &Path) {
    let _ = files.remove(path);
}

fn identity_of(header: &SegmentHeader) -> Identity {
    Identity {
        instance: header.instance,
        process_id: header.process_id,
        required_marks: header.required_marks,
        user_header: header.user_header.clone(),
        recovered: true,
    }
}

type ReadHeader = (u64, Result<SegmentHeader, HeaderFault>, Option<u64>);

fn read_header(files: &Filesystem, path: &Path) -> io::Result<ReadHeader> {
    let (file, bytes) = files.open(path)?;
    let mut start = Vec::with_capacity(FIXED_HEADER_BYTES);
    file.take((FIXED_HEADER_BYTES + MAX_USER_HEADER_BYTES) as u64).read_to_end(&mut start)?;
    let word =
        |at: usize| start.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    let order = Some(word(ORDER_AT)).filter(|order| *order != 0 && word(ORDER_CHECK_AT) == !order);
    Ok((bytes, SegmentHeader::decode(&start), order))
}
